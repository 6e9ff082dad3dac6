"""What a tensor may have been taken for: transposed, turned, blocks or rows in another order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

GATES = (4, 3, 2)
"""Parts that a matrix may have for as many gates, or queries, keys and values."""


class Turn(NamedTuple):
    """One tensor of torch's laid out otherwise."""

    key: tuple[Any, ...]
    words: str
    of: Callable[[np.ndarray], np.ndarray]


def turns_of(shape: Sequence[int]) -> Iterator[Turn]:
    """Yield what a tensor of this shape may have been taken for."""
    for a in range(len(shape)):
        for b in range(a + 1, len(shape)):
            if shape[a] == shape[b] > 1:
                words = "it transposed" if len(shape) == 2 else f"its axes {a} and {b} exchanged"
                yield Turn(("transposed", a, b), words, _swap(a, b))
    if len(shape) > 2 and max(shape[2:]) > 1:
        axes = tuple(range(2, len(shape)))
        yield Turn(("transposed", "turned"), "its kernel turned", _flip(axes))
    if not shape:
        return
    for parts in GATES:
        if shape[0] % parts == 0 and shape[0] > parts:
            for order in [*permutations(range(parts))][1:]:
                words = f"its {parts} blocks in the order {list(order)}"
                yield Turn(("blocks", parts, order), words, _blocks(parts, order))
    for axis in range(min(len(shape), 2)):
        for outer in range(2, shape[axis] // 2 + 1):
            if shape[axis] % outer == 0:
                words = f"its axis {axis} seen as [{outer}, {shape[axis] // outer}] and exchanged"
                key = ("interleaved", axis, outer, shape[axis])
                yield Turn(key, words, _interleaved(axis, outer))


def _swap(a: int, b: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: x.swapaxes(a, b)


def _flip(axes: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.flip(x, axes)


def _blocks(parts: int, order: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.concatenate([np.split(x, parts)[i] for i in order])


def _interleaved(axis: int, outer: int) -> Callable[[np.ndarray], np.ndarray]:
    def of(x: np.ndarray) -> np.ndarray:
        front = np.moveaxis(x, axis, 0)
        mixed = front.reshape(outer, -1, *front.shape[1:]).swapaxes(0, 1).reshape(front.shape)
        return np.moveaxis(mixed, 0, axis)

    return of
