"""Where a side may be cut near the place where it parts from the other, and what lies before."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.recordings import Made
from parity.where.parting import Parting, Side

LARGEST = 9
"""Operations of a side up to which a region is looked for."""
TRACED = 6
"""Operations up to which it is followed where a value that agrees was made."""


class Spot(NamedTuple):
    """Where a side may be cut: values, or what is read of them, and the operations before."""

    numbers: tuple[int, ...]
    """The same place in the code, once a turn."""
    edges: tuple[tuple[tuple[int, int], ...], ...]
    """Of each number, which inputs of operations are meant; none: wherever it is read."""
    first: int
    """The first of them that counts."""
    reads: bool
    """Whether it agrees itself, and what differs is who reads it."""
    before: frozenset[int]
    """Places of the operations from what agrees up to the first of the values."""
    cost: int
    """Those of them that make numbers."""
    calls: int
    """The same, with what one call of a line does counted once."""
    roots: frozenset[int]
    """What agrees and goes in, as the second side's numbers; nothing that is fixed."""
    fixed: bool
    """Whether nothing that was given is in it."""


def spots(parting: Parting, second: bool, largest: int = LARGEST) -> list[Spot]:
    """Return where a side, the second or the first, may be cut."""
    side = parting.side
    found = []

    def add(numbers: Sequence[int], edges: Sequence[Any], first: int, reads: bool) -> None:
        before = moved(parting, first) if reads else _before(parting, first)
        cost, calls = made_by(parting, before), _calls(parting, before)
        if calls <= largest:
            roots, fixed = _roots(parting, before, first, second), side.fixed[first]
            own = tuple(numbers), tuple(edges)
            found.append(Spot(*own, first, reads, before, cost, calls, roots, fixed))

    for numbers in _by_site(side):
        made = [n for n in numbers if n in parting.live and _makes(side, n)]
        for few in dict.fromkeys((tuple(numbers), tuple(made), tuple(made[:1]))) if made else ():
            add(few, (), made[0], False)
    by_value: dict[int, list[tuple[int, int]]] = {}
    by_own: dict[int, list[tuple[int, int]]] = {}  # of what is made twice, that which is read
    by_reader: dict[tuple[str, int], list[tuple[int, tuple[int, int]]]] = {}
    for number, place, i in read_by_live(parting):
        n = side.firsts[number]
        if np.ndim(side.values[n]) or side.maker(n) is not None:
            by_value.setdefault(n, []).append((place, i))
            by_own.setdefault(number, []).append((place, i))
            site = side.sites[1][side.recording.operations[place].outputs[0]]
            by_reader.setdefault((site, i), []).append((number, (place, i)))
    for n, edges in (*by_own.items(), *by_value.items()):
        if parting.stands(n):
            add((n,), (tuple(edges),), n, True)
    for numbers in _by_site(side):
        read = [n for n in numbers if n in by_own]
        if len(read) > 1 and parting.stands(read[0]):
            add(read, [tuple(by_own[n]) for n in read], read[0], True)
    for each in by_reader.values():
        standing = [n for n, _ in each if parting.stands(n)]
        if standing and len(each) > 1:
            add([n for n, _ in each], [(edge,) for _, edge in each], standing[0], True)
    for n in parting.outputs:
        add((n,), (), n, parting.stands(n))
    return list({(s.numbers, s.edges): s for s in found}.values())


def _by_site(side: Side) -> list[tuple[int, ...]]:
    """Return the values of each place in the code, in order; those of rough places too."""
    found: list[tuple[int, ...]] = []
    for names in side.sites:
        groups: dict[str, list[int]] = {}
        for number in sorted(side.used.intersection(names)):
            groups.setdefault(names[number], []).append(number)
        found += map(tuple, groups.values())
    return [*dict.fromkeys(found)]


def read_by_live(parting: Parting) -> Iterator[tuple[int, int, int]]:
    """Yield (value, place of an operation that differs and makes numbers, which of its inputs)."""
    operations = parting.side.recording.operations
    for number, place, i in parting.side.recording.used():
        operation = operations[place]
        if not operation.moves and not parting.live.isdisjoint(operation.outputs):
            yield number, place, i


def made_by(parting: Parting, places: Collection[int]) -> int:
    """Return how many operations make numbers, those of all turns once."""
    side = parting.side
    operations = [side.recording.operations[place] for place in places]
    return len({side.sites[1][o.outputs[0]] for o in operations if o.outputs and not o.moves})


def _calls(parting: Parting, places: Collection[int]) -> int:
    side = parting.side
    operations = [side.recording.operations[place] for place in places]
    return len({
        (o.line, o.inside) if o.inside else side.sites[1][o.outputs[0]]
        for o in operations
        if o.outputs and not o.moves
    })  # fmt: skip


def _makes(side: Side, number: int) -> bool:
    operation = side.maker(number)
    return operation is not None and not operation.moves


def _roots(parting: Parting, before: Collection[int], number: int, second: bool) -> frozenset[int]:
    """Return what agrees and goes in, and what that was made of at once."""
    side, recording = parting.side, parting.side.recording
    made = {n for place in before for n in recording.operations[place].outputs}
    given = ({n for place in before for n in recording.operations[place].inputs} - made) | {number}
    for n in [*given]:
        operation = recording.maker(n)
        given.update(operation.inputs if operation is not None else ())
    agreeing = {n for n in given if not side.fixed[n] and parting.agrees(n)}
    if second:
        return frozenset(agreeing)
    return frozenset(twin for n in agreeing for twin in parting.twins.get(n, ()))


def _before(parting: Parting, number: int) -> frozenset[int]:
    """Return the operations from what agrees, but for its arrangement, up to a value."""
    recording = parting.side.recording
    places: set[int] = set()
    waiting = [number]
    while waiting:
        place = recording.makers.get(waiting.pop())
        if place is None or place in places:
            continue
        places.add(place)
        for n in recording.operations[place].inputs:
            if parting.agrees(n):
                places |= moved(parting, n)
            else:
                waiting.append(n)
    return frozenset(places)


def moved(parting: Parting, number: int) -> frozenset[int]:
    """Return the operations that only moved a value since its numbers were made."""
    recording = parting.side.recording
    places: set[int] = set()
    waiting = [number]
    while waiting:
        place = recording.makers.get(waiting.pop())
        if place is not None and place not in places and recording.operations[place].moves:
            places.add(place)
            waiting += recording.operations[place].inputs
    return frozenset(places)


def made_from(parting: Parting, number: int, other: Parting, wanted: int) -> frozenset[int]:
    """Return the operations that made a value from what the other side's ``wanted`` is made of.

    Nothing where that is further back than it is worth following.
    """
    recording = parting.side.recording
    common, own = _ancestors(other, wanted), _ancestors(parting, number)
    if _knows(parting, number, common) and _knows(other, wanted, own):  # each is made of the other
        common -= {n for n in common if _knows(parting, number, {n})}
        common -= {n for n in common if _knows(other, wanted, set(other.twins.get(n, ())))}
        common -= {wanted}
    places: set[int] = set()
    waiting = [number]
    while waiting:
        n = waiting.pop()
        if _knows(parting, n, common):
            places |= moved(parting, n)
            continue
        place = recording.makers.get(n)
        if place is None or place in places:
            continue
        places.add(place)
        if made_by(parting, places) > TRACED:
            return frozenset()
        waiting += recording.operations[place].inputs
    return frozenset(places)


def _knows(parting: Parting, number: int, others: Collection[int]) -> bool:
    """Return whether a value agrees with one of the other side's."""
    return parting.agrees(number) and any(n in others for n in parting.twins.get(number, ()))


def _ancestors(parting: Parting, number: int) -> set[int]:
    recording = parting.side.recording
    found: set[int] = set()
    waiting = [number]
    while waiting:
        n = waiting.pop()
        if n in found:
            continue
        found.add(n)
        place = recording.makers.get(n)
        waiting += recording.operations[place].inputs if place is not None else ()
    return found


def readers(parting: Parting, spot: Spot) -> tuple[Made, ...]:
    """Return the operations that differ and first read a spot's first value, moved or not."""
    recording = parting.side.recording
    if spot.edges:
        edges = spot.edges[spot.numbers.index(spot.first)]
        return tuple(recording.operations[place] for place, _ in edges)
    found, own = [], {spot.first}
    for operation in recording.operations:
        if own.isdisjoint(operation.inputs):
            continue
        if operation.moves:
            own.update(operation.outputs)
        elif not parting.live.isdisjoint(operation.outputs):
            found.append(operation)
    return tuple(found)
