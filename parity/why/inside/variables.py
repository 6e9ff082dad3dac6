"""Another variable in the same role: the normed value for the input of the norm, another gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np

from parity.frameworks.recordings import Made
from parity.where.matching import same
from parity.where.parting import Side
from parity.why.conventions.spelling import written
from parity.why.inside.edit import Edit, Put, Step, Values
from parity.why.inside.ground import Ground, near, only
from parity.why.inside.paths import path
from parity.why.inside.points import Point, points
from parity.why.inside.steps import operand
from parity.why.inside.words import TRANSITIVE, at, called, does, placed

MOST_PARTS = 6
SHOWN = 3
"""Numbers of a table that are shown."""
BACK = 10
"""Steps back from what is read to where it was split."""


def variables(ground: Ground) -> Iterator[Edit]:
    """Yield what the first side reads with another of its values in the place."""
    yield from _parts(ground)
    yield from _read(ground)


def tables(ground: Ground) -> Iterator[Edit]:
    """Yield an array that no input is in, with the second side's in its place."""
    theirs = {u: o for u, o in _theirs(ground).items() if _is_table(ground.other, u)}
    for point in sorted(points(ground, outcomes=False), key=lambda p: p.operations[0].moves):
        if not _is_table(ground.one, point.number):
            continue
        x = np.asarray(ground.value(point.number))
        for u, reader in theirs.items():
            y = np.asarray(ground.other.values[u])
            if y.shape != x.shape or near(x, y) or (only(x) is not None and only(y) is not None):
                continue
            own, other = _using(ground.one, point.operations[0]), _using(ground.other, reader)
            left, right = f"{ground.left} {_has(own, x)}", f"{ground.right} {_has(other, y)}"
            said = f"{placed(left, own)}, {placed(right, other)}"
            yield point.edit(said, ground.of_theirs(u, 1) * len(point.places))


def _is_table(side: Side, number: int) -> bool:
    """Return whether a value is several numbers, and no input is in it."""
    x = np.asarray(side.values[number])
    return side.fixed[number] and x.dtype.kind == "f" and x.size > 1


def _using(side: Side, operation: Made) -> Made:
    """Return what computes with what an operation moves."""
    recording = side.recording
    while operation.moves and len(places := recording.readers().get(operation.outputs[0], [])) == 1:
        operation = recording.operations[places[0]]
    return operation


def _has(reader: Made, x: Any) -> str:
    flat = np.asarray(x).ravel()
    some = ", ".join(written(float(v)) for v in flat[:SHOWN])
    shown = f"[{some}, ...]" if flat.size > SHOWN else f"[{some}]"
    return does(reader.kind, shown) if reader.kind in TRANSITIVE else f"has {shown}"


def _read(ground: Ground) -> Iterator[Edit]:
    own = _own(ground)
    for point in points(ground, outcomes=False):
        shape = np.shape(ground.value(point.number))
        if not shape and ground.one.maker(point.number) is None:
            continue
        yield from _of_this_turn(ground, point)
        for number, (u, reader) in own.items():
            if np.shape(ground.value(number)) != shape:
                continue
            read = [o.inputs[point.index or 0] for o in point.operations]
            numbers = ground.turn_by_turn(number, point.places)
            numbers = numbers or ground.turn_before(number, point.places, read[0])
            if numbers is None and len(read) == 1 and _is_later(ground, number, point, u):
                said = _said(ground, point, called(ground.one, read[0]), called(ground.other, u))
                yield point.edit(placed(said, reader), ground.of_theirs(u, 1))
            if numbers is not None and numbers != read:
                said = _otherwise(ground, point, read, numbers, u, reader)
                yield point.edit(said, [_instead(n) for n in numbers])


def _of_this_turn(ground: Ground, point: Point) -> Iterator[Edit]:
    """Yield what is carried from turn to turn, as it is made in the same turn."""
    read = [o.inputs[point.index or 0] for o in point.operations]
    numbers = ground.turn_by_turn(read[1], point.places) if len(read) > 1 else None
    late = numbers is not None and numbers != read and read[1:] == numbers[:-1]
    if numbers is not None and late and ground.theirs_made:
        said = _otherwise(ground, point, read, numbers, -1, ground.theirs_made[-1])
        yield point.edit(said, [_instead(n) for n in numbers])


def _otherwise(
    ground: Ground,
    point: Point,
    read: Sequence[int],
    numbers: Sequence[int],
    theirs: int,
    reader: Made,
) -> str:
    """Say what is read otherwise, turn by turn."""
    late = read[1:] == numbers[:-1] or read[:-1] == numbers[1:]
    own = [n for n, m in zip(read, numbers, strict=True) if n != m][-1]  # a loop starts with zeros
    if len(numbers) > 1 and late:
        when = ["of the turn before", "of the same turn"]
        mine, other = when if read[1:] == numbers[:-1] else when[::-1]
        line = "" if at(reader) in called(ground.one, own) else at(reader)
        return (
            f"{ground.left} reads {called(ground.one, numbers[0])} {mine} in "
            f"{_what(ground, point)}{at(point.operations[0])}, {ground.right} {other}{line}"
        )
    if _alike(ground, read, numbers):  # the same numbers: how they lie differs
        moved = _moved(ground.value(numbers[0]), ground.value(point.number))
        what = called(ground.one, own)
        return f"only {ground.left} has {what} with {moved}{at(point.operations[0])}"
    mine, other = operand(ground, own), _called(ground, numbers, theirs)
    if mine.split(" (")[0] == other.split(" (")[0]:  # the same words are no difference
        other += " earlier" if numbers[read.index(own)] < own else " later"
    return placed(_said(ground, point, mine, other), reader)


def _said(ground: Ground, point: Point, own: str, theirs: str) -> str:
    return (
        f"{ground.left} reads {own} in {_what(ground, point)}{at(point.operations[0])} where "
        f"{ground.right} reads {theirs}"
    )


def _is_later(ground: Ground, number: int, point: Point, theirs: int) -> bool:
    """Return whether a value is made further on, of other things: the second side's stands in."""
    made = point.operations[0].outputs[0]
    alone = not path(ground, made, number)
    return alone and near(ground.value(number), ground.other.values[theirs])


def _alike(ground: Ground, read: Sequence[int], numbers: Sequence[int]) -> bool:
    """Return whether values are the same numbers at every turn."""
    prints = ground.one.prints
    both = [(prints[a], prints[b]) for a, b in zip(read, numbers, strict=True)]
    return all(a is not None and b is not None and same(a, b) for a, b in both)


def _moved(x: Any, moved: Any) -> str:
    """Say how the same numbers lie in another array of that shape."""
    x, moved = np.asarray(x), np.asarray(moved)
    for a, b in combinations(range(x.ndim), 2):
        other = x.swapaxes(a, b)
        if other.shape == moved.shape and np.array_equal(other, moved):
            return f"axes {a} and {b} exchanged"
    return "its elements in another order"


def _called(ground: Ground, numbers: Sequence[int], first: int) -> str:
    """Return what the second side reads; at a loop's first turn that may be an input, a start."""
    found = ground.other.index.find(ground.one.prints[numbers[-1]]) if len(numbers) > 1 else []
    return called(ground.other, next(iter(found), first))


def _what(ground: Ground, point: Point) -> str:
    """Return what computes with what is read."""
    reader = _using(ground.one, point.operations[0])
    return reader.inside or reader.kind


def _instead(number: int) -> Put:
    return lambda x, values: values.ours(number)


def _theirs(ground: Ground) -> dict[int, Any]:
    """Return {value: what reads it} of what the second side reads in the region and behind it."""
    found: dict[int, Any] = {}
    theirs = ground.theirs
    for operation in (*theirs.makes, *theirs.readers, *theirs.operations, *ground.theirs_made):
        for n in operation.inputs:
            found.setdefault(n, operation)
    return found


def _own(ground: Ground) -> dict[int, tuple[int, Any]]:
    """Return {the first side's value: (the second's that is the same numbers, what reads it)}."""
    found: dict[int, tuple[int, Any]] = {}
    for u, reader in _theirs(ground).items():
        for number in ground.twins(u):
            found.setdefault(number, (u, reader))
    return found


def exchanged(ground: Ground) -> Iterator[Edit]:
    """Yield what two operations of the region read, each in the place of the other."""
    single = [
        point
        for point in points(ground, outcomes=False)
        if point.index is not None and np.ndim(ground.value(point.number))
    ]
    for one, other in combinations(single, 2):
        a, b = ground.value(one.number), ground.value(other.number)
        if one.number == other.number or np.shape(a) != np.shape(b):
            continue
        if len(one.places) != len(other.places) or (one.places, one.index) == (
            other.places,
            other.index,
        ):
            continue
        names = called(ground.one, one.number), called(ground.one, other.number)
        lines = at(one.operations[0], other.operations[0])
        theirs = at(*ground.theirs_made[-1:])
        both = f"{names[0]} and {names[1]}"
        if names[0] == names[1]:
            both = names[0].replace("what", "the two that", 1)
        said = f"{both} are exchanged: {ground.left}{lines}, {ground.right}{theirs}"
        yield _by(said, one, other) | _by(said, other, one)


def _by(said: str, point: Point, other: Point) -> Edit:
    numbers = [o.inputs[other.index or 0] for o in other.operations]

    def put(n: int) -> Put:
        return lambda x, values: values.ours(n)

    return point.edit(said, [put(n) for n in numbers])


# parts of one array


def _parts(ground: Ground) -> Iterator[Edit]:
    """Yield what is split with its parts in another order: all arrays split alike, or each."""
    splits = _splits(ground)
    groups: list[list[list[int]]] = []
    for split in splits:
        alike = [s for s in splits if len(s) == len(split)]
        groups += [alike, [split]]
    for group in _unique(groups):
        count = len(group[0]) if len(group[0]) > 1 else len(ground.operation(group[0][0]).outputs)
        for order in permutations(range(count)) if 1 < count <= MOST_PARTS else ():
            if order == tuple(range(count)):
                continue
            lines = at(*(ground.operation(s[0]) for s in group))
            theirs = [o for o in ground.theirs.operations if "split" in o.kind or "slice" in o.kind
                      or "select" in o.kind or "narrow" in o.kind]  # fmt: skip
            said = (
                f"the blocks are in another order: where {ground.left} takes {[*range(count)]}"
                f"{lines}, {ground.right} takes {[*order]}{at(*theirs[:2])}"
            )
            for wide in (0, -1):
                steps: dict[int, Step] = {}
                for split in group:
                    steps |= _in_order(ground, split, order, wide)
                yield Edit(said, steps)


def _unique(groups: Sequence[list[list[int]]]) -> Iterator[list[list[int]]]:
    seen = set()
    for group in groups:
        key = tuple(map(tuple, group))
        if key not in seen:
            seen.add(key)
            yield group


def _splits(ground: Ground) -> list[list[int]]:
    """Return where what is read was split, by one operation or by several slices of one value.

    All turns of such an operation count as one.
    """
    recording, found = ground.one.recording, dict[tuple[int, ...], None]()
    level = {n for place in ground.all for n in ground.operation(place).inputs}
    for _ in range(BACK):
        places = {recording.makers[n] for n in level if n in recording.makers}
        for place in sorted(places):
            operation = recording.operations[place]
            shapes = {np.shape(ground.value(n)) for n in operation.outputs}
            if operation.kind == "split" and len(shapes) == 1:
                found[(place,)] = None
            elif operation.kind == "slice":
                alike = _slices(ground, place)
                found |= {tuple(alike): None} if len(alike) > 1 else {}
        level = {n for p in places for n in recording.operations[p].inputs}
    return [list(places) for places in sorted(found)]


def _slices(ground: Ground, place: int) -> list[int]:
    """Return the slices of the same value that are as large, in the order of where they stand."""
    operation, recording = ground.operation(place), ground.one.recording
    shape = np.shape(ground.made(place))
    own = [
        p
        for p in recording.readers().get(operation.inputs[0], [])
        if recording.operations[p].kind == "slice" and np.shape(ground.made(p)) == shape
    ]
    x = np.asarray(ground.value(operation.inputs[0]))
    count = np.arange(x.size, dtype=x.dtype).reshape(x.shape)

    def start(p: int) -> float:
        apply = recording.operations[p].apply
        return float(np.asarray(apply([count])[0]).flat[0]) if apply is not None else 0.0

    return sorted(dict.fromkeys(own), key=start)


def _in_order(
    ground: Ground, split: Sequence[int], order: Sequence[int], wide: int
) -> dict[int, Step]:
    """Return what splits in another order: at all its turns, or where it is found alone."""
    steps: dict[int, Step] = {}
    if len(split) == 1:
        for place in ground.turns(split[0])[wide]:
            steps[place] = _permuted(ground, place, order)
        return steps
    for k, place in enumerate(split):
        steps[place] = _sliced(ground, split[order[k]])
    return steps


def _permuted(ground: Ground, place: int, order: Sequence[int]) -> Step:
    apply = ground.operation(place).apply

    def step(read: Any, values: Values) -> Any:
        made = apply(read) if apply is not None else []
        return [made[k] for k in order]

    return step


def _sliced(ground: Ground, place: int) -> Step:
    apply = ground.operation(place).apply
    return lambda read, values: apply(read) if apply is not None else []
