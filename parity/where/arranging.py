"""How numbers of one shape may stand in another: the ways in which two frameworks lay out the same.

Proposes; what is right is found out by running.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np

MOST_AXES = 4
"""Axes up to which every order is proposed."""


def arrangements(value: Any, shape: tuple[int, ...]) -> Iterator[Any]:
    """Yield ``value`` in a shape: as it is, its axes in other orders, axes put together, repeated.

    The likeliest first.
    """
    x = np.asarray(value)
    if x.shape == shape:
        yield x
    bare, wanted = x.squeeze(), tuple(n for n in shape if n != 1)
    if x.shape != shape and bare.shape == wanted:
        yield x.reshape(shape)
    if x.size != np.prod(shape, dtype=int):
        yield from _repeated(x, shape)
        return
    if bare.shape != wanted:
        yield x.reshape(shape)
    ordered = tuple(range(bare.ndim))
    for order in permutations(ordered) if bare.ndim <= MOST_AXES else ():
        if order != ordered:  # its axes in another order, then put together or taken apart
            turned = bare.transpose(order)
            if turned.shape == wanted or bare.ndim != len(wanted):
                yield turned.reshape(shape)
    if bare.ndim < len(wanted) <= MOST_AXES:  # taken apart, then in another order
        for order in permutations(range(len(wanted))):
            if order != tuple(range(len(wanted))):
                apart = bare.reshape([wanted[axis] for axis in order])
                yield apart.transpose(np.argsort(order)).reshape(shape)


def _repeated(x: Any, shape: tuple[int, ...]) -> Iterator[Any]:
    """Yield what broadcasting makes of a smaller one, and one copy of a larger one."""
    if x.size < np.prod(shape, dtype=int):
        try:
            yield np.broadcast_to(x, shape)
        except ValueError:
            return
        return
    if x.ndim != len(shape):
        return
    if all(n in (1, m) for n, m in zip(shape, x.shape, strict=True)):
        first = x[tuple(slice(0, n) for n in shape)]
        if np.array_equal(np.broadcast_to(first, x.shape), x):
            yield first
