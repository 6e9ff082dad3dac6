"""A finished comparison: one value that can be asked for its verdict, drawn as a table or written.

Judges nothing: the rows come judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import ParityError
from parity.files import write_atomically, write_json
from parity.judge.cause import Kind
from parity.judge.noise import BOUND
from parity.judge.verdict import Row, Status, Verdict
from parity.show.drawing import draw
from parity.show.page import fragment, page
from parity.show.section import Section, plain

if TYPE_CHECKING:
    from rich.console import Console


SCHEMA = "backprop-parity/notebook/1"
LINE = re.compile(r"\w:\d+")
"""A line of a file, in a sentence."""
CHECK_SCHEMA = "backprop-parity/check/1"


@dataclass(frozen=True)
class Report:
    """Everything one run found, and what it was run with."""

    options: Any
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    schema: str = SCHEMA
    peak_mb: int | None = None
    """Megabytes that the process has held at most, up to the end of this run."""

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
        """The gradients of a pair for which zeros pass, in every dtype: nothing was tested."""
        pairs = (section for section in self.sections if section.exercise is None)
        rows = [row for section in pairs for row in section.gradients]
        failed = {row.name for row in rows if not row.verdict.passes}
        names = (row.name for row in rows if row.vacuous and row.name not in failed)
        return tuple(dict.fromkeys(names))

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
        steps = max(section.steps for section in self.sections)
        noun = "gradient" if gradients else "output"
        tensors = len({(exercise, row.name) for exercise, row in counted})
        if self.verdict.passes:
            worst = max(self.rows, key=lambda row: row.sigmas)
            corner, far = max(worst.distances.items(), key=lambda item: item[1].sigmas)
            dtypes = " and ".join(dict.fromkeys(row.dtype for _, row in counted))
            said = f"{tensors} {noun}{'s' * (tensors > 1)} in {dtypes}"
            kept = any(not s.steps and s.exercise is None for s in self.sections[1:])
            said += ", and running statistics" if kept else ""
            said += f", and parameters over {steps} steps of training" if steps else ""
            first = next(row for row in self.rows if row.verdict is self.verdict)
            if first.reason:
                return f"{said}; {first.name}: {first.reason}"
            return (
                f"{said}; farthest {far.sigmas:.1f} of {BOUND:.0f} sigma, {worst.name} "
                f"({corner.split()[0]})"
            )
        part, first = self._first_failure()
        bad = {(part, row.name) for part, row in self._labelled() if not row.verdict.passes}
        more = len(bad) - 1
        also = f", and in {more} more" if more else ""
        start = next((section.start for section in self.sections if section.start), None)
        begins = f", introduced in {start}" if start else ""
        known = [cause.sentence for cause in first.causes if cause.kind is not Kind.UNKNOWN]
        placed = [place.sentence for section in self.sections for place in section.places[:1]]
        if not known and not (placed and first.verdict is Verdict.CONVENTION):
            known = [first.reason]  # that two functions differ is said by where they do
        lined = bool(known) and (LINE.search(known[0]) or not LINE.search(" ".join(placed)))
        if lined and first.verdict is Verdict.CONVENTION:
            placed = []  # the cause has its line, or the place has none
        reason = "; ".join([*known[:1], *placed])
        return f"first in {part}{first.name}{also}{begins}: {reason}"

    def _first_failure(self) -> tuple[str, Row]:
        """Return the first row that fails and does not inherit it, with what it is a row of."""
        bad = [(part, row) for part, row in self._labelled() if not row.verdict.passes]
        return next((b for b in bad if b[1].place != Status.INHERITED), bad[0])

    @property
    def _in_training(self) -> bool:
        """Whether all agrees until the two models are trained."""
        failed = [s for s in self.sections if any(not row.verdict.passes for row in s.rows)]
        return bool(failed) and all(section.steps for section in failed)

    def _labelled(self) -> Iterator[tuple[str, Row]]:
        for section in self.sections:
            yield from (("", row) for row in section.forward)
            yield from (("the gradient of ", row) for row in section.gradients)

    def fault(self) -> str:
        """Say whose fault a failure is, in one line."""
        odd = [row.odd for row in self.rows if row.verdict is Verdict.DIFFERENT]
        named = dict.fromkeys(corner.split()[0] for corners in odd for corner in corners)
        meant = {corner.split()[0] for row in self.rows if row.meant for corner in row.odd}
        blamed = " and ".join(corner for corner in named if corner not in meant)
        if meant and not blamed:
            side = " and ".join(corner for corner in named if corner in meant)
            cut = all("detaches" in row.reason for row in self.rows if row.meant)
            does = "detaches" if cut else "passes a gradient"
            return f"fault: undecided; {side} {does} on purpose, and who is meant is unknown"
        if blamed:
            return f"fault: {blamed}"
        if odd and self._in_training:
            return "fault: the two optimizers, which part; all outputs and gradients agree"
        if odd:
            return "fault: undecided; nothing says which side is wrong"
        causes = {cause.kind for row in self.rows for cause in row.causes}
        if Kind.CONVERSION in causes:
            return "fault: the conversion of weights, or what reads them; neither function is wrong"
        if self.verdict is Verdict.CONVENTION:
            return "fault: neither side; a default, a constant or a definition differs"
        return "fault: none can be found yet; make the two comparable first"

    def advice(self) -> str:
        """Say what to do next about a failure, where its cause does not say it; else nothing."""
        first = self._first_failure()[1]
        known = [cause.kind for cause in first.causes if cause.kind is not Kind.UNKNOWN]
        walked = any(section.walk or section.places for section in self.sections)
        if Kind.CONVERSION in known:
            return "next: convert these weights otherwise, or read them otherwise"
        if known and (first.verdict is Verdict.CONVENTION or self._in_training):
            return "next: decide which of the two is meant, and write it on both sides"
        if first.verdict is Verdict.CONVENTION and not walked:
            return (
                'next: name what is inside both functions, parity.name(x, "h"): the first that '
                "differs is said"
            )
        if self._in_training:
            return (
                "next: compare what the two were made with: rate, decay, epsilon, momentum, order"
            )
        if first.verdict is Verdict.DIFFERENT and not first.odd:
            return "next: try other inputs, such as another --seed"
        return ""

    def show(self, console: Console, verbose: bool = False) -> None:
        """Print the tables and the verdict line; ``verbose`` adds forwards and all pairs."""
        draw(console, self.sections, self.verdict, self.said(), self.noted(), verbose)

    def said(self) -> list[str]:
        """Return what stands first: the verdict line, whose fault it is, what to do."""
        more = () if self.verdict.passes else (self.fault(), self.advice())
        return [self.summary(), *filter(None, more)]

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return fragment(self, self._name)

    def noted(self) -> tuple[str, ...]:
        """Return the notes, and what was not tested."""
        if not self.vacuous:
            return self.notes
        untested = f"zeros would pass for the gradient of {', '.join(self.vacuous)}"
        return (*self.notes, f"{untested}: nothing is tested by these inputs")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, in the schema that docs/json.md describes."""
        found: dict[str, Any] = {
            "schema": self.schema,
            "options": {key: plain(value) for key, value in asdict(self.options).items()},
            "verdict": str(self.verdict),
            "summary": self.summary(),
        }
        if self.schema == CHECK_SCHEMA:
            found["fault"] = "" if self else self.fault()
            found["advice"] = "" if self else self.advice()
            found["peak_mb"] = self.peak_mb
        return found | {
            "notes": list(self.notes),
            "sections": [section.as_dict() for section in self.sections],
        }

    def write_json(self, path: Path) -> None:
        """Write `as_dict` to ``path``, whole or not at all."""
        write_json(path, self.as_dict())

    def write_html(self, path: Path) -> None:
        """Write a page to look at, which needs nothing else, whole or not at all."""
        write_atomically(path, page(self._name, {self._name: self}, {}))

    @property
    def _name(self) -> str:
        return str(getattr(self.options, "pair", "The notebook's gradients"))
