"""Which tensors an array may be where values do not tell: equal numbers, or the same shape.

Proposes; `weights.py` chooses among what is proposed, by structure and by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np

from parity.models.layout import Layout, Piece, Summed, renamed, whole
from parity.models.likeness import ENDINGS, steps, tokens
from parity.models.located import Table, located, solved, usual

MOST_AXES = 5


def equal(leaf: np.ndarray, tensors: Mapping[str, np.ndarray]) -> list[Layout]:
    """Return the plain layouts in which whole tensors are equal to ``leaf`` in every number."""
    return [
        usual(layout, tensors, leaf.shape)
        for name, x in tensors.items()
        for layout in plain(name, x.shape, leaf.shape)
        if np.array_equal(layout.of(tensors), leaf)
    ]


class Sum(NamedTuple):
    """Two vectors of one module, added up."""

    names: tuple[str, str]
    table: Table


def sums(tensors: Mapping[str, np.ndarray], dtype: np.dtype) -> Iterator[Sum]:
    """Yield the sums of two vectors of one module, as a dtype holds them."""
    vectors = [n for n, x in tensors.items() if x.ndim == 1 and (x != x[:1]).any()]
    for one, other in combinations(vectors, 2):
        if steps(one)[:-1] == steps(other)[:-1] and tensors[one].shape == tensors[other].shape:
            total = (tensors[one] + tensors[other]).astype(dtype).astype(np.float64)
            yield Sum((one, other), Table({"": total}))


def summed(leaf: np.ndarray, added: Sum) -> Summed | None:
    """Return how ``leaf`` stands in the sum of two vectors; None if it does not."""
    found = located(leaf, added.table)
    if found is None:
        return None
    one, other = added.names
    return Summed((renamed(found, {"": one}), renamed(found, {"": other})))


def plain(name: str, shape: tuple[int, ...], into: tuple[int, ...]) -> Iterator[Piece]:
    """Yield a whole tensor with its axes in every order that makes this shape, or a reshape of it.

    What moves nothing comes first; layouts that move alike are yielded once.
    """
    if len(shape) > MOST_AXES or math.prod(shape) != math.prod(into):
        return
    narrow = tuple(n for n in shape if n != 1)
    wide = tuple(n for n in into if n != 1)
    exact = sorted(narrow) == sorted(wide)
    seen = set()
    for order in permutations(range(len(shape))):
        moved = tuple(a for a in order if shape[a] != 1)
        made = tuple(shape[a] for a in moved)
        if moved in seen or (exact and made != wide):
            continue
        seen.add(moved)
        yield whole(name, shape, order, into)


def beside(
    leaf: str,
    shape: tuple[int, ...],
    sibling: Layout,
    shapes: Mapping[str, tuple[int, ...]],
    free: Mapping[str, np.ndarray],
) -> Layout | None:
    """Return the bias that stands beside a weight whose layout is known, split or joined like it.

    A bias has an element for each row of its weight; where the rows went, it goes.
    """
    rows, owners = _rows(sibling, shapes)
    if rows is None or rows.size != math.prod(shape):
        return None
    names = [*dict.fromkeys(sibling.sources())]
    biases = [_bias_of(name, shapes, free, leaf) for name in names]
    if not all(biases):
        return None
    table = Table({bias: free[bias] for bias in biases if bias})
    starts = np.array([table.starts[table.names.index(bias)] for bias in biases if bias])
    return solved((starts[owners] + rows).reshape(shape), table, shape)


def _bias_of(
    name: str, shapes: Mapping[str, tuple[int, ...]], free: Mapping[str, np.ndarray], leaf: str
) -> str | None:
    """Return the one free vector in the module of a weight that has an element for each row.

    Of several, as in a recurrent cell, the one whose name differs from the weight's in a word.
    """
    module = steps(name)[:-1]
    found = [
        other
        for other, x in free.items()
        if steps(other)[:-1] == module and x.shape == shapes[name][:1] and other != name
    ]
    if len(found) > 1:
        found = [x for x in found if x == name.replace("weight", "bias")]
    return found[0] if len(found) == 1 else None


def _rows(
    layout: Layout, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Return (row, number of the source) of each place along the axes on which rows change."""
    names = [*dict.fromkeys(layout.sources())]
    numbered = {}
    for number, name in enumerate(names):
        shape = shapes[name]
        row = np.arange(shape[0]).reshape(-1, *(1,) * (len(shape) - 1)) if shape else np.zeros(())
        numbered[name] = np.broadcast_to(row + number * 2.0**32, shape)
    every = np.asarray(layout.of(numbered))
    for axis in reversed(range(every.ndim)):
        first = np.take(every, [0], axis)
        if (every == first).all():
            every = np.take(first, 0, axis)
    if every.size == math.prod(layout.shape) and every.ndim > 1:
        return None, None
    owners = (every // 2.0**32).astype(np.int64)
    return (every % 2.0**32).astype(np.int64), owners


ENDS = frozenset({*ENDINGS.values(), "mean", "var"})

CONVENTION = {2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0), 5: (2, 3, 4, 1, 0)}
"""The axes of flax's kernels among those of torch's weights."""


def by_shape(name: str, leaf: str, shape: tuple[int, ...], into: tuple[int, ...]) -> Piece | None:
    """Return the layout that two libraries give a weight of this name and shape; None if none."""
    made = [*plain(name, shape, into)]
    ends = {tokens(name)[-1], tokens(leaf)[-1]}
    if not made or (len(ends) > 1 and ends <= ENDS) or len(shape) < min(2, len(into)):
        return None
    last = steps(leaf)[-1]
    order = CONVENTION.get(len(shape)) if last in ("kernel", "w") else tuple(range(len(shape)))
    return next((x for x in made if x.order == order), made[0])
