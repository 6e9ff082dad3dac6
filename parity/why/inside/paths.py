"""What lies between two values of the first side, and what becomes of one if another changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parity.why.inside.edit import Values
from parity.why.inside.ground import Ground

LONGEST = 40


def path(ground: Ground, start: int, end: int) -> list[int]:
    """Return the places of the operations that lead from one value to another, in order."""
    recording = ground.one.recording
    first, last = recording.makers.get(start, -1), recording.makers.get(end, -1)
    reached, forward = {start}, []
    for place in range(first + 1, last + 1):
        operation = recording.operations[place]
        if not reached.isdisjoint(operation.inputs):
            reached.update(operation.outputs)
            forward.append(place)
    needed, found = {end}, []
    for place in reversed(forward):
        if not needed.isdisjoint(recording.operations[place].outputs):
            needed.update(recording.operations[place].inputs)
            found.append(place)
    return found[::-1] if len(found) <= LONGEST else []


def along(
    ground: Ground, places: Sequence[int], new: Mapping[int, Any], end: int, values: Values
) -> Any:
    """Return what a value becomes once others are ``new``, by these operations alone."""
    changed = dict(new)
    for place in places:
        operation = ground.operation(place)
        if operation.apply is None:
            raise ValueError("cannot be run again")
        read = [changed.get(n, values.ours(n)) for n in operation.inputs]
        made = zip(operation.outputs, operation.apply(read), strict=True)
        changed |= {n: x for n, x in made if n not in new}
    if end not in changed:
        raise ValueError("does not lead there")
    return changed[end]
