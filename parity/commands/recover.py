"""`parity recover`: the seed that a published run never set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parity.commands.options import cores, readers_may_leave, round_alike_everywhere


def recover(
    run: Annotated[Path, typer.Argument(help="A run file without global_seed.")],
    out: Annotated[Path, typer.Option(help="The run file with it.")] = Path("recovered.toml"),
    seeds: Annotated[str, typer.Option(help="The states to search.")] = "0..4294967295",
) -> int:
    """Find the global seed of a run whose losses are published, among all of torch's states."""
    from parity.errors import UsageError
    from parity.frameworks import jax_devices
    from parity.makemore.recover.run import run as recover_run

    first, _, last = seeds.partition("..")
    if not (first.isdecimal() and last.isdecimal()):
        raise UsageError(f"--seeds is {seeds!r}; write it as 0..4294967295")
    round_alike_everywhere()
    jax_devices.use_cores(cores())
    code = 0
    for line, ended in recover_run(run, out, int(first), int(last)):
        with readers_may_leave():
            print(line, flush=True)
        code = code if ended is None else ended
    return code
