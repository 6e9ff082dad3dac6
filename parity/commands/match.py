"""`parity match TARGET`: which weight of torch's is which leaf of JAX's, and what decided it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parity.commands.options import console, readers_may_leave


def match(
    target: Annotated[str, typer.Argument(help="FILE.py:NAME, FILE.py, or package.module:NAME.")],
    write: Annotated[
        Path | None,
        typer.Option(help="Write what goes where to a .json or .toml file, for weights=."),
    ] = None,
) -> int:
    """Show how the weights of two models go together; nothing is compared."""
    from parity.models.table import draw, find

    found = find(target)
    with readers_may_leave():
        draw(console(), found)
    if write is not None:
        from parity.models.mapping import write as write_mapping

        write_mapping(write, found.weights)
    return int(bool(found.weights.unfed or found.lacking))
