"""One tensor as every corner has it in float64, and where they are apart. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from parity.judge.compare import distance
from parity.judge.noise import BOUND, sigma

POOR = 4096.0
"""Sigmas in float64 up to which a difference is a kernel's (XLA's log1p: 300), not a function's."""

NEIGHBOURS = 8
"""Inputs a rounding away that are tried for a kink."""


class Tensor(NamedTuple):
    """One tensor's float64 answers, by corner, and its noise in units of the roundoff."""

    name: str
    answers: Mapping[str, np.ndarray]
    noise: np.ndarray

    def apart(self, bound: float = BOUND, dtype: type = np.float64) -> np.ndarray:
        """Return the mask of the elements on which any two corners are farther than ``bound``."""
        yard, mask = sigma(self.noise, dtype), np.zeros(self.noise.shape, bool)
        for a, b in combinations(self.answers.values(), 2):
            finite = np.isfinite(a) & np.isfinite(b)
            with np.errstate(invalid="ignore"):
                near = np.abs(a - b) <= bound * np.where(np.isfinite(yard), yard, np.inf)
            mask |= ~np.where(finite, near, (a == b) | (np.isnan(a) & np.isnan(b)))
        return mask

    @property
    def disputed(self) -> bool:
        """Whether any two corners disagree in float64."""
        return bool(self.apart().any())

    def worst(self) -> tuple[int, ...]:
        """Return the coordinate of the largest disagreement, in sigmas."""
        yard = sigma(self.noise, np.float64)
        return max(
            (distance(a, b, yard) for a, b in combinations(self.answers.values(), 2)),
            key=lambda d: d.sigmas,
        ).worst

    def said(self) -> str:
        """Return every corner's value at the worst coordinate, with the digits that tell."""
        at = self.worst()
        values = {corner: x[at] for corner, x in self.answers.items()}
        alike = [d for d in range(3, 17) if len({f"{v:.{d}g}" for v in values.values()}) == 1]
        digits = max(alike, default=2) + 2
        where = f" at {list(at)}" if at else ""
        return ", ".join(f"{c} {v:.{digits}g}" for c, v in values.items()) + where
