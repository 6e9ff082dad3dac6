"""Where two functions that differ part: both recorded, aligned by value, the place put in words.

Nobody has to name anything. One run a side in float64, and two with every rounding disturbed; says
nothing where forcing does not confirm it, or where a side cannot be recorded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from parity.errors import ParityError, UsageError
from parity.frameworks.recordings import Made, Recording
from parity.judge.cause import enumerated
from parity.judge.compare import FLOAT64
from parity.pairs.legs import Legs
from parity.pairs.speaking import speaking_for
from parity.where.matching import roundings
from parity.where.parting import Side
from parity.where.region import Part, Region
from parity.where.regions import UNFIT, Search

RECORDERS = {"jax": "jaxpr_recording", "torch": "torch_recording"}
JITTER = 2.0**-30
"""How much a rounding is disturbed."""
RUNS = 2
"""Disturbed runs a side."""
SECONDS = 3.0
"""Of the processor, in which regions are looked for."""
RECORDINGS = 4
"""Times that recording may be taken for, if that is more."""

MADE = {
    "add": "the sum",
    "addmm": "the matrix product",
    "amax": "the maximum",
    "bmm": "the matrix product",
    "convolution": "the convolution",
    "div": "the quotient",
    "dot_general": "the matrix product",
    "mm": "the matrix product",
    "mul": "the product",
    "sub": "the difference",
    "sum": "the sum",
}
"""What an operation makes, in words."""


class Place(NamedTuple):
    """Where two sides part, in words and as operations."""

    sentence: str
    sides: tuple[str, str]
    parts: tuple[Part, Part]

    def rows(self) -> Iterator[tuple[str, str, str, str, bool]]:
        """Yield (side, operation, what it is part of, line, whether it comes after) in order."""
        for side, part in zip(self.sides, self.parts, strict=True):
            for after, operations in ((False, part.operations), (True, part.readers)):
                for o in operations:
                    yield side, o.kind, o.inside, o.line, after

    @property
    def lines(self) -> frozenset[str]:
        """Return file:line of every operation in it, and of what first reads what comes out."""
        operations = (o for p in self.parts for o in (*p.makers, *p.operations, *p.readers[:1]))
        return frozenset(o.line.split(" ")[0] for o in operations if o.line)


class Aligned(NamedTuple):
    """Both sides as they ran, and where they part; no region where that is not confirmed."""

    one: Side
    other: Side
    regions: tuple[Region, ...] = ()
    spent: float = 0.0
    """Seconds of the processor that recording took."""

    def enough(self, seconds: float) -> float:
        """Return how long something may be looked for: longer where one run takes long."""
        return max(seconds, RECORDINGS * self.spent)

    def places(self) -> tuple[Place, ...]:
        """Return where the two part, in order and in words."""
        names = (self.one.name, self.other.name)
        said: dict[str, Place] = {}
        for region in self.regions:
            sentence = told(region, names)
            said.setdefault(sentence, Place(sentence, names, region.parts))
        return tuple(said.values())


def aligned(
    legs: Legs, values: Sequence[np.ndarray], seconds: float = SECONDS, runs: int = RUNS
) -> Aligned | None:
    """Return both sides on float64 values, and where they part; None of what is not recorded.

    Without ``seconds`` no region is looked for; it is looked for longer if recording took longer.
    """
    names = [*legs.pair.sides]
    if len(names) < 2:
        return None
    start = time.process_time()
    try:
        with np.errstate(all="ignore"):
            one, other = (side_of(legs, name, values, runs) for name in names)
    except (*UNFIT, UsageError, ParityError):  # too long, or not to be recorded
        return None
    both = Aligned(one, other, spent=time.process_time() - start)
    if not seconds:
        return both
    with legs.corners[names[0]].side.exactly(FLOAT64), np.errstate(all="ignore"):
        found = Search(one, other, both.enough(seconds)).regions()
    confirmed = all(region.confirmed for region in found)
    return both._replace(regions=tuple(found) if confirmed else ())


def places(legs: Legs, values: Sequence[np.ndarray], seconds: float = SECONDS) -> tuple[Place, ...]:
    """Return where the two functions part on float64 values, in order; nothing if unconfirmed."""
    found = aligned(legs, values, seconds)
    return found.places() if found is not None else ()


def side_of(legs: Legs, name: str, values: Sequence[np.ndarray], runs: int = RUNS) -> Side:
    """Return one side's forward as it ran, with how far rounding may move each of its values."""
    leaves = tuple(values[: len(legs.arguments.names)])
    first = _recorded(legs, name, leaves, None)
    jittered = (_recorded(legs, name, leaves, seed) for seed in range(runs))
    return Side(name, first, roundings(first, jittered, JITTER))


def _recorded(legs: Legs, name: str, leaves: tuple[np.ndarray, ...], seed: int | None) -> Recording:
    corner = legs.corners[name]
    names = legs.arguments.names
    recorder = import_module(f"parity.frameworks.{RECORDERS[name]}")
    forward = corner.forward
    if name == "jax" and corner.written is not None and not corner.narrowed:
        forward = corner.written.forward  # the same, and every line is known
    rng = np.random.default_rng(seed)

    def jitter(shape: tuple[int, ...]) -> Any:
        return 1 + JITTER * rng.standard_normal(shape)

    named = dict(zip(names, leaves, strict=True))
    exactly, speaking = corner.side.exactly(FLOAT64), speaking_for(name, named, True)
    with exactly, np.errstate(all="ignore"), speaking:
        given = corner.side.from_numpy(leaves)
        found: Recording = recorder.recorded(
            forward, given, names, None if seed is None else jitter
        )
    return found


def told(region: Region, names: Sequence[str]) -> str:
    """Return where a region is, in one sentence."""
    (one, other), (left, right) = region.parts, names
    if one.read and other.read:
        readers = [listed(part.readers[:1]) for part in region.parts]
        where = f"first at {readers[0]} ({left}) against {readers[1]} ({right})"
        does = "reads"
        if not (one.readers or other.readers):
            where, does = "first at the output", "returns"
        if not (one.operations and other.operations):
            return f"{where}: what they read agrees with something, but not with each other"
        reads = [listed(part.makes or part.operations) for part in region.parts]
        return f"{where}: {left} {does} what comes of {reads[0]}, {right} of {reads[1]}"
    if bool(one.makes) == bool(other.makes):
        alike = _kinds(one) == _kinds(other)
        listing = [listed(p.operations if alike else p.makes) for p in region.parts]
        where = f"first at {listing[0]} ({left}) against {listing[1]} ({right})"
        if not one.makes:
            return f"{where}: the same numbers go in, and come out otherwise arranged"
        made = MADE.get(one.makes[-1].kind, "the outcome")
        if alike:  # and so may be what differs: which element goes where
            return f"{where}: the same numbers go in, {made} differs"
        return f"{where}: inputs agree, {made} does not"
    part, rest = (one, other) if one.makes else (other, one)
    has, lacks = (left, right) if one.makes else (right, left)
    before = f" before {listed(rest.readers[:1])}" if rest.readers else ""
    return f"first at {listed(part.makes)} ({has}), which {lacks} does not do{before}"


PRODUCTS = frozenset("addmm baddbmm bmm dot_general mm mv".split())


def _kinds(part: Part) -> set[str]:
    """Return what a part does but for factors: two that do the same may do it to other elements."""
    kinds = {"product" if o.kind in PRODUCTS else o.kind for o in part.makes}
    return kinds - {"mul", "div"} or kinds


def listed(operations: Sequence[Made]) -> str:
    """Return operations and their lines: `mul and dot_general, cell.py:31 and 32`."""
    if not operations:
        return "the output"
    kinds = [*dict.fromkeys(o.kind for o in operations if not o.moves)]
    kinds = kinds or [*dict.fromkeys(o.kind for o in operations)]
    said = enumerated(kinds) if len(kinds) < 4 else f"{kinds[0]} ... {kinds[-1]}"
    calls = {o.inside for o in operations if not o.moves}
    if len(calls) == 1 and (call := next(iter(calls))) and call != said:
        said += f" in {call}"
    if not calls - {""} and all(o.back for o in operations):
        said += " on the way back"
    lines = [*dict.fromkeys(o.line for o in operations if o.line)]
    if not lines:
        return said
    file = lines[0].split(":")[0]
    short = [lines[0], *(x.removeprefix(f"{file}:") for x in lines[1:])]
    if len(short) > 4:
        short = [*short[:3], f"{len(short) - 3} more lines"]
    return f"{said}, {enumerated(short)}"
