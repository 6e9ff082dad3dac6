"""Numbers that change from turn to turn: a rate that warms up or decays, or is a turn late.

Sought over the whole of both recordings: where the turns differ by such numbers alone nothing
agrees after the first, so that no region can be confirmed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice, pairwise, product
from typing import NamedTuple

import numpy as np

from parity.frameworks.recordings import Made
from parity.where.parting import Side
from parity.why.conventions.spelling import written
from parity.why.inside.edit import Edit, Put, together
from parity.why.inside.functions import LINEAR
from parity.why.inside.ground import CLOSE, lines_of, near, only
from parity.why.inside.words import at, called

ALIKE = 12
"""Operations of one kind in one line up to which each is looked at alone."""
SHOWN = 4
"""Numbers that are shown."""
TOGETHER, MOST = 3, 200
"""Series that are put in together, and ways to do so that are tried."""
TURNS = 3
"""Turns from which on numbers are a series."""
ROUNDED = 1e-5
"""What a float32 schedule may be off by where two series are said to be the same, a turn late."""


class Series(NamedTuple):
    """What operations multiply their data by, turn by turn; several where many arrays are alike."""

    strands: tuple[tuple[int, ...], ...]
    """Places of an operation at every turn, of each array."""
    numbers: np.ndarray
    operation: Made
    operand: int | None
    """Which of its inputs that is; None where it is none."""
    roots: tuple[int, ...]
    """What was multiplied first, by this or others before it."""
    rest: np.ndarray
    """What the others multiply by, before and after."""

    @property
    def whole(self) -> np.ndarray:
        """Return what comes of all of them."""
        return self.numbers * self.rest


def series(mine: Loops, loops: Loops) -> Iterator[Edit]:
    """Yield the first side with the numbers of the second from turn to turn.

    Those of one operation; of all operations in order, where both do the same; of some, each with
    all that its data is multiplied by.
    """
    one, other = mine.side, loops.side
    ours, theirs = mine.all(), loops.all()
    put = [s for s in ours if s.operand is not None]
    for a, b in product(put, theirs):
        if b.numbers.all():
            for numbers in (b.numbers, -b.numbers):
                yield from _edits(mine, other, a, b, numbers)
    if [s.operation.kind for s in ours] == [s.operation.kind for s in theirs] and ours == put:
        pairs = zip(ours, theirs, strict=True)
        yield together(edit for a, b in pairs for edit in _edits(mine, other, a, b, b.numbers))
    options = []
    for a in put:
        own = (b for b in theirs if _of_one_root(one, other, a, b))
        edits = [e for b in own for e in _edits(mine, other, a, b, b.whole / a.rest)]
        options += [edits] if edits else []
    for count in range(1, TOGETHER + 1):
        ways = (way for some in combinations(options, count) for way in product(*some))
        yield from map(together, sorted(islice(ways, MOST), key=_late))


def _late(edits: Sequence[Edit]) -> int:
    """Return a key that is least where most are said to be a turn late."""
    return -sum("one turn" in edit.said for edit in edits)


def _of_one_root(one: Side, other: Side, a: Series, b: Series) -> bool:
    if len(a.numbers) != len(b.numbers) or not a.rest.all():
        return False
    return b.roots[0] in other.index.find(one.prints[a.roots[0]])


class Factor(NamedTuple):
    """A number by which an operation multiplies what it reads."""

    number: float
    data: int
    """The value that is multiplied."""
    operand: int | None
    """Which input the number is; None where it is known by what is made alone."""


def _factor(side: Side, place: int) -> Factor | None:
    """Return what an operation multiplies by: what it reads, or known by what it makes."""
    operation = side.recording.operations[place]
    inputs = operation.inputs
    if not operation.outputs or side.fixed[operation.outputs[0]] or operation.kind not in LINEAR:
        return None
    read = [np.asarray(side.values[n]) for n in inputs]
    if len(read) == 2 and operation.kind in ("mul", "div"):
        for i in (0, 1) if operation.kind == "mul" else (1,):
            number = only(read[i]) if side.fixed[inputs[i]] else None
            if number is not None and (number or operation.kind == "mul"):
                return Factor(1 / number if operation.kind == "div" else number, inputs[1 - i], i)
        return None
    made = np.asarray(side.values[operation.outputs[0]])
    if made.dtype.kind != "f" or any(x.shape != made.shape for x in read):
        return None
    if len(read) == 2:
        made = made - read[0]
    data = read[-1] != 0 if read else np.array(False)
    number = only(made[data] / read[-1][data]) if data.any() else None
    return None if number is None else Factor(number, inputs[-1], None)


class Loops:
    """What one side multiplies by, in every turn of its loops."""

    def __init__(self, side: Side) -> None:
        self.side, self.recording = side, side.recording
        self.factors = [_factor(side, place) for place in range(len(side.recording.operations))]

    def all(self) -> list[Series]:
        """Return what data is multiplied by, in three turns or more; of many arrays as one."""
        found: dict[tuple[str, str, bytes, bytes], Series] = {}
        for made in self.each(TURNS):
            line, kind = made.operation.line, made.operation.kind
            key = line, kind, made.numbers.tobytes(), made.rest.tobytes()
            first = found.get(key, made._replace(strands=()))
            found[key] = first._replace(strands=(*first.strands, *made.strands))
        return sorted(found.values(), key=lambda s: s.strands[0])

    def each(self, turns: int) -> Iterator[Series]:
        """Yield what data is multiplied by, at an operation of so many turns or more."""
        for places in lines_of(self.side).values():
            for each in (k for k in range(1, ALIKE + 1) if len(places) % k == 0):
                for start in range(each):
                    own = tuple(places[start::each])
                    if len(own) < turns or len({b - a for a, b in pairwise(own[1:])}) > 1:
                        continue
                    made = self._series(own)
                    if made is not None:
                        yield made

    def _series(self, places: tuple[int, ...]) -> Series | None:
        known = [f for place in places if (f := self.factors[place]) is not None]
        if len(known) < len(places) or len({f.operand for f in known}) > 1:
            return None
        numbers = np.array([f.number for f in known])
        if near(np.abs(numbers), np.ones_like(numbers)):
            return None
        ends = (*places[1:], len(self.factors))
        chains = [self._chain(f, p, end) for f, p, end in zip(known, places, ends, strict=True)]
        operation = self.recording.operations[places[0]]
        roots, rest = zip(*chains, strict=True)
        return Series((places,), numbers, operation, known[0].operand, roots, np.array(rest))

    def _chain(self, factor: Factor, place: int, end: int) -> tuple[int, float]:
        """Return what is multiplied first, and by what else it is until ``end``."""
        operations, number, rest = self.recording.operations, factor.data, 1.0
        while (made := self.recording.makers.get(number)) is not None:
            before, kind = self.factors[made], operations[made].kind
            if before is not None and kind in ("mul", "div"):
                rest, number = rest * before.number, before.data
            elif kind == "div" or (operations[made].moves and len(operations[made].inputs) == 1):
                number = operations[made].inputs[0]
            else:
                break
        after = operations[place].outputs[0]
        while True:
            readers = self.recording.readers().get(after, [])
            readers = [p for p in readers if not self.side.used.isdisjoint(operations[p].outputs)]
            if len(readers) != 1 or readers[0] >= end:
                return number, rest
            reader, own = operations[readers[0]], self.factors[readers[0]]
            if own is not None and own.data == after:
                rest *= own.number
            elif not (reader.moves or reader.kind in LINEAR) or (
                reader.kind == "div" and reader.inputs[0] != after
            ):
                return number, rest
            after = reader.outputs[0]

    def called(self, roots: Sequence[int]) -> str:
        """Return what is multiplied; a value that keeps a part of itself is a running average."""
        was, now, *_ = roots
        made, makers = self.recording.maker(now), self.recording.makers
        parts = {n: self.factors[makers[n]] for n in (made.inputs if made else ()) if n in makers}
        kept = [n for n, factor in parts.items() if factor is not None and factor.data == was]
        new = [f.data for n, f in parts.items() if f is not None and n not in kept]
        if kept and new:
            data = called(self.side, self.side.firsts[new[0]])
            return f"the running average (momentum) of {data}"
        return called(self.side, roots[0])


def _changes(numbers: np.ndarray) -> bool:
    return bool(np.ptp(numbers) > CLOSE * np.max(np.abs(numbers)))


def _shown_alike(x: np.ndarray, y: np.ndarray) -> bool:
    return bool(np.allclose(x, y, ROUNDED, 0))


def _edits(loops: Loops, other: Side, a: Series, b: Series, numbers: np.ndarray) -> Iterator[Edit]:
    """Yield the first side with other numbers in the place of a series, if they are others."""
    if len(numbers) != len(a.numbers) or near(numbers, a.numbers):
        return
    if not (_changes(numbers) or _changes(a.numbers)):
        return
    left = loops.side.name
    late = _shown_alike(a.numbers[1:], numbers[:-1])
    early = _shown_alike(a.numbers[:-1], numbers[1:])
    same = near(np.abs(numbers), np.abs(b.numbers))
    alone = same or late or early
    mine, theirs = (a.numbers, numbers) if alone else (a.whole, b.whole)
    what = "" if alone else f"{loops.called(a.roots)} "
    said = (
        f"from turn to turn {left} multiplies {what}by {_some(mine)}{at(a.operation)}, "
        f"{other.name} by {'' if same or not alone else 'what comes to '}{_some(theirs)}"
        f"{at(b.operation)}"
    )
    said += f": {left} is one turn {'behind' if late else 'ahead'}" if late or early else ""
    with np.errstate(divide="ignore"):
        put = 1 / numbers if a.operation.kind == "div" else numbers
    places = [(place, x) for own in a.strands for place, x in zip(own, put, strict=True)]
    yield Edit(said, {}, {(p, a.operand or 0): _constant(x) for p, x in places}, "series")


def _constant(number: float) -> Put:
    return lambda x, values: np.full_like(np.asarray(x, dtype=float), number)


def _some(numbers: Sequence[float] | np.ndarray) -> str:
    shown = ", ".join(written(float(x)) for x in numbers[:SHOWN])
    return f"{shown}, ..." if len(numbers) > SHOWN else shown
