"""Two steps in another order: relu before the sum, a factor before the matrix product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np

from parity.frameworks.recordings import Made
from parity.why.conventions.spelling import written
from parity.why.inside.edit import Edit, Step, Values
from parity.why.inside.ground import Ground, only
from parity.why.inside.paths import along, path
from parity.why.inside.steps import forms
from parity.why.inside.words import at, called, does

MOVABLE = frozenset(
    """abs add cos div erf exp log log1p maximum minimum mul neg pow rsqrt sigmoid sin sqrt square
    sub tanh where""".split()
)
"""What is done number by number."""
PRODUCTS = frozenset("convolution dot_general".split())
SAME = {
    "add": ("addmm", "baddbmm", "convolution", "sub"),
    "div": ("mul", "reciprocal"),
    "maximum": ("relu", "clamp_min"),
    "mul": ("addcmul", "div"),
    "rsqrt": ("sqrt", "pow"),
    "sqrt": ("rsqrt", "pow"),
    "square": ("pow", "mul"),
}
"""What the other side may do it by."""
CHOOSING = frozenset("eq ge gt le lt ne select_and_scatter_add sign sort where".split())
"""Past which nothing is moved: that two orders are equal then, is an accident."""
MOST_ADDED = 4


def orders(ground: Ground) -> Iterator[Edit]:
    """Yield a step of the first side done later, after another of the region; or earlier."""
    for place in ground.places:
        operation = ground.operation(place)
        if operation.kind in MOVABLE:
            for i in range(len(operation.inputs)):
                if not _also(ground, operation, i):
                    continue
                yield from _later(ground, place, i)
                yield from _earlier(ground, place, i)


def _later(ground: Ground, place: int, i: int) -> Iterator[Edit]:
    """Yield an operation done to the outcome of a later one, or to some of the terms of its sum."""
    operation, first = ground.operation(place), ground.operation(place).outputs[0]
    for end in [p for p in ground.all if p > place]:
        last = ground.operation(end).outputs[0]
        way = path(ground, first, last)
        makes = [ground.operation(p) for p in way if not ground.operation(p).moves]
        if not makes or any(o.kind in CHOOSING for o in makes):
            continue
        said = _said(ground, operation, i, makes, "before", "after")
        for groups in _zipped(ground, place, end):
            for chosen in _subsets(range(len(_added(ground, way)))):
                yield Edit(said, {e: _after(ground, p, i, e, chosen) for p, e in groups})


def _zipped(ground: Ground, place: int, end: int) -> Iterator[list[tuple[int, int]]]:
    for one, other in zip(ground.turns(place), ground.turns(end), strict=False):
        if len(one) == len(other):
            yield [*zip(one, other, strict=True)]
    yield [(place, end)]


def _after(ground: Ground, place: int, i: int, end: int, chosen: Sequence[int]) -> Step:
    """Return an operation done later, but for the ``chosen`` ones of what is added on the way."""
    operation = ground.operation(place)
    first, last = operation.outputs[0], ground.operation(end).outputs[0]
    way = path(ground, first, last)
    added = _added(ground, way)
    terms = [added[k] for k in chosen if k < len(added)]

    def step(read: Any, values: Values) -> Any:
        given = [values.ours(n) for n in operation.inputs]
        shape = np.shape(values.ours(first))
        bare = along(ground, way, {first: np.broadcast_to(given[i], shape)}, last, values)
        rest = sum(np.asarray(values.ours(n)) for n in terms)
        given[i] = bare - rest
        if operation.apply is None:
            raise ValueError("cannot be run again")
        return operation.apply(given)[0] + rest

    return step


def _added(ground: Ground, way: Sequence[int]) -> list[int]:
    """Return what is added on a way."""
    recording, on = ground.one.recording, set[int]()
    found = []
    for place in way:
        operation = recording.operations[place]
        if operation.kind == "add" and on:
            found += [n for n in operation.inputs if n not in on]
        on.update(operation.outputs)
    return found[:MOST_ADDED]


def _subsets(terms: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(terms, k) for k in range(len(terms) + 1))


def _earlier(ground: Ground, place: int, i: int) -> Iterator[Edit]:
    """Yield an operation done to what goes into an earlier one that its operand is made of."""
    operation = ground.operation(place)
    for before in _ancestors(ground, operation.inputs[i]):
        other = ground.operation(before)
        for j, number in enumerate(other.inputs):
            if (
                not np.ndim(ground.value(number))
                or other.outputs[0] == operation.inputs[i] == number
            ):
                continue
            way = path(ground, other.outputs[0], operation.inputs[i])
            makes = [other, *(ground.operation(p) for p in way if not ground.operation(p).moves)]
            if (
                other.moves
                or any(o.kind in CHOOSING for o in makes)
                or (not way and other.outputs[0] != operation.inputs[i])
            ):
                continue
            said = _said(ground, operation, i, makes, "after", "before")
            for groups in _zipped(ground, before, place):
                yield Edit(said, {p: _ahead(ground, p, i, b, j) for b, p in groups})


def _ancestors(ground: Ground, number: int) -> list[int]:
    """Return the operations that a value is made of, a few steps back."""
    recording, found = ground.one.recording, dict[int, None]()
    level = [number]
    for _ in range(6):
        places = [recording.makers[n] for n in level if n in recording.makers]
        found |= dict.fromkeys(places)
        level = [n for p in places for n in recording.operations[p].inputs]
        if len(found) > 12:
            break
    return [*found]


def _ahead(ground: Ground, place: int, i: int, before: int, j: int) -> Step:
    operation, other = ground.operation(place), ground.operation(before)
    way = path(ground, other.outputs[0], operation.inputs[i])

    def step(read: Any, values: Values) -> Any:
        if operation.apply is None or other.apply is None:
            raise ValueError("cannot be run again")
        given = [values.ours(n) for n in other.inputs]
        own = [*read]
        own[i] = given[j]
        given[j] = operation.apply(own)[0]
        made = other.apply(given)
        new = dict(zip(other.outputs, made, strict=True))
        return along(ground, way, new, operation.inputs[i], values) if way else made[0]

    return step


def _does(ground: Ground, operation: Made, i: int) -> str:
    """Return what an operation does to one of its operands."""
    rest = [n for j, n in enumerate(operation.inputs) if j != i]
    if operation.kind == "maximum" and rest and only(ground.value(rest[0])) == 0:
        return "takes relu"
    return does(operation.kind, called(ground.one, rest[0]) if rest else "")


def _also(ground: Ground, operation: Made, i: int) -> list[Made]:
    """Return what does the same on the second side: nothing may be said of what it does not do."""
    alike = {operation.kind, *SAME.get(operation.kind, ())}
    found = [o for o in (*ground.theirs_made, *ground.theirs.readers) if o.kind in alike]
    numbers = [only(ground.value(n)) for j, n in enumerate(operation.inputs) if j != i]
    if operation.kind == "maximum" or not numbers or numbers[0] is None:
        return found
    said = does(operation.kind, written(numbers[0]))
    return [o for o in found if any(form.said == said for form in forms(ground, o))]


def _said(
    ground: Ground, operation: Made, i: int, makes: Sequence[Made], own: str, others: str
) -> str:
    product = next((o for o in makes if o.kind in PRODUCTS), None)
    passed = product or makes[-1]
    theirs = _also(ground, operation, i)
    return (
        f"{ground.left} {_does(ground, operation, i)} {own} {_passed(ground, passed)}"
        f"{at(operation, passed)}, {ground.right} {others}{at(*theirs[:1])}"
    )


def _passed(ground: Ground, operation: Made) -> str:
    """Return what is passed: ``the matrix product``, ``it adds 1e-5``."""
    if operation.kind in PRODUCTS:
        return "the convolution" if operation.kind == "convolution" else "the matrix product"
    known = [only(ground.value(n)) for n in operation.inputs]
    numbers = [c for c in known if c is not None]
    if operation.kind == "maximum" and numbers == [0.0]:
        return "relu"
    return f"it {does(operation.kind, written(numbers[0]))}" if numbers else _noun(operation)


def _noun(operation: Made) -> str:
    nouns = {"add": "the sum", "sub": "the difference", "mul": "the product", "div": "the quotient"}
    return nouns.get(operation.kind, operation.inside or operation.kind)
