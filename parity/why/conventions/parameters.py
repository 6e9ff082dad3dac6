"""What can be turned on one side of a pair: a constant, one and its complement, a factor put in.

A parameter knows its value and how to change it; `search.py` decides what to try.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Any

from parity.frameworks.programs import Constant, Operation, Program, read_by, role, uses
from parity.why.conventions.alternatives import counted_from_end
from parity.why.conventions.change import Change
from parity.why.conventions.layouts import Layout, scaled, shifted
from parity.why.conventions.rerun import Rerun
from parity.why.conventions.spelling import written

EPSILONS = frozenset(("epsilon", "eps"))
NEUTRAL = {
    "epsilon": 0.0,
    "eps": 0.0,
    "threshold": float("inf"),
    "factor": 1.0,
    "divisor": 1.0,
    "exponent": 1.0,
    "term": 0.0,
    "ignore_index": -100,
}
"""What takes a constant out of a function, by its role."""


TERMS = {"beta": "bias", "alpha": "product"}
"""Factors of the two terms of one operation, and what the terms are called."""
OF_TERMS = re.compile(r"b?add(bmm|mm|mv|r|bmv)$")
"""Operations that have them: a bias and a product."""
SMOOTH = frozenset(("divisor", "factor", "term", "numerator", "exponent"))
MOST_WHOLE = 1000
"""Larger whole numbers are not put in place of others: they may be sizes of what is made."""
MANY = 8
"""With more constants on the other side than this, smooth ones are solved for, not looked up."""


@dataclass(frozen=True)
class Parameter:
    """Something with a value on one side."""

    side: str
    value: Any
    role: str
    place: str
    change: Callable[[Any], Change]
    inserted: bool = False
    """Whether the function has no such constant: 1 or 0 stands where one may be missing."""
    discrete: bool = False
    slots: tuple[int, ...] = ()
    term: str = ""
    """What it is a factor of, where that is a term of a sum."""

    def said(self, value: Any, words: str = "", before: str = "") -> str:
        """Return the change to ``value`` in words, which are other ways to write it and the old."""
        meant = f" = {words}" if words else ""
        if self.term and value in (0, 1):
            verb = "adds no" if value == 0 else "adds"
            return f"the {self.side} side {verb} {self.term}{self.place}"
        if not self.inserted:
            old = written(self.value) + (f" = {before}" if before else "")
            return f"{self.role} = {written(value)}{meant} ({self.side} side has {old}{self.place})"
        verb = "multiplied by" if self.role == "factor" else "shifted by"
        return f"{self.place} is {verb} {written(value)}{meant} on the {self.side} side"


def of_side(rerun: Rerun, side: str) -> list[Parameter]:
    """Return the constants of every program of a side: alike ones together, then each alone."""
    found: list[Parameter] = []
    for number, program in enumerate(rerun.programs(side)):
        places = uses(program)
        counted = [counted_from_end(within, o) for within, o in program.walk()]
        steps = {step.place for found in counted if found for step in found.steps}
        known = [
            (c, *places[c.slot])
            for c in program.constants
            if c.slot in places and places[c.slot][1].place not in steps
        ]
        found += _constants(side, number, [k for k in known if not k[0].inserted])
    return found


def _constants(
    side: str, number: int, found: list[tuple[Constant, Program, Operation]]
) -> Iterator[Parameter]:
    groups: dict[Any, list[Any]] = {}
    for constant, program, operation in found:
        what = role(constant, program, operation)
        member = (constant, what, read_by(constant, program, operation)[0])
        value = repr(constant.value)
        for key in (("alike", what, value), ("equal", value), ("one", constant.slot)):
            groups.setdefault(key, []).append(member)
    seen: set[tuple[int, ...]] = set()
    for key in sorted(groups, key=lambda key: ("alike", "equal", "one").index(key[0])):
        members = groups[key]
        slots = tuple(constant.slot for constant, _, _ in members)
        if slots not in seen:
            seen.add(slots)
            yield _of_slots(side, number, members, slots)
    yield from _complements(side, number, groups)


def _of_slots(side: str, number: int, members: list[Any], slots: tuple[int, ...]) -> Parameter:
    constant, _, operation = members[0]
    what, value = " and ".join(dict.fromkeys(what for _, what, _ in members)), constant.value
    return Parameter(
        side,
        value,
        what,
        _place(operation),
        partial(_of_slots_alike, side, number, slots),
        discrete=any(c.static or _is_whole(value, what) for c, what, _ in members),
        slots=slots,
        term=TERMS.get(what, "") if OF_TERMS.match(operation.kind) else "",
    )


def _is_whole(value: Any, what: str) -> bool:
    """Return whether a constant is a switch, a word or a count, and no real number."""
    return isinstance(value, int | str) and what not in ("factor", "divisor", "exponent")


def _complements(side: str, number: int, groups: dict[Any, list[Any]]) -> Iterator[Parameter]:
    """Yield c and 1 - c as one parameter, where both are there: a moving average's weights."""
    values = {key[1]: members for key, members in groups.items() if key[0] == "equal"}
    for members in values.values():
        value = members[0][0].value
        if not isinstance(value, float) or not 0 < value < 1:
            continue
        for rest in values.values():
            other = rest[0][0].value
            if isinstance(other, float) and abs(value + other - 1) < 1e-15 and value > other:
                own = [c.slot for c, _, _ in members]
                theirs = [c.slot for c, _, _ in rest if c.slot not in own]
                yield Parameter(
                    side,
                    value,
                    f"weight (and {written(other)} = 1 - {written(value)})",
                    _place(members[0][2]),
                    partial(_weights, side, number, own, theirs),
                    slots=(*own, *theirs),
                )


def inserted(rerun: Rerun, side: str) -> Iterator[Parameter]:
    """Yield a factor and a shift for every operation, the last one first, then for each input."""
    if rerun.programs(side):
        yield from _of_results(rerun, side)
    for name in rerun.legs.arguments.floats:
        for make, what, neutral in ((scaled, "factor", 1.0), (shifted, "shift", 0.0)):
            yield Parameter(
                side,
                neutral,
                what,
                f"input {name}",
                partial(_of_input, side, make, name),
                inserted=True,
            )


def _of_results(rerun: Rerun, side: str) -> Iterator[Parameter]:
    number = len(rerun.programs(side)) - 1
    program = rerun.programs(side)[number]
    operations = {c: o for _, o in program.walk() for c in (o.factor, o.shift)}
    for constant in reversed(program.constants):
        if constant.inserted and constant.slot in operations:
            operation = operations[constant.slot]
            where = f" ({operation.where})" if operation.where else ""
            yield Parameter(
                side,
                constant.value,
                constant.inserted,
                f"the result of {operation.kind}{where}",
                partial(_of_slots_alike, side, number, (constant.slot,)),
                inserted=True,
                slots=(constant.slot,),
            )


def mixtures(rerun: Rerun, side: str) -> Iterator[Parameter]:
    """Yield every input with another one of its shape added to it: a decay, a residual."""
    leaves = zip(rerun.legs.arguments.names, rerun.problems[0].values, strict=False)
    floats = [(name, x) for name, x in leaves if x.dtype.kind == "f"]
    for (one, x), (other, y) in permutations(floats, 2):
        if x.shape == y.shape:
            yield Parameter(
                side,
                0.0,
                f"input {one} + k {other}: k",
                "",
                partial(_mixed, side, one, other),
            )


def _of_slots_alike(side: str, number: int, slots: tuple[int, ...], value: Any) -> Change:
    return Change(side, program=number, values=dict.fromkeys(slots, value))


def _weights(side: str, number: int, own: list[int], rest: list[int], value: Any) -> Change:
    values = {**dict.fromkeys(own, value), **dict.fromkeys(rest, 1 - value)}
    return Change(side, program=number, values=values)


def _of_input(side: str, make: Callable[..., Layout], name: str, value: Any) -> Change:
    return Change(side, inputs=(make(name, value, ""),))


def _mixed(side: str, one: str, other: str, value: Any) -> Change:
    return Change(side, mixed=((one, other, value),))


def _place(operation: Operation) -> str:
    return f", {operation.kind}" + (f" at {operation.where}" if operation.where else "")


def numbers(parameters: Sequence[Parameter]) -> list[float]:
    """Return the different numbers among constants, as a side that knows them would give them."""
    values = [p.value for p in parameters if not isinstance(p.value, bool | str)]
    return list(dict.fromkeys(v for v in values if abs(v) < 1e300))


def others(parameter: Parameter, known: Sequence[float]) -> list[Any]:
    """Return what to put in place of a value: the other side's, or what takes it out."""
    value = parameter.value
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, str):
        return [word for word in ("none", "tanh", "mean", "sum") if word != value]
    if parameter.role in ("ddof", "correction"):
        return [v for v in (0, 1) if v != value]
    tried: list[Any] = [v for v in known if v != value]
    if parameter.discrete:
        tried = [int(v) for v in tried if v == int(v) and abs(v) <= MOST_WHOLE]
        tried += [value + 1, value - 1, 0, 1, 2, 3]
    elif isinstance(value, float) and parameter.role in SMOOTH and len(tried) > MANY:
        tried = []  # they are found by solving
    if parameter.role in ("threshold", "bound", "min", "max", "value"):
        tried += [] if isinstance(value, int) else [float("inf"), -float("inf")]
    tried = [v for v in tried if plausible(value, v)]
    counts = parameter.role == "threshold" and isinstance(value, int)
    if parameter.role in NEUTRAL and not counts:  # a count has no meaning without its bound
        tried.insert(0, NEUTRAL[parameter.role])
    return [v for v in dict.fromkeys(tried) if v != value]


def plausible(old: Any, new: Any) -> bool:
    """Return whether one number may stand for another: of one sign, unless it is just turned."""
    return not old * new < 0 or new in (-old, -1) or abs(new) == float("inf")
