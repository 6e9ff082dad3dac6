"""Where a value that is not finite is born: the operation, the line, the number that made it.

One run a side, operation by operation, in the dtype in which it was seen. Says nothing of what
comes after, and nothing where that run is finite throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from parity.errors import ParityError, UsageError
from parity.frameworks.nonfinite import GIVEN, Marks, Origin, Step, Trace
from parity.judge.cause import Cause, Kind
from parity.judge.verdict import Row, Verdict
from parity.pairs.digits import cast
from parity.pairs.legs import Legs
from parity.pairs.speaking import speaking_for

RECORDERS = {"jax": "jaxpr_nonfinite", "torch": "torch_nonfinite"}

INFIX = {"add": "+", "sub": "-", "mul": "*", "pow": "**", "add_any": "+"}

HINT = "For which input is this the first value that is not finite, and does anyone need it?"


class Births:
    """The runs of one check, by corner, dtype and problem; each is made when first asked for."""

    def __init__(self, legs: Legs, problems: Mapping[int, Sequence[Any]]) -> None:
        self.legs, self.problems = legs, problems
        self._runs: dict[tuple[str, str, int], tuple[Trace, tuple[Any, Any]] | None] = {}

    def of(self, row: Row, gradient: bool, narrow: bool) -> tuple[Cause, ...]:
        """Return where each corner's values that are not finite are born, in one row.

        ``narrow``: the same tensor is finite in float64.
        """
        if row.verdict.passes or not _is_suspect(row):
            return ()
        found = {}
        for corner in self._concerned(row, gradient):
            if run := self._run(corner, row):
                trace, marks = run
                if origin := _first(marks[gradient].get(row.name, {})):
                    found[corner] = origin, told(origin, trace)
        alone = f", in {row.dtype} alone" if narrow else ""
        causes = []
        for corner, (origin, said) in found.items():
            others = [other for other in found if other != corner]
            too = f"; {' and '.join(others)} {'are' if len(others) > 1 else 'is'} not finite either"
            all_of_them = len(found) == len(self.legs.corners)
            sentence = said + alone + (too if others and all_of_them else "")
            key = origin.step.operation
            causes.append(Cause(Kind.NOT_FINITE, key, sentence, HINT, tensor=corner))
        return tuple(causes)

    def _concerned(self, row: Row, gradient: bool) -> list[str]:
        """Return the corners that are not finite here, as far as that is known."""
        odd = {name.split()[0] for name in row.odd}
        if row.dtype == "float64":
            outcomes = self.problems[row.batch][0].outcomes
            finite = {c: np.isfinite(o[gradient][row.name]).all() for c, o in outcomes.items()}
            return [corner for corner in self.legs.corners if not finite.get(corner, True)]
        return [corner for corner in self.legs.corners if not odd or corner in odd]

    def _run(self, corner: str, row: Row) -> tuple[Trace, tuple[Any, Any]] | None:
        key = corner, row.dtype, row.batch
        if key not in self._runs:
            try:
                self._runs[key] = self._traced(corner, row)
            except (RuntimeError, UsageError, ParityError):  # too long, or not to be watched
                self._runs[key] = None
        return self._runs[key]

    def _traced(self, name: str, row: Row) -> tuple[Trace, tuple[Any, Any]]:
        corner, names = self.legs.corners[name], self.legs.arguments.names
        side = corner.side
        dtype = side.dtype_named(row.dtype)
        values = tuple(cast(x, dtype) for x in self.problems[row.batch][0].values)
        recorder = import_module(f"parity.frameworks.{RECORDERS[side.HAND]}")
        own = None if name.endswith(".rule") else corner.forward
        named = dict(zip(names, values, strict=False))
        with side.exactly(dtype), np.errstate(all="ignore"), speaking_for(name, named, True):
            given = side.from_numpy(values)
            found: tuple[Trace, tuple[Any, Any]] = recorder.traced(
                self.legs.differentiated(corner, zeros=True), own, given, names
            )
        return found


def _is_suspect(row: Row) -> bool:
    """Return whether a value that is not finite may have failed a row."""
    far = any(not np.isfinite(d.sigmas) for d in row.distances.values())
    return far or (row.verdict is Verdict.NOT_COMPARABLE and bool(row.distances))


def _first(marks: Marks) -> Origin | None:
    return next((marks[kind] for kind in ("NaN", "inf", "-inf") if kind in marks), None)


def told(origin: Origin, trace: Trace) -> str:
    """Return where an origin is, in one sentence, and what made it NaN."""
    first = origin.of or origin
    product = _expression(origin)
    if forward := trace.beside(first.step):  # the derivative of what no branch takes
        return f"{_birth(forward)}{_left_out(forward, trace)}; its gradient is {product or 'NaN'}"
    if origin.of is None:
        return _birth(origin)
    if first.step.operation in GIVEN:
        return f"{_birth(origin)}; {first.result} {_given(first)}"
    said = _birth(first) + _left_out(first, trace)
    if origin.step.backward and not first.step.backward and origin.step.line == first.step.line:
        return f"{said}; its gradient is {product or 'NaN'}"
    after = origin.step.line if origin.step.line != first.step.line else ""
    onward = f", at {after}" if after else ""
    way = " on the way back" if origin.step.backward and not first.step.backward else ""
    return f"{said}; then{way} {product or origin.step.operation} is NaN{onward}"


def _left_out(origin: Origin, trace: Trace) -> str:
    selection = trace.unused(origin)
    if selection is None:
        return ""
    elsewhere = selection.line and selection.line != origin.step.line
    at = f" at {selection.line}" if elsewhere else ""
    return f", in a branch that `{selection.operation}` does not take{at}"


def _birth(origin: Origin) -> str:
    if origin.step.operation in GIVEN:
        return f"{origin.result} {_given(origin)}"
    expression = _expression(origin)
    made = f"{expression} is" if expression else "of finite numbers it makes"
    if not expression and origin.of:
        made = "it makes"
    return f"born {_place(origin.step)}: {made} {origin.result}"


def _given(origin: Origin) -> str:
    line = origin.step.line
    return f"stands in {line}" if line else "is a constant in the code"


def _place(step: Step) -> str:
    line = f", {step.line}" if step.line else ""
    if not step.backward:
        return f"at {step.operation}{line}"
    if step.derivative:
        return f"in the gradient of {step.derivative}{line}"
    return f"on the way back{' through ' + step.line if step.line else ''}, at {step.operation}"


def _expression(origin: Origin) -> str:
    """Return an operation on numbers as one would write it; empty where they are not known."""
    numbers = [f"{x + 0.0:.4g}" for x in origin.operands]
    name = origin.step.operation
    if name == "div" and len(numbers) == 2:
        return "/".join(numbers)
    if name in INFIX and len(numbers) >= 2:
        return f"{numbers[0]} {INFIX[name]} {numbers[1]}"
    return f"{name}({', '.join(numbers)})" if numbers else ""
