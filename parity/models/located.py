"""Where the numbers of one array stand in others: a layout found by values alone.

A number that occurs once says where it comes from; `strides.py` makes a layout of a few of them,
and the whole is compared to the bit in the end. Nothing is said of numbers that do not tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from parity.models.layout import Joined, Layout, Piece, whole
from parity.models.strides import AMBIGUOUS, piece_at

ABSENT = -2


class Table:
    """Every number of several tensors, to be looked up."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.tensors = dict(tensors)
        sizes = [x.size for x in tensors.values()]
        self.names, self.starts = [*tensors], np.cumsum([0, *sizes])
        flat = [x.ravel() for x in tensors.values()]
        numbers = np.concatenate(flat) if flat else np.empty(0)
        order = np.argsort(numbers)
        ordered = numbers[order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
        count = np.diff(np.r_[first, len(ordered)])
        self._sorted = ordered[first]
        self._place = np.where(count == 1, order[first], AMBIGUOUS)

    def find(self, x: np.ndarray) -> np.ndarray:
        """Return each number's place among all, AMBIGUOUS of several, ABSENT of none."""
        if not len(self._sorted):
            return np.full(x.shape, ABSENT)
        flat = x.ravel()
        order = np.argsort(flat)  # in order, what is looked up next lies near
        numbers = flat[order]
        at = np.minimum(np.searchsorted(self._sorted, numbers), len(self._sorted) - 1)
        found = np.empty(flat.shape, np.intp)
        found[order] = np.where(self._sorted[at] == numbers, self._place[at], ABSENT)
        return found.reshape(x.shape)

    def owner(self, places: np.ndarray) -> np.ndarray:
        """Return which tensor each place is in, by number; negative places stay."""
        return np.where(places < 0, places, np.searchsorted(self.starts, places, "right") - 1)


def located(leaf: np.ndarray, table: Table) -> Layout | None:
    """Return how ``leaf`` stands in the tensors of a table; None where values do not tell."""
    if not leaf.size:
        return None
    places = table.find(leaf)
    if (places == ABSENT).any() or not (places >= 0).any():
        return None
    found = solved(places, table, leaf.shape)
    if found is None or not np.array_equal(found.of(table.tensors), leaf):
        return None
    return usual(found, table.tensors, leaf.shape)


USUAL = {4: (2, 3, 1, 0), 5: (2, 3, 4, 1, 0)}
"""The axes of a channels-last kernel among those of torch's."""


def usual(layout: Layout, tensors: Mapping[str, np.ndarray], into: tuple[int, ...]) -> Layout:
    """Return a layout as it is usually written, where axes of length 1 leave a choice."""
    if not isinstance(layout, Piece) or layout.turned or 1 not in into:
        return layout
    shape = tensors[layout.source].shape
    if len(shape) != len(into) or math.prod(shape) != math.prod(into):
        return layout
    numbers = {layout.source: np.arange(math.prod(shape)).reshape(shape)}
    for order in (tuple(range(len(shape))), USUAL.get(len(shape), tuple(range(len(shape))))):
        plain = whole(layout.source, shape, order, into)
        same = tuple(shape[a] for a in order) == into
        if same and np.array_equal(plain.of(numbers), layout.of(numbers)):
            return plain
    return layout


def solved(places: np.ndarray, table: Table, shape: tuple[int, ...]) -> Layout | None:
    """Return the layout of an array whose numbers stand at these places of a table."""
    return _solved(places, table.owner(places), table, shape)


def _solved(
    places: np.ndarray, owners: np.ndarray, table: Table, shape: tuple[int, ...]
) -> Layout | None:
    known = np.unique(owners[owners >= 0])
    if len(known) == 1:
        name, start = table.names[known[0]], int(table.starts[known[0]])
        local = np.where(places >= 0, places - start, AMBIGUOUS)
        return piece_at(name, table.tensors[name].shape, local)
    if not len(known):
        return None
    for axis in range(len(shape)):
        blocks = _blocks(owners, axis)
        if blocks is None or len(blocks) < 2:
            continue
        parts = []
        for start, stop in blocks:
            cut = tuple(slice(start, stop) if a == axis else slice(None) for a in range(len(shape)))
            part = _solved(places[cut], owners[cut], table, places[cut].shape)
            if part is None:
                break
            parts.append(part)
        else:
            return Joined(axis, tuple(parts))
    return None


def _blocks(owners: np.ndarray, axis: int) -> list[tuple[int, int]] | None:
    """Return runs of one owner along an axis; None where two share an index, or none is known."""
    lines = np.moveaxis(owners, axis, 0).reshape(owners.shape[axis], -1)
    top = lines.max(1)
    low = np.where(lines >= 0, lines, np.iinfo(lines.dtype).max).min(1)
    if (top < 0).any() or (top != low).any():
        return None
    edges = [0, *(np.flatnonzero(np.diff(top)) + 1).tolist(), len(top)]
    return [*pairwise(edges)]
