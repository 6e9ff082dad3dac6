"""Which elements belong together: halves of an axis on one side, neighbours on the other.

A rotation of pairs is done in either way; what was taken apart is put together as it was taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from parity.why.inside.edit import Edit, Put
from parity.why.inside.ground import Ground
from parity.why.inside.points import remade
from parity.why.inside.words import placed

BACK = 4
"""Operations before the region in which an array is taken apart."""
MOST_PARTS = 4
APART = frozenset(("slice", "split"))


class Apart(NamedTuple):
    """An array that is taken apart along an axis."""

    number: int
    axis: int
    parts: int
    blocks: bool
    """Whether into blocks; else every so many elements."""
    place: int


def regrouped(ground: Ground) -> Iterator[Edit]:
    """Yield arrays with the elements of an axis taken apart and put together in the other way."""
    for apart in _taken_apart(ground):
        size = np.shape(ground.value(apart.number))[apart.axis]
        each = size // apart.parts
        shape = (-1, apart.parts) if apart.blocks else (apart.parts, -1)
        order = np.arange(size).reshape(shape).T.ravel()
        far = f"elements {each} apart"
        own, theirs = (far, "neighbours") if apart.blocks else ("neighbours", far)
        said = placed(
            f"along axis {apart.axis} {ground.left} takes {own} together, {ground.right} {theirs}",
            ground.operation(apart.place),
            *ground.theirs.operations[:1],
        )
        for end, before in _ends(ground, apart.number):
            put = {at: _in_order(order, apart.axis) for at in before}
            back = _in_order(np.argsort(order), apart.axis)
            yield Edit(said, {end: remade(ground.operation(end), back)}, put)


def _taken_apart(ground: Ground) -> Iterator[Apart]:
    """Yield what the region reads parts of."""
    recording, seen = ground.one.recording, set[int]()
    level = {n for place in ground.all for n in ground.operation(place).inputs}
    for _ in range(BACK):
        made = sorted({recording.makers[n] for n in level if n in recording.makers})
        level = {n for p in made for n in recording.operations[p].inputs}
        for place in made:
            operation = recording.operations[place]
            if operation.kind in APART and operation.inputs[0] not in seen:
                seen.add(operation.inputs[0])
                apart = _parts(ground, place)
                if apart is not None:
                    yield apart


def _parts(ground: Ground, place: int) -> Apart | None:
    """Return how an operation takes an array apart, by which elements it takes."""
    operation = ground.operation(place)
    x = np.asarray(ground.value(operation.inputs[0]))
    part = np.shape(ground.made(place))
    axes = [i for i, (a, b) in enumerate(zip(part, x.shape, strict=True)) if a != b]
    if len(axes) != 1 or not part[axes[0]] or operation.apply is None:
        return None
    (axis,) = axes
    count, rest = divmod(x.shape[axis], part[axis])
    if rest or count > MOST_PARTS or part[axis] < 2:
        return None
    along = [-1 if i == axis else 1 for i in range(x.ndim)]
    index = np.broadcast_to(np.arange(x.shape[axis]).reshape(along), x.shape).astype(x.dtype)
    taken = np.moveaxis(np.asarray(operation.apply([index])[0]), axis, 0)
    first, second = (int(taken[i].flat[0]) for i in (0, 1))
    return Apart(operation.inputs[0], axis, count, second - first == 1, place)


def _ends(ground: Ground, number: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield operations that make an array as large as one, and what reads that before them.

    The region's outcome first; then what is put together first.
    """
    recording, shape = ground.one.recording, np.shape(ground.value(number))
    made, whole, reads = {number}, list[int](), list[tuple[int, int]]()
    for place, operation in enumerate(recording.operations):
        if operation.outputs and not made.isdisjoint(operation.inputs):
            made |= {*operation.outputs}
            whole += [place] if np.shape(ground.made(place)) == shape else []
        reads += [(place, i) for i, n in enumerate(operation.inputs) if n == number]
    outcomes = [recording.makers.get(n, -1) for n in ground.mine.outputs[:1]]
    for end in dict.fromkeys((*(p for p in outcomes if p in whole), *whole[:1])):
        yield end, [(place, i) for place, i in reads if place < end]


def _in_order(order: np.ndarray, axis: int) -> Put:
    return lambda x, values: np.take(np.asarray(x), order, axis)
