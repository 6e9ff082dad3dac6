"""The slope of a function of a vector along a direction, by differences, and how far it is known.

Numbers in, numbers out: knows no gradient, and judges none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Vector = np.ndarray
"""All floating inputs, or their gradients, as one real vector: (re, im) of what is complex."""

COARSE, FINE = 24, 44
"""Steps end at 2**-COARSE; at 2**-FINE where a function may be too steep for them."""


class Slope(NamedTuple):
    """A directional derivative of a forward, and by how much it may be wrong."""

    value: float
    resolution: float


UNKNOWN = Slope(np.nan, np.inf)


def slope(
    loss: Callable[[Vector], float],
    x: Vector,
    along: Vector,
    ahead: int = 0,
    finest: int = COARSE,
    claimed: float = np.nan,
) -> Slope:
    """Return the derivative of ``loss`` at x along a direction: central, or one-sided (+1, -1).

    Richardson's extrapolation of differences with steps from 2**-3 to 2**-finest; the entry whose
    neighbours agree best, and how well they agree, not less than rounding allows, nor than smaller
    steps allow: across a jump of the function large steps can agree by chance. Nothing is known
    where the function moves as far in the smallest steps as in steps of 16 times their size.
    No smaller steps are asked once a ``claimed`` slope is met as closely as rounding allows.
    """
    order = 1 if ahead else 2
    here = loss(x) if ahead else 0.0
    largest = abs(here)
    found: list[Slope] = []
    known = UNKNOWN
    moved: list[float] = []
    before = np.zeros(0)
    for level in range(3, finest + 1):
        step = 2.0**-level
        if ahead:
            far = loss(x + ahead * step * along)
            rise = ahead * (far - here)
        else:
            far, back = loss(x + step * along), loss(x - step * along)
            rise = (far - back) / 2
        first = rise / step
        largest = max(largest, abs(far))
        moved.append(abs(rise))
        floor = 16 * np.finfo(np.float64).eps * (largest + _finite(first)) / step
        row, best = [first], UNKNOWN
        for k in range(min(len(before), 6)):
            gain = 2.0 ** (order * (k + 1) if order == 2 else k + 1)
            row.append(row[-1] + (row[-1] - before[k]) / (gain - 1))
            spread = max(abs(row[-1] - row[-2]), abs(row[-1] - before[k]))
            best = min(best, Slope(row[-1], spread + floor), key=lambda s: s.resolution)
        before = np.array(row)
        found = [
            Slope(s.value, max(s.resolution, abs(s.value - best.value) - best.resolution))
            for s in found
        ] + [best]
        known = min(found, key=lambda s: s.resolution)
        if known.resolution <= 2 * floor and abs(known.value - claimed) <= 8 * known.resolution:
            return known
    still = moved[-1] > 0.5 * moved[-5] and moved[-1] > 1e-8 * largest
    return UNKNOWN if still else known


def _finite(value: float) -> float:
    return abs(value) if np.isfinite(value) else 0.0
