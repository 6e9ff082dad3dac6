"""A finished comparison: one value that can be asked for its verdict, drawn as a table or written.

Judges nothing: the rows come judged. rich is imported where something is drawn: importing it draws
from Python's global random numbers, and importing this must not.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import ParityError, UsageError
from parity.noise import BOUND
from parity.verdict import Row, Verdict
from parity.walk import INHERITED, INTRODUCED, Step

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SCHEMA = "backprop-parity/notebook/1"
CHECK_SCHEMA = "backprop-parity/check/1"

MOST = 6
"""Reasons shown below a table unless all are asked for."""

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


@dataclass(frozen=True)
class Section:
    """One function's forward tensors and gradients, one row a tensor and dtype."""

    title: str
    forward: tuple[Row, ...]
    gradients: tuple[Row, ...]
    exercise: int | None = None
    """Its number, where it is one of the notebook's."""
    losses: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By dtype and corner, of the first batch."""
    walk: tuple[Step, ...] = ()
    """Where a difference starts, if the functions name what is inside them."""

    @property
    def start(self) -> Step | None:
        """The first step that introduces a difference, forwards first."""
        return next((step for step in self.walk if step.place == INTRODUCED), None)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row, forwards first."""
        return (*self.forward, *self.gradients)


@dataclass(frozen=True)
class Report:
    """Everything one run found, and what it was run with."""

    options: Any
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    schema: str = SCHEMA

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row, forwards first."""
        return tuple(row for section in self.sections for row in section.rows)

    @property
    def verdict(self) -> Verdict:
        """The most severe verdict of any row."""
        return max((row.verdict for row in self.rows), key=lambda v: v.severity)

    @property
    def vacuous(self) -> tuple[str, ...]:
        """The gradients of a pair for which zeros would have passed: nothing was tested."""
        return tuple(
            dict.fromkeys(
                row.name
                for section in self.sections
                for row in section.gradients
                if section.exercise is None and row.vacuous
            )
        )

    def exit_code(self, strict: bool = False) -> int:
        """Return 0 where everything agrees, else 1.

        ``strict`` fails lost accuracy too, and a gradient of which nothing was tested.
        """
        dubious = self.verdict is Verdict.LESS_ACCURATE or bool(self.vacuous)
        return int(not self.verdict.passes or (strict and dubious))

    def __bool__(self) -> bool:
        """Whether everything agrees, so that `assert parity.check(pair)` means what it says."""
        return self.exit_code() == 0

    def assert_ok(self) -> None:
        """Raise ParityError, with the table, unless everything agrees."""
        if self.exit_code():
            raise ParityError(self.text(), self)

    def text(self) -> str:
        """Return what `show` prints, as plain text."""
        from rich.console import Console

        console = Console(width=100, color_system=None)
        with console.capture() as captured:
            self.show(console)
        return captured.get()

    def summary(self) -> str:
        """Return the verdict line."""
        return f"{self.verdict}: {self.told()}"

    def told(self) -> str:
        """Return what was compared and how far it is, or what fails first."""
        gradients = [(s.exercise, row) for s in self.sections for row in s.gradients]
        counted = gradients or [(s.exercise, row) for s in self.sections for row in s.forward]
        noun = "gradient" if gradients else "output"
        tensors = len({(exercise, row.name) for exercise, row in counted})
        if self.verdict.passes:
            worst = max(self.rows, key=lambda row: row.sigmas)
            corner, far = max(worst.distances.items(), key=lambda item: item[1].sigmas)
            dtypes = " and ".join(dict.fromkeys(row.dtype for _, row in counted))
            said = f"{tensors} {noun}{'s' * (tensors > 1)} in {dtypes}"
            first = next(row for row in self.rows if row.verdict is self.verdict)
            if first.reason:
                return f"{said}; {first.name}: {first.reason}"
            return (
                f"{said}; farthest {far.sigmas:.1f} of {BOUND:.0f} sigma, {worst.name} "
                f"({corner.split()[0]})"
            )
        bad = [(part, row) for part, row in self._labelled() if not row.verdict.passes]
        part, first = bad[0]
        more = len({(part, row.name) for part, row in bad}) - 1
        also = f", and in {more} more" if more else ""
        reason = first.causes[0].sentence if first.causes else first.reason
        start = next((s.start for s in self.sections if s.start), None)
        begins = f", introduced in {start}" if start else ""
        return f"first in {part}{first.name}{also}{begins}: {reason}"

    def _labelled(self) -> Iterator[tuple[str, Row]]:
        for section in self.sections:
            yield from (("", row) for row in section.forward)
            yield from (("the gradient of ", row) for row in section.gradients)

    def fault(self) -> str:
        """Say whose fault a failure is, in one line."""
        odd = [row.odd for row in self.rows if row.verdict is Verdict.DIFFERENT]
        blamed = " and ".join(
            dict.fromkeys(corner.split()[0] for corners in odd for corner in corners)
        )
        if blamed:
            return f"fault: {blamed}"
        if odd:
            return "fault: undecided; nothing says which side is wrong"
        if self.verdict is Verdict.CONVENTION:
            return (
                "fault: neither side; these are two functions, each differentiated rightly: "
                "a default, a constant or a definition differs"
            )
        return "fault: none can be found yet; make the two comparable first"

    def show(self, console: Console, verbose: bool = False) -> None:
        """Print the tables and the verdict line; ``verbose`` adds forwards and all pairs."""
        from rich.text import Text

        verdict_lines = [Text(self.summary(), style=COLOURS[self.verdict])]
        if not self.verdict.passes:
            verdict_lines.append(Text(self.fault(), style=COLOURS[self.verdict]))
        for section in self.sections:
            console.print(Text(section.title, style="bold"))
            for loss in _losses(section):
                console.print(Text(loss))
            if section.exercise is None:  # one function: what came of it stands first
                for line in verdict_lines:
                    console.print(line)
                gradients = (replace(r, name=f"gradient of {r.name}") for r in section.gradients)
                console.print(_table("", (*section.forward, *gradients)))
            else:
                if verbose:
                    console.print(_table("forward", section.forward))
                console.print(_table("gradient of", section.gradients))
            self._show_reasons(console, section, verbose)
            if section.walk:
                console.print(_walk(section.walk))
            if verbose:
                console.print(_pairs(section.gradients))
        for note in (*self.notes, *self._untested()):
            console.print(Text(f"Note: {note}."))
        if any(section.exercise is not None for section in self.sections):
            for line in verdict_lines:
                console.print(line)

    def _untested(self) -> Iterator[str]:
        if self.vacuous:
            names = ", ".join(self.vacuous)
            yield f"zeros would pass for the gradient of {names}: nothing is tested by these inputs"

    def _show_reasons(self, console: Console, section: Section, verbose: bool) -> None:
        """Print each reason once, though it holds in two dtypes; the few first unless asked."""
        from rich.text import Text

        causes = list(dict.fromkeys(str(c) for row in section.rows for c in row.causes))
        for cause in causes if verbose else causes[:MOST]:
            console.print(Text(f"  {cause}", style="bold"))
        if len(causes) > MOST and not verbose:
            console.print(f"  and {len(causes) - MOST} more (--verbose shows them)")
        told: dict[str, Verdict] = {}
        for row in section.rows:
            if row.reason:
                told.setdefault(f"  {row.name}: {row.reason}", row.verdict)
        lines = list(told.items())
        for line, verdict in lines if verbose else lines[:MOST]:
            console.print(Text(line, style=COLOURS[verdict]))
        if len(lines) > MOST and not verbose:
            console.print(f"  and {len(lines) - MOST} more (--verbose shows them)")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, in the schema that docs/json.md describes."""
        found = {
            "schema": self.schema,
            "options": {key: _plain(value) for key, value in asdict(self.options).items()},
            "verdict": str(self.verdict),
            "summary": self.summary(),
        }
        if self.schema == CHECK_SCHEMA:
            found["fault"] = "" if self else self.fault()
        return found | {
            "notes": list(self.notes),
            "sections": [_section(section) for section in self.sections],
        }

    def write_json(self, path: Path) -> None:
        """Write `as_dict` to ``path``, whole or not at all."""
        write_atomically(path, json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n")


def check_writable(path: Path) -> None:
    """Raise UsageError if ``path`` cannot be written; ask before the work, not after."""
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; give a file's path")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` under a temporary name beside ``path``, then rename it into place."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    why = error.strerror.lower() if error.strerror else str(error)
    return UsageError(f"cannot write {path}: {why}; give a path in a folder you can write to")


def _losses(section: Section) -> Iterator[str]:
    for dtype, losses in section.losses.items():
        digits = 9 if dtype == "float32" else 17
        groups: dict[str, list[str]] = {}
        for corner, loss in losses.items():
            if not corner.endswith(" eager"):
                groups.setdefault(f"{loss:.{digits}g}", []).append(corner)
        said = "; ".join(f"{loss} ({', '.join(corners)})" for loss, corners in groups.items())
        yield f"loss in {dtype}: {said}"


def _table(title: str, rows: tuple[Row, ...]) -> Table:
    """Return one line a tensor: the first dtype's columns, the others' sigmas beside them."""
    from rich.text import Text

    table = _grid()
    dtypes = list(dict.fromkeys(row.dtype for row in rows))
    corners = list(dict.fromkeys(c.split()[0] for row in rows for c in row.distances))
    table.add_column(title)
    if corners:
        table.add_column(f"= {corners[-1]}")
        for header in ("max diff", "ULP", *corners, *dtypes[1:]):
            table.add_column(header, justify="right")
        if len(corners) <= ROOMY:
            table.add_column("catches", justify="right")
    table.add_column("verdict")
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    for name, same in by_name.items():
        worst = max(same, key=lambda row: row.verdict.severity)
        verdict = Text(str(worst.verdict), style=COLOURS[worst.verdict])
        if same[0].zero and worst.verdict.passes:
            verdict.append(" ~0", style="dim")
        style = "dim" if worst.place == INHERITED else ""
        if worst.place:
            verdict.append(f", {worst.place}")
        table.add_row(name, *(_cells(same, corners) if corners else ()), verdict, style=style)
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
        style = {INTRODUCED: "bold red", INHERITED: "dim"}.get(step.place, "")
        apart, alone = _short(step.apart.sigmas), _short(step.alone.sigmas)
        table.add_row(name, apart, alone, Text(place), style=style)
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
        yield "-" if shown.vacuous else f"{shown.power:.0e}".replace("e-0", "e-")


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


def _section(section: Section) -> dict[str, Any]:
    numbered = {} if section.exercise is None else {"exercise": section.exercise}
    return numbered | {
        "title": section.title,
        "losses": {
            dtype: {corner: _plain(loss) for corner, loss in losses.items()}
            for dtype, losses in section.losses.items()
        },
        "walk": [
            {
                "tensor": step.name,
                "gradient": step.gradient,
                "place": step.place,
                "into": step.into,
                "sigmas": _plain(step.apart.sigmas),
                "alone": _plain(step.alone.sigmas),
            }
            for step in section.walk
        ],
        "forward": [_row(row) for row in section.forward],
        "gradients": [_row(row) for row in section.gradients],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "tensor": row.name,
        "dtype": row.dtype,
        "verdict": str(row.verdict),
        "reason": row.reason,
        "odd": list(row.odd),
        "causes": [
            {key: str(getattr(cause, key)) for key in ("kind", "key", "sentence", "evidence")}
            for cause in row.causes
        ],
        "place": row.place,
        "power": _plain(row.power),
        "power_here": _plain(row.power_here),
        "vacuous": row.vacuous,
        "zero": row.zero,
        "batch": row.batch,
        "sigmas": {
            corner: {"sigmas": _plain(d.sigmas), "worst": list(d.worst)}
            for corner, d in row.distances.items()
        },
        "pairs": [
            {key: _plain(value) for key, value in pair._asdict().items()} for pair in row.pairs
        ],
    }


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: infinities and NaN as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
