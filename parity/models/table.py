"""Matched weights as a table on a console: torch's name, JAX's path, what is done, who decided.

Draws and finds the models; matches nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from parity.errors import UsageError
from parity.models.layout import told
from parity.models.match import Decided
from parity.models.sides import Whole, is_of_models, whole
from parity.pairs.finding import find as find_pairs

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 160
"""Of a table that nobody looks at in a terminal."""
COLOURS = {Decided.NAME: "yellow", Decided.ORDER: "yellow"}


def find(target: str) -> Whole:
    """Return the models of a target, matched; UsageError unless it holds one pair of models.

    ``target`` is FILE.py:NAME as well as what `parity check` takes.
    """
    file, name = target, ""
    if split := re.fullmatch(r"(.+\.py):(.+)", target):
        file, name = split.groups()
    pairs = [pair for pair in find_pairs(file) if is_of_models(pair)]
    chosen = [pair for pair in pairs if pair.name == name] if name else pairs
    if len(chosen) == 1:
        return whole(chosen[0])
    there = ", ".join(pair.name for pair in pairs)
    if not pairs:
        raise UsageError(
            f"no pair in {file} is of two models; give a torch.nn.Module and a JAX one"
        )
    wanted = f"no pair of models is called {name}" if name else "several pairs of models"
    raise UsageError(f"{wanted} in {file}; name one, as {file}:{pairs[0].name} (there: {there})")


def draw(console: Console, models: Whole) -> None:
    """Print a line a leaf, and a sentence for each weight without a counterpart."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    weights = models.weights
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    for header in (models.pair.name, "shape", "in JAX", "there", "decided by"):
        table.add_column(header, overflow="fold")
    for source, shape in weights.shapes.items():
        for match in weights.of(source):
            how = told(match.layout, weights.shapes, source)
            said = f"{match.decided}, a guess" if match.decided.guess else str(match.decided)
            colour = COLOURS.get(match.decided, "")
            table.add_row(source, str([*shape]), match.leaf, how, Text(said, style=colour))
    console.print(table)
    for sentence in (*weights.unfed.values(), *models.lacking.values()):
        console.print(Text(sentence, style="red"))
    decided = [match.decided for match in weights.matches.values()]
    counts = ", ".join(f"{decided.count(how)} by {how}" for how in Decided if how in decided)
    without = f"; {len(weights.unfed)} without a counterpart" if weights.unfed else ""
    console.print(Text(f"{len(decided)} leaves matched: {counts}{without}"))
