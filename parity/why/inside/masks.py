"""A mask that is another: inverted, shifted, transposed, or filled with another number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from parity.frameworks.recordings import Made
from parity.why.conventions.spelling import written
from parity.why.inside.edit import Edit, Put, Values
from parity.why.inside.ground import Ground, only
from parity.why.inside.points import points
from parity.why.inside.words import at

SHIFTS = (-1, 1, -2, 2)


def masks(ground: Ground) -> Iterator[Edit]:
    """Yield the first side's masks changed, and what it fills with."""
    masking = _theirs(ground)
    for point in points(ground, outcomes=False):
        x = np.asarray(ground.value(point.number))
        own, theirs = at(point.operations[0]), at(masking)
        if x.dtype.kind == "b" and x.ndim:
            for words, put in _of_mask(ground, x, own, theirs):
                yield point.edit(words, [put] * len(point.places))
        elif point.operations[0].kind == "where" and (fill := only(x)) is not None:
            for other in dict.fromkeys(_numbers(ground)):
                if other != fill:
                    said = (
                        f"where it is masked {ground.left} has {written(fill)}{own}, "
                        f"{ground.right} {written(other)}{theirs}"
                    )
                    yield point.edit(said, [_full(other)] * len(point.places))


def _theirs(ground: Ground) -> Made | None:
    """Return what masks on the second side."""
    every = (*ground.theirs.operations, *ground.theirs.readers)
    kinds = ("tril", "triu", "where", "masked_fill", "logical_not", "bitwise_not")
    return next((o for kind in kinds for o in every if o.kind == kind), every[0] if every else None)


def _of_mask(ground: Ground, x: Any, own: str, theirs: str) -> Iterator[tuple[str, Put]]:
    sides = f"{ground.left}{own}, {ground.right}{theirs}"
    yield f"the mask is inverted: {sides}", lambda y, values: ~np.asarray(y)
    if x.ndim > 1 and x.shape[-1] == x.shape[-2]:
        yield f"the mask is transposed: {sides}", lambda y, values: np.swapaxes(y, -1, -2)
    offset = _diagonal(x)
    if offset is not None:
        k, upper = offset
        for by in SHIFTS:
            many = "one" if abs(by) == 1 else "two"
            said = (
                f"the mask is shifted by {many}: {ground.left} keeps "
                f"{'from' if upper else 'up to'} diagonal {k}{own}, {ground.right} "
                f"{'from' if upper else 'up to'} {k + by}{theirs}"
            )
            yield said, _tri(k + by, upper)


def _diagonal(x: Any) -> tuple[int, bool] | None:
    """Return up to which diagonal a mask keeps, or from which; None of another mask."""
    if x.ndim < 2:
        return None
    flat = x.reshape(-1, *x.shape[-2:])
    if not np.all(flat == flat[0]):
        return None
    rows, columns = x.shape[-2:]
    for k in range(-rows + 1, columns - 1):
        tri = np.tri(rows, columns, k, dtype=bool)
        if np.array_equal(flat[0], tri):
            return k, False
        if np.array_equal(flat[0], ~tri):
            return k + 1, True
    return None


def _tri(k: int, upper: bool) -> Put:
    def put(x: Any, values: Values) -> Any:
        rows, columns = np.shape(x)[-2:]
        tri = np.tri(rows, columns, k - 1 if upper else k, dtype=bool)
        return np.broadcast_to(~tri if upper else tri, np.shape(x))

    return put


def _full(number: float) -> Put:
    return lambda x, values: np.full_like(x, number)


def _numbers(ground: Ground) -> list[float]:
    """Return the numbers that the second side's region holds, or fills with."""
    side = ground.other
    every = [n for o in ground.theirs.operations for n in (*o.inputs, *o.outputs)]
    values = [side.values[n] for n in every]
    for o in ground.theirs.operations:
        if o.kind == "masked_fill" and o.inputs:
            x, y = side.values[o.inputs[0]], side.values[o.outputs[0]]
            values.append(y[x != y] if np.shape(x) == np.shape(y) else None)
    return [c for x in values if x is not None and (c := only(x)) is not None]
