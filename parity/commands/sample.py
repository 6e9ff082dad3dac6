"""`parity sample`: names drawn from a training run."""

from __future__ import annotations

from typing import Annotated

import typer

from parity.commands.options import NamesOption, RunArgument, RunFrameworkOption, readers_may_leave


def sample(
    run: RunArgument,
    count: Annotated[int, typer.Option(help="How many names.")] = 20,
    sampler: Annotated[
        str, typer.Option(help="jax, or torch-2.5: the rule behind the notebook's list.")
    ] = "jax",
    seed: Annotated[int, typer.Option(help="The sampler's seed.")] = 2147483657,
    framework: RunFrameworkOption = None,
    names: NamesOption = None,
) -> int:
    """Print names drawn from a training run's network."""
    from parity.makemore.checkpoint import Folder
    from parity.makemore.run import sampled

    drawn = sampled(Folder(run), framework and framework.value, names, sampler, seed, count)
    with readers_may_leave():
        print("\n".join(drawn))
    return 0
