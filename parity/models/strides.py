"""From the places of some elements in a tensor to how all of them stand there: strides, factors.

Compares no numbers: who asks does, in the end.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from parity.models.layout import Piece

AMBIGUOUS = -1
"""The place of an element of which nothing is known."""


def piece_at(source: str, shape: tuple[int, ...], places: np.ndarray) -> Piece | None:
    """Return the piece of a source of this shape whose elements stand at ``places``."""
    separate = _separate(places)
    if separate is None:
        return None
    offset, steps = separate
    factors: list[Factor] = []
    for along in steps:
        radix = _radix(along)
        if radix is None:
            return None
        factors += (Factor(n, abs(s), s < 0) for n, s in radix)
        offset += sum((n - 1) * s for n, s in radix if s < 0)
    if offset < 0:
        return None
    return _written(source, shape, places.shape, offset, factors)


def _separate(places: np.ndarray) -> tuple[int, list[np.ndarray]] | None:
    """Return (first, one array an axis) whose sums are the places, as far as these are known."""
    base = tuple(int(i) for i in np.argwhere(places >= 0)[0])
    steps = []
    for axis, size in enumerate(places.shape):
        lines = np.moveaxis(places, axis, 0).reshape(size, -1)
        along = _along(lines, base[axis])
        if along is None:
            return None
        steps.append(along)
    first = int(places[base]) - sum(int(s[i]) for s, i in zip(steps, base, strict=True))
    return first, steps


def _along(lines: np.ndarray, base: int) -> np.ndarray | None:
    """Return how far each line is from the first, by the elements that are known in two."""
    size, known = len(lines), lines >= 0
    both = known & known[base]
    solved, column = both.any(1), both.argmax(1)
    far = np.where(solved, lines[np.arange(size), column] - lines[base, column], 0)
    waiting, moved = [int(i) for i in np.flatnonzero(~solved)], True
    while waiting and moved:  # those that share nothing known with the first share it with others
        moved, left = False, []
        for i in waiting:
            near = [j for j in (i - 1, i + 1) if 0 <= j < size and solved[j]]
            shared = [(j, c) for j in near for c in np.flatnonzero(known[i] & known[j])[:1]]
            if not shared:
                left.append(i)
                continue
            j, c = shared[0]
            far[i] = far[j] + lines[i, c] - lines[j, c]
            solved[i] = moved = True
        waiting = left
    if waiting and not _filled(far, solved):
        return None
    return far - far[0]


def _filled(far: np.ndarray, solved: np.ndarray) -> bool:
    """Fill in what is unknown by the step that is seen most often; the whole is compared later."""
    at = np.flatnonzero(solved)
    near = at[:-1][np.diff(at) == 1]
    if not len(near):
        return False
    steps, count = np.unique(far[near + 1] - far[near], return_counts=True)
    step = int(steps[count.argmax()])
    for i in range(len(far)):
        if not solved[i] and i and solved[i - 1]:
            far[i], solved[i] = far[i - 1] + step, True
    for i in reversed(range(len(far))):
        if not solved[i] and solved[i + 1]:
            far[i], solved[i] = far[i + 1] - step, True
    return True


def _radix(along: np.ndarray) -> list[tuple[int, int]] | None:
    """Return sizes and strides, outer ones first, whose sums are these; None if there are none."""
    n = len(along)
    if n == 1:
        return []
    step = int(along[1] - along[0])
    straight = along == along[0] + step * np.arange(n)
    run = n if straight.all() else int(straight.argmin())
    for inner in range(run, 1, -1):
        if n % inner:
            continue
        blocks = along.reshape(-1, inner)
        if (blocks - blocks[:, :1] == step * np.arange(inner)).all():
            outer = _radix(blocks[:, 0])
            if outer is not None:
                return [*outer, (inner, step)]
    return None


class Factor(NamedTuple):
    """A run of elements at one distance in the source."""

    size: int
    stride: int
    turned: bool


def _written(
    source: str,
    shape: tuple[int, ...],
    into: tuple[int, ...],
    offset: int,
    factors: list[Factor],
) -> Piece | None:
    """Return the piece that reads the source in these strides from this element on."""
    strides = [math.prod(shape[a + 1 :]) for a in range(len(shape))]
    within: list[list[tuple[int, int, int]]] = [[] for _ in shape]
    """For each axis of the source (step, size, number of the factor)."""
    split: list[tuple[bool, int]] = []
    for factor in factors:
        cut = _by_axis(factor, shape, strides)
        if cut is None:
            return None
        for axis, step, size in cut:
            within[axis].append((step, size, len(split)))
            split.append((factor.turned, size))
    slices, refined, where = list[tuple[int, int]](), list[int](), dict[int, int]()
    picked: list[int | None] = []
    seams: list[bool] = []
    """Whether an axis begins here that only goes on within an axis of the source."""
    for axis, (extent, stride) in enumerate(zip(shape, strides, strict=True)):
        start = offset // stride % extent
        refining = _refined(extent, start, sorted(within[axis]))
        if refining is None:
            return None
        bounds, parts = refining
        slices.append(bounds)
        for place, (size, index, number) in enumerate(parts):
            seams.append(place > 0)
            if number is not None:
                where[number] = sum(i is None for i in picked)
            refined.append(size)
            picked.append(index)
    if len(where) != len(split):
        return None
    order = tuple(where[number] for number in range(len(split)))
    turned = tuple(number for number, (back, _) in enumerate(split) if back)
    found = Piece(source, tuple(slices), tuple(refined), tuple(picked), order, turned, into)
    return _plainer(_mended(found, seams))


def _by_axis(
    factor: Factor, shape: tuple[int, ...], strides: list[int]
) -> list[tuple[int, int, int]] | None:
    """Return [(axis, step along it, size)] of a factor, split where it runs over several axes."""
    size, stride = factor.size, factor.stride
    found: list[tuple[int, int, int]] = []
    while size > 1:
        axis = next(
            (a for a in range(len(shape)) if strides[a] <= stride < strides[a] * shape[a]), None
        )
        if axis is None or stride % strides[axis]:
            return None
        step = stride // strides[axis]
        inner = size
        if step * (size - 1) >= shape[axis]:
            inner = shape[axis] // step
            if shape[axis] % step or size % inner or inner < 2:
                return None
        found.insert(0, (axis, step, inner))
        size, stride = size // inner, stride * inner
    return found


Refined = tuple[tuple[int, int], list[tuple[int, int | None, int | None]]]


def _refined(extent: int, start: int, factors: list[tuple[int, int, int]]) -> Refined | None:
    """Return (start and stop, [(size, index or None, factor or None)]) of one axis of the source.

    ``factors`` are (step, size, number), the smallest step first.
    """
    if not factors:
        return (start, start + 1), [(1, None if extent == 1 else 0, None)]
    length, parts = 1, list[tuple[int, int | None, int | None]]()
    nested = True
    for step, size, number in factors:
        if step % length:
            return None
        if step != length:
            nested = False
            missing = step // length
            parts.insert(0, (missing, start // length % missing, None))
            length = step
        parts.insert(0, (size, None, number))
        length *= size
    if nested:
        return ((start, start + length), parts) if start + length <= extent else None
    # a gap within: the axis is seen as a grid, of which some axes stand at one index
    if extent % length:
        return None
    if extent != length:
        parts.insert(0, (extent // length, start // length, None))
    return (0, extent), parts


def _mended(piece: Piece, seams: list[bool]) -> Piece:
    """Return a piece without seams within an axis whose two sides stay together."""
    factors, picked, order = [*piece.factors], [*piece.picked], [*piece.order]
    turned = {piece.order[n] for n in piece.turned}
    for place in reversed(range(1, len(factors))):
        alone = [i for i, p in enumerate(picked) if p is None]
        if not seams[place] or picked[place] is not None or picked[place - 1] is not None:
            continue
        number = alone.index(place)
        at = order.index(number)
        if at == 0 or order[at - 1] != number - 1 or {number, number - 1} & turned:
            continue
        factors[place - 1 : place + 1] = [factors[place - 1] * factors[place]]
        del picked[place], order[at]
        order = [n - (n > number) for n in order]
        turned = {n - (n > number) for n in turned}
    back = tuple(at for at, number in enumerate(order) if number in turned)
    return Piece(
        piece.source, piece.slices, tuple(factors), tuple(picked), tuple(order), back, piece.shape
    )


def _plainer(piece: Piece) -> Piece:
    """Return a piece without axes of length 1."""
    keep = [i for i, n in enumerate(piece.factors) if n != 1]
    factors = tuple(piece.factors[i] for i in keep)
    picked = tuple(piece.picked[i] for i in keep)
    alone = [i for i, p in enumerate(piece.picked) if p is None]
    left = [i for i, place in enumerate(alone) if piece.factors[place] != 1]
    order = tuple(left.index(i) for i in piece.order if i in left)
    numbers = [n for n, i in enumerate(piece.order) if i in left]
    turned = tuple(numbers.index(n) for n in piece.turned if n in numbers)
    return Piece(piece.source, piece.slices, factors, picked, order, turned, piece.shape)
