"""`parity sweep`: many training runs at once, on all devices of one or of several hosts."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from parity.commands.options import (
    MatmulPrecision,
    MatmulPrecisionOption,
    NamesOption,
    cores,
    readers_may_leave,
    round_alike_everywhere,
)


class Preset(StrEnum):
    """Sweeps whose outcome is known."""

    notebook = "notebook"


def sweep(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the sweep.")] = Path("runs/sweep"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")] = False,
    preset: Annotated[
        Preset | None, typer.Option(help="The notebook's recipe, beside its published runs.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="So many global seeds: --global-seed 0..N-1.")
    ] = None,
    seed: Annotated[
        str, typer.Option(help="Parameters and minibatches: 1,5,10..20, as all seeds here.")
    ] = "2147483647",
    global_seed: Annotated[
        str, typer.Option(help="bngain and bnbias; 'same' draws them from --seed too.")
    ] = "3847735602",
    batch_seed: Annotated[
        str, typer.Option(help="Minibatches; 'same': they follow in --seed's stream.")
    ] = "same",
    lr: Annotated[
        list[str] | None, typer.Option(help="As of parity train; may be given several times.")
    ] = None,
    n_hidden: Annotated[str, typer.Option(help="Widths of the hidden layer: 100,200.")] = "200",
    steps: Annotated[int, typer.Option(help="Steps of each member.")] = 200_000,
    batch_size: Annotated[int, typer.Option(help="Examples a step, 2 or more.")] = 32,
    n_embd: Annotated[int, typer.Option(help="Width of a letter's embedding.")] = 10,
    block_size: Annotated[int, typer.Option(help="Letters of context.")] = 3,
    global_skip: Annotated[int, typer.Option(help="32-bit words to pass over first there.")] = 2288,
    matmul_precision: MatmulPrecisionOption = MatmulPrecision.highest,
    names: NamesOption = None,
    chunk: Annotated[int, typer.Option(help="Steps between checkpoints, at most.")] = 4000,
    coordinator: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of process 0, or 'auto' on a cluster that JAX knows."),
    ] = None,
    num_processes: Annotated[int | None, typer.Option(help="How many take part.")] = None,
    process_id: Annotated[int | None, typer.Option(help="Which of them this is, from 0.")] = None,
) -> int:
    """Train every combination of seeds, learning rates and widths, side by side."""
    from parity.errors import LostProcessError, UsageError, require_at_least
    from parity.makemore.sweep import run
    from parity.makemore.sweep.axes import Sweep, numbers

    if seeds is not None:
        require_at_least(1, seeds=seeds)
        global_seed = f"0..{seeds - 1}"
    asked = Sweep(
        seed=numbers("seed", seed),
        global_seed=numbers("global_seed", global_seed, "same"),
        batch_seed=numbers("batch_seed", batch_seed, "same"),
        lr=tuple(lr) if lr else Sweep.lr,
        n_hidden=numbers("n_hidden", n_hidden),
        steps=steps,
        batch_size=batch_size,
        n_embd=n_embd,
        block_size=block_size,
        global_skip=global_skip,
        matmul_precision=matmul_precision.value,
    )
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    if "seeds" in given:
        given = given - {"seeds"} | {"global_seed"}
    given &= {*vars(asked)}
    round_alike_everywhere()
    _meet(coordinator, num_processes, process_id)
    lines = run.run(out, asked, names, chunk, given if resume else None, preset is not None)
    try:
        for line in lines:
            with readers_may_leave():
                print(line)
    except (UsageError, LostProcessError) as error:
        if not coordinator:
            raise
        # JAX's own farewell would wait for all the others, and abort when one is gone
        print(f"parity: {error}", file=sys.stderr, flush=True)
        os._exit(2 if isinstance(error, UsageError) else 1)
    return 0


def _meet(coordinator: str | None, processes: int | None, this: int | None) -> None:
    """Make devices of the cores, and meet the other processes if there are any."""
    from parity.errors import UsageError
    from parity.frameworks import jax_devices

    jax_devices.use_cores(cores())
    if coordinator:
        jax_devices.join(coordinator, processes, this)
    elif (processes, this) != (None, None):
        raise UsageError("--num-processes and --process-id need --coordinator HOST:PORT")
