"""Where gradients part though all outputs agree: forward and backward programs, aligned by value.

Both sides are recorded on the same gradients from above and aligned as two functions are
(`alignment.py`). Where a rule by hand is known to be the culprit, a region that does not touch it
is not believed. Says nothing where forcing does not confirm one region.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from parity.errors import ParityError, UsageError
from parity.frameworks.recordings import Made, Recording
from parity.frameworks.rules import Call
from parity.judge.compare import FLOAT64
from parity.pairs.legs import Arrays, Legs
from parity.pairs.pair import Rule
from parity.pairs.speaking import speaking_for
from parity.trial.exact import Exact
from parity.where.alignment import JITTER, RECORDERS, RUNS, SECONDS, Place, listed, told
from parity.where.culprits import Wanted, culprits
from parity.where.matching import roundings
from parity.where.parting import Side
from parity.where.region import Forced, Part, Region
from parity.where.regions import UNFIT, Search

LARGEST = 14
"""Operations of a side up to which a region is looked for: a derivative has two for one."""


class Hand(NamedTuple):
    """A rule by hand that makes gradients wrong."""

    name: str
    side: str
    lines: tuple[str, ...]
    """file:line of each of its lines."""

    def holds(self, operation: Made) -> bool:
        """Return whether an operation is one of the rule's."""
        return operation.inside == self.name or operation.line in self.lines


def gradient_places(
    legs: Legs, problem: Exact, odd: Collection[str], seconds: float = SECONDS
) -> tuple[Place, ...]:
    """Return where the gradients of two corners part, ``odd`` being those that have them wrong.

    The wrong one comes first in the sentence. Nothing where a gradient is not finite.
    """
    pair = _sides(legs, odd)
    found = (x for _, gradients in problem.outcomes.values() for x in gradients.values())
    if pair is None or not all(bool(np.isfinite(x).all()) for x in found):
        return ()  # of what is not finite it is said where it is born
    faulty, other = pair
    hands = _hands(legs, problem, faulty, other)
    if len(hands) > 1:
        return tuple(_whole(hand, other) for hand in hands)
    region = _region(legs, problem, faulty, other, seconds)
    if region is None or (hands and not _touches(region, hands[0])):
        return tuple(_whole(hand, other) for hand in hands)
    for hand in hands:
        region = replace(region, parts=(_known_by(hand, region.parts[0]), region.parts[1]))
    return (Place(_said(region, (faulty, other)), (faulty, other), region.parts),)


def _sides(legs: Legs, odd: Collection[str]) -> tuple[str, str] | None:
    """Return the corner whose gradients are wrong and one that has them right, of both frameworks.

    Or two of JAX: a side has to be run again.
    """
    corners = [*legs.corners]
    wrong = [c for c in corners if c in odd] if not {*corners} <= {*odd} else []
    faulty = wrong[0] if wrong else next(iter(c for c in corners if c in legs.pair.sides))
    hand = legs.corners[faulty].side.HAND
    right = [c for c in corners if c != faulty and c not in wrong]
    right.sort(key=lambda c: (hand == legs.corners[c].side.HAND, c.endswith(".rule")))
    if not right or "jax" not in {hand, legs.corners[right[0]].side.HAND}:
        return None
    return faulty, right[0]


def _hands(legs: Legs, problem: Exact, faulty: str, other: str) -> list[Hand]:
    """Return the rules by hand that are known to make a corner's gradients wrong."""
    rule = legs.pair.sides[faulty.split(".")[0]]
    if faulty.endswith(".rule") and isinstance(rule, Rule):
        return [Hand("backward", faulty, _lines(rule.backward))]
    wanted = Wanted(problem.values, problem.outcomes[other][1], problem.noises(1))
    found = culprits(legs, faulty, wanted)
    return [_hand(calls[0], faulty) for calls in reversed([*found.values()])]


def _hand(call: Call, side: str) -> Hand:
    return Hand(call.name, side, _lines(call.backward))


def _lines(function: Any) -> tuple[str, ...]:
    try:
        source, first = inspect.getsourcelines(inspect.unwrap(function))
        file = Path(inspect.getsourcefile(function) or "").name
    except (OSError, TypeError):  # built in, or typed at a prompt
        return ()
    return tuple(f"{file}:{first + i}" for i in range(len(source)))


def _touches(region: Region, hand: Hand) -> bool:
    """Return whether the first part of a region is made in a rule, or reads or leaves it."""
    part, rest = region.parts
    if part.read and rest.read:
        return any(map(hand.holds, part.readers[:1]))
    if part.makes:
        return all(map(hand.holds, part.makes))
    return any(map(hand.holds, (*part.readers[:1], *part.makers)))


def _known_by(hand: Hand, part: Part) -> Part:
    """Return a part of a region whose operations say in which rule they stand."""

    def named(operations: tuple[Made, ...]) -> tuple[Made, ...]:
        return tuple(replace(o, inside=hand.name) if hand.holds(o) else o for o in operations)

    return replace(
        part,
        operations=named(part.operations),
        readers=named(part.readers),
        makers=named(part.makers),
    )


def _whole(hand: Hand, other: str) -> Place:
    """Return a rule as the place: nothing smaller is known."""
    at = f", {hand.lines[0]}" if hand.lines else ""
    more = f" to {hand.lines[-1].split(':')[1]}" if len(hand.lines) > 1 else ""
    said = f"in {hand.name}{at}{more} ({hand.side}): with the derivative of its own forward pass "
    nothing = Part((), (), (), (), False)
    return Place(f"{said}in its place all gradients agree", (hand.side, other), (nothing, nothing))


def _region(legs: Legs, problem: Exact, faulty: str, other: str, seconds: float) -> Region | None:
    """Return the one region in which two corners part, the wrong one's part first."""
    names = sorted((faulty, other), key=lambda c: legs.corners[c].side.HAND != "jax")
    try:
        with np.errstate(all="ignore"):
            one, two = (both_ways(legs, name, problem.values) for name in names)
    except (*UNFIT, UsageError, ParityError):  # too long, or not to be recorded
        return None
    with legs.corners[names[0]].side.exactly(FLOAT64), np.errstate(all="ignore"):
        found = Search(one, two, seconds, LARGEST, passes=True).regions()
    if len(found) != 1 or not found[0].confirmed:
        return None
    first, second = found[0].parts
    return Region((first, second) if names[0] == faulty else (second, first), Forced({}, {}), True)


def _said(region: Region, names: tuple[str, str]) -> str:
    """Return where a region is, in one sentence; where the wrong side lacks something, between."""
    part, rest = region.parts
    if part.makes or not rest.makes or (part.read and rest.read) or not part.makers:
        return told(region, names)
    between = f"{listed(part.makers)}, and {listed(part.readers[:1])}"
    return f"first between {between} ({names[0]}), where {names[1]} does {listed(rest.makes)}"


def both_ways(legs: Legs, name: str, values: Sequence[np.ndarray]) -> Side:
    """Return one corner's forward and backward pass, with how far rounding may move each value."""
    first, *jittered = [_recorded(legs, name, values, seed) for seed in (None, *range(RUNS))]
    return Side(name, first, roundings(first, jittered, JITTER))


def _differentiated(legs: Legs, name: str) -> Callable[..., dict[str, Any]]:
    """Return a corner as a function of inputs and gradients from above: outputs and gradients."""
    corner = legs.corners[name]
    if corner.written is not None and not corner.narrowed:
        corner = corner.written  # the same, and every line is known
    side, arguments = corner.side, legs.arguments
    telling = import_module(f"parity.frameworks.{side.HAND}_rules").telling
    count, outputs = len(arguments.names), [*legs.cotangents()]
    places = [i for i, n in enumerate(arguments.names) if n in legs.floating]

    def run(*values: Any) -> dict[str, Any]:
        leaves, douts = values[:count], dict(zip(outputs, values[count:], strict=True))
        if name.endswith(".rule"):
            out, grads = corner.gradients(leaves, douts)
        else:
            out, grads = side.vjp(telling(corner.forward), leaves, douts, arguments.still)
        named: Mapping[str, Any] = {
            f"the gradient of {arguments.names[i]}": side.zeros_like(leaves[i]) if g is None else g
            for i, g in zip(places, grads, strict=True)
        }
        return {**out, **named}

    return run


def _recorded(legs: Legs, name: str, values: Sequence[np.ndarray], seed: int | None) -> Recording:
    corner, names = legs.corners[name], [*legs.arguments.names]
    recorder = import_module(f"parity.frameworks.{RECORDERS[corner.side.HAND]}")
    rng = np.random.default_rng(seed)

    def jitter(shape: tuple[int, ...]) -> Any:
        return 1 + JITTER * rng.standard_normal(shape)

    named: Arrays = dict(zip(names, values, strict=False))
    above = [f"the gradient of {out} from above" for out in legs.cotangents()]
    exactly, speaking = corner.side.exactly(FLOAT64), speaking_for(name, named, True)
    with exactly, np.errstate(all="ignore"), speaking:
        given = corner.side.from_numpy(tuple(values))
        found: Recording = recorder.recorded(
            _differentiated(legs, name), given, [*names, *above], None if seed is None else jitter
        )
    return found
