"""A way in which numbers of one array stand in another, and how two ways differ, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Way(NamedTuple):
    """Seen in a shape, its axes in an order, then in the shape that is read; or repeated."""

    split: tuple[int, ...]
    order: tuple[int, ...]
    shape: tuple[int, ...]
    times: int = 1
    axis: int = -1
    tiled: bool = False

    def __call__(self, x: Any) -> Any:
        """Return an array so arranged."""
        x = np.asarray(x)
        if self.times > 1:
            x = (np.tile(x, [self.times if a == self.axis else 1 for a in range(x.ndim)])
                 if self.tiled else np.repeat(x, self.times, self.axis))  # fmt: skip
            return x.reshape(self.shape)
        return x.reshape(self.split).transpose(self.order).reshape(self.shape)

    @property
    def plain(self) -> bool:
        """Whether no axis changes its place."""
        return self.times == 1 and self.order == tuple(range(len(self.split)))


def told(
    one: tuple[str, str],
    other: tuple[str, str],
    what: str,
    whole: tuple[int, ...],
    own: Way | None,
    way: Way,
) -> str:
    """Return how two sides, each with its lines, take an array of a shape."""
    (left, mine), (right, theirs) = one, other
    if own is None:
        return f"{what} stands otherwise: {left}{mine}, {right} {_seen(way, whole)}{theirs}"
    if own.plain and own.shape == whole and (how := _interleaved(way, whole)):
        return f"only {right} has {what} {how}{theirs}"
    if own.plain and own.shape == whole == way.split:
        return f"only {right} {_turned(way, what)}{theirs}"
    if own.plain and way.split == whole:
        return (
            f"{left} reshapes {what} without moving its axes{mine}, {right} first puts them in "
            f"the order {list(way.order)}{theirs}"
        )
    if way.plain and own.split == whole:
        return f"only {left} {_turned(own, what)}{mine}"
    return (
        f"{what} stands otherwise: {left} {_seen(own, whole)}{mine}, {right} "
        f"{_seen(way, whole)}{theirs}"
    )


def _turned(way: Way, what: str) -> str:
    if len(way.split) == 2:
        return f"has {what} transposed"
    return f"has {what} with its axes in the order {list(way.order)}"


def _interleaved(way: Way, whole: tuple[int, ...]) -> str:
    """Return how a way interleaves one axis of an array; nothing where it does something else."""
    moved = [k for k, axis in enumerate(way.order) if k != axis]
    if way.shape != whole or len(moved) != 2 or moved[1] != moved[0] + 1:
        return ""
    axis, (a, b) = moved[0], way.split[moved[0] : moved[1] + 1]
    if (*way.split[:axis], a * b, *way.split[axis + 2 :]) != whole:
        return ""
    return f"interleaved in {a} along axis {axis}"


def _seen(way: Way, whole: tuple[int, ...]) -> str:
    order = f"puts its axes in the order {list(way.order)}"
    if way.split == whole and not way.plain:
        return order
    if way.plain:
        return "takes it as it is" if way.shape == whole else f"sees it as {_shape(way.shape)}"
    return f"sees it as {_shape(way.split)} and {order}"


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def repeating(way: Way | None) -> str:
    """Return how a way repeats what it takes."""
    if way is None or way.times == 1:
        return "takes"
    return (
        f"tiles axis {way.axis} of"
        if way.tiled
        else f"repeats each element along axis {way.axis} of"
    )
