"""Which part of an array is taken: other rows, the first where the other side has the mean.

Known by the numbers, not by what the operations are called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from parity.where.parting import Side
from parity.why.inside.edit import Edit, Step
from parity.why.inside.functions import REDUCED, REDUCTIONS
from parity.why.inside.ground import Ground
from parity.why.inside.kinds import reduced
from parity.why.inside.words import at, called

LONGEST = 4096
"""Elements of an axis that is looked along."""
BACK = 4
"""Operations back from what is taken to what it is taken of."""


class Taken(NamedTuple):
    """What is taken of an array along some axes: a slice, one index, or a reduction."""

    source: int
    what: slice | int | str
    axes: tuple[int, ...]

    def of(self, x: Any, shape: tuple[int, ...]) -> np.ndarray:
        """Return it of an array, in a shape."""
        if isinstance(self.what, str):
            return np.asarray(REDUCTIONS[self.what](x, axis=self.axes)).reshape(shape)
        index = (*[slice(None)] * self.axes[0], self.what)
        return np.asarray(x)[index].reshape(shape)

    def told(self) -> str:
        """Say what is taken."""
        along = f"axis {self.axes[0]}" if len(self.axes) == 1 else f"axes {list(self.axes)}"
        if isinstance(self.what, str):
            return f"{REDUCED[self.what]} along {along}"
        if isinstance(self.what, int):
            return f"index {self.what} along {along}"
        step = f":{self.what.step}" if self.what.step != 1 else ""
        return f"{self.what.start}:{self.what.stop}{step} along {along}"


def taken(ground: Ground) -> Iterator[Edit]:
    """Yield what the first side takes of an array with what the second takes of it in the place."""
    theirs = [
        (operation, found)
        for operation in ground.theirs.operations
        if operation.outputs
        for found in _taken(ground.other, operation.outputs[0])
    ]
    for place in ground.places if theirs else ():
        operation = ground.operation(place)
        shape = np.shape(ground.made(place))
        for own in _taken(ground.one, operation.outputs[0]):
            for other, found in theirs:
                both_reduce = isinstance(own.what, str) and isinstance(found.what, str)
                same = own._replace(source=0) == found._replace(source=0)
                if both_reduce or same or own.source not in ground.twins(found.source):
                    continue
                said = (
                    f"of {called(ground.one, own.source)} {ground.left} takes {own.told()}"
                    f"{at(operation)}, {ground.right} {found.told()}{at(other)}"
                )
                for group in ground.turns(place):
                    sources = ground.of_ours(own.source, group)
                    if sources is not None:
                        each = zip(group, sources, strict=True)
                        yield Edit(said, {p: _step(found, s, shape) for p, s in each})


def _step(found: Taken, source: Step, shape: tuple[int, ...]) -> Step:
    return lambda read, values: found.of(source(read, values), shape)


def _taken(side: Side, number: int) -> Iterator[Taken]:
    """Yield how a value is a part of, or a reduction of, what it is made of a few steps back."""
    y = np.asarray(side.values[number])
    if y.dtype.kind not in "fc" or not y.size:
        return
    level, before = [number], dict[int, None]()
    for _ in range(BACK):
        makers = [o for n in level if (o := side.maker(n)) is not None]
        level = [n for o in makers for n in o.inputs if n not in before]
        before |= dict.fromkeys(level)
    for source in before:
        x = np.asarray(side.values[source])
        if x.dtype == y.dtype and x.size > y.size and (part := _part(x, y)):
            yield Taken(source, *part)
    found = reduced(side, number, [*before])
    if found is not None:
        yield Taken(found.source, found.kind, found.axes)


def _part(x: np.ndarray, y: np.ndarray) -> tuple[slice | int, tuple[int, ...]] | None:
    """Return which part of ``x`` along one axis ``y`` is; None where it is none."""
    for axis, whole in enumerate(x.shape):
        count, rest = divmod(y.size * whole, x.size)
        if rest or not 0 < count < whole <= LONGEST:
            continue
        kept = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        if tuple(n for n in kept if n != 1) != tuple(n for n in y.shape if n != 1):
            continue
        lines = np.moveaxis(y.reshape(kept), axis, 0)
        every = np.moveaxis(x, axis, 0)
        for start in np.flatnonzero((every == lines[0]).reshape(whole, -1).all(1)).tolist():
            if count == 1:
                return start, (axis,)
            for step in range(1, (whole - 1 - start) // (count - 1) + 1):
                part = slice(start, start + step * (count - 1) + 1, step)
                if np.array_equal(every[part], lines):
                    return part, (axis,)
    return None
