"""An input that decays by way of the gradient on one side, and directly on the other.

A multiple of it is added to what goes through the rule of the step, or taken off it beside the
step. Sought over the whole of both recordings, as numbers of all turns are: the two share nothing
that comes after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from parity.why.conventions.spelling import written
from parity.why.inside.edit import Edit, Put, Step
from parity.why.inside.series import Loops, Series
from parity.why.inside.steps import instead
from parity.why.inside.words import at, called, placed


class Added(NamedTuple):
    """A multiple of a value, and what it is added to in one turn."""

    place: int
    """Where it is added."""
    operand: int
    """Which input it is there."""
    sign: float


def decays(mine: Loops, loops: Loops) -> Iterator[Edit]:
    """Yield the first side with a multiple of a value taken where the second takes it."""
    one, other = mine.side, loops.side
    theirs: dict[str, list[Series]] = {}
    for b in loops.each(1):
        if b.roots[0] in other.leaves:
            theirs.setdefault(other.leaves[b.roots[0]], []).append(b)
    found: dict[tuple[str, ...], Edit] = {}
    for a in mine.each(1):
        for b in theirs.get(one.leaves.get(a.roots[0], ""), []):
            if len(a.numbers) != len(b.numbers):
                continue
            for out, left in _left_out(mine, a):
                for how, put in _put_in(mine, loops, a, b):
                    said = _said(mine, loops, a, b, out, how)
                    key = (at(a.operation), at(b.operation), out, how)
                    edit = replace(
                        left | put, said=said, family=_family(mine, loops, a, b, out, how)
                    )
                    known = found.get(key)  # of another array, at the same lines
                    found[key] = edit if known is None else replace(known | edit, said=known.said)
    yield from found.values()


def _left_out(loops: Loops, a: Series) -> Iterator[tuple[str, Edit]]:
    """Yield the first side without the multiple: not added, or the value not multiplied."""
    operations = loops.recording.operations

    def without(place: int, operand: int) -> Step:
        return instead(1 - operand, np.shape(loops.side.values[operations[place].outputs[0]]))

    added = [x for place in a.strands[0] if (x := _added(loops, place)) is not None]
    if len(added) == len(a.strands[0]):
        yield "added", Edit("", {x.place: without(x.place, x.operand) for x in added})
    if a.operation.kind == "mul" and a.operand is not None:
        yield "multiplied", Edit("", {place: without(place, a.operand) for place in a.strands[0]})


def _put_in(mine: Loops, loops: Loops, a: Series, b: Series) -> Iterator[tuple[str, Edit]]:
    """Yield what the second side does with the multiple: adds it, or multiplies the value."""
    added = [x for place in b.strands[0] if (x := _added(loops, place)) is not None]
    edges = [_edges_like(mine, loops, x) for x in added]
    if len(added) == len(b.strands[0]) and all(edges):
        each = zip(added, b.numbers, a.roots, edges, strict=True)
        puts = ((read, _plus(x.sign * c, root)) for x, c, root, own in each for read in own)
        yield "added", Edit("", {}, dict(puts))
    operations = mine.recording.operations
    for how, factors in (("multiplied", b.numbers), ("beside", 1 + b.whole)):
        scaled: dict[tuple[int, int], Put] = {}
        for root, factor in zip(a.roots, factors, strict=True):
            for place in mine.recording.readers().get(root, []):
                if operations[place].kind in ("add", "sub"):
                    scaled[place, operations[place].inputs.index(root)] = _times(float(factor))
        if scaled:
            yield how, Edit("", {}, scaled)


def _added(loops: Loops, place: int) -> Added | None:
    """Return where a multiple is added; None where it is not, or to nothing else."""
    operations, readers = loops.recording.operations, loops.recording.readers()
    if operations[place].kind in ("add", "sub"):  # by one operation, that multiplies as well
        return Added(place, len(operations[place].inputs) - 1, 1.0)
    number = operations[place].outputs[0]
    while len(own := readers.get(number, [])) == 1:
        reader = operations[own[0]]
        if reader.moves:
            number = reader.outputs[0]
            continue
        if reader.kind not in ("add", "sub") or len(reader.inputs) != 2:
            return None
        operand = reader.inputs.index(number)
        if reader.kind == "sub" and operand == 0:
            return None
        return Added(own[0], operand, -1.0 if reader.kind == "sub" else 1.0)
    return None


def _edges_like(mine: Loops, loops: Loops, added: Added) -> list[tuple[int, int]]:
    """Return what reads, on the first side, what the second adds a multiple to."""
    number = loops.recording.operations[added.place].inputs[1 - added.operand]
    twins = mine.side.index.find(loops.side.prints[number])
    shape = np.shape(loops.side.values[number])
    alike = [n for n in twins if np.shape(mine.side.values[n]) == shape]
    return [
        (place, i)
        for n in alike[:1]
        for place in mine.recording.readers().get(n, [])
        for i, read in enumerate(mine.recording.operations[place].inputs)
        if read == n
    ]


def _plus(factor: float, root: int) -> Put:
    return lambda x, values: np.asarray(x) + factor * np.asarray(values.ours(root))


def _times(factor: float) -> Put:
    return lambda x, values: np.asarray(x) * factor


def _said(mine: Loops, loops: Loops, a: Series, b: Series, out: str, how: str) -> str:
    what = called(mine.side, a.roots[0])
    ways = (mine, a, out), (loops, b, how)
    said = ", ".join(f"{side.side.name} {_done(side, of, what, way)}" for side, of, way in ways)
    direct = [side.side.name for side, of, way in ways if not _to_an_input(side, of, way)]
    if len(direct) == 1 and direct == [
        side.side.name for side, _, way in ways if way == "multiplied"
    ]:
        said += f": {what} decays directly in {direct[0]} alone"
    return said


def _family(mine: Loops, loops: Loops, a: Series, b: Series, out: str, how: str) -> str:
    """Return "decays" where both sides decay directly: by another number, which says it better."""
    by_input = _to_an_input(mine, a, out), _to_an_input(loops, b, how)
    return "" if any(by_input) else decays.__name__


def _to_an_input(loops: Loops, series: Series, way: str) -> bool:
    """Return whether a multiple is added to what was given: a gradient, before any rule."""
    added = _added(loops, series.strands[0][0]) if way == "added" else None
    if added is None:
        return False
    inputs = loops.recording.operations[added.place].inputs
    return called(loops.side, inputs[1 - added.operand]) in loops.side.leaves.values()


def _done(loops: Loops, series: Series, what: str, way: str) -> str:
    number, operations = written(float(series.numbers[0])), loops.recording.operations
    added = _added(loops, series.strands[0][0]) if way != "multiplied" else None
    if added is None:
        return f"multiplies {what} by {number}{at(series.operation)}"
    reader = operations[added.place]
    to = called(loops.side, reader.inputs[1 - added.operand])
    verb, onto = ("adds", "to") if added.sign > 0 else ("subtracts", "from")
    return placed(f"{verb} {number} times {what} {onto} {to}", reader)
