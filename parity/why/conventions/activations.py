"""One activation in place of another: gelu for silu, relu for tanh. Known by their values.

A region of a program is an activation if it makes one array of another, number by number, and the
numbers are that function's. What it is called, and how it is written, decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.programs import ELEMENTWISE, Edit, Operation, Program
from parity.why.conventions.change import Change
from parity.why.conventions.rerun import Rerun

NONE = "x"
CLOSE = 1e-9


class Region(NamedTuple):
    """What makes one array of another, number by number."""

    source: int
    target: Operation


class Activation(NamedTuple):
    """A region that is an activation."""

    name: str
    region: Region


def swapped(rerun: Rerun, sides: tuple[str, ...]) -> Iterator[Change]:
    """Yield the activations of a side exchanged for the other's, or any, where it has none."""
    own = {side: [*_activations(rerun, side)] for side in rerun.sides}
    for side in sides:
        theirs = {a.name: None for _, found in own[rerun.other(side)] for a in found}
        table = rerun.frameworks[side].Arithmetic.activations
        for number, found in own[side]:
            for name in dict.fromkeys(a.name for a in found):
                alike = [a for a in found if a.name == name]
                for new in theirs or [*table, NONE]:
                    if new != name:
                        yield from _changes(side, number, alike, new, table)


def _changes(
    side: str, number: int, alike: list[Activation], new: str, table: Any
) -> Iterator[Change]:
    function = table.get(new, lambda x: x)
    groups = [alike] if len(alike) == 1 else [alike, *([a] for a in alike)]
    for group in groups:
        edits = {a.region.target.place: _applied(a.region.source, function) for a in group}
        where = group[0].region.target.where
        place = f", {len(group)} times" if len(group) > 1 else f" at {where}" if where else ""
        said = f"the {side} side has {new} for {alike[0].name}{place}"
        key = (side, new, alike[0].name, "" if group is alike else place)
        yield Change(side, said, number, edits=edits, key=key)


def _applied(source: int, function: Any) -> Edit:
    return lambda values, x: function(values[source])


def _activations(rerun: Rerun, side: str) -> Iterator[tuple[int, list[Activation]]]:
    table = rerun.frameworks[side].Arithmetic.activations
    for number, program in enumerate(rerun.programs(side)):
        regions = [*_regions(program)]
        values = rerun.values(side, number) if regions else {}
        found = []
        for region in regions:
            x, y = (values.get(s) for s in (region.source, region.target.outputs[0]))
            name = _name(rerun, side, table, x, y)
            if name:
                found.append(Activation(name, region))
        yield number, found


def _name(rerun: Rerun, side: str, table: Any, x: Any, y: Any) -> str:
    """Return the activation that makes ``y`` of ``x``; nothing where it is none."""
    if x is None or y is None or getattr(x, "shape", ()) != getattr(y, "shape", None):
        return ""
    api = rerun.legs.corners[side].side
    before, after = api.to_numpy({"x": x, "y": y}).values()
    floats = {before.dtype.kind, after.dtype.kind} == {"f"}
    if not floats or before.size < 2 or np.array_equal(before, after):
        return ""
    for name, function in table.items():
        if np.allclose(api.to_numpy({"y": api.quickly(function)(x)})["y"], after, CLOSE, CLOSE):
            return str(name)
    return ""


def _regions(program: Program) -> Iterator[Region]:
    """Yield the largest regions that make one array of one other, number by number."""
    fixed = {c.slot for c in program.constants} | {*program.captured}
    source: dict[int, int] = {}
    for operation in program.operations:
        read = [s for s in operation.inputs if s not in fixed]
        if not read and operation.kind in ELEMENTWISE:
            fixed.update(operation.outputs)
            continue
        origins = {source.get(s, s) for s in read}
        single = operation.kind in ELEMENTWISE and len(origins) == 1
        for slot in operation.outputs:
            source[slot] = next(iter(origins)) if single else slot
    for operation in program.operations:
        slot = operation.outputs[0] if operation.outputs else -1
        onward = [o for o in program.operations if slot in o.inputs]
        inside = slot not in program.outputs and all(
            o.outputs and source.get(o.outputs[0]) == source.get(slot) for o in onward
        )
        if source.get(slot, slot) != slot and not inside:
            yield Region(source[slot], operation)
