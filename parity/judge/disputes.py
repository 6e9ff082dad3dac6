"""Where float64 corners disagree: from what arbitration found to a verdict and a sentence.

A function that differs is a convention, or another function: no side is blamed. A gradient that is
no slope of its own forward is wrong, and its side is named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from parity.judge.arbitration import Finding, Witness, arbitrate
from parity.judge.compare import distance, wide
from parity.judge.noise import BOUND, roundoff, sigma
from parity.judge.verdict import Row, Verdict

Arrays = dict[str, np.ndarray]


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


class Space:
    """All floating inputs, but those that are held still, as one real vector, and the way back."""

    def __init__(self, leaves: tuple[np.ndarray, ...], still: Collection[int] = ()) -> None:
        self.leaves = leaves
        self.places = [i for i, x in enumerate(leaves) if x.dtype.kind in "fc" and i not in still]

    @staticmethod
    def _real(x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x).reshape(-1)
        return x.view(np.float64) if x.dtype.kind == "c" else x

    def vector(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return arrays shaped like the floating leaves as one vector."""
        return np.concatenate([self._real(x) for x in arrays])

    def both_parts(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return real arrays shaped like the leaves as one vector, twice for what is complex."""
        parts = []
        for place, array in zip(self.places, arrays, strict=True):
            twice = 2 if self.leaves[place].dtype.kind == "c" else 1
            parts.append(np.repeat(array.reshape(-1), twice))
        return np.concatenate(parts)

    def at(self, vector: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return all leaves, the floating ones from ``vector``."""
        leaves, start = list(self.leaves), 0
        for place in self.places:
            like = self.leaves[place]
            twice = 2 if like.dtype.kind == "c" else 1
            part = vector[start : start + twice * like.size]
            leaves[place] = np.array(part).view(like.dtype).reshape(like.shape)
            start += twice * like.size
        return tuple(leaves)

    @property
    def x(self) -> np.ndarray:
        """Where we are."""
        return self.vector([self.leaves[i] for i in self.places])

    @property
    def scale(self) -> np.ndarray:
        """The size of each input: its own, or where it is 0 that of its array, or else 1."""
        sizes = []
        for place in self.places:
            own = np.abs(self._real(self.leaves[place]))
            typical = float(np.sqrt(np.mean(own**2))) if own.size else 0.0
            sizes.append(np.where(own > 0, own, typical or 1.0))
        return np.concatenate(sizes)


Answer = Callable[[tuple[np.ndarray, ...]], np.ndarray]
"""(leaves) -> one tensor, in float64."""

POOR = 4096.0
"""Sigmas in float64 up to which a difference is a kernel's (XLA's log1p: 300), not a function's."""

NEIGHBOURS = 8
"""Inputs a rounding away that are tried for a kink."""


class Disputes:
    """All that is in dispute in one float64 problem; arbitrated once, when first asked."""

    def __init__(
        self,
        forwards: list[Tensor],
        gradients: list[Tensor],
        space: Space,
        losses: Mapping[str, Callable[[tuple[np.ndarray, ...]], float]],
        slopes: Mapping[str, Callable[[tuple[np.ndarray, ...]], list[np.ndarray]]],
    ) -> None:
        self.forwards = [t for t in forwards if t.apart(POOR).any()]
        self.gauge = next((g for t in self.forwards if (g := gauge(t))), "")
        self.gradients, self.space = gradients, space
        self.losses, self.slopes = losses, slopes
        self._findings: dict[str, Finding] = {}

    def refine(self, part: int, row: Row, tensor: Tensor) -> Row:
        """Return the row of a disputed tensor with the verdict that arbitration gives it."""
        if self.gauge:
            reason = self.gauge if part == 0 else f"follows: {self.gauge}"
            return replace(row, verdict=Verdict.NOT_COMPARABLE, reason=reason, odd=())
        if not tensor.apart(POOR).any() and not (part == 1 and self.finding(tensor).kink):
            reason = (
                f"a float64 kernel of one side loses digits, of which is unknown: {tensor.said()}"
            )
            return replace(row, verdict=Verdict.LESS_ACCURATE, reason=reason, odd=())
        if part == 0:
            reason = f"the functions differ: {tensor.said()}"
            return replace(row, verdict=Verdict.CONVENTION, reason=reason, odd=())
        verdict, reason, odd = self._gradient(tensor)
        return replace(row, verdict=verdict, reason=reason, odd=odd)

    def _gradient(self, tensor: Tensor) -> tuple[Verdict, str, tuple[str, ...]]:
        finding, said = self.finding(tensor), tensor.said()
        wrong = " and ".join(finding.wrong)
        if finding.kink:
            looked = int(tensor.apart().sum())
            if wrong:
                reason = f"a kink, and {wrong} gives no value between its one-sided slopes: {said}"
                return Verdict.DIFFERENT, reason, finding.wrong
            some = f", {finding.looked} examined" if finding.looked < looked else ""
            reason = f"no derivative in {looked} places{some}, all values right: {said}"
            return Verdict.KINK, reason, ()
        if wrong and not self.forwards and not tensor.apart(1.0, np.float32).any():
            reason = f"{wrong} is accurate to float32 only, in a float64 run: {said}"
            return Verdict.LESS_ACCURATE, reason, finding.wrong
        if wrong:
            reason = f"{wrong}'s gradient is not the derivative of its own forward: {said}"
            return Verdict.DIFFERENT, reason, finding.wrong
        if self.forwards:
            first = self.forwards[0].name
            reason = f"right for its own forward on every side, and {first} differs: {said}"
            return Verdict.CONVENTION, reason, ()
        reason = f"{said}; undecided: differences resolve {finding.resolution:.0e} here"
        return Verdict.DIFFERENT, reason, ()

    def narrow(self, row: Row, corners: Mapping[str, np.ndarray], answer: Answer) -> Row:
        """Return the row of a tensor that only a narrow dtype gets wrong, if it may be right.

        Eigenvectors change their sign, and near a kink rounding decides on the side: a float64 run
        of inputs moved by that rounding then moves as far.
        """
        at = next(d.worst for c, d in row.distances.items() if c in row.odd)
        here = answer(self.space.leaves)
        error = max(abs(wide(corners[corner])[at] - here[at]) for corner in row.odd)
        rng = np.random.default_rng(0)
        for _ in range(NEIGHBOURS):
            x = self.space.x
            moved = x * (1 + 8 * roundoff(np.dtype(row.dtype)) * rng.uniform(-1, 1, x.shape))
            if abs(answer(self.space.at(moved))[at] - here[at]) > error / 2:
                reason = f"rounding decides on which side of a kink this falls: {row.reason}"
                return replace(row, verdict=Verdict.KINK, reason=reason, odd=())
        return row

    def finding(self, tensor: Tensor) -> Finding:
        """Return what arbitration finds on a disputed gradient: together first, then alone."""
        if not self._findings:
            disputed = [t for t in self.gradients if t.disputed]
            together = self._arbitrate({t.name for t in disputed})
            for t in disputed:
                alone = len(disputed) > 1 and not together.kink
                self._findings[t.name] = self._arbitrate({t.name}) if alone else together
        return self._findings[tensor.name]

    def _witness(self, corner: str) -> Witness:
        loss, slopes, space = self.losses[corner], self.slopes[corner], self.space
        return Witness(
            corner,
            lambda vector: loss(space.at(vector)),
            lambda vector: space.vector(slopes(space.at(vector))),
        )

    def _arbitrate(self, names: set[str]) -> Finding:
        space = self.space
        mask = space.both_parts(
            [
                t.apart() if t.name in names else np.zeros(t.noise.shape, bool)
                for t in self.gradients
            ]
        )
        witnesses = [self._witness(corner) for corner in self.losses]
        gradients = {
            corner: space.vector([t.answers[corner] for t in self.gradients])
            for corner in self.losses
        }
        blur = BOUND * space.both_parts([sigma(t.noise, np.float64) for t in self.gradients])
        rng = np.random.default_rng(0)
        return arbitrate(witnesses, space.x, gradients, mask, space.scale, blur, rng)


def gauge(tensor: Tensor, dtype: np.dtype | type = np.float64) -> str:
    """Say which freedom two answers differ by, if it is the sign or the order of eigenvectors."""
    first, *others = (wide(x) for x in tensor.answers.values())
    yard = sigma(tensor.noise, dtype)
    if first.ndim < 2 or not np.all(np.isfinite(first)):
        if first.ndim == 1 and all(_reordered(x, first, yard.max()) for x in others):
            return f"{tensor.name} holds the same values in another order; sort both"
        return ""
    for axis, word in ((-2, "columns"), (-1, "rows")):
        unit = np.abs(np.linalg.norm(first, axis=axis) - 1) < 64 * roundoff(dtype)
        if unit.all() and all(_same(np.abs(x), np.abs(first), yard) for x in others):
            return (
                f"{tensor.name} is the same up to the sign of its {word}, unit vectors: "
                "eigenvectors are defined up to sign; compare what the sign cannot change "
                "(V @ V.T), or fix it in both"
            )
    return ""


def _same(a: np.ndarray, b: np.ndarray, yard: np.ndarray | float) -> bool:
    return bool(np.all(np.abs(a - b) <= BOUND * yard))


def _reordered(a: np.ndarray, b: np.ndarray, yard: float) -> bool:
    moved = not np.array_equal(np.argsort(a), np.argsort(b))
    return moved and _same(np.sort(a), np.sort(b), yard)
