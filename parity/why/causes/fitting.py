"""Whether an explanation explains: within the yardstick everywhere, and not by luck.

A candidate is a value that ``got`` would have if the explanation were true. It is accepted when
every element of ``got`` is within 32 sigma of it, and when that removes far more disagreement than
choosing among as many candidates, with as many free numbers, could remove by chance.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.judge.compare import distance, rms
from parity.judge.noise import BOUND, TINY, roundoff, sigma
from parity.why.causes.context import Context

CLOSE = 1e-3
"""An explanation also has to look like ``got``, however noisy the reference is."""

SPARE_BITS = 16.0
"""How much more than luck an explanation must explain: one chance in 65,536."""


class Candidate(NamedTuple):
    """An explanation and the value that ``got`` has if it is true."""

    kind: Kind
    key: str
    sentence: str
    hint: str
    value: np.ndarray
    evidence: str = ""
    free: int = 0
    """How many numbers were fitted to ``got``; each costs the evidence of one element."""
    tried: int = 1
    """How many candidates of this family there are."""
    noise: np.ndarray | None = None
    """The value's noise, where the reference's is not a fair guess."""


class Problem:
    """Two arrays that differ, in float64, with the yard that the difference is measured in."""

    def __init__(self, got: np.ndarray, reference: np.ndarray, context: Context) -> None:
        self.roundoff = roundoff(got.dtype) if got.dtype.kind == "f" else roundoff(np.float64)
        self.got = np.asarray(got, np.float64)
        self.reference = np.asarray(reference, np.float64)
        self.context = context
        size = np.abs(self.reference)  # to be held in a dtype at all rounds once
        noise = 2 * size if context.noise is None else np.asarray(context.noise, np.float64)
        self.noise = np.maximum(noise, size)
        self.sigma = self.roundoff / roundoff(np.float64) * (sigma(self.noise, np.float64) - TINY)
        self.sigma = self.sigma + TINY
        self.same_shape = self.got.shape == self.reference.shape
        self.sizes = context.sizes or _by_axis(self.reference.shape)

    def __repr__(self) -> str:
        return f"Problem({self.got.shape}, {self.reference.shape})"

    @property
    def differs(self) -> bool:
        """Whether there is anything to explain."""
        if not self.same_shape:
            return True
        return distance(self.got, self.reference, self.sigma).sigmas > BOUND

    def apart(self, value: np.ndarray) -> bool:
        """Return whether ``value`` is not the reference, as far as rounding can tell."""
        return distance(value, self.reference, self.yard(self.reference)).sigmas > BOUND

    def yard(self, value: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
        """Return the sigma of a candidate's elements.

        Without a ``noise`` of its own it is as noisy as the reference, in proportion to its size.
        """
        amplified = rms(self.noise) / (self._size or 1.0)
        if noise is None:
            noise = (2 + amplified) * np.abs(value)
        noise = np.hypot(noise, 0.1 * max(rms(noise), 2 * rms(value)))
        if value.shape == self.noise.shape:  # what enters is no less noisy for being misused
            noise = np.hypot(noise, self.noise)
        return self.roundoff * noise + TINY

    @cached_property
    def _size(self) -> float:
        """How large the right numbers are; where they cancel to rounding, what was got for them."""
        size = rms(self.reference)
        cancelled = size <= BOUND * self.roundoff * rms(self.noise)
        return max(size, rms(self.got)) if cancelled else size

    def accepts(self, candidate: Candidate) -> bool:
        """Return whether the candidate explains ``got``, all of it, and not by luck."""
        value = np.asarray(candidate.value, np.float64)
        if value.shape != self.got.shape or not np.all(np.isfinite(value)):
            return False
        yard = self.yard(value, candidate.noise)
        if distance(self.got, value, yard).sigmas > BOUND:
            return False
        if np.max(np.abs(self.got - value)) > CLOSE * np.max(np.abs(self.got)):
            return False
        bits = np.sort(self._bits(yard), axis=None)[::-1][candidate.free :]
        return float(bits.sum()) >= math.log2(candidate.tried) + SPARE_BITS

    def _bits(self, yard: np.ndarray) -> np.ndarray:
        """Return how much each element disagreed before the explanation, in bits."""
        before = np.abs(self.got - self.reference) if self.same_shape else np.abs(self.got)
        return np.log2(np.maximum(1.0, before / (BOUND * yard)))

    def cause(self, candidate: Candidate) -> Cause:
        """Return an accepted candidate as a cause, with how closely it fits."""
        scale = float(np.max(np.abs(candidate.value), initial=0.0)) or 1.0
        off = float(np.max(np.abs(self.got - candidate.value), initial=0.0)) / scale
        evidence = f"{candidate.evidence or 'fits'} to {off:.0e}"
        return Cause(
            candidate.kind,
            candidate.key,
            candidate.sentence,
            candidate.hint,
            evidence.replace("0e+00", "the last bit"),
            self.context.tensor,
        )

    def solve(self, terms: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
        """Return (coefficients, how uncertain each is) of ``got`` as a sum of terms.

        Weighted least squares; the uncertainty is that of 32 sigma in every element. None where
        many sums are equally good.
        """
        yard = self.yard(self.got)
        columns = np.stack([(t / yard).ravel() for t in terms], axis=1)
        lengths = np.linalg.norm(columns, axis=0)
        if np.any(lengths == 0) or not np.all(np.isfinite(columns)):
            return None
        q, r = np.linalg.qr(columns / lengths)
        if np.abs(np.diag(r)).min(initial=1.0) < 1e-6:
            return None
        inverse = np.linalg.inv(r)
        found = inverse @ (q.T @ (self.got / yard).ravel())
        return found / lengths, BOUND * np.linalg.norm(inverse, axis=1) / lengths


def _by_axis(shape: tuple[int, ...]) -> dict[str, int]:
    """Return names for the sizes of a shape, one for each different size."""
    sizes: dict[str, int] = {}
    for axis, size in enumerate(shape):
        if size > 2 and size not in sizes.values():
            sizes[f"s{axis}"] = size
    return sizes
