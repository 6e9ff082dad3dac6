"""`parity reproduce`: published figures, beside ours."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from parity.commands.options import JSONOption, console, readers_may_leave, round_alike_everywhere


class Frameworks(StrEnum):
    """Who computes, one or both."""

    jax = "jax"
    torch = "torch"
    both = "both"


def reproduce(
    framework: Annotated[
        Frameworks, typer.Option(help="Whose training is held to the figures.")
    ] = Frameworks.jax,
    run: Annotated[
        Path | None, typer.Option(help="Another published run (docs/reproduction.md).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the loss curves.")] = Path("runs"),
    json: JSONOption = None,
) -> int:
    """Reproduce published figures: the notebook's Exercises 1 to 4, its losses and its names."""
    from parity.makemore.reproduction import run as reproduce_run

    round_alike_everywhere()
    frameworks = ("jax", "torch") if framework is Frameworks.both else (framework.value,)
    report = reproduce_run(run, frameworks, out, json)
    with readers_may_leave():
        report.show(console())
    return report.exit_code
