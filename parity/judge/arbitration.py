"""Who is right where two gradients disagree in float64: the function itself is asked.

A gradient is right if it is the slope of its own forward. Slopes come from float64 differences of
the forward; at a kink the two one-sided slopes are apart, and a right value lies between them.
Numbers in, opinions out: knows no framework, and votes for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Vector = np.ndarray
"""All floating inputs, or their gradients, as one real vector: (re, im) of what is complex."""

ELEMENTS = 64
"""Disputed elements that are moved one by one."""

DIRECTIONS = 8
"""Random directions along which all disputed elements move together."""

NEAR = 2.0**-26
"""How far from a kink its neighbourhood is looked at, as a share of each input's size."""

TOGETHER = 1e-5
"""By how much what moves together comes apart."""

SLACK = 1e-6
"""By how much the gradient of a smooth piece may change over that distance."""


@dataclass(frozen=True)
class Witness:
    """One corner in float64: the loss <cotangent, forward(x)> and its gradient, of a vector."""

    name: str
    loss: Callable[[Vector], float]
    gradient: Callable[[Vector], Vector]


class Slope(NamedTuple):
    """A directional derivative of a forward, and by how much it may be wrong."""

    value: float
    resolution: float


def slope(loss: Callable[[Vector], float], x: Vector, along: Vector, ahead: int = 0) -> Slope:
    """Return the derivative of ``loss`` at x along a direction: central, or one-sided (+1, -1).

    Richardson's extrapolation of differences with steps 2**-3 to 2**-24; the entry whose neighbours
    agree best, and how well they agree, not less than rounding allows, nor than smaller steps
    allow: across a jump of the function large steps can agree by chance.
    """
    order = 1 if ahead else 2
    here = loss(x) if ahead else 0.0
    largest = abs(here)
    found: list[Slope] = []
    before = np.zeros(0)
    for level in range(3, 25):
        step = 2.0**-level
        if ahead:
            far = loss(x + ahead * step * along)
            first = ahead * (far - here) / step
        else:
            far, back = loss(x + step * along), loss(x - step * along)
            first = (far - back) / (2 * step)
        largest = max(largest, abs(far))
        floor = 16 * np.finfo(np.float64).eps * largest / step
        row, best = [first], Slope(np.nan, np.inf)
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
    return min(found, key=lambda s: s.resolution)


class Finding(NamedTuple):
    """What was found on a set of disputed elements."""

    kink: bool
    """The dispute vanishes a step away from x: there is no derivative at x."""
    wrong: tuple[str, ...]
    """Witnesses whose gradient is no slope of their own forward."""
    resolution: float
    """Relative resolution of the differences; infinite where they decided nothing."""
    looked: int
    """Elements that were examined one by one, of a kink."""


def arbitrate(
    witnesses: list[Witness],
    x: Vector,
    gradients: Mapping[str, Vector],
    disputed: np.ndarray,
    scale: Vector,
    blur: Vector,
    rng: np.random.Generator,
) -> Finding:
    """Ask the forwards who is right on the ``disputed`` elements (a mask).

    ``scale`` is the size of each input: steps are shares of it. ``blur`` is how far rounding may
    move each gradient.
    """
    kink = _Kink(witnesses, x, gradients, disputed, scale, blur, rng)
    if kink.vanishes:
        wrong, looked = kink.wrong()
        return Finding(True, wrong, SLACK, looked)
    return _by_slopes(witnesses, x, gradients, disputed, scale, rng)


def _by_slopes(
    witnesses: list[Witness],
    x: Vector,
    gradients: Mapping[str, Vector],
    disputed: np.ndarray,
    scale: Vector,
    rng: np.random.Generator,
) -> Finding:
    """Compare each gradient with central, then one-sided differences of its own forward."""
    wrong: set[str] = set()
    coarsest = 0.0
    for along in _directions(gradients, disputed, scale, rng):
        ours = {name: float(np.dot(g[disputed], along[disputed])) for name, g in gradients.items()}
        spread = np.ptp(np.array(list(ours.values())))  # NaN where one of them is
        for witness in witnesses:
            claimed = ours[witness.name]
            with np.errstate(all="ignore"):
                found = slope(witness.loss, x, along)
            if not np.isfinite(found.value):
                coarsest = np.inf
                continue
            size = max(abs(found.value), abs(claimed) if np.isfinite(claimed) else 0.0, 1e-300)
            coarsest = max(coarsest, found.resolution / size)
            off = abs(claimed - found.value)
            if off <= 8 * found.resolution or off <= 0.01 * spread:
                continue
            if np.isfinite(claimed) and _between(witness.loss, x, along, claimed):
                continue
            wrong.add(witness.name)
    return Finding(False, tuple(w.name for w in witnesses if w.name in wrong), coarsest, 0)


def _between(loss: Callable[[Vector], float], x: Vector, along: Vector, claimed: float) -> bool:
    """Return whether the slope has two sides along this direction and the claim lies between."""
    with np.errstate(all="ignore"):
        ahead, behind = slope(loss, x, along, 1), slope(loss, x, along, -1)
    slack = 8 * (ahead.resolution + behind.resolution)
    if not abs(ahead.value - behind.value) > slack:
        return False
    low, high = sorted((ahead.value, behind.value))
    return low - slack <= claimed <= high + slack


def _directions(
    gradients: Mapping[str, Vector], disputed: np.ndarray, scale: Vector, rng: np.random.Generator
) -> list[Vector]:
    """Return directions on the disputed elements: along each disagreement, then random signs."""
    first, *others = gradients.values()
    signs = [np.where(np.nan_to_num(other - first) < 0, -1.0, 1.0) for other in others]
    signs += [rng.choice([-1.0, 1.0], first.size) for _ in range(2)]
    distinct = {np.where(disputed, s, 0.0).tobytes(): s for s in signs}
    return [np.where(disputed, s * scale, 0.0) for s in distinct.values()]


class _Kink:
    """The neighbourhood of x: gradients a step away, where every corner should agree again."""

    def __init__(
        self,
        witnesses: list[Witness],
        x: Vector,
        gradients: Mapping[str, Vector],
        disputed: np.ndarray,
        scale: Vector,
        blur: Vector,
        rng: np.random.Generator,
    ) -> None:
        self.witnesses, self.x, self.gradients, self.rng = witnesses, x, gradients, rng
        self.scale, self.blur = scale, blur
        self._look_at(disputed)

    def _look_at(self, mask: np.ndarray) -> None:
        self.places = np.flatnonzero(mask)
        self.claims = np.array([self.gradients[w.name][self.places] for w in self.witnesses])
        with np.errstate(invalid="ignore"):
            self.dispute = np.ptp(self.claims, axis=0)

    def _reach(self) -> None:
        """Look at all elements that jump where the disputed ones move: the rest of each tie."""
        mask = np.zeros(self.x.size, bool)
        mask[self.places] = True
        self._look_at(np.ones(self.x.size, bool))
        before = 0
        while before < mask.sum():  # what has just joined may move others in turn
            before = mask.sum()
            for turn in range(DIRECTIONS):
                ahead, behind, _ = self.around(self.random(np.flatnonzero(mask), turn % 2))
                mask |= self._jumps(ahead, behind)
        self._look_at(mask)

    def _jumps(self, ahead: np.ndarray, behind: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            smooth = SLACK * (np.abs(ahead) + np.abs(behind)) + 2 * self.blur[self.places]
            return np.abs(ahead - behind) > smooth

    def around(self, along: Vector) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mean gradient a step ahead and behind, and where all corners agree on both."""
        sides, agree = [], np.ones(self.places.size, bool)
        for sign in (1, -1):
            there = self.x + sign * NEAR * along
            found = np.array([w.gradient(there)[self.places] for w in self.witnesses])
            with np.errstate(invalid="ignore"):
                left = np.ptp(found, axis=0)
            limit = 1e-3 * np.where(np.isfinite(self.dispute), self.dispute, np.abs(found[0]))
            limit = limit + self.blur[self.places]
            agree &= left <= limit
            sides.append(found.mean(0))
        return sides[0], sides[1], agree

    def random(self, places: np.ndarray, together: int = 0) -> Vector:
        """Return a direction that moves ``places`` by random amounts.

        ``together``: by almost the same share, so that what is tied keeps almost together, and the
        two slopes of the tie are almost one number.
        """
        along = np.zeros_like(self.x)
        if together:
            amounts = 1 + TOGETHER * self.rng.uniform(-1, 1, places.size)
        else:
            amounts = self.rng.uniform(0.5, 1.5, places.size)
            amounts *= self.rng.choice([-1, 1], places.size)
        along[places] = amounts * self.scale[places]
        return along

    @property
    def vanishes(self) -> bool:
        """Whether no dispute is left a random step away from x."""
        return all(self.around(self.random(self.places))[2].all() for _ in range(2))

    def wrong(self) -> tuple[tuple[str, ...], int]:
        """Return the corners whose value is not between the one-sided slopes, and how many looks.

        Element by element, then along random directions, summed over the elements that share a
        kink: (0, 0) and (1, 1) pass the first test at a tie of two, and fail the second.
        """
        self._reach()
        chosen = np.arange(self.places.size)
        if chosen.size > ELEMENTS:
            chosen = np.sort(self.rng.choice(chosen, ELEMENTS, replace=False))
        wrong: set[str] = set()
        cluster = np.arange(self.places.size)
        for i in chosen:
            along = np.zeros_like(self.x)
            along[self.places[i]] = self.scale[self.places[i]]
            ahead, behind, agree = self.around(along)
            if agree[i]:
                wrong |= self._outside(ahead, behind, along, np.arange(self.places.size) == i)
            coupled = self._jumps(ahead, behind) | (np.arange(cluster.size) == i)
            joined = np.isin(cluster, cluster[coupled])
            cluster[joined] = cluster[i]
        for turn in range(DIRECTIONS):
            along = self.random(self.places, turn % 2)
            ahead, behind, agree = self.around(along)
            for one in np.unique(cluster[chosen]):
                if agree[cluster == one].all():
                    wrong |= self._outside(ahead, behind, along, cluster == one)
        return tuple(w.name for w in self.witnesses if w.name in wrong), chosen.size

    def _outside(
        self, ahead: np.ndarray, behind: np.ndarray, along: Vector, among: np.ndarray
    ) -> set[str]:
        step = along[self.places][among]
        sides = sorted((float(ahead[among] @ step), float(behind[among] @ step)))
        size = np.abs(ahead[among] * step).sum() + np.abs(behind[among] * step).sum()
        slack = SLACK * size + float(self.blur[self.places][among] @ np.abs(step)) + 1e-300
        return {
            w.name
            for w, claim in zip(self.witnesses, self.claims, strict=True)
            if not sides[0] - slack <= float(claim[among] @ step) <= sides[1] + slack
        }
