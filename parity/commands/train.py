"""`parity train`: a training run in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parity.commands.options import (
    Framework,
    FrameworkOption,
    MatmulPrecision,
    MatmulPrecisionOption,
    NamesOption,
    readers_may_leave,
    round_alike_everywhere,
)


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/train"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")] = False,
    framework: FrameworkOption = Framework.jax,
    steps: Annotated[int, typer.Option(help="Steps; may be raised on --resume.")] = 200_000,
    batch_size: Annotated[int, typer.Option(help="Examples a step, 2 or more.")] = 32,
    n_hidden: Annotated[int, typer.Option(help="Width of the hidden layer.")] = 200,
    n_embd: Annotated[int, typer.Option(help="Width of a letter's embedding.")] = 10,
    block_size: Annotated[int, typer.Option(help="Letters of context.")] = 3,
    lr: Annotated[
        str, typer.Option(help="Learning rate, and after a comma the next one @ its first step.")
    ] = "0.1,0.01@100000",
    seed: Annotated[int, typer.Option(help="Parameters and minibatches.")] = 2147483647,
    global_seed: Annotated[
        str, typer.Option(help="bngain and bnbias; 'same' draws them from --seed too.")
    ] = "3847735602",
    global_skip: Annotated[int, typer.Option(help="32-bit words to pass over first there.")] = 2288,
    batch_seed: Annotated[
        int | None, typer.Option(help="Minibatches; by default they follow in --seed's stream.")
    ] = None,
    matmul_precision: MatmulPrecisionOption = MatmulPrecision.highest,
    names: NamesOption = None,
    chunk: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 5000,
) -> int:
    """Train with our own backward pass: the notebook's Exercise 4, or any other run."""
    from parity.errors import UsageError
    from parity.makemore.run import run
    from parity.makemore.training import Config

    if global_seed != "same" and not global_seed.lstrip("-").isdecimal():
        raise UsageError(f"--global-seed is {global_seed!r}; give a number, or same")
    config = Config(
        framework=framework.value,
        steps=steps,
        batch_size=batch_size,
        n_hidden=n_hidden,
        n_embd=n_embd,
        block_size=block_size,
        lr=lr,
        seed=seed,
        global_seed=None if global_seed == "same" else int(global_seed),
        global_skip=global_skip,
        batch_seed=batch_seed,
        matmul_precision=matmul_precision.value,
    )
    round_alike_everywhere()
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    for line in run(out, config, names, chunk, given if resume else None):
        with readers_may_leave():
            print(line)
    return 0
