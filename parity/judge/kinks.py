"""Where gradients differ at one point only: what the gradients around it say of each of them.

A right value is a limit of gradients nearby, or a mixture of such limits: Clarke's
subdifferential. Where all gradients nearby agree there is a derivative after all, and only it is
right. Numbers in, opinions out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from parity.judge.hull import leaves_the_flat, mixture, within
from parity.judge.slopes import Vector
from parity.judge.steps import exchanged, towards
from parity.judge.witness import Around, Witness

ELEMENTS = 64
"""Disputed elements that are moved one by one."""

DIRECTIONS = 8
"""Random directions along which all disputed elements move together."""

SEARCHES = 24
"""Further directions that are tried for a value that no mixture has reached yet."""

NEAR = 2.0**-26
"""How far from a kink its neighbourhood is looked at, as a share of each input's size."""

TOGETHER = 1e-5
"""By how much what moves together comes apart."""

SLACK = 1e-6
"""By how much the gradient of a smooth piece may change over that distance."""


class Opinion(NamedTuple):
    """What the neighbourhood says of every corner's value."""

    wrong: tuple[str, ...]
    """Corners whose value is no mixture of the gradients nearby."""
    smooth: tuple[str, ...]
    """Those of them that are wrong where all gradients nearby agree."""
    looked: int
    """Elements that were examined one by one."""
    jumps: int
    """Elements whose gradient jumps."""


class Kink:
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
        near: float = NEAR,
    ) -> None:
        self.witnesses, self.x, self.gradients, self.rng = witnesses, x, gradients, rng
        self.scale, self.blur, self.near = scale, blur, near
        self.seen: list[Around] = []
        """The gradients around x where everything that is looked at was moved."""
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
                mask |= self._jumps(self.around(self.random(np.flatnonzero(mask), turn % 2)))
        self._look_at(mask)

    def _jumps(self, there: Around) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            smooth = SLACK * (np.abs(there.ahead) + np.abs(there.behind))
            return np.abs(there.ahead - there.behind) > smooth + 2 * self.blur[self.places]

    def around(self, along: Vector, share: float = 1.0) -> Around:
        """Return the mean gradient a step ahead and behind, and where all corners agree on both."""
        sides, agree = [], np.ones(self.places.size, bool)
        for sign in (1, -1):
            there = self.x + sign * share * self.near * along
            found = np.array([w.gradient(there)[self.places] for w in self.witnesses])
            with np.errstate(invalid="ignore"):
                left = np.ptp(found, axis=0)
            limit = 1e-3 * np.where(np.isfinite(self.dispute), self.dispute, np.abs(found[0]))
            limit = limit + self.blur[self.places]
            agree &= left <= limit
            sides.append(found.mean(0))
        return Around(sides[0], sides[1], agree, along)

    def random(self, places: np.ndarray, together: int = 0) -> Vector:
        """Return a direction that moves ``places`` by random amounts.

        ``together``: by almost the same share, so that what is tied keeps almost together, and the
        two slopes of the tie are almost one number.
        """
        if together:
            return self._along(places, 1 + TOGETHER * self.rng.uniform(-1, 1, places.size))
        amounts = self.rng.uniform(0.5, 1.5, places.size)
        return self._along(places, amounts * self.rng.choice([-1, 1], places.size))

    def _along(self, places: np.ndarray, amounts: np.ndarray) -> Vector:
        along = np.zeros_like(self.x)
        along[places] = amounts * self.scale[places]
        return along

    @property
    def vanishes(self) -> bool:
        """Whether no dispute is left a random step away from x."""
        return all(self.around(self.random(self.places)).agree.all() for _ in range(2))

    def opinion(self) -> Opinion:
        """Return who gives no mixture of the gradients nearby, and where that is no kink at all."""
        self._reach()
        chosen = np.arange(self.places.size)
        if chosen.size > ELEMENTS:
            chosen = np.sort(self.rng.choice(chosen, ELEMENTS, replace=False))
        cluster, suspects = self._one_by_one(chosen)
        suspects |= self._together(cluster, np.unique(cluster[chosen]))
        self._sample(min(ELEMENTS, 2 * int(np.bincount(cluster).max(initial=0))))
        jumps = self._jumping()
        ties = {int(one) for one in np.unique(cluster[jumps])}
        smooth = self._off_the_derivative(cluster, ties)
        doubted = {(name, int(cluster[i])) for name, i in suspects}
        named = [w.name for w in self.witnesses]
        wrong = smooth | {
            name
            for name in named
            for one in ties
            if self._no_value(name, cluster == one, (name, one) in doubted)
        }
        off, flat = (tuple(n for n in named if n in who) for who in (wrong, smooth))
        return Opinion(off, flat, chosen.size, int(jumps.sum()))

    def _one_by_one(self, chosen: np.ndarray) -> tuple[np.ndarray, set[tuple[str, int]]]:
        """Return which elements share a kink, and who is not between the slopes of one element."""
        suspects: set[tuple[str, int]] = set()
        cluster = np.arange(self.places.size)
        for i in chosen:
            alone = np.arange(cluster.size) == i
            along = self._along(self.places[[i]], np.ones(1))
            there = self.around(along)
            if there.agree[i]:
                suspects |= {(name, int(i)) for name in self._outside(there, along, alone)}
            joined = np.isin(cluster, cluster[self._jumps(there) | alone])
            cluster[joined] = cluster[i]
        return cluster, suspects

    def _together(self, cluster: np.ndarray, ones: np.ndarray) -> set[tuple[str, int]]:
        """Return who is not between the slopes along random directions, a kink at a time.

        (0, 0) and (1, 1) pass element by element at a tie of two, and fail here.
        """
        suspects: set[tuple[str, int]] = set()
        for turn in range(DIRECTIONS):
            along = self.random(self.places, turn % 2)
            there = self.around(along)
            self.seen += [] if turn % 2 else [there]
            for one in ones:
                mine = cluster == one
                if there.agree[mine].all():
                    first = int(np.flatnonzero(mine)[0])
                    suspects |= {(name, first) for name in self._outside(there, along, mine)}
        return suspects

    def _outside(self, there: Around, along: Vector, among: np.ndarray) -> set[str]:
        step = along[self.places][among]
        ahead, behind = there.ahead[among], there.behind[among]
        sides = sorted((float(ahead @ step), float(behind @ step)))
        size = np.abs(ahead * step).sum() + np.abs(behind * step).sum()
        slack = SLACK * size + float(self.blur[self.places][among] @ np.abs(step)) + 1e-300
        return {
            w.name
            for w, claim in zip(self.witnesses, self.claims, strict=True)
            if not sides[0] - slack <= float(claim[among] @ step) <= sides[1] + slack
        }

    def _sample(self, count: int) -> None:
        """See gradients around x: some where the first, or the last, of what is tied wins."""
        ramp = 1 + np.arange(self.places.size) / max(1, self.places.size)
        for amounts in (ramp, ramp[::-1], ramp - 1.501):
            self.seen.append(self.around(self._along(self.places, amounts)))
        self.seen += [self.around(self.random(self.places)) for _ in range(count)]

    def _jumping(self) -> np.ndarray:
        """Return where the gradient jumps: it moves, and moves no less in a smaller step."""
        jumps = np.zeros(self.places.size, bool)
        for _ in range(DIRECTIONS // 2):
            along = self.random(self.places)
            far, near = self.around(along), self.around(along, 1 / 8)
            with np.errstate(invalid="ignore"):
                fades = np.abs(near.ahead - near.behind) < np.abs(far.ahead - far.behind) / 4
            jumps |= self._jumps(far) & ~fades
        return jumps

    def _off_the_derivative(self, cluster: np.ndarray, ties: set[int]) -> set[str]:
        """Return who leaves the derivative where all gradients nearby agree."""
        sides = np.array([side for there in self.seen for side in (there.ahead, there.behind)])
        agreed = np.all([there.agree for there in self.seen], axis=0)
        agreed &= ~np.isin(cluster, [*ties]) & np.all(np.isfinite(sides), axis=0)
        limit, spread = sides.mean(0), np.ptp(sides, axis=0)
        slack = SLACK * np.abs(limit) + spread + self.blur[self.places]
        with np.errstate(invalid="ignore"):
            return {
                w.name
                for w, claim in zip(self.witnesses, self.claims, strict=True)
                if np.any(agreed & ~(np.abs(claim - limit) <= slack))
            }

    def _no_value(self, name: str, mine: np.ndarray, doubted: bool) -> bool:
        """Return whether a corner's value at one kink is no mixture of the gradients around it."""
        points, claim = self._points(mine), self._claim(name)[mine]
        off = leaves_the_flat(points, claim, self._tolerance(points, mine))
        return off or (doubted and not self._mixed(name, mine))

    def _claim(self, name: str) -> np.ndarray:
        return self.claims[[w.name for w in self.witnesses].index(name)]

    def _tolerance(self, points: np.ndarray, mine: np.ndarray) -> np.ndarray:
        largest = np.abs(points).max(0, initial=0.0)
        return SLACK * largest + self.blur[self.places[mine]] + 1e-300

    def _mixed(self, name: str, mine: np.ndarray) -> bool:
        """Return whether a corner's value at one kink is a mixture of gradients seen around it.

        Where those seen so far do not reach it, further ones are looked for that do: where what is
        tied changes places, where the function rises towards the claim or falls from it, and near
        what has come closest.
        """
        claim = self._claim(name)[mine]
        if not np.all(np.isfinite(claim)):
            return False
        places = self.places[mine]
        known = [
            (there.along[places], there.ahead[mine], there.behind[mine]) for there in self.seen
        ]
        for along in exchanged(known, claim):
            self._see(mine, along)
        points, best, score = self._points(mine), np.ones(places.size), -np.inf
        for turn in range(SEARCHES):
            tolerance = self._tolerance(points, mine)
            if within(points, claim, tolerance):
                return True
            if not len(points):
                return False
            wanted = claim - mixture(points, claim, tolerance)
            amounts = towards(wanted, best, turn, self.rng)
            there = self._see(mine, amounts * self.scale[places])
            points = self._points(mine)
            for sign, side in ((1, there.ahead), (-1, there.behind)):
                if (reached := float(side[mine] @ wanted)) > score or turn % 8 == 0:
                    best, score = sign * amounts, reached
        return False

    def _see(self, mine: np.ndarray, step: np.ndarray) -> Around:
        """Return the gradients where one kink is moved by a step, and all others anyhow."""
        along, rest = np.zeros_like(self.x), self.places[~mine]
        along[self.places[mine]] = step
        self.seen.append(self.around(along + (self.random(rest) if rest.size else 0)))
        return self.seen[-1]

    def _points(self, mine: np.ndarray) -> np.ndarray:
        """Return the gradients at one kink, a row each, on which all corners agree."""
        sides = [
            side[mine]
            for there in self.seen
            if there.agree[mine].all()
            for side in (there.ahead, there.behind)
        ]
        return np.array(sides).reshape(-1, int(mine.sum()))
