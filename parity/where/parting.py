"""Two recordings laid side by side: which values agree, and which lead to outputs that do not.

A value agrees where the other side has the same numbers. From every output that differs the walk
goes back through what does not agree: there the two part. Finds no region; `regions.py` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np

from parity.frameworks.recordings import Made, Recording
from parity.judge.noise import BOUND
from parity.where.matching import Index, Print, joined, print_of, unscaled

MOST_TOGETHER = 100_000
"""Numbers of all turns of a loop that are looked at together."""


class Side:
    """One recording with what each of its values is known by."""

    def __init__(self, name: str, recording: Recording, sigmas: Sequence[float]) -> None:
        self.name, self.recording, self.sigmas = name, recording, sigmas
        self.values: list[Any] = list(recording.values)
        self.prints = [print_of(x, s) for x, s in zip(recording.values, sigmas, strict=True)]
        self.fixed = _fixed(recording)
        """Whether nothing that was given is in a value."""
        self.used = _used(recording)
        """What leads to an output."""
        self.index = Index([p if n in self.used else None for n, p in enumerate(self.prints)])
        self.leaves = {number: name for name, number in recording.inputs.items()}
        self.sites = _sites(recording, 2), _sites(recording, 1)
        """What names the place in the code that made a value, closely and roughly."""
        self._together()

    def _together(self) -> None:
        """Know what a loop makes by all its turns as well: the other side may do them at once."""
        self.whole: dict[int, Print] = {}
        """{a value of one turn: those of all turns}"""
        firsts: list[Print | None] = [None] * len(self.values)
        for turns in _turns(self):
            prints = [p for n in turns if (p := self.prints[n]) is not None]
            if len(prints) == len(turns):
                known = joined(prints)
                self.whole |= dict.fromkeys(turns, known)
                firsts[turns[0]] = known
        self.wholes = Index(firsts)

    def find(self, number: int, other: Side) -> list[int]:
        """Return the other side's values that are the same; of all turns the first, if that is."""
        own = self.prints[number]
        if (found := other.index.find(own)) or own is None or not own.telling:
            return found
        return other.wholes.find(own) or other.index.find(self.whole.get(number))

    @cached_property
    def firsts(self) -> list[int]:
        """Return, for every value, the first that is the same array."""
        first: dict[Any, int] = {}
        return [first.setdefault(_bytes_of(x, n), n) for n, x in enumerate(self.values)]

    def changed(self, values: Mapping[int, Any]) -> Side:
        """Return the side as it is with some values changed."""
        if not values:
            return self
        new = copy(self)
        new.values = [values.get(n, x) for n, x in enumerate(self.values)]
        new.prints = [
            print_of(values[n], self.sigmas[n]) if n in values else p
            for n, p in enumerate(self.prints)
        ]
        new.__dict__.pop("firsts", None)
        new.index = Index([p if n in self.used else None for n, p in enumerate(new.prints)])
        new._together()
        return new

    def maker(self, number: int) -> Made | None:
        """Return the operation that made a value."""
        return self.recording.maker(number)


def _used(recording: Recording) -> set[int]:
    used = set(recording.outputs.values())
    for operation in reversed(recording.operations):
        if not used.isdisjoint(operation.outputs):
            used.update(operation.inputs)
    return used


def _turns(side: Side) -> list[list[int]]:
    """Return the values of each place in the code that made several, of one shape, in order."""
    groups: dict[str, list[int]] = {}
    for number in sorted(side.used):
        operation = side.maker(number)
        if operation is not None and operation.line and not operation.moves:
            groups.setdefault(side.sites[1][number], []).append(number)
    shapes = [({np.shape(side.values[n]) for n in turns}, turns) for turns in groups.values()]
    return [
        turns
        for own, turns in shapes
        if len(own) == 1 and 1 < len(turns) <= MOST_TOGETHER // max(1, math.prod(*own))
    ]


def _fixed(recording: Recording) -> list[bool]:
    given = set(recording.inputs.values())
    fixed = [number not in given for number in range(len(recording.values))]
    for operation in recording.operations:
        if not all(fixed[n] for n in operation.inputs):
            for n in operation.outputs:
                fixed[n] = False
    return fixed


def _bytes_of(x: Any, number: int) -> Any:
    """Return what an array of floats has in common with those of the same bytes alone."""
    if not isinstance(x, np.ndarray | np.generic) or x.dtype.kind not in "fc":
        return number
    return x.shape, blake2b(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data).digest()


def _sites(recording: Recording, deep: int) -> dict[int, str]:
    """Return {value: what names the place in the code that made it}, the same at every turn.

    An operation, its line, and what it reads that the same line made, and so on ``deep`` times.
    """
    names: list[dict[int, str]] = [{} for _ in range(deep + 1)]
    for operation in recording.operations:
        line = operation.line
        makers = [recording.maker(n) for n in operation.inputs]
        own = [
            n if maker is not None and line and maker.line == line else -1
            for n, maker in zip(operation.inputs, makers, strict=True)
        ]
        for level, known in enumerate(names):
            read = ",".join(names[level - 1].get(n, "") for n in own) if level else ""
            for place, n in enumerate(operation.outputs):
                known[n] = f"{operation.kind}.{place}({read})"
    return {
        n: f"{recording.operations[recording.makers[n]].line} {x}" for n, x in names[-1].items()
    }


class Parting:
    """Which values of one side agree with the other's, and which do not and count."""

    def __init__(
        self,
        side: Side,
        other: Side,
        apart: Iterable[str],
        trusted: Iterable[int] = (),
    ) -> None:
        self.side, self.other = side, other
        self.trusted = frozenset(trusted)
        self.twins: dict[int, list[int]] = {}
        self._agrees: dict[int, bool] = {}
        self._stands: dict[int, bool] = {}
        self.outputs = [side.recording.outputs[name] for name in apart]
        self.live = self._live(self.outputs)

    def agrees(self, number: int) -> bool:
        """Return whether the other side has the same numbers, so that they identify."""
        if number not in self._agrees:
            self._agrees[number] = number in self.trusted or self._has_twin(number)
        return self._agrees[number]

    def _has_twin(self, number: int) -> bool:
        side, other = self.side, self.other
        if number in side.leaves:
            theirs = other.recording.inputs.get(side.leaves[number])
            own = side.prints[number]
            self.twins[number] = other.index.find(own)
            return theirs is not None
        if side.maker(number) is None and np.ndim(side.values[number]) == 0:
            return True  # a number in the code belongs to the operation that reads it
        own = side.prints[number]
        if own is None:
            return side.fixed[number]
        if not own.telling and not side.fixed[number]:
            return False
        found = side.find(number, other)
        if side.fixed[number]:
            found = [n for n in found if other.fixed[n]]
        self.twins[number] = found
        return bool(found)

    def stands(self, number: int) -> bool:
        """Return whether a value agrees, or is made of what does by moving alone."""
        if number not in self._stands:
            operation = self.side.maker(number)
            moved = operation is not None and operation.moves and bool(operation.inputs)
            self._stands[number] = self.agrees(number) or (
                moved and operation is not None and all(map(self.stands, operation.inputs))
            )
        return self._stands[number]

    def _live(self, outputs: Iterable[int]) -> set[int]:
        """Return the values that do not agree and lead to outputs that differ."""
        live: set[int] = set()
        waiting = [*outputs]
        first = set(waiting)
        while waiting:
            number = waiting.pop()
            if number in live or (number not in first and self.agrees(number)):
                continue
            if number in self.trusted:
                continue
            live.add(number)
            operation = self.side.maker(number)
            waiting += operation.inputs if operation is not None else ()
        return live


def agreeing(one: Side, other: Side) -> tuple[int, int]:
    """Return of how many values of one side the other has the same, at any scale; and of how many.

    Only those count that lead to an output and are such as nothing else has by accident.
    """
    telling = [
        known
        for number, known in enumerate(one.prints)
        if known is not None and known.telling and number in one.used and not one.fixed[number]
    ]
    theirs = [unscaled(p)[0] if p is not None and p.telling else None for p in other.prints]
    index = Index([p if n in other.used else None for n, p in enumerate(theirs)])
    found = sum(any(index.find(way) for way in unscaled(known)) for known in telling)
    return found, len(telling)


def apart(one: Side, other: Side, values: Mapping[int, Any] | None = None) -> list[str]:
    """Return the outputs that differ, ``values`` being those of the first side that changed."""
    found, changed = [], values or {}
    for name, number in one.recording.outputs.items():
        theirs = other.recording.outputs.get(name)
        if theirs is None:
            continue
        x, y = changed.get(number, one.values[number]), other.values[theirs]
        bound = BOUND * np.hypot(one.sigmas[number], other.sigmas[theirs])
        if not close(x, y, float(bound)):
            found.append(name)
    return found


def close(x: Any, y: Any, bound: float) -> bool:
    """Return whether two arrays are equal, element by element, within a bound."""
    x, y = np.asarray(x), np.asarray(y)
    if x.shape != y.shape:
        return False
    if x.dtype.kind not in "fc" and y.dtype.kind not in "fc":
        return bool(np.array_equal(x, y))
    with np.errstate(invalid="ignore"):
        far = np.abs(x - y)
    return bool(np.all((far <= bound) | (x == y) | (np.isnan(x) & np.isnan(y))))
