"""A report as tables on a console.

rich is imported where something is drawn: importing it draws from Python's global random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from parity.frameworks.narrowing import Converted
from parity.judge.cause import Kind
from parity.judge.verdict import Row, Status, Verdict
from parity.show.section import Section
from parity.where.named_walk import Step

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from parity.models.modules import Part
    from parity.where.alignment import Place


MOST = 6
"""Causes and reasons shown below a table unless all are asked for."""

FOLDED = 3
"""Of rows that follow from others, or agree in a long table, more than these are one line."""

LONG = 12
"""Rows from which on a table is long."""

NAMED = 6
"""Of what is one line, so many are named."""

ROOMY = 3
"""Corners up to which a table has room for the smallest fault that it would have caught."""

COLOURS = {
    Verdict.IDENTICAL: "green",
    Verdict.ROUNDING: "green",
    Verdict.KINK: "yellow",
    Verdict.LESS_ACCURATE: "yellow",
    Verdict.CONVENTION: "magenta",
    Verdict.NOT_COMPARABLE: "red",
    Verdict.DIFFERENT: "bold red",
}

SHUT: dict[str, tuple[str, ...]] = {
    Status.RIGHT: (Status.RIGHT, ""),
    Status.INHERITED: (Status.RIGHT, Status.INHERITED, ""),
}
"""What there may be in a module that is one line."""

PLACES: dict[str, str] = {Status.INTRODUCED: "bold red", Status.INHERITED: "dim"}


def draw(
    console: Console,
    sections: Sequence[Section],
    verdict: Verdict,
    said: Sequence[str],
    notes: Sequence[str],
    verbose: bool = False,
) -> None:
    """Print tables, what is ``said`` of the whole, and notes; ``verbose`` adds forwards and pairs.

    Of one function what is said stands above its table, of the exercises below all of them.
    """
    from rich.text import Text

    verdict_lines = [Text(line, style=COLOURS[verdict]) for line in said]
    for section in sections:
        agrees = all(row.verdict.passes for row in section.rows)
        if section.exercise is None and section is not sections[0] and agrees and not verbose:
            continue
        console.print(Text(section.title, style="bold"))
        for loss in _losses(section):
            console.print(Text(loss))
        if section.exercise is None:  # one function: what came of it stands first
            for line in verdict_lines if section is sections[0] else ():
                console.print(line)
            _of_one_function(console, section, verbose)
        else:
            if not section.gradients:
                console.print(_table("tensor", section.forward))
            elif verbose:
                console.print(_table("forward", section.forward))
            if section.gradients:
                console.print(_table("gradient of", section.gradients))
        _causes(console, section, verbose)
        _reasons(console, section, verbose)
        if section.walk:
            console.print(_walk(section.walk))
        if verbose and section.converted:
            console.print(_conversions(section.converted))
        if section.modules and (verbose or any(p.status != Status.RIGHT for p in section.modules)):
            console.print(_tree(section.modules, verbose))
        for place in section.places[1:]:
            console.print(Text(f"  then {place.sentence.removeprefix('first ')}"))
        if verbose and any(True for place in section.places for _ in place.rows()):
            console.print(_regions(section.places))
        if verbose:
            console.print(_pairs(section.gradients))
    for note in notes:
        console.print(Text(f"Note: {note}."))
    if any(section.exercise is not None for section in sections):
        for line in verdict_lines:
            console.print(line)


def _of_one_function(console: Console, section: Section, verbose: bool) -> None:
    """Print outputs and gradients in one table; rows that say nothing new are one line a kind."""
    from rich.text import Text

    tensors: dict[str, list[Row]] = {}
    for row in section.forward:
        tensors.setdefault(row.name, []).append(row)
    for row in section.gradients:
        tensors.setdefault(f"gradient of {row.name}", []).append(row)
    folded = {} if verbose else dict(_folded(section, tensors))
    away = {name for names in folded.values() for name in names}
    shown = {name: rows for name, rows in tensors.items() if name not in away}
    rows = tuple(replace(r, name=name) for name in shown for r in shown[name])
    paths = {f"gradient of {name}": path for name, path in section.paths.items()}
    console.print(_table("", rows, paths))
    for what, names in folded.items():
        some = ", ".join(names[:NAMED]) + (", ... (--verbose shows them)" if names[NAMED:] else "")
        line = f"{len(names)} more that {what}: {some}"
        console.print(Text(line, style=PLACES[Status.INHERITED]))


def _folded(section: Section, tensors: dict[str, list[Row]]) -> Iterator[tuple[str, list[str]]]:
    """Yield (what they do, their names) of tensors that need no row of their own."""
    follow = [name for name, rows in tensors.items() if all(map(section.follows, rows))]
    if len(follow) > FOLDED:
        yield "follow from that", follow
    agree = [
        name
        for name, rows in tensors.items()
        if all(row.verdict.passes and not row.reason for row in rows)
    ]
    if len(tensors) > LONG and FOLDED < len(agree) < len(tensors):
        yield "agree", agree


def _causes(console: Console, section: Section, verbose: bool) -> None:
    """Print each cause once, though it explains many tensors; the first few unless asked."""
    from rich.text import Text

    causes = {str(cause): cause for row in section.rows for cause in row.causes}
    most = None if verbose else MOST
    if section.exercise is None and causes:  # the first one's sentence stands above the table
        first = causes.pop(next(iter(causes)))
        if first.evidence:
            console.print(Text(f"  {first.evidence}"))
        if first.kind is Kind.CONVENTION and not verbose:
            most = 1  # the others are other ways to do the same
    asked: set[str] = set()
    for said, cause in list(causes.items())[:most]:
        console.print(Text(f"  {said}", style="bold"))
        if section.exercise is not None and cause.tensor not in asked:  # a learner is asked
            asked.add(cause.tensor)
            console.print(Text(f"    {cause.hint}", style="italic"))
    if most is not None and len(causes) > most:
        console.print(f"  and {len(causes) - most} more (--verbose shows them)")


def _conversions(converted: tuple[Converted, ...]) -> Table:
    """Return one line a place where a side goes on in another float than it has."""
    table = _grid()
    for column in ("goes on in another float", "run in", "operation", "line", "from", "to"):
        table.add_column(column)
    table.add_column("the other side")
    for dtype, side, place, both in converted:
        other = {True: "too", False: "not", None: ""}[both]
        table.add_row(side, dtype, place.operation, place.line, place.source, place.to, other)
    return table


def _walk(steps: tuple[Step, ...]) -> Table:
    """Return one line a step: how far the sides are, how far by this step alone, and the place."""
    from rich.text import Text

    table = _grid()
    table.add_column("where it starts")
    table.add_column("apart", justify="right")
    table.add_column("this step", justify="right")
    table.add_column("")
    for step in steps:
        name = f"gradient of {step.name}" if step.gradient else step.name
        place = f"{step.place}, on the way back from {step.into}" if step.into else step.place
        style = PLACES.get(step.place, "")
        apart, alone = _short(step.apart.sigmas), _short(step.alone.sigmas)
        table.add_row(name, apart, alone, Text(place), style=style)
    return table


def _tree(modules: Sequence[Part], verbose: bool) -> Table:
    """Return one line a module; with what is in it, if it is right or follows, unless asked."""
    from rich.text import Text

    table = _grid()
    table.add_column("module")
    table.add_column("")
    table.add_column("gradients", justify="right")
    table.add_column("")
    closed: list[str] = []
    for part in modules:
        if not verbose and any(part.name.startswith(name) for name in closed):
            continue
        within = [p for p in modules if p.name.startswith(f"{part.name}." if part.name else "")]
        if all(p.status in SHUT.get(part.status, ()) for p in (part, *within)):
            closed.append(f"{part.name}.")
        depth = part.name.count(".") + 1 if part.name else 0
        label = "  " * depth + (part.name.rpartition(".")[2] or "(the whole)")
        style = PLACES.get(part.status, "")
        table.add_row(label, part.kind, _short(part.sigmas), Text(part.status), style=style)
    return table


def _regions(places: Sequence[Place]) -> Table:
    """Return one line an operation of the regions where two sides part."""
    table = _grid()
    for header in ("where they part", "side", "operation", "line"):
        table.add_column(header)
    for number, place in enumerate(places, 1):
        for side, kind, inside, line, after in dict.fromkeys(place.rows()):
            said = f"{kind} in {inside}" if inside and inside != kind else kind
            table.add_row(str(number), side, f"then {said}" if after else said, line)
    return table


def _reasons(console: Console, section: Section, verbose: bool) -> None:
    """Print each reason once, though it holds in two dtypes; the few first unless asked."""
    from rich.text import Text

    told: dict[str, Verdict] = {}
    for row in section.rows:
        if row.reason and (verbose or not section.follows(row)):
            told.setdefault(f"  {row.name}: {row.reason}", row.verdict)
    lines = list(told.items())
    for line, verdict in lines if verbose else lines[:MOST]:
        console.print(Text(line, style=COLOURS[verdict]))
    if len(lines) > MOST and not verbose:
        console.print(f"  and {len(lines) - MOST} more (--verbose shows them)")


def _losses(section: Section) -> Iterator[str]:
    for dtype, losses in section.losses.items():
        digits = 9 if dtype == "float32" else 17
        groups: dict[str, list[str]] = {}
        for corner, loss in losses.items():
            if not corner.endswith(" eager"):
                groups.setdefault(f"{loss:.{digits}g}", []).append(corner)
        said = "; ".join(f"{loss} ({', '.join(corners)})" for loss, corners in groups.items())
        yield f"loss in {dtype}: {said}"


def _table(title: str, rows: tuple[Row, ...], paths: Mapping[str, str] | None = None) -> Table:
    """Return one line a tensor: the first dtype's columns, the others' sigmas beside them.

    ``paths``, of a model's weights, stand in the place of differences in numbers.
    """
    from rich.text import Text

    table = _grid()
    dtypes = list(dict.fromkeys(row.dtype for row in rows))
    corners = list(dict.fromkeys(c.split()[0] for row in rows for c in row.distances))
    table.add_column(title)
    if paths:
        table.add_column("in JAX")
    if corners:
        catches = ["catches"] if len(corners) <= ROOMY else []
        if not paths:
            table.add_column(f"= {corners[-1]}")
        numbers = () if paths else ("max diff", "ULP")
        for header in (*numbers, *corners, *dtypes[1:], *catches):
            table.add_column(header, justify="right")
    table.add_column("verdict")
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    for name, same in by_name.items():
        worst = max(same, key=lambda row: row.verdict.severity)
        verdict = Text(str(worst.verdict), style=COLOURS[worst.verdict])
        if same[0].zero and worst.verdict.passes:
            verdict.append(" ~0", style="dim")
        style = ""
        if worst.place == Status.INHERITED:
            verdict, style = Text(Status.INHERITED), PLACES[Status.INHERITED]
        cells = [*_cells(same, corners)] if corners else []
        if paths:
            cells = [paths.get(name, ""), *cells[3:]]
        table.add_row(name, *cells, verdict, style=style)
    return table


def _cells(same: list[Row], corners: list[str]) -> Iterator[str]:
    """Yield what is between a tensor's name and its verdict."""
    shown = same[0]
    yield _equal(shown, corners)
    yield _short(max((p.maxdiff for p in shown.pairs), default=math.nan))
    yield _short(max((p.ulp for p in shown.pairs), default=math.nan))
    for corner in corners:
        modes = [d.sigmas for c, d in shown.distances.items() if c.split()[0] == corner]
        yield _short(max(modes, default=math.nan))
    for other in same[1:]:
        yield _short(other.sigmas)
    if len(corners) <= ROOMY:
        yield "-" if shown.vacuous else _short(shown.power)


def _grid() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _pairs(rows: tuple[Row, ...]) -> Table:
    table = _grid()
    for header in ("gradient of", "dtype", "pair", "exact", "allclose", "max diff", "ULP", "at"):
        table.add_column(header)
    for row in rows:
        for pair in row.pairs:
            table.add_row(
                row.name,
                row.dtype,
                f"{pair.left} / {pair.right}",
                "yes" if pair.exact else "no",
                "yes" if pair.approximate else "no",
                _short(pair.maxdiff),
                _short(pair.ulp),
                str(list(pair.worst)),
            )
    return table


def _equal(row: Row, corners: list[str]) -> str:
    """Return which corners are bit-equal to the last."""
    *others, last = corners
    equal = [
        corner
        for corner in others
        if any(p.exact and {p.left, p.right} == {corner, last} for p in row.pairs)
    ]
    return "all" if equal == others else " ".join(equal) or "-"


def _short(value: float) -> str:
    """Return a number in at most 7 characters."""
    if math.isnan(value):
        return "-"
    if value == 0 or (1 <= value < 1e4 and value == int(value)):
        return str(int(value)) if math.isfinite(value) else str(value)
    if 0.01 <= abs(value) < 1000:
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
