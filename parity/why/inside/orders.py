"""Two steps in another order: relu before the sum, a factor before the matrix product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.recordings import Made
from parity.why.conventions.spelling import written
from parity.why.inside.activations import activations, softmaxes
from parity.why.inside.edit import Edit, Step, Values
from parity.why.inside.forms import forms
from parity.why.inside.functions import ACTIVATIONS, Unary, softmax
from parity.why.inside.ground import Ground, only
from parity.why.inside.paths import along, path
from parity.why.inside.words import DOES, at, called, does

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
FURTHER = 2
"""Steps that follow what is read otherwise."""


class Act(NamedTuple):
    """What is done once to a value: in one operation, or in those of an activation."""

    place: int
    """Of the operation that completes it."""
    operand: int
    apply: Callable[[Any, Values], Any]


class Movable(NamedTuple):
    """Something that may be done earlier or later."""

    place: int
    operand: int
    does: str
    theirs: Sequence[Made]
    """What does the same on the second side: nothing may be said of what it does not do."""
    acts: Callable[[Sequence[int]], Sequence[Act]]
    """Operations of one group of turns -> what is done there; nothing where it is otherwise."""
    past: Callable[[Made], bool] = lambda operation: True
    """Whether it may be moved past an operation."""


def orders(ground: Ground) -> Iterator[Edit]:
    """Yield a step of the first side done later, after another of the region; or earlier."""
    for place in _places(ground):
        for movable in (*_operations(ground, place), *_activations(ground, place)):
            yield from _later(ground, movable)
            yield from _earlier(ground, movable)


def moved(ground: Ground, some: Sequence[Edit]) -> str:
    """Say of what is left out here and put in further on that it is done later; "" of others."""
    families = [edit.family for edit in some]
    if sorted(families) != ["extra", "missing"]:
        return ""
    first, then = (ground.left, ground.right) if families[0] == "extra" else (
        ground.right, ground.left)  # fmt: skip
    here, there = (
        edit.said.removeprefix(f"only {side} ")
        for edit, side in zip(some, (first, then), strict=True)
    )
    readers = (ground.mine if first == ground.left else ground.theirs).readers
    if here.split()[0] != there.split()[0] or not readers:
        return ""
    reader = readers[0]
    what = reader.inside or reader.kind
    return f"{first} {here} before {what}{at(reader)}, {then} {there} after"


def _places(ground: Ground) -> list[int]:
    """Return the operations of the region, and a few that follow where it is what is read.

    Or where what follows completes a softmax.
    """
    completes = (any(softmaxes(ground.one, ground.operation(p))) for p in ground.reading)
    read = ground.mine.read or any(completes)
    found = {*ground.all} if read else {*ground.places}
    readers = ground.one.recording.readers()
    for _ in range(FURTHER if read else 0):
        found |= {p for q in found for n in ground.operation(q).outputs for p in readers.get(n, [])}
    return sorted({*found, *ground.all})


def _operations(ground: Ground, place: int) -> Iterator[Movable]:
    operation = ground.operation(place)
    for i, number in enumerate(operation.inputs if operation.kind in MOVABLE else ()):
        theirs = _also(ground, operation, i)
        if theirs:
            does_it = _does(ground, operation, i)
            yield Movable(place, number, does_it, theirs, partial(_of_operations, ground, i))


def _of_operations(ground: Ground, i: int, group: Sequence[int]) -> Sequence[Act]:
    def act(place: int) -> Act:
        operation = ground.operation(place)

        def apply(x: Any, values: Values) -> Any:
            if operation.apply is None:
                raise ValueError("cannot be run again")
            given = [values.ours(n) for n in operation.inputs]
            given[i] = x
            return operation.apply(given)[0]

        return Act(place, operation.inputs[i], apply)

    return [act(place) for place in group]


def _activations(ground: Ground, place: int) -> Iterator[Movable]:
    """Yield activations of several operations: silu, gelu; softmax."""
    for axis, number in softmaxes(ground.one, ground.operation(place)):
        theirs = [o for o in (*ground.theirs_made, *ground.theirs.readers)
                  if any(softmaxes(ground.other, o))]  # fmt: skip
        if theirs:
            acts = partial(_of_activations, ground, number, partial(softmax, axis=axis))
            yield Movable(place, number, "takes softmax", theirs, acts)
    for name, number in activations(ground.one, ground.operation(place)):
        theirs = [
            o
            for o in (*ground.theirs_made, *ground.theirs.readers)
            if any(other == name for other, _ in activations(ground.other, o))
        ]
        if theirs and len(path(ground, number, ground.operation(place).outputs[0])) > 1:
            acts = partial(_of_activations, ground, number, ACTIVATIONS[name])
            past = partial(_is_shared, ground)
            yield Movable(place, number, f"takes {name}", theirs, acts, past)


def _is_shared(ground: Ground, operation: Made) -> bool:
    """Return whether the second side does it, too: what it has not is not before or after."""
    arrays = [i for i, n in enumerate(operation.inputs) if only(ground.value(n)) is None]
    return operation.kind in PRODUCTS or any(_also(ground, operation, i) for i in arrays)


def _of_activations(
    ground: Ground, number: int, function: Unary, group: Sequence[int]
) -> Sequence[Act]:
    numbers = ground.turn_by_turn(number, group)
    each = zip(group, numbers or (), strict=False)
    return [Act(place, n, lambda x, values: function(np.asarray(x))) for place, n in each]


def _later(ground: Ground, movable: Movable) -> Iterator[Edit]:
    """Yield what is done to the outcome of a later step, or to some of the terms of its sum."""
    first = ground.operation(movable.place).outputs[0]
    for end in [p for p in _places(ground) if p > movable.place]:
        way = path(ground, first, ground.operation(end).outputs[0])
        makes = [ground.operation(p) for p in way if not ground.operation(p).moves]
        if not makes or any(o.kind in CHOOSING or not movable.past(o) for o in makes):
            continue
        said = _said(ground, movable, makes, "before", "after")
        for groups in _zipped(ground, movable, end):
            for chosen in _subsets(range(len(_added(ground, way)))):
                yield Edit(said, {e: _after(ground, act, e, chosen) for act, e in groups})


def _zipped(ground: Ground, movable: Movable, other: int) -> Iterator[list[tuple[Act, int]]]:
    """Yield what is moved with the operation that it is moved past, turn by turn."""
    turns = zip(ground.turns(movable.place), ground.turns(other), strict=False)
    for one, ends in (*turns, ([movable.place], [other])):
        acts = movable.acts(one)
        if len(acts) == len(ends):
            yield [*zip(acts, ends, strict=True)]


def _after(ground: Ground, act: Act, end: int, chosen: Sequence[int]) -> Step:
    """Return it done later, but for the ``chosen`` ones of what is added on the way."""
    first, last = ground.operation(act.place).outputs[0], ground.operation(end).outputs[0]
    way = path(ground, first, last)
    added = _added(ground, way)
    terms = [added[k] for k in chosen if k < len(added)]
    run, several = ground.operation(end).apply, len(ground.operation(end).outputs) > 1

    def step(read: Any, values: Values) -> Any:
        given = np.broadcast_to(values.ours(act.operand), np.shape(values.ours(first)))
        bare = along(ground, way, {first: given}, last, values)
        rest = sum(np.asarray(values.ours(n)) for n in terms)
        made = act.apply(bare - rest, values) + rest
        others = run(read)[1:] if run is not None and several else []  # where the largest stand
        return [np.asarray(made), *others]

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


def _earlier(ground: Ground, movable: Movable) -> Iterator[Edit]:
    """Yield what is done to what goes into an earlier operation that its operand is made of."""
    operand = movable.operand
    for before in _ancestors(ground, operand):
        other = ground.operation(before)
        for j, number in enumerate(other.inputs):
            if not np.ndim(ground.value(number)) or other.outputs[0] == operand == number:
                continue
            way = path(ground, other.outputs[0], operand)
            makes = [other, *(ground.operation(p) for p in way if not ground.operation(p).moves)]
            if (
                other.moves
                or any(o.kind in CHOOSING or not movable.past(o) for o in makes)
                or (not way and other.outputs[0] != operand)
            ):
                continue
            said = _said(ground, movable, makes, "after", "before")
            for groups in _zipped(ground, movable, before):
                yield Edit(said, {act.place: _ahead(ground, act, b, j) for act, b in groups})


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


def _ahead(ground: Ground, act: Act, before: int, j: int) -> Step:
    other = ground.operation(before)
    way = path(ground, other.outputs[0], act.operand)

    def step(read: Any, values: Values) -> Any:
        if other.apply is None:
            raise ValueError("cannot be run again")
        given = [values.ours(n) for n in other.inputs]
        given[j] = act.apply(given[j], values)
        made = other.apply(given)
        new = dict(zip(other.outputs, made, strict=True))
        return along(ground, way, new, act.operand, values) if way else made[0]

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


def _said(ground: Ground, movable: Movable, makes: Sequence[Made], own: str, others: str) -> str:
    product = next((o for o in makes if o.kind in PRODUCTS), None)
    by = product or makes[-1]
    return (
        f"{ground.left} {movable.does} {own} {passed(ground, by)}"
        f"{at(ground.operation(movable.place), by)}, {ground.right} {others}"
        f"{at(*movable.theirs[:1])}"
    )


def passed(ground: Ground, operation: Made) -> str:
    """Return what is passed: ``the matrix product``, ``it adds 1e-5``."""
    if operation.kind in PRODUCTS:
        return "the convolution" if operation.kind == "convolution" else "the matrix product"
    known = [only(ground.value(n)) for n in operation.inputs]
    numbers = [c for c in known if c is not None]
    if not operation.inside and (named := next(activations(ground.one, operation), None)):
        return named[0]
    if operation.kind == "maximum" and numbers == [0.0]:
        return "relu"
    return f"it {does(operation.kind, written(numbers[0]))}" if numbers else _noun(operation)


def _noun(operation: Made) -> str:
    nouns = {"add": "the sum", "sub": "the difference", "mul": "the product", "div": "the quotient"}
    does_it = f"it {DOES[operation.kind]}" if operation.kind in DOES else operation.kind
    return nouns.get(operation.kind, operation.inside or does_it)
