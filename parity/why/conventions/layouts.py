"""One array held in another way: transposed, flipped, conjugated, scaled, shifted.

Every layout is an affine map; it says what it does to an array, and its transpose what happens to
the gradient on the way back. NumPy only: the functions themselves need not be touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations, permutations

import numpy as np

Map = Callable[[np.ndarray], np.ndarray]

AXES = 4
"""Arrays of more axes have only two of them exchanged at a time."""


@dataclass(frozen=True)
class Layout:
    """One array of one side, held otherwise."""

    tensor: str
    words: str
    onto: Map
    """What the side is given instead of an input; what is made of an output."""
    back: Map
    """The transpose, which gradients take."""


def rearranged(name: str, shape: tuple[int, ...], kind: str) -> Iterator[Layout]:
    """Yield every order of the axes, every flip, and the conjugate of a complex array."""
    axes = range(len(shape))
    orders = permutations(axes) if len(shape) <= AXES else _exchanges(len(shape))
    for order in orders:
        if list(order) != list(axes):
            inverse = tuple(int(i) for i in np.argsort(order))
            words = "transposed" if len(shape) == 2 else f"with its axes in the order {list(order)}"
            yield Layout(name, words, _transpose(order), _transpose(inverse))
    for count in (1, 2):
        for flipped in combinations(axes, count):
            if all(shape[axis] > 1 for axis in flipped):
                words = f"flipped along axis {' and '.join(map(str, flipped))}"
                flip = _flip(flipped)
                yield Layout(name, words, flip, flip)
    if kind == "c":
        yield Layout(name, "conjugated", np.conj, np.conj)


def regrouped(name: str, shape: tuple[int, ...]) -> Iterator[Layout]:
    """Yield an axis interleaved, its blocks in another order, or rolled: gates, halves, shifts."""
    for axis, size in enumerate(shape):
        for count in (2, 3, 4):
            if size > count and size % count == 0:
                yield from _interleaved(name, axis, size, count)
            if size % count == 0 and size > 1:
                yield from _reordered(name, axis, count)
        for by in dict.fromkeys((1, -1, size // 2)) if size > 2 else ():
            half = by == size // 2 > 1
            words = f"rolled by {by}{', half of it,' if half else ''} along axis {axis}"
            yield _taken(name, words, axis, partial(_rolled, None if half else by))


def _rolled(by: int | None, size: int) -> np.ndarray:
    return np.roll(np.arange(size), size // 2 if by is None else by)


def _interleaved(name: str, axis: int, size: int, count: int) -> Iterator[Layout]:
    places = partial(_columns, count)
    yield _taken(name, f"interleaved in {count} along axis {axis}", axis, places)
    if count * count != size:
        back = partial(_in_rows, count)
        yield _taken(name, f"no longer interleaved in {count} along axis {axis}", axis, back)


def _columns(count: int, size: int) -> np.ndarray:
    return np.arange(size).reshape(count, -1).T.ravel()


def _in_rows(count: int, size: int) -> np.ndarray:
    return np.arange(size).reshape(-1, count).T.ravel()


def _reordered(name: str, axis: int, count: int) -> Iterator[Layout]:
    for order in permutations(range(count)):
        if order != tuple(range(count)):
            words = f"with its {count} blocks in the order {list(order)} along axis {axis}"
            yield _taken(name, words, axis, partial(_blocks, order))


def _blocks(order: tuple[int, ...], size: int) -> np.ndarray:
    return np.arange(size).reshape(len(order), -1)[list(order)].ravel()


def _taken(name: str, words: str, axis: int, places: Callable[[int], np.ndarray]) -> Layout:
    """Return a layout by where each slice comes from, whatever the length of the axis."""

    def onto(x: np.ndarray) -> np.ndarray:
        return np.take(x, places(x.shape[axis]), axis)

    def back(x: np.ndarray) -> np.ndarray:
        return np.take(x, np.argsort(places(x.shape[axis])), axis)

    return Layout(name, words, onto, back)


def _transpose(order: tuple[int, ...]) -> Map:
    return lambda x: np.ascontiguousarray(x.transpose(order))


def _flip(axes: tuple[int, ...]) -> Map:
    return lambda x: np.ascontiguousarray(np.flip(x, axes))


def _exchanges(count: int) -> Iterator[tuple[int, ...]]:
    for a, b in combinations(range(count), 2):
        order = list(range(count))
        order[a], order[b] = b, a
        yield tuple(order)
    yield tuple(reversed(range(count)))


def scaled(name: str, factor: float, words: str) -> Layout:
    """Return the array times ``factor``."""
    return Layout(name, words, lambda x: x * factor, lambda x: x * factor)


def shifted(name: str, by: float, words: str) -> Layout:
    """Return the array plus ``by``."""
    return Layout(name, words, lambda x: x + by, lambda x: x)


def filled(name: str, number: float) -> Layout:
    """Return an array of one number, whatever the array was."""
    words = "ones" if number else "zeros"
    return Layout(name, words, lambda x: np.full_like(x, number), lambda x: x * 0)
