"""Where one side keeps something from its gradient and the other does not: the line that does.

The JAX side is differentiated with that line's detach put in, or its own left out. Only if all its
gradients are torch's then is it said. Judges neither: who is meant is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from parity.errors import ParityError, UsageError
from parity.frameworks.recordings import Made
from parity.judge.compare import FLOAT64, distance
from parity.judge.noise import BOUND, sigma
from parity.pairs.legs import Legs, call
from parity.where.alignment import Place, listed, side_of
from parity.where.parting import Side
from parity.where.region import Part
from parity.where.regions import UNFIT

STOPS = frozenset({"detach", "stop_gradient"})
MOST = 12
"""Ways to put detaches in or leave them out that are tried."""


class Change(NamedTuple):
    """A detach of one side that the other does not have, as a change to the JAX side."""

    side: str
    operation: Made
    """What detaches."""
    beside: tuple[Made, ...]
    """What the other side reads there."""
    stopped: frozenset[tuple[int, int]]
    freed: frozenset[int]


def held_back(
    legs: Legs, values: Sequence[np.ndarray], gradients: Mapping[str, Any], noise: Mapping[str, Any]
) -> tuple[Place, ...]:
    """Return where one side detaches and the other does not, if that is all that differs.

    ``gradients`` are torch's, ``noise`` that of both.
    """
    if set(legs.pair.sides) != {"jax", "torch"}:
        return ()
    try:
        jax_side, torch_side = (side_of(legs, name, values) for name in ("jax", "torch"))
        found = [*_stopped_by_jax(jax_side, torch_side), *_stopped_by_torch(jax_side, torch_side)]
        if not found:
            return ()
        restore = _Restored(legs, jax_side, values, gradients, noise)
        for changes in _sets(found) if not restore(()) else ():
            if restore(changes):
                return tuple(_place(change) for change in changes)
    except (*UNFIT, UsageError, ParityError):
        pass
    return ()


def _sets(changes: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
    """Yield one change, two, all: the fewest first, a few of each."""
    tried = 0
    for size in dict.fromkeys((1, 2, len(changes))):
        for few in combinations(changes, size):
            tried += 1
            if tried <= MOST:
                yield few


def _stops(side: Side) -> Iterator[tuple[int, Made]]:
    """Yield the user's own detaches that lead to an output; not those that a library makes."""
    for place, operation in enumerate(side.recording.operations):
        own = operation.kind in STOPS and operation.line and not operation.inside
        if own and not side.used.isdisjoint(operation.outputs):
            number = operation.inputs[0]
            if not side.fixed[number]:
                yield place, operation


def _stopped_by_jax(jax_side: Side, torch_side: Side) -> Iterator[Change]:
    theirs = [o for _, o in _stops(torch_side)]
    for place, operation in _stops(jax_side):
        known = jax_side.prints[operation.outputs[0]]
        twins = torch_side.index.find(known) if known is not None else []
        if not any(o.outputs[0] in twins for o in theirs):
            readers = _reading(torch_side, twins, jax_side, operation.outputs[0])
            beside = tuple(torch_side.recording.operations[p] for p, _ in readers)
            yield Change("jax", operation, beside, frozenset(), frozenset({place}))


def _stopped_by_torch(jax_side: Side, torch_side: Side) -> Iterator[Change]:
    ours = {o.outputs[0] for _, o in _stops(jax_side)}
    for _, operation in _stops(torch_side):
        known = torch_side.prints[operation.outputs[0]]
        twins = jax_side.index.find(known) if known is not None else []
        if ours.intersection(twins):
            continue
        every = [(place, i) for n, place, i in jax_side.recording.used() if n in twins]
        every = [e for e in every if _makes(jax_side, e[0])]
        same = _reading(jax_side, twins, torch_side, operation.outputs[0])
        for edges in dict.fromkeys((tuple(same), tuple(every), *((e,) for e in every))):
            if edges:
                beside = tuple(jax_side.recording.operations[place] for place, _ in edges)
                yield Change("torch", operation, beside, frozenset(edges), frozenset())


def _makes(side: Side, place: int) -> bool:
    return not side.recording.operations[place].moves


def _reading(side: Side, numbers: Sequence[int], other: Side, wanted: int) -> list[tuple[int, int]]:
    """Return what reads some values and makes the same as what reads the other side's does."""
    makes = _made_of(other, wanted)
    known = [other.prints[n] for n in makes]
    twins = {n for p in known if p is not None for n in side.index.find(p)}
    return [
        (place, i)
        for n, place, i in side.recording.used()
        if n in numbers and not twins.isdisjoint(side.recording.operations[place].outputs)
    ]


def _made_of(side: Side, number: int) -> list[int]:
    """Return what is made first of a value, moved or not."""
    own: set[int] = {number}
    made: list[int] = []
    for operation in side.recording.operations:
        if not own.isdisjoint(operation.inputs):
            if operation.moves:
                own.update(operation.outputs)
            else:
                made += operation.outputs
    return made


class _Restored:
    """Whether the JAX side has torch's gradients once it is changed."""

    def __init__(
        self,
        legs: Legs,
        side: Side,
        values: Sequence[np.ndarray],
        gradients: Mapping[str, Any],
        noise: Mapping[str, Any],
    ) -> None:
        self.legs, self.side, self.values = legs, side, tuple(values)
        self.gradients, self.noise = gradients, noise
        self.compiled = import_module("parity.frameworks.jax_program").compiled
        self.replayed = import_module("parity.frameworks.jaxpr_recording").replayed

    def __call__(self, changes: Sequence[Change]) -> bool:
        legs, count = self.legs, len(self.legs.arguments.names)
        stopped = frozenset(edge for change in changes for edge in change.stopped)
        freed = frozenset(place for change in changes for place in change.freed)
        forward = self.replayed(self.side.recording, stopped, freed)
        api, names = legs.corners["jax"].side, [*legs.cotangents()]

        def run(*args: Any) -> Any:
            douts = dict(zip(names, args[count:], strict=True))
            _, found = api.vjp(forward, args[:count], douts, legs.arguments.still)
            return dict(zip(legs.floating, found, strict=True))

        with np.errstate(all="ignore"):
            found = call(api, FLOAT64, self.compiled(run), self.values)
        return all(
            distance(found[name], theirs, sigma(self.noise[name], np.float64)).sigmas <= BOUND
            for name, theirs in self.gradients.items()
        )


def _place(change: Change) -> Place:
    other = "torch" if change.side == "jax" else "jax"
    at = f", at {listed(change.beside[:1])}" if change.beside else ""
    verb = "detaches" if change.side == "torch" else "stops the gradient"
    sentence = f"first at {change.operation.line}: {change.side} {verb} there, {other} does not{at}"
    mine = Part((change.operation,), (), change.operation.inputs, change.operation.outputs, False)
    theirs = Part((), change.beside, (), (), True)
    parts = (mine, theirs) if change.side == "jax" else (theirs, mine)
    return Place(sentence, ("jax", "torch"), parts)
