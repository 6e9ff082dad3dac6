"""The regions where two recordings part: inputs agree, outputs do not, confirmed by forcing.

Near where they part, a value of the second side is put in the place of one of the first. If then
all that comes after agrees, the difference was made before it: between what agrees and the two
values. The smallest such region counts. Names no cause.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from parity.judge.noise import BOUND
from parity.where.arranging import arrangements
from parity.where.matching import print_of, same, unscaled
from parity.where.parting import Parting, Side, apart, close
from parity.where.region import Forced, Region, region_of
from parity.where.spots import LARGEST, Spot, spots

UNFIT = (ArithmeticError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What an operation may raise on values that it was not made for."""
MOST_REGIONS = 8
MOST = 40
"""Operations of all regions up to which is looked."""
EACH = 2
"""Operations for which a region counts besides its own: one region is likelier than two."""
BRANCHES = 2
SMALL = 5
"""Operations of a side up to which a region may end with the outputs."""
"""Regions that explain a part, from which it goes on."""
ENOUGH = 3
"""Values that have to agree after one is forced, unless everything does."""


class Step(NamedTuple):
    """A region with all that is forced from then on."""

    region: Region
    cost: int
    forced: Forced


class Way(NamedTuple):
    """Regions that explain a difference, one after another; those with the least in them count."""

    steps: tuple[Step, ...]
    whole: bool
    """Whether all outputs agree at its end."""

    @property
    def cost(self) -> int:
        """Return how many operations it blames."""
        return sum(step.cost for step in self.steps)


@dataclass
class Search:
    """Looks for regions until the outputs agree, nothing is found, or time is up."""

    one: Side
    other: Side
    seconds: float
    largest: int = LARGEST
    """Operations of a side up to which a region is looked for."""
    passes: bool = False
    """Whether they go on backward: there what one side reads is not taken for what the other makes
    unless something goes into both."""
    end: float = 0.0

    def regions(self) -> list[Region]:
        """Return the regions in order."""
        self.end = time.process_time() + self.seconds
        way = self._way(self.one, Forced({}, {}), MOST, MOST_REGIONS)
        return [replace(step.region, confirmed=way.whole) for step in way.steps]

    def _way(self, now: Side, forced: Forced, bound: int, left: int) -> Way:
        """Return the cheapest way from what is forced to outputs that agree, below a bound.

        Where there is none, what explains some.
        """
        different = apart(now, self.other)
        if not different:
            return Way((), True)
        mine = Parting(now, self.other, different, forced.given)
        theirs = Parting(self.other, now, different)
        whole, some = self._steps(mine, theirs, forced, bound)
        best = Way((whole,) if whole else (), whole is not None)
        for step in some[:BRANCHES] if left > 1 else ():
            limit = best.cost if best.whole else bound
            if step.cost >= limit or time.process_time() > self.end:
                break
            changed = self.one.changed(self.one.recording.again(*step.forced))
            after = self._way(changed, step.forced, limit - step.cost, left - 1)
            way = Way((step, *after.steps), after.whole)
            if way.whole > best.whole or (way.whole and way.cost < best.cost) or not best.steps:
                best = way
        return best

    def _steps(
        self, mine: Parting, theirs: Parting, forced: Forced, bound: int
    ) -> tuple[Step | None, list[Step]]:
        """Return the cheapest step after which all outputs agree, and those that explain some.

        The latter make three values agree that follow, at least; or else the most of any.
        """
        ours, others = spots(mine, False, self.largest), spots(theirs, True, self.largest)
        pairs = sorted(((a, b) for a in ours for b in others if self._may_be_one(a, b)), key=_cost)
        trial = _Trial(self, mine, theirs, forced)
        whole, later = None, []
        for a, b in pairs:
            if whole or self._over(a, b, bound):
                break
            if a.first in mine.outputs and max(a.calls, b.calls) > SMALL:
                continue  # nothing comes after it that could confirm it
            for more in self._forcings(a, b):
                if trial.goes_on(a, more):
                    whole = whole or trial.step(a, b, more)
                elif not (a.reads and b.reads):
                    later.append((a, b, more))
        for a, b, more in later:  # what is made of it first may be another formula's
            if self._over(a, b, min(bound, whole.cost) if whole else bound):
                break
            whole = trial.step(a, b, more) or whole
        some = sorted(trial.some, key=lambda each: (each[1].cost, -each[0]))
        telling = [step for gained, step in some if gained >= ENOUGH]
        if not telling and some and not whole:
            telling = [max(some, key=lambda each: each[0])[1]]
        return whole, telling

    def _may_be_one(self, a: Spot, b: Spot) -> bool:
        """Return whether they may be one value: something that goes in is common to both.

        Unless it is read otherwise only.
        """
        if a.fixed != b.fixed or not (len(a.numbers) == len(b.numbers) or self._at_once(a, b)):
            return False
        read = a.reads and b.reads if self.passes else a.reads or b.reads
        return a.fixed or read or not a.roots.isdisjoint(b.roots)

    def _at_once(self, a: Spot, b: Spot) -> bool:
        """Return whether one side makes at once what the other makes in as many turns."""
        if a.reads or b.reads or min(len(a.numbers), len(b.numbers)) > 1:
            return False
        mine = {np.shape(self.one.values[n]) for n in a.numbers}
        theirs = {np.shape(self.other.values[n]) for n in b.numbers}
        if len(mine) > 1 or len(theirs) > 1:
            return False
        (x,), (y,) = mine, theirs
        if len(a.numbers) > 1:
            return y[:1] == (len(a.numbers),) and math.prod(y[1:]) == math.prod(x)
        return math.prod(x) == len(b.numbers) * math.prod(y)

    def _over(self, a: Spot, b: Spot, bound: int) -> bool:
        return _cost((a, b))[0] + EACH >= bound or time.process_time() > self.end

    def _forcings(self, a: Spot, b: Spot) -> Iterator[Forced]:
        """Yield what may be forced, in every arrangement that may be."""
        both = self._both(a, b)
        arrays = all(isinstance(x, np.ndarray | np.generic) for pair in both for x in pair)
        if not arrays or any(x.dtype.kind != y.dtype.kind for x, y in both):
            return
        ways = [arrangements(y.astype(x.dtype), x.shape) for x, y in both]
        first = a.numbers.index(a.first)
        bound = BOUND * float(np.hypot(self.one.sigmas[a.first], self.other.sigmas[b.first]))
        for arranged in zip(*ways, strict=False):
            if close(both[first][0], arranged[first], bound):
                continue  # where it counts, nothing is changed by it
            if not a.edges:
                yield Forced(dict(zip(a.numbers, arranged, strict=True)), {})
            else:
                each = zip(a.edges, arranged, strict=True)
                yield Forced({}, {edge: x for edges, x in each for edge in edges})

    def _both(self, a: Spot, b: Spot) -> list[tuple[Any, Any]]:
        """Return the values of two spots, one by one; of what one does at once, turn by turn."""
        mine = [self.one.values[n] for n in a.numbers]
        theirs = [self.other.values[n] for n in b.numbers]
        if len(mine) < len(theirs):
            theirs = [np.stack(theirs)]
        elif len(theirs) < len(mine):
            theirs = [*theirs[0]]
        return [*zip(mine, theirs, strict=True)]


class _Trial:
    """Tries what may be forced; keeps what explains some."""

    def __init__(self, search: Search, mine: Parting, theirs: Parting, forced: Forced) -> None:
        self.one, self.other = search.one, search.other
        self.mine, self.theirs, self.forced = mine, theirs, forced
        self.some: list[tuple[int, Step]] = []

    def step(self, a: Spot, b: Spot, more: Forced) -> Step | None:
        """Return the step if all outputs agree after it."""
        forced = self.forced
        both = Forced({**forced.given, **more.given}, {**forced.edges, **more.edges})
        try:
            made = self.one.recording.again(*both)
        except UNFIT:
            return None
        cost = _cost((a, b))[0] + EACH
        region = region_of(self.mine, self.theirs, a, b, more)
        step = Step(region, cost, both)
        if not apart(self.one, self.other, made):
            return step if _stands(self.one.changed(made), self.other, a, b) else None
        if gained := _gain(self.mine, made, more):
            self.some.append((gained, step))
        return None

    def goes_on(self, a: Spot, more: Forced) -> bool:
        """Return whether what is made first of a forced value agrees, or nothing is made of it."""
        side, first = self.mine.side, a.numbers.index(a.first)
        edges = {edge: more.edges[edge] for edge in a.edges[first]} if a.edges else {}
        given = {} if a.edges else {a.first: more.given[a.first]}
        try:
            made = side.recording.next(given, edges, side.values)
        except UNFIT:
            return False
        known = [print_of(x, side.sigmas[n]) for n, x in made.items() if n in side.used]
        return not known or any(
            p is not None and p.telling and self.other.index.find(p) for p in known
        )


def _cost(pair: tuple[Spot, Spot]) -> tuple[int, int]:
    """Return the operations of both, or that which reads; of as many, that of most turns first."""
    return (pair[0].cost + pair[1].cost) or 1, -len(pair[0].numbers)


def _stands(now: Side, other: Side, a: Spot, b: Spot) -> bool:
    """Return whether a value that is only read agrees at every turn, once all outputs do."""
    forced = frozenset[int]() if a.edges else frozenset(a.numbers)  # agree, for they were put there
    for spot, own, theirs, put in ((a, now, other, frozenset[int]()), (b, other, now, forced)):
        for n in spot.numbers if spot.reads else ():
            found = theirs.index.find(own.prints[n])
            if not own.fixed[n] and put.issuperset(found):
                return False
    return True


def _gain(parting: Parting, made: dict[int, Any], forced: Forced) -> int:
    """Return how many values more agree now; 0 unless something that reads a forced one does."""
    side, own = parting.side, set(forced.given)
    direct: set[int] = set()
    changed: list[int] = []
    for place, operation in enumerate(side.recording.operations):
        reads = not own.isdisjoint(operation.inputs) or any(at == place for at, _ in forced.edges)
        if operation.moves:
            if reads:
                own.update(operation.outputs)
            continue
        new = [n for n in operation.outputs if n in made and n not in forced.given]
        new = [n for n in new if n in side.used and made[n] is not side.values[n]]
        changed += new
        direct.update(new if reads else ())

    put = [print_of(x, 0.0) for x in (*forced.given.values(), *forced.edges.values())]
    ways = [way for known in put if known is not None for way in unscaled(known)]

    def agrees(number: int) -> bool:
        """Return whether a value agrees, and is more than a multiple of what was forced."""
        known = print_of(made[number], side.sigmas[number])
        if known is None or not known.telling or not parting.other.index.find(known):
            return False
        return not any(same(unscaled(known)[0], way) for way in ways)

    if not any(
        n in made and parting.other.index.find(p)
        for n in direct
        if (p := print_of(made[n], side.sigmas[n]))
    ):
        return 0
    before = sum(parting.agrees(n) and not side.fixed[n] for n in changed)
    return max(sum(map(agrees, changed)) - before, 0)
