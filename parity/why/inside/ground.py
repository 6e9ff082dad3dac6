"""A region with all that is asked about it: what both sides do there, in which turns, with what.

Tries nothing; the families of explanations ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from parity.frameworks.recordings import Made
from parity.where.arranging import arrangements
from parity.where.matching import print_of, same
from parity.where.parting import Side
from parity.where.region import Part, Region
from parity.why.inside.edit import Step, Values
from parity.why.inside.functions import LINEAR

MOST_AXES = 5
MOST_ALIKE = 3
"""Operations of one place in the code, of other turns or in one line, that are looked at."""
BACK = 2
"""Steps back in its lines: at a loop's first turn a start of zeros may hide what is read."""
ON = 4
"""Steps on: an activation may end as another does that begins otherwise."""
CLOSE = 1e-9


class Ground:
    """Where two sides part."""

    def __init__(self, one: Side, other: Side, region: Region, plain: Side) -> None:
        self.one, self.other, self.region = one, other, region
        self.plain = plain
        """The first side as it is; ``one`` is that with all other regions forced."""
        self.mine, self.theirs = region.parts
        self.left, self.right = one.name, other.name

    # operations

    def place(self, operation: Made) -> int:
        """Return the place of one of the first side's operations."""
        return self.one.recording.makers[operation.outputs[0]]

    @cached_property
    def places(self) -> list[int]:
        """The first side's operations in the region, and what makes what they read in their lines.

        In order.
        """
        recording = self.one.recording
        own = {self.place(o) for o in self.mine.operations if o.outputs}
        lines = {recording.operations[place].line for place in own} - {""}
        for _ in range(BACK):
            for n in {n for place in own for n in recording.operations[place].inputs}:
                made = recording.makers.get(n)
                if made is not None and recording.operations[made].line in lines:
                    own.add(made)
        return sorted(own)

    @cached_property
    def reading(self) -> list[int]:
        """What first reads what comes out of it on the first side."""
        return [self.place(o) for o in self.mine.readers if o.outputs]

    @cached_property
    def behind(self) -> list[int]:
        """What the lines of the region go on to make of what comes out of it, some steps on."""
        recording, found = self.one.recording, dict[int, None]()
        lines = {o.line for o in self.mine.operations} - {""}
        level = [*self.mine.outputs[:1]]
        for _ in range(ON):
            readers = {p for n in level for p in recording.readers().get(n, ())}
            made = {p: recording.operations[p] for p in sorted(readers)}
            own = {p: o for p, o in made.items() if o.kind in LINEAR and o.line in lines}
            found |= dict.fromkeys(own)
            level = [n for o in own.values() for n in o.outputs]
        return [*found]

    @property
    def all(self) -> list[int]:
        """Return the operations of the region, and what reads its outcome."""
        return [*dict.fromkeys((*self.places, *self.reading))]

    def operation(self, place: int) -> Made:
        """Return one of the first side's operations."""
        return self.one.recording.operations[place]

    def turns(self, place: int) -> list[list[int]]:
        """Return the groups of operations that an operation may stand for, the likeliest first.

        Those of its turns; all of its kind at its place in the code; those of the region; itself;
        those of turns on arrays of other shapes, as in the stages of a network.
        """
        every = [p for p in self._site(place) if self._alike(place, p)]
        here = [p for p in every if p in self.all]
        turns = [self.in_turn(place, count) for count in self._counts]
        groups = [*turns, every, here, [place], *(own[1:] for own in turns)]
        groups += [_in_turn(self._lines[0], self.one, place, count) for count in self._counts]
        return [list(each) for each in dict.fromkeys(map(tuple, groups)) if each]

    def in_turn(self, place: int, count: int) -> list[int]:
        """Return an operation at every one of so many turns of a loop; itself if it has others."""
        own = _in_turn(self._lines[0], self.one, place, count)
        return own if all(self._alike(place, p) for p in own) else [place]

    @cached_property
    def _counts(self) -> list[int]:
        """How many turns the loop may have that the region stands in."""
        own = [len(self.mine.outputs), *(len(self._site(p)) for p in self.places)]
        return sorted({n for n in own if n > 1}, key=lambda n: (-own.count(n), n))[:3]

    def _site(self, place: int) -> list[int]:
        return self._sites.get(self.one.sites[1][self.operation(place).outputs[0]], [])

    @cached_property
    def _lines(self) -> tuple[_Lines, _Lines]:
        return lines_of(self.one), lines_of(self.other)

    @cached_property
    def _sites(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for place, operation in enumerate(self.one.recording.operations):
            if operation.outputs:
                found.setdefault(self.one.sites[1][operation.outputs[0]], []).append(place)
        return found

    def _alike(self, one: int, other: int) -> bool:
        shapes = [
            [np.shape(self.one.values[n]) for n in self.operation(p).inputs] for p in (one, other)
        ]
        return shapes[0] == shapes[1]

    # values

    def value(self, number: int) -> Any:
        """Return one of the first side's values."""
        return self.one.values[number]

    def read(self, place: int) -> list[Any]:
        """Return what an operation reads."""
        return [self.one.values[n] for n in self.operation(place).inputs]

    def made(self, place: int) -> Any:
        """Return what an operation makes first."""
        return self.one.values[self.operation(place).outputs[0]]

    def twins(self, number: int) -> list[int]:
        """Return the first side's values that are the same numbers as one of the second's.

        And those that hold what the second side makes there in all turns.
        """
        whole = self.one.index.find(self.other.whole.get(number))
        return [*dict.fromkeys((*self.other.find(number, self.one), *whole))]

    @cached_property
    def theirs_made(self) -> list[Made]:
        """The second side's operations in the region that make numbers, one of each turn.

        And what makes, in their lines, what they read.
        """
        recording = self.other.recording
        own = [*self.theirs.makes]
        lines = {o.line for o in own} - {""}
        seen = {o.outputs for o in own}
        for n in [n for o in self.theirs.operations for n in o.inputs]:
            made = recording.maker(n)
            if made and made.line in lines and not made.moves and made.outputs not in seen:
                seen.add(made.outputs)
                own.append(made)
        kept: dict[str, list[Made]] = {}
        for o in own:
            if (
                o.outputs
                and len(kept.setdefault(self.other.sites[1][o.outputs[0]], [])) < MOST_ALIKE
            ):
                kept[self.other.sites[1][o.outputs[0]]].append(o)
        return [o for alike in kept.values() for o in alike]

    def donors(self, number: int, places: Sequence[int]) -> Iterator[list[Step]]:
        """Yield what gives one of the second side's values, once for each operation of a group.

        The first side's own, made before, where it has the same numbers; and the second's itself
        where nothing that was given is in it.
        """
        for twin in self.twins(number):
            own = self.of_ours(twin, places)
            if own is not None:
                yield own
        if self.other.fixed[number] or not self.twins(number):
            yield self.of_theirs(number, len(places))

    def of_ours(self, number: int, places: Sequence[int]) -> list[Step] | None:
        """Return what gives one of the first side's values at each operation; None if too late."""
        numbers = self.turn_by_turn(number, places)
        return None if numbers is None else [_ours(n) for n in numbers]

    def turn_by_turn(self, number: int, places: Sequence[int]) -> list[int] | None:
        """Return the values that one stands for at each operation; None if they come too late."""
        makers = self.one.recording.makers
        for numbers in self._series(number, len(places)):
            if all(makers.get(n, -1) < p for n, p in zip(numbers, places, strict=True)):
                return numbers
        return None

    def turn_before(self, number: int, places: Sequence[int], start: int) -> list[int] | None:
        """Return a start, and then a value of each turn before; None where there are no turns."""
        makers = self.one.recording.makers
        for numbers in self._series(number, len(places)) if len(places) > 1 else ():
            late = [start, *numbers[:-1]]
            each = zip(late, places, strict=True)
            if len({*numbers}) == len(places) and all(makers.get(n, -1) < p for n, p in each):
                return late
        return None

    def _series(self, number: int, count: int) -> Iterator[list[int]]:
        """Yield the values that one of the first side's may stand for, as many as turns."""
        recording = self.one.recording
        made = recording.makers.get(number)
        if count > 1 and made is not None:
            outputs = recording.operations[made].outputs
            group = _in_turn(self._lines[0], self.one, made, count)
            if len(group) == count:
                yield [recording.operations[p].outputs[outputs.index(number)] for p in group]
        for place in recording.readers().get(number, []) if count > 1 else ():
            group = _in_turn(self._lines[0], self.one, place, count)
            if len(group) == count:
                i = recording.operations[place].inputs.index(number)
                yield [recording.operations[p].inputs[i] for p in group]
        yield [number] * count

    def of_theirs(self, number: int, count: int) -> list[Step]:
        """Return what gives one of the second side's values, turn by turn."""
        recording = self.other.recording
        made = recording.makers.get(number)
        if count > 1 and made is not None:
            group = _in_turn(self._lines[1], self.other, made, count)
            if len(group) == count:
                i = recording.operations[made].outputs.index(number)
                return [_theirs(recording.operations[p].outputs[i]) for p in group]
        return [_theirs(number)] * count

    def axes(self, place: int, function: Any) -> tuple[int, ...] | None:
        """Return the axes along which a reduction goes, from its numbers; None where unclear."""
        x, y = np.asarray(self.read(place)[0]), np.asarray(self.made(place))
        if x.ndim > MOST_AXES or x.size == y.size:
            return None
        for count in range(1, x.ndim + 1):
            for axes in combinations(range(x.ndim), count):
                z = function(x, axis=axes)
                if z.shape == y.shape and near(z, y):
                    return axes
        return None

    def arranged(self, number: int, shape: tuple[int, ...]) -> Iterator[Any]:
        """Yield one of the second side's values in a shape of the first's."""
        value = self.other.values[number]
        if isinstance(value, np.ndarray | np.generic):
            yield from arrangements(value, shape)

    def agrees(self, value: Any, ours: int, theirs: int) -> bool:
        """Return whether a value is the same numbers as the second side's."""
        known, wanted = print_of(value, self.one.sigmas[ours]), self.other.prints[theirs]
        return known is not None and wanted is not None and same(known, wanted)


_Lines = dict[tuple[str, str], list[int]]


def lines_of(side: Side) -> _Lines:
    """Return {(line, kind): places of the operations}."""
    found: _Lines = {}
    for place, operation in enumerate(side.recording.operations):
        found.setdefault((operation.line, operation.kind), []).append(place)
    return found


def _in_turn(lines: _Lines, side: Side, place: int, turns: int) -> list[int]:
    """Return an operation at all of so many turns; itself where its line is run otherwise."""
    operation = side.recording.operations[place]
    every = lines[operation.line, operation.kind]
    each, rest = divmod(len(every), turns)
    if turns < 2 or rest or not operation.line:
        return [place]
    own = every[every.index(place) % each :: each]
    made = (side.recording.operations[p] for p in own)
    return own if len({(len(o.inputs), len(o.outputs)) for o in made}) == 1 else [place]


def _ours(number: int) -> Step:
    return lambda read, values: values.ours(number)


def _theirs(number: int) -> Step:
    return lambda read, values: values.theirs(number)


def near(x: Any, y: Any) -> bool:
    """Return whether two arrays are equal up to rounding."""
    x, y = np.asarray(x), np.asarray(y)
    return x.shape == y.shape and bool(np.allclose(x, y, CLOSE, CLOSE, equal_nan=True))


def only(x: Any) -> float | None:
    """Return the one number that an array holds everywhere; None where it holds several."""
    x = np.asarray(x)
    if x.dtype.kind not in "fiu" or not x.size:
        return None
    flat = x.ravel()
    return float(flat[0]) if near(flat, np.full_like(flat, flat[0])) else None


__all__ = ["Ground", "Part", "Step", "Values", "lines_of", "near", "only"]
