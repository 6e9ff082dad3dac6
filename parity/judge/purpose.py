"""A gradient that is no derivative, and meant so: a padding row, a straight-through estimator.

Numbers and facts in, a row out; what a function keeps from its gradient is found beside each
framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from parity.judge.tensor import Tensor
from parity.judge.verdict import Row, Verdict


class Withheld(NamedTuple):
    """What a function keeps from its gradient by its own words."""

    detaches: bool = False
    padding: frozenset[tuple[int, tuple[int, ...]]] = frozenset()
    """Rows that are left without gradient, and the shape of the table."""
    factorises: bool = False
    """A factorisation that reads one triangle of a matrix is in it."""
    own: bool = False
    """A step in it is differentiated by a rule of its own."""


def on_purpose(row: Row, tensor: Tensor, withheld: Mapping[str, Withheld]) -> Row:
    """Return the row of a blamed gradient, as a convention or without blame where it is meant."""
    apart, answers = tensor.apart(), tensor.answers
    blamed = " and ".join(row.odd)
    zero = all(np.all(answers[corner][apart] == 0) for corner in row.odd)
    for place, shape in sorted(frozenset().union(*(withheld[c].padding for c in row.odd))):
        others = np.delete(apart, place, 0) if apart.shape == shape else apart
        if zero and not others.any():
            reason = f"{blamed} keeps row {place} without gradient, as padding_idx={place} asks"
            reason = f"{reason}: {tensor.said()}"
            return replace(row, verdict=Verdict.CONVENTION, reason=reason, odd=())
    rest = [corner for corner in answers if corner not in row.odd]
    still = all(np.all(answers[corner][apart] == 0) for corner in rest)
    if not (rest and still):
        return row
    nowhere = all(not np.any(answers[corner]) for corner in rest)
    if _has("detaches", row.odd, withheld) and not _has("detaches", rest, withheld, any):
        does = "detaches a value"
    elif nowhere and _has("own", row.odd, withheld) and not _has("own", rest, withheld, any):
        does = "has a rule of its own"
    else:
        return row
    reason = (
        f"{blamed} {does} and passes a gradient where the function does not move, "
        f"{' and '.join(rest)} does neither: {tensor.said()}"
    )
    return replace(row, reason=reason, meant=True)


def _has(
    fact: str,
    corners: Sequence[str],
    withheld: Mapping[str, Withheld],
    every: Callable[[Iterable[bool]], bool] = all,
) -> bool:
    return every(getattr(withheld[corner], fact) for corner in corners)
