"""Wrong entries that stand exactly where an integer input has a value, or repeats one.

Said only if it holds on other numbers, and where the integers stand in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.pairs.legs import Legs
from parity.trial.exact import Exact
from parity.why.conventions.change import Problem
from parity.why.conventions.further import OTHER_ORDERS, other_numbers

HINT = "What does the rule do otherwise for these entries than for the others?"
WRONG = 1e-6
"""Relative distance from which an entry is wrong, and no rounding."""
MOST = 16
"""Values of one integer input that are looked at."""

Where = Callable[[np.ndarray], np.ndarray]
"""An integer input -> the rows that are meant."""


def tied(legs: Legs, problem: Exact, corner: str, right: str, name: str) -> Cause | None:
    """Return the value of an integer input that all wrong rows of a gradient share, and no other.

    None where there is none, or where it is an accident of these numbers.
    """
    wrong = _wrong(problem, corner, right, name)
    if wrong is None or wrong.all() or not wrong.any():
        return None
    makes = (other_numbers, *OTHER_ORDERS[:2])
    others: list[Problem] | None = None
    for tensor, said, where in _conditions(legs, problem, len(wrong)):
        if not _fits(legs, problem, tensor, where, wrong):
            continue
        if others is None:
            others = [found for make in makes if (found := make(legs, problem)) is not None]
        masks = [_wrong(other, corner, right, name) for other in others]
        if len(others) > 1 and all(
            mask is not None and _fits(legs, other, tensor, where, mask)
            for other, mask in zip(others, masks, strict=True)
        ):
            return Cause(
                Kind.INDICES,
                said,
                f"wrong exactly {said}, and right everywhere else",
                HINT,
                tensor=f"{corner}'s gradient of {name}",
            )
    return None


def _wrong(problem: Problem, corner: str, right: str, name: str) -> np.ndarray | None:
    """Return which rows are wrong."""
    got, reference = (problem.outcomes[c][1][name] for c in (corner, right))
    if got.shape != reference.shape or not got.ndim:
        return None
    far = np.abs(got - reference) > WRONG * np.max(np.abs(reference), initial=0.0)
    far |= ~np.isfinite(got)
    rows: np.ndarray = far.reshape(len(far), -1).any(1)
    return rows


def _conditions(legs: Legs, problem: Problem, rows: int) -> Iterator[tuple[int, str, Where]]:
    """Yield (which input, in words, the rows that it means)."""
    names = legs.arguments.names
    for i, (name, x) in enumerate(zip(names, problem.values, strict=False)):
        if x.dtype.kind not in "iub" or x.ndim != 1 or not x.size:
            continue
        if len(x) == rows:
            yield i, f"where the value of {name} repeats", _repeated
            for value in np.unique(x)[:MOST]:
                yield i, f"where {name} is {value}", partial(np.equal, value)
            yield i, f"where {name} is negative", lambda t: t < 0
        if x.dtype.kind != "b" and x.min() >= 0 and x.max() < rows:
            yield (
                i,
                f"in the rows that {name} reads more than once",
                lambda t: np.bincount(t, minlength=rows) > 1,
            )


def _repeated(x: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    repeated: np.ndarray = counts[inverse] > 1
    return repeated


def _fits(legs: Legs, problem: Problem, tensor: int, where: Where, wrong: np.ndarray) -> bool:
    return np.array_equal(where(problem.values[tensor]), wrong)
