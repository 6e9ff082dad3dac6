"""A region where two recordings part: the operations of both sides between two cuts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from parity.frameworks.recordings import Made
from parity.where.parting import Parting
from parity.where.spots import Spot, made_from, readers


class Forced(NamedTuple):
    """What is put in the place of the first side's own values, or of what is read of them."""

    given: dict[int, Any]
    edges: dict[tuple[int, int], Any]


@dataclass(frozen=True)
class Part:
    """One side of a region."""

    operations: tuple[Made, ...]
    """In order; none where the other side does something that this one leaves out."""
    readers: tuple[Made, ...]
    """What first reads its output."""
    inputs: tuple[int, ...]
    """The values that go in; they agree, but for their arrangement."""
    outputs: tuple[int, ...]
    """The values that come out, a turn each; they do not."""
    read: bool
    """Whether the last of them agrees with something, which is not what the other side reads."""
    makers: tuple[Made, ...] = ()
    """What made the values that go in, moved since or not."""

    @property
    def makes(self) -> tuple[Made, ...]:
        """Return its operations that make numbers."""
        return tuple(o for o in self.operations if not o.moves)


@dataclass(frozen=True)
class Region:
    """Where two recordings part."""

    parts: tuple[Part, Part]
    forced: Forced
    """What of the second side's is put in the place of the first's, so that its outcome agrees."""
    confirmed: bool = False
    """Whether all outputs agree once this region and the others are forced."""


def region_of(mine: Parting, theirs: Parting, a: Spot, b: Spot, forced: Forced) -> Region:
    """Return the region between what agrees and two spots, with what is forced at its end."""
    return Region((_part(mine, a, theirs, b), _part(theirs, b, mine, a)), forced)


def _part(parting: Parting, spot: Spot, other: Parting, theirs: Spot) -> Part:
    recording = parting.side.recording
    before = spot.before
    if spot.reads:  # it agrees with something that stands elsewhere: how was it made?
        before = before | made_from(parting, spot.first, other, theirs.first)
    operations = tuple(recording.operations[place] for place in sorted(before))
    made = {n for operation in operations for n in operation.outputs}
    read = dict.fromkeys(n for operation in operations for n in operation.inputs if n not in made)
    inputs = tuple(read) if operations else (spot.first,)
    makers = tuple(dict.fromkeys(o for n in inputs for o in _makers(parting, n)))
    return Part(operations, readers(parting, spot), inputs, spot.numbers, spot.reads, makers)


def _makers(parting: Parting, number: int) -> list[Made]:
    """Return the operations that made a value's numbers."""
    made = parting.side.maker(number)
    if made is None or not made.moves:
        return [made] if made else []
    return [o for n in made.inputs for o in _makers(parting, n)]
