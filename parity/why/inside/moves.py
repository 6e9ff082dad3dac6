"""Numbers that stand elsewhere: reshaped without a transposition, split or joined otherwise, tiled.

What is read in a region is taken from where its numbers were made, in every other way in which the
shapes of both sides allow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np

from parity.frameworks.recordings import Made
from parity.judge.cause import enumerated
from parity.where.parting import Side
from parity.why.conventions.alternatives import JOINING, joined_otherwise
from parity.why.inside.edit import Edit, Put, Step, Values
from parity.why.inside.ground import Ground, near
from parity.why.inside.points import Point, points
from parity.why.inside.ways import Way, repeating, told
from parity.why.inside.words import at, called

MOST_AXES = 6
MOST = 800
"""Ways of one chain that are tried."""
LARGEST = 200_000


def moves(ground: Ground) -> Iterator[Edit]:
    """Yield what the first side reads, arranged otherwise; alike chains together, then each."""
    every = [*points(ground)]
    yield from _joined(ground)
    yield from _repeats(ground, every)
    ends = [p for p in every if p.index is not None and not p.operations[0].moves]
    yield from _arranged(ground, [*ends, *(p for p in every if p not in ends)])


def _joined(ground: Ground) -> Iterator[Edit]:
    """Yield what the region is made of put together in another order."""
    recording = ground.one.recording
    roots = [r for p in ground.all for n in ground.operation(p).inputs
             for r in _roots(ground.one, n)]  # fmt: skip
    makers = [recording.makers[n] for n in dict.fromkeys(roots) if n in recording.makers]
    for place in dict.fromkeys((*ground.places, *makers)):
        operation = ground.operation(place)
        orders = joined_otherwise(operation.kind, len(operation.inputs))
        if not orders:
            continue
        parts = [called(ground.one, n) for n in operation.inputs]
        theirs = [o for o in ground.other.recording.operations
                  if o.kind in JOINING and len(o.inputs) == len(parts)]  # fmt: skip
        for order in orders:
            said = (
                f"{ground.left} puts {enumerated(parts)} together{at(operation)}, "
                f"{ground.right} {enumerated([parts[i] for i in order])}{at(*theirs[:1])}"
            )
            for group in ground.turns(place):
                yield Edit(said, {p: _in_order(ground.operation(p), order) for p in group})


def _in_order(operation: Made, order: Sequence[int]) -> Step:
    def step(read: Any, values: Values) -> Any:
        if operation.apply is None:
            raise ValueError("cannot be run again")
        return operation.apply([read[i] for i in order])[0]

    return step


def _repeats(ground: Ground, every: Sequence[Point]) -> Iterator[Edit]:
    """Yield what is repeated on its way along an axis, each element for the whole, or tiled."""
    recording = ground.one.recording
    for chain in dict.fromkeys(tuple(_roots(ground.one, p.number)) for p in every):
        shapes = [np.shape(ground.value(n)) for n in chain]
        for (a, whole), (b, shape) in combinations(zip(chain, shapes, strict=True), 2):
            grown = [k for k in range(len(whole)) if len(shape) == len(whole)
                     and shape[k] > whole[k] > 1]  # fmt: skip
            if (
                len(grown) != 1
                or np.prod(shape) * whole[grown[0]] != np.prod(whole) * shape[grown[0]]
            ):
                continue
            times = shape[grown[0]] // whole[grown[0]]
            if times * whole[grown[0]] != shape[grown[0]]:
                continue
            ways = [Way(whole, (), shape, times, grown[0], tiled) for tiled in (True, False)]
            x, v = np.asarray(ground.value(a)), np.asarray(ground.value(b))
            own = next((w for w in ways if np.array_equal(w(x), v)), None)
            for way in ways:
                if way != own:
                    lines = at(*_lines(ground.one, b, a)), at(*_moving(ground)[-1:])
                    said = (
                        f"{ground.left} {repeating(own)} {called(ground.one, a)}{lines[0]}, "
                        f"{ground.right} {repeating(way)} it{lines[1]}"
                    )
                    yield Edit(said, {recording.makers[b]: _from(a, way)})


def _from(number: int, way: Way) -> Step:
    return lambda read, values: way(values.ours(number))


def _arranged(ground: Ground, every: Sequence[Point]) -> Iterator[Edit]:
    for point in every:
        for root in _roots(ground.one, point.number):
            x, v = np.asarray(ground.value(root)), np.asarray(ground.value(point.number))
            if x.dtype.kind not in "fc" or not 1 < x.size <= LARGEST or not v.ndim:
                continue
            if x.size != v.size:
                continue
            own = _way_of(ground, root, point.number)
            alike = [p for p in every if _signature(ground, p) == _signature(ground, point)
                     and p.index is not None and point.index is not None]  # fmt: skip
            for way in _ways(ground, x.shape, v.shape, own):
                if not _is_forced(ground, point, way, x):
                    continue
                said = _said(ground, root, point, own, way)
                for group in _groups(ground, point, alike):
                    yield from _edit(ground, said, group, root, point, way)
                yield from _there_and_back(ground, said, root, point, way)


def _groups(ground: Ground, point: Point, alike: list[Point]) -> list[list[Point]]:
    """Return what is arranged at once: all chains alike, those that stand elsewhere, or one."""
    elsewhere = [p for p in alike if _stands_elsewhere(ground, p.number)]
    read = {p.number for p in elsewhere}  # what is made of one that is moved is moved already
    elsewhere = [
        p for p in elsewhere if read.isdisjoint(n for o in p.operations for n in o.outputs)
    ]
    groups = [alike, elsewhere if point in elsewhere else [], [point]]
    return [group for k, group in enumerate(groups) if group and group not in groups[:k]]


def _stands_elsewhere(ground: Ground, number: int) -> bool:
    """Return whether the second side has the same numbers, and never in the same places."""
    twins = ground.other.index.find(ground.one.prints[number])
    x = ground.value(number)
    return bool(twins) and not any(near(x, ground.other.values[u]) for u in twins)


def _is_forced(ground: Ground, point: Point, way: Way, x: Any) -> bool:
    """Return whether a way leads to what was put there when the region was found, if it was."""
    wanted = ground.region.forced.edges.get((point.places[0], -1 if point.index is None
                                             else point.index))  # fmt: skip
    return wanted is None or near(way(x), wanted)


def _edit(
    ground: Ground, said: str, group: Sequence[Point], root: int, point: Point, way: Way
) -> Iterator[Edit]:
    """Yield the change to what reads a chain in another way, at all turns."""
    chain = _roots(ground.one, point.number)
    depth = len(chain) - 1 - chain.index(root)
    whole = Edit(said)
    for one in group:
        if one.index is None:
            if depth:
                return
            whole |= one.edit(said, [lambda x, values: way(x)] * len(one.places))
            continue
        before = [_back(ground, o.inputs[one.index], depth) for o in one.operations]
        if None in before:
            return
        whole |= one.edit(said, [_taken(n, way) for n in before if n is not None])
    yield whole


def _there_and_back(ground: Ground, said: str, root: int, point: Point, way: Way) -> Iterator[Edit]:
    """Yield an array that is reshaped otherwise, and back again."""
    operation = point.operations[0]
    if point.index is not None or operation.inputs[:1] != (root,) or way.times > 1:
        return
    whole, shape = np.shape(ground.value(root)), np.shape(ground.value(point.number))
    back = {
        place: _returned(way, whole)
        for place, o in enumerate(ground.one.recording.operations)
        if o.kind == operation.kind and place > point.places[-1]
        and np.shape(ground.value(o.inputs[0])) == shape
        and np.shape(ground.value(o.outputs[0])) == whole
    }  # fmt: skip
    if back:
        steps: dict[int, Step] = {p: lambda read, values: way(read[0]) for p in point.places}
        yield Edit(said, steps | back)


def _returned(way: Way, whole: tuple[int, ...]) -> Step:
    moved = [way.split[a] for a in way.order]

    def step(read: Any, values: Values) -> Any:
        return np.asarray(read[0]).reshape(moved).transpose(np.argsort(way.order)).reshape(whole)

    return step


def _roots(side: Side, number: int) -> list[int]:
    """Return where the numbers of a value stood before, the earliest last."""
    found = [number]
    operation = side.maker(number)
    while operation is not None and operation.moves and len(operation.inputs) == 1:
        if len(operation.outputs) > 1:
            break
        found.append(operation.inputs[0])
        operation = side.maker(found[-1])
    return found[::-1]


def _signature(ground: Ground, point: Point) -> Any:
    chain = _roots(ground.one, point.number)
    shapes = tuple(np.shape(ground.value(n)) for n in chain)
    kinds = tuple(getattr(ground.one.maker(n), "kind", "") for n in chain[1:])
    return shapes, kinds


def _back(ground: Ground, number: int, steps: int) -> int | None:
    """Return what a value was so many steps before."""
    for _ in range(steps):
        operation = ground.one.maker(number)
        if operation is None:
            return None
        number = operation.inputs[0]
    return number


def _taken(number: int, way: Way) -> Put:
    return lambda x, values: way(values.ours(number))


def _ways(
    ground: Ground, whole: tuple[int, ...], shape: tuple[int, ...], own: Way | None
) -> Iterator[Way]:
    """Yield every other way from one shape to another that puts numbers elsewhere."""
    index = np.arange(int(np.prod(whole))).reshape(whole)
    seen = {own(index).tobytes()} if own is not None else set()
    for count, way in enumerate(_proposed(ground, whole, shape)):
        if count > MOST:
            return
        try:
            found = way(index).tobytes()
        except ValueError:
            continue
        if found not in seen:
            seen.add(found)
            yield way


def _proposed(ground: Ground, whole: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[Way]:
    size = int(np.prod(whole))
    for split in _splits(ground, whole, size):
        for order in permutations(range(len(split))):
            yield Way(split, order, shape)


def _splits(ground: Ground, whole: tuple[int, ...], size: int) -> list[tuple[int, ...]]:
    """Return the shapes to see an array in: its own, those of both sides, an axis split."""
    both = [
        np.shape(side.values[n])
        for side, part in ((ground.one, ground.mine), (ground.other, ground.theirs))
        for o in (*part.operations, *part.readers)
        for n in (*o.inputs, *o.outputs)
    ]
    found = dict.fromkeys([whole, *(s for s in both if int(np.prod(s)) == size)])
    for axis, n in enumerate(whole):
        for k in (2, 3, 4, n // 2, n // 3):
            if 1 < k < n and n % k == 0:
                found[(*whole[:axis], k, n // k, *whole[axis + 1 :])] = None
    bare = dict.fromkeys(tuple(n for n in s if n != 1) for s in found)
    return [s for s in bare if 1 < len(s) <= MOST_AXES]


def _way_of(ground: Ground, root: int, number: int) -> Way | None:
    """Return the way in which a value stands now, from where its numbers were."""
    x, v = np.asarray(ground.value(root)), np.asarray(ground.value(number))
    for way in _proposed(ground, x.shape, v.shape):
        try:
            if np.array_equal(way(x), v):
                return way
        except ValueError:
            continue
    return None


def _said(ground: Ground, root: int, point: Point, own: Way | None, way: Way) -> str:
    mine, theirs = at(*_lines(ground.one, point.number, root)), at(*_moving(ground)[-1:])
    what, whole = called(ground.one, root), np.shape(ground.value(root))
    return told((ground.left, mine), (ground.right, theirs), what, whole, own, way)


def _moving(ground: Ground) -> list[Made]:
    """Return what moves numbers on the second side, those that a line of the user's does first."""
    moving = [o for o in ground.theirs.operations if o.moves]
    telling = [o for o in moving if o.kind in ("transpose", "permute", "stack", "cat", "expand")]
    return telling or moving or [*ground.theirs.operations]


def _lines(side: Side, number: int, root: int) -> list[Made]:
    """Return what moves a value on its way."""
    found = []
    while number != root and (operation := side.maker(number)) is not None:
        found.append(operation)
        number = operation.inputs[0]
    return found[::-1]
