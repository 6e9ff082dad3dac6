"""Leaves that are a factor times a part of torch's tensors: a scale that was put into the weights.

Numbers in order of their size stand in the same places; then all have one ratio. Looks at what no
other leaf is.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from parity.models.layout import Scaled
from parity.models.located import Table, solved

CLOSE = 1e-5
"""Relative, of numbers that were rounded to the leaf's dtype."""
FEWEST = 4
"""Numbers of which one ratio says something."""
LARGEST = 4096
"""Numerator and denominator of a factor's square."""


def scaled(
    leaf: np.ndarray, tensors: Mapping[str, np.ndarray], taken: Mapping[str, np.ndarray]
) -> Scaled | None:
    """Return how ``leaf`` is a factor times what is left of one tensor; None if it is of none."""
    for name, x in tensors.items():
        left = np.flatnonzero(~taken[name])
        if left.size != leaf.size or leaf.size < FEWEST:
            continue
        rest = np.asarray(x, np.float64).ravel()[left]
        for sign in (1, -1):
            found = _of_one(sign * leaf, name, x, left, rest)
            if found is not None:
                return Scaled(found.part, sign * found.factor)
    return None


def _of_one(
    leaf: np.ndarray, name: str, x: np.ndarray, left: np.ndarray, rest: np.ndarray
) -> Scaled | None:
    order, own = np.argsort(rest), np.argsort(leaf, None)
    numbers, wanted = rest[order], leaf.ravel()[own]
    length = float(np.linalg.norm(numbers))
    factor = float(np.linalg.norm(wanted)) / length if length else 0.0
    if not factor or np.ptp(numbers) == 0:
        return None
    if not np.allclose(wanted, factor * numbers, CLOSE, CLOSE * factor * np.abs(numbers).max()):
        return None
    places = np.empty(leaf.size, np.intp)
    places[own] = left[order]
    layout = solved(places.reshape(leaf.shape), Table({name: x}), leaf.shape)
    if layout is None or not np.allclose(factor * layout.of({name: x}), leaf, CLOSE):
        return None
    return Scaled(layout, _plain(factor))


def _plain(factor: float) -> float:
    """Return the root of a simple fraction where a factor is one, as 1 / sqrt(64)."""
    square = Fraction(factor**2).limit_denominator(LARGEST)
    plain = float(square) ** 0.5
    simple = 0 < square.numerator <= LARGEST and abs(plain - factor) < CLOSE * factor
    return plain if simple else factor
