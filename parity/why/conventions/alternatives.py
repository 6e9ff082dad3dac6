"""Operations that are often done in one of two ways: where eps stands, which rule a kink follows.

Each alternative is one operation of a recorded program done the other way. They are proposed from
what the operations are, never from what a function is called; `search.py` tries them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any, NamedTuple

from parity.frameworks.programs import UNCHANGED, Edit, Operation, Program

OTHER_COMPARISON = {"gt": "ge", "ge": "gt", "lt": "le", "le": "lt"}
SAID = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
ROUNDINGS = ("floor", "ceil", "round", "trunc")
JOINING = frozenset("cat concatenate stack".split())
MOST_PARTS = 4
"""Parts that are put together in every order."""
SMALL = 0.1
"""An added constant up to here may be an epsilon."""


class Alternative(NamedTuple):
    """One operation done the other way."""

    words: str
    operation: Operation
    edit: Edit


def alternatives(program: Program, m: Any) -> Iterator[Alternative]:
    """Yield what may be done otherwise in a program; ``m`` is the framework's `Arithmetic`."""
    values = {c.slot: c.value for c in program.constants if not c.inserted}
    for within, operation in program.walk():
        for words, edit in _of(within, operation, values, m):
            yield Alternative(words, operation, edit)


def _of(p: Program, o: Operation, values: dict[int, Any], m: Any) -> Iterator[tuple[str, Edit]]:
    if o.kind in OTHER_COMPARISON:
        yield _comparison(o, m)
    elif o.kind in ROUNDINGS:
        yield from _rounding(o, m)
    elif o.kind in ("erf", "tanh"):
        yield _gelu(o, m)
    elif o.kind in ("sqrt", "rsqrt", "pow"):
        yield from _root_of_sum(p, o, values, m)
    elif o.kind == "add":
        yield from _sum(p, o, values, m)
    elif o.kind in ("maximum", "clamp_min", "clamp"):
        yield from _floor(o, values, m)
    elif o.kind in ("fmod", "remainder"):
        yield _remainder(o, m)
    elif o.kind == "median":
        yield from _median(o, m)
    elif o.kind in JOINING:
        yield from _joined(p, o)
    elif counted := counted_from_end(p, o):
        yield (
            "a negative index out of range for one counted from the end",
            lambda values, x: values[counted.read],
        )


class Counted(NamedTuple):
    """An index that is counted from the end where it is negative."""

    read: int
    steps: tuple[Operation, ...]
    """The comparison with 0 and the sum, whose constants are nobody's choice."""


def counted_from_end(p: Program, o: Operation) -> Counted | None:
    """Return the index of select(i < 0, i, i + n), as JAX writes it; None of anything else."""
    if o.kind != "select_n" or len(o.inputs) != 3:
        return None
    below, added = p.producer(o.inputs[0]), p.producer(o.inputs[2])
    if below is None or added is None or (below.kind, added.kind) != ("lt", "add"):
        return None
    index = o.inputs[1]
    if below.inputs[0] != index or index not in added.inputs:
        return None
    return Counted(index, (below, added))


def joined_otherwise(kind: str, count: int) -> list[tuple[int, ...]]:
    """Return every other order of the parts that such an operation puts together."""
    few = kind in JOINING and count <= MOST_PARTS
    return [*permutations(range(count))][1:] if few else []


def _joined(p: Program, o: Operation) -> Iterator[tuple[str, Edit]]:
    """Yield parts in every other order; two parts of one tensor as it is, which rolling made."""
    made = [p.producer(slot) for slot in o.inputs]
    slices = [part.inputs[0] for part in made if part is not None and part.kind == "slice"]
    if len(made) == len(slices) == 2 and slices[0] == slices[1]:
        yield "the tensor as it is, not rolled", lambda values, x: values[slices[0]]
        return
    for order in joined_otherwise(o.kind, len(o.inputs)):
        words = f"the parts of a concatenation in the order {[*order]}"
        yield words, _in_order(o, order)


def _in_order(o: Operation, order: tuple[int, ...]) -> Edit:
    return lambda values, x: o.apply([x[i] for i in order], UNCHANGED)[0]


def _comparison(o: Operation, m: Any) -> tuple[str, Edit]:
    other = OTHER_COMPARISON[o.kind]
    return f"{SAID[other]} for {SAID[o.kind]}", lambda values, x: getattr(m, other)(x[0], x[1])


def _rounding(o: Operation, m: Any) -> Iterator[tuple[str, Edit]]:
    if o.kind == "round":
        yield (
            "halves rounded up for halves rounded to even",
            lambda values, x: m.floor(x[0] + 0.5),
        )
        yield (
            "halves rounded away from zero for halves rounded to even",
            lambda values, x: m.sign(x[0]) * m.floor(m.abs(x[0]) + 0.5),
        )
    for other in ROUNDINGS:
        if other != o.kind:
            yield f"{other} for {o.kind}", by(getattr(m, other))


def by(function: Callable[[Any], Any]) -> Edit:
    """Return an edit that puts a function of its first operand in an operation's place."""
    return lambda values, x: function(x[0])


def _gelu(o: Operation, m: Any) -> tuple[str, Edit]:
    """Return erf as gelu's approximation has it, or that tanh as the erf that it stands for."""
    near, cubic = math.sqrt(2 / math.pi), 0.044715

    def as_tanh(values: Any, x: list[Any]) -> Any:
        y = x[0] * math.sqrt(2)
        return m.tanh(near * (y + cubic * y * y * y))

    def as_erf(values: Any, x: list[Any]) -> Any:
        # the real root of cubic y^3 + y = x / near: 4 sinh^3 + 3 sinh is the sinh of three times
        size = math.sqrt(3 * cubic)
        y = 2 / size * m.sinh(m.asinh(1.5 * size * x[0] / near) / 3)
        return m.erf(y / math.sqrt(2))

    if o.kind == "erf":
        return "the tanh approximation for erf (approximate='tanh')", as_tanh
    return "erf for its tanh approximation (approximate=False)", as_erf


def _root_of_sum(
    p: Program, o: Operation, values: dict[int, Any], m: Any
) -> Iterator[tuple[str, Edit]]:
    """sqrt(a + c) as sqrt(a) + c."""
    power = {"sqrt": 0.5, "rsqrt": -0.5}.get(o.kind)
    if o.kind == "pow":
        power = values.get(o.inputs[1]) if len(o.inputs) > 1 else None
    added = p.producer(o.inputs[0])
    if power not in (0.5, -0.5) or added is None or added.kind != "add":
        return
    for term, rest in (added.inputs[:2], added.inputs[1::-1]):
        if _small(values.get(term)):

            def outside(v: Any, x: list[Any], term: int = term, rest: int = rest) -> Any:
                root = m.sqrt(v[rest]) + v[term]
                return root if power == 0.5 else 1 / root

            yield "epsilon outside the square root", outside


def _sum(p: Program, o: Operation, values: dict[int, Any], m: Any) -> Iterator[tuple[str, Edit]]:
    """sqrt(a) + c as sqrt(a + c) or sqrt(a + c^2), and a + c as max(a, c)."""
    for term, rest in (o.inputs[:2], o.inputs[1::-1]):
        if not _small(values.get(term)):
            continue

        def floored(v: Any, x: list[Any], term: int = term, rest: int = rest) -> Any:
            return m.maximum(v[rest], v[term])

        yield "max(x, epsilon) for x + epsilon", floored
        root = p.producer(rest)
        if root is not None and root.kind == "sqrt":
            inner = root.inputs[0]

            def inside(v: Any, x: list[Any], term: int = term, inner: int = inner) -> Any:
                return m.sqrt(v[inner] + v[term])

            def squared(v: Any, x: list[Any], term: int = term, inner: int = inner) -> Any:
                return m.sqrt(v[inner] + v[term] * v[term])

            yield "epsilon inside the square root", inside
            yield "epsilon squared inside the square root", squared


def _floor(o: Operation, values: dict[int, Any], m: Any) -> Iterator[tuple[str, Edit]]:
    if len(o.inputs) < 2:
        return
    for term, rest in (o.inputs[:2], o.inputs[1::-1]):
        if _small(values.get(term)):

            def added(v: Any, x: list[Any], term: int = term, rest: int = rest) -> Any:
                return v[rest] + v[term]

            yield "x + epsilon for max(x, epsilon)", added


def _remainder(o: Operation, m: Any) -> tuple[str, Edit]:
    if o.kind == "fmod":
        return (
            "a remainder with the divisor's sign for one with the dividend's",
            lambda values, x: x[0] - m.floor(x[0] / x[1]) * x[1],
        )
    return (
        "a remainder with the dividend's sign for one with the divisor's",
        lambda values, x: x[0] - m.trunc(x[0] / x[1]) * x[1],
    )


def _median(o: Operation, m: Any) -> Iterator[tuple[str, Edit]]:
    """The median of an even number: between the two middle elements, or the upper."""

    def middle(x: Any) -> tuple[Any, Any]:
        return m.middle(x.reshape(-1), 0) if o.axis is None else m.middle(x, o.axis)

    yield (
        "the mean of the two middle elements for the lower one",
        lambda values, x: sum(middle(x[0])) / 2,
    )
    yield "the upper of the two middle elements for the lower", lambda v, x: middle(x[0])[1]


def _small(value: Any) -> bool:
    return isinstance(value, float) and 0 < value <= SMALL
