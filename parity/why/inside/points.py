"""Where something can be put in on the first side: what an operation reads, or what it makes.

At all turns of a loop alike. Knows not what is put in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from parity.frameworks.recordings import Made
from parity.why.inside.edit import Edit, Put, Step, Values, in_the_dtype_of
from parity.why.inside.ground import Ground


@dataclass(frozen=True)
class Point:
    """One input of an operation, or its outcome, at every turn that is meant."""

    places: tuple[int, ...]
    index: int | None
    """Which input; None for the outcome."""
    number: int
    """The value that stands there first."""
    operations: tuple[Made, ...]
    more: tuple[Point, ...] = ()
    """Others that are meant too."""

    def edit(self, said: str, put: Sequence[Put]) -> Edit:
        """Return the change to ``put``, one a turn, in the place of what stood there."""
        each = [*zip(self.places, self.operations, put, strict=True)]
        if self.index is None:
            return Edit(said, {place: remade(operation, what) for place, operation, what in each})
        edit = Edit(said, {}, {(place, self.index): what for place, _, what in each})
        for point in self.more:
            edit |= point.edit(said, [put[0]] * len(point.places))
        return edit


def remade(operation: Made, put: Put) -> Step:
    """Return what an operation makes with something put in the place of the first of it."""
    apply = operation.apply

    def step(read: Sequence[Any], values: Values) -> Any:
        first, *rest = apply(read) if apply else []
        return [in_the_dtype_of(first, put(first, values)), *rest]

    return step


def points(ground: Ground, outcomes: bool = True) -> Iterator[Point]:
    """Yield what is read and made in a region, and read of what it makes."""
    whole = ground.mine.read or not ground.mine.operations
    for place in (*ground.places, *ground.reading):
        for i, number in enumerate(ground.operation(place).inputs):
            if whole or place in ground.places or number in ground.mine.outputs:
                for group in ground.turns(place):
                    yield point_of(ground, group, i)
        yield from _twice(ground, place)
    together = [
        point_of(ground, [place], i)
        for place in (ground.reading if whole else ())
        for i, n in enumerate(ground.operation(place).inputs)
        if n in ground.mine.outputs
    ]
    if len(together) > 1:
        first, *rest = together
        yield Point(first.places, first.index, first.number, first.operations, tuple(rest))
    makers = [ground.one.recording.makers[n] for n in ground.mine.outputs[:1]
              if n in ground.one.recording.makers]  # fmt: skip
    for place in dict.fromkeys((*makers, *ground.places)) if outcomes else ():
        for group in ground.turns(place):
            yield point_of(ground, group, None)


def _twice(ground: Ground, place: int) -> Iterator[Point]:
    """Yield what an operation reads twice, as x * x does."""
    inputs = ground.operation(place).inputs
    for number in {n for n in inputs if inputs.count(n) > 1}:
        first, *rest = (point_of(ground, [place], i) for i, n in enumerate(inputs) if n == number)
        yield replace(first, more=tuple(rest))


def point_of(ground: Ground, group: Sequence[int], index: int | None) -> Point:
    """Return an input of operations, or their outcome, as one point."""
    made = tuple(ground.operation(p) for p in group)
    number = made[0].outputs[0] if index is None else made[0].inputs[index]
    return Point(tuple(group), index, number, made)
