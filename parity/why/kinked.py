"""Wrong entries that stand exactly where operations of a function are at their kinks.

There an operation's derivative is a choice, and a function that is smooth may need another one.
Said only if it holds on other numbers too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from parity.frameworks.programs import Operation
from parity.judge.cause import Cause, Kind
from parity.pairs.legs import Legs
from parity.trial.exact import Exact
from parity.why.conventions.change import Problem
from parity.why.conventions.further import other_numbers
from parity.why.conventions.rerun import Rerun

WRONG = 1e-6
"""Relative distance from which an entry is wrong, and no rounding."""
MOST = 4
"""Operations that are named."""

HINT = "What is the derivative of the whole at this point, and what do these operations take?"

AT_KINK: dict[str, Callable[..., Any]] = {
    "abs": lambda x: x == 0,
    "sign": lambda x: x == 0,
    "relu": lambda x: x == 0,
    "leaky_relu": lambda x, *_: x == 0,
    "threshold": lambda x, at, *_: x == at,
    "clamp_min": lambda x, low: x == low,
    "clamp_max": lambda x, high: x == high,
    "maximum": lambda x, y: x == y,
    "minimum": lambda x, y: x == y,
    **dict.fromkeys(("lt", "le", "gt", "ge"), lambda x, y: x == y),
}
"""By operation, where its derivative jumps; a comparison chooses a branch there."""


def kinked(legs: Legs, problem: Exact, corner: str, right: str, name: str) -> Cause | None:
    """Return the operations of a side that are at their kinks exactly where its gradient is wrong.

    None where there are none, or where that is an accident of these numbers.
    """
    if corner not in legs.pair.sides:
        return None
    found = [*_kinks(legs, problem, corner, right, name)]
    other = other_numbers(legs, problem) if found else None
    if other is None:
        return None
    again = {o.place for o in _kinks(legs, other, corner, right, name)}
    found = [o for o in found if o.place in again]
    if not found:
        return None
    lines: dict[str, list[str]] = {}
    for o in found[:MOST]:
        lines.setdefault(o.where, []).append(o.kind)
    said = " and ".join(
        f"{' and '.join(dict.fromkeys(kinds))}{f' ({line})' if line else ''}"
        for line, kinds in lines.items()
    )
    are = "is at its kink" if len(found) == 1 else "are at their kinks"
    return Cause(
        Kind.SELECTION,
        "kinks",
        f"wrong exactly where {said} {are}: what is taken for the derivative there is not the "
        "derivative of the whole",
        HINT,
        tensor=f"{corner}'s gradient of {name}",
    )


def _kinks(legs: Legs, problem: Problem, corner: str, right: str, name: str) -> Iterator[Operation]:
    """Yield the operations of which the kinks are the wrong entries of a gradient."""
    wrong = _wrong(problem, corner, right, name)
    if wrong is None or wrong.all() or not wrong.any():
        return
    rerun = Rerun(legs, [problem])
    with rerun.exactly():
        for number, program in enumerate(rerun.programs(corner)[:1]):
            values = rerun.values(corner, number)
            for o in program.operations:
                at = AT_KINK.get(o.kind)
                given = [np.asarray(values.get(slot)) for slot in o.inputs]
                if at is None or not given:
                    continue
                try:
                    mask = np.asarray(at(*given))
                except (TypeError, ValueError):  # an argument that is none of these
                    continue
                if mask.shape == wrong.shape and np.array_equal(mask, wrong):
                    yield o


def _wrong(problem: Problem, corner: str, right: str, name: str) -> np.ndarray | None:
    got, reference = (problem.outcomes[c][1][name] for c in (corner, right))
    if got.shape != reference.shape or not got.ndim:
        return None
    limit = WRONG * np.max(np.abs(reference), initial=0.0)
    wrong: np.ndarray = ~(np.abs(got - reference) <= limit)
    return wrong
