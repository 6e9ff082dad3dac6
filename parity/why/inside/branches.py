"""A value that is made of another one than the second side's: one direction of a loss taken twice.

What it is made of lies before the region, for it agrees there: the branch is run again from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.recordings import Made
from parity.why.inside.edit import Edit, Put
from parity.why.inside.ground import Ground, near
from parity.why.inside.paths import LONGEST, along, path
from parity.why.inside.points import points
from parity.why.inside.words import at, called

MOST_AXES = 4


class Given(NamedTuple):
    """A value that the second side's region reads, as the first side has it."""

    number: int
    order: tuple[int, ...]
    """Of its axes, as the second side has them."""
    reader: Made

    @property
    def turned(self) -> bool:
        """Return whether its axes stand otherwise."""
        return self.order != tuple(sorted(self.order))


def branches(ground: Ground) -> Iterator[Edit]:
    """Yield what the region reads, made of what the second side's region reads."""
    given = _given(ground)
    reads = [p for p in points(ground, outcomes=False) if len(p.places) == 1 and not p.more]
    for own in (True, False):  # that the same value is turned says most
        for point in reads:
            for root in _upstream(ground, point.number):
                way = path(ground, root, point.number)
                for each in given:
                    shape = [np.shape(ground.value(each.number))[a] for a in each.order]
                    if (each.number == root) is not own or tuple(shape) != np.shape(
                        ground.value(root)
                    ):
                        continue
                    if way and (each.turned or not own):
                        said = _said(ground, root, each, ground.operation(way[0]))
                        yield point.edit(said, [_made(ground, root, each, way, point.number)])
    for point in reads:
        for root in _upstream(ground, point.number):
            made, way = ground.one.maker(root), path(ground, root, point.number)
            if not way or made is None or not made.moves or len(made.inputs) != 1:
                continue
            (source,) = made.inputs
            if np.shape(ground.value(source)) == np.shape(ground.value(root)):
                straight = Given(source, tuple(range(np.ndim(ground.value(source)))), made)
                reader = ground.operation(way[0])
                said = (
                    f"only {ground.left} has {called(ground.one, source)} transposed{at(made)} in "
                    f"{reader.inside or reader.kind}{at(reader)}"
                )
                yield point.edit(said, [_made(ground, root, straight, way, point.number)])


def _given(ground: Ground) -> list[Given]:
    """Return what the second side's region reads, where the first side has it, turned or not."""
    found: dict[tuple[int, tuple[int, ...]], Given] = {}
    for operation in ground.theirs.operations:
        for u in operation.inputs:
            y = np.asarray(ground.other.values[u])
            if ground.other.fixed[u] or y.dtype.kind != "f" or not 0 < y.ndim <= MOST_AXES:
                continue
            for number in ground.twins(u):
                x = np.asarray(ground.value(number))
                for order in permutations(range(x.ndim)):
                    if near(x.transpose(order), y):
                        found.setdefault((number, order), Given(number, order, operation))
                        break
    return [*found.values()]


def _upstream(ground: Ground, number: int) -> list[int]:
    """Return what a value is made of, the farthest first."""
    found: dict[int, None] = {}
    level, seen = [number], 0
    while level and seen < LONGEST:
        made = [o for n in level if (o := ground.one.maker(n)) is not None]
        level = [n for o in made for n in o.inputs if n not in found]
        found |= dict.fromkeys(n for n in level if np.ndim(ground.value(n)))
        seen += len(made)
    return [*found][::-1]


def _said(ground: Ground, root: int, given: Given, reader: Made) -> str:
    what, where = called(ground.one, root), reader.inside or reader.kind
    if given.number == root:
        how = "transposed" if len(given.order) == 2 else f"with its axes as {list(given.order)}"
        return f"only {ground.right} has {what} {how}{at(given.reader)} in {where}{at(reader)}"
    other = called(ground.one, given.number)
    return (
        f"{ground.left} reads {what} in {where}{at(reader)} where {ground.right} reads "
        f"{other}{'' if at(given.reader) in other else at(given.reader)}"
    )


def _made(ground: Ground, root: int, given: Given, way: list[int], end: int) -> Put:
    def put(x: Any, values: Any) -> Any:
        new = {root: np.asarray(values.ours(given.number)).transpose(given.order)}
        return along(ground, way, new, end, values)

    return put
