"""An operation that does another thing: relu for tanh, a maximum for a mean, a power for a factor.

Known by the numbers that it makes; its name decides nothing but the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.recordings import Made
from parity.memory import is_heavy
from parity.where.parting import Side
from parity.why.conventions.spelling import written
from parity.why.inside.activations import before, other_activations
from parity.why.inside.edit import Edit, Put, Step, Values
from parity.why.inside.forms import exponent, forms, puts
from parity.why.inside.functions import BINARY, REDUCED, REDUCTIONS
from parity.why.inside.ground import MOST_AXES, Ground, near, only
from parity.why.inside.points import point_of
from parity.why.inside.words import at, called, does, placed

LARGEST = 100_000
"""Numbers of an array of which it is asked what reduction made it."""
SIGNS = {"add": np.subtract, "sub": np.add}


def kinds(ground: Ground) -> Iterator[Edit]:
    """Yield operations of the first side with another function in their place."""
    yield from other_activations(ground)
    yield from _singles(ground)
    yield from _pairs(ground)
    yield from _signs(ground)
    yield from _reductions(ground)


def numbers(ground: Ground) -> Iterator[Edit]:
    """Yield an operation with the second side's number: of what is small the search says it better.

    "Matches if epsilon = 1e-6" asks for runs of the whole, and of a large model each takes long.
    """
    if is_heavy(np.size(ground.value(n)) for n in ground.one.recording.inputs.values()):
        yield from _singles(ground, alike=True)


def _singles(ground: Ground, alike: bool = False) -> Iterator[Edit]:
    """Yield an operation of one array that does to it what one of the second side's does.

    Another thing, or the same with another number.
    """
    for place in ground.places:
        operation = ground.operation(place)
        arrays = [i for i, n in enumerate(operation.inputs) if only(ground.value(n)) is None]
        if operation.moves or len(arrays) != 1:
            continue
        (i,) = arrays
        own = _told(ground, operation, i)
        for other in ground.theirs_made:
            for form in forms(ground, other):
                same = form.said.split()[0] == own.split()[0]
                if form.donor is None and same == alike and form.said != own:
                    said = _said(ground, own, operation, form.said, other)
                    for group in ground.turns(place):
                        yield Edit(said, dict.fromkeys(group, _on(i, form.function)))


def _on(i: int, function: Any) -> Step:
    return lambda read, values: function(np.asarray(read[i]))


def operands(ground: Ground) -> Iterator[Edit]:
    """Yield an operation with a number that does it with what the second side has there."""
    for place in ground.places:
        operation = ground.operation(place)
        given = [i for i, n in enumerate(operation.inputs) if not ground.one.fixed[n]]
        if operation.kind not in BINARY or len(operation.inputs) != 2 or len(given) != 1:
            continue
        (i,) = given
        if only(ground.value(operation.inputs[1 - i])) is None:
            continue
        if _varies(ground, place, 1 - i):
            continue  # from turn to turn, which is said better of all turns
        own = _told(ground, operation, i)
        for other in ground.theirs_made:
            for form in forms(ground, other):
                if form.donor is None or form.said.split()[0] != own.split()[0]:
                    continue
                said = _said(ground, own, operation, form.said, other)
                for group in ground.turns(place):
                    for put in puts(ground, form, point_of(ground, group, i)):
                        yield Edit(said, {p: _put(i, x) for p, x in zip(group, put, strict=True)})


def _varies(ground: Ground, place: int, i: int) -> bool:
    """Return whether a number that an operation reads is another one in another turn."""
    turns = ground.turns(place)[0]
    return len({only(ground.value(ground.operation(p).inputs[i])) for p in turns}) > 1


def _put(i: int, put: Put) -> Step:
    return lambda read, values: put(read[i], values)


def _said(ground: Ground, own: str, operation: Made, theirs: str, other: Made) -> str:
    return _said_of(ground, own, [operation], theirs, [other])


def _told(ground: Ground, operation: Made, i: int) -> str:
    rest = [only(ground.value(n)) for j, n in enumerate(operation.inputs) if j != i]
    numbers = [n for n in rest if n is not None]
    if operation.kind == "maximum" and numbers == [0.0]:
        return "takes relu"
    if operation.kind == "pow" and not numbers:
        power = exponent(ground.value(operation.inputs[0]), ground.value(operation.outputs[0]))
        numbers = [power] if power is not None else []
    return does(operation.kind, written(numbers[0]) if numbers else "")


def _pairs(ground: Ground) -> Iterator[Edit]:
    """Yield an operation of two arrays that does what one of the second side's does, or turned."""
    for place in ground.places:
        operation = ground.operation(place)
        if operation.kind not in BINARY or len(operation.inputs) != 2:
            continue
        for other in ground.theirs_made:
            if other.kind not in BINARY:
                continue
            for turned in (False, True):
                if other.kind == operation.kind and not turned:
                    continue
                if other.kind == operation.kind:
                    said = (
                        f"the operands of {other.kind} are exchanged: {ground.left}"
                        f"{at(operation)}, {ground.right}{at(other)}"
                    )
                else:
                    said = _said(ground, does(operation.kind), operation, does(other.kind), other)
                step = _both(BINARY[other.kind], turned)
                for group in ground.turns(place):
                    yield Edit(said, dict.fromkeys(group, step))


def _signs(ground: Ground) -> Iterator[Edit]:
    """Yield every sum as a difference and the other way round: a rotation turned back."""
    own = [p for p in ground.places if ground.operation(p).kind in SIGNS]
    theirs = [o for o in ground.theirs_made if o.kind in SIGNS]
    if len(own) < 2 or len(own) != len(theirs):
        return
    made = [ground.operation(p) for p in own]
    mine, other = (
        " and ".join(dict.fromkeys(does(o.kind) for o in each)) for each in (made, theirs)
    )
    said = _said_of(ground, mine, made, other, theirs)
    yield Edit(said, {p: _both(SIGNS[ground.operation(p).kind], False) for p in own})


def _said_of(
    ground: Ground, own: str, made: Sequence[Made], theirs: str, other: Sequence[Made]
) -> str:
    left, right = f"{ground.left} {own}", f"{ground.right} {theirs}"
    return f"{placed(left, *made)}, {placed(right, *other)}"


def _both(function: Any, turned: bool) -> Step:
    return lambda read, values: function(*(read[1::-1] if turned else read[:2]))


class Reduced(NamedTuple):
    """An array made of another by a reduction."""

    kind: str
    axes: tuple[int, ...]
    source: int
    keeps: bool


def reduced(side: Side, number: int, sources: list[int]) -> Reduced | None:
    """Return what reduction made a value of one of these; None where none did."""
    y = np.asarray(side.values[number])
    if y.dtype.kind != "f" or y.size > LARGEST:
        return None
    for source in sources:
        x = np.asarray(side.values[source])
        if x.dtype.kind != "f" or x.ndim > MOST_AXES or not y.size < x.size <= LARGEST:
            continue
        for axes in _axes(x.ndim):
            keeps = y.ndim == x.ndim
            for kind, function in REDUCTIONS.items():
                z = function(x, axis=axes, keepdims=keeps)
                if z.shape != y.shape:
                    break
                if near(z, y):
                    return Reduced(kind, axes, source, keeps)
    return None


def _axes(ndim: int) -> Iterator[tuple[int, ...]]:
    for count in range(1, ndim + 1):
        yield from combinations(range(ndim), count)


def _reductions(ground: Ground) -> Iterator[Edit]:
    """Yield what reduces an array by another reduction, then the same of another array."""
    theirs = _theirs_reduced(ground)
    readers = ground.one.recording.readers()
    read = [n for p in ground.reading for n in ground.operation(p).outputs]
    behind = [p for n in read for p in readers.get(n, [])]
    places = [*behind, *ground.reading, *ground.places][::-1] if theirs else []
    mine = [
        (place, own)
        for place in places
        if not (o := ground.operation(place)).moves
        and o.outputs
        and (own := reduced(ground.one, o.outputs[0], before(ground.one, o))) is not None
    ]
    for (place, own), (other, found) in product(mine, theirs):
        if found.kind != own.kind:
            operation = ground.operation(place)
            said = _said(ground, f"takes {REDUCED[own.kind]}", operation,
                         REDUCED[found.kind], other)  # fmt: skip
            yield from _reducing(ground, place, said, own, own._replace(kind=found.kind))
    for (place, own), (other, found) in product(mine, theirs):
        twins, known = ground.twins(found.source), ground.one.prints[own.source]
        if found.kind != own.kind or known is None or not known.telling:
            continue  # what is counted is no array that was mistaken for another
        if twins and _moved(ground, own.source).isdisjoint(twins):
            of = called(ground.one, own.source), called(ground.other, found.source)
            said = _said(ground, f"takes {REDUCED[own.kind]} of {of[0]}", ground.operation(place),
                         f"{REDUCED[found.kind]} of {of[1]}", other)  # fmt: skip
            yield from _reducing(ground, place, said, own, found._replace(source=twins[0]))


def _moved(ground: Ground, number: int) -> set[int]:
    """Return a value, and what it is a part of or arranged from."""
    found = {number}
    made = ground.one.maker(number)
    while made is not None and made.moves and made.inputs:
        found.update(made.inputs)
        made = ground.one.maker(made.inputs[0])
    return found


def _reducing(ground: Ground, place: int, said: str, own: Reduced, new: Reduced) -> Iterator[Edit]:
    """Yield operations with another reduction in the place of their own, in each group of turns."""
    shape = np.shape(ground.made(place))
    for group in ground.turns(place):
        sources = ground.of_ours(new.source, group)
        if sources is not None and all(_takes(ground, p, own.kind) for p in group):
            each = zip(group, sources, strict=True)
            yield Edit(said, {p: _reduction(new, s, shape) for p, s in each})


def _takes(ground: Ground, place: int, kind: str) -> bool:
    """Return whether an operation completes such a reduction: not all of a line are its turns."""
    operation = ground.operation(place)
    own = reduced(ground.one, operation.outputs[0], before(ground.one, operation))
    return own is not None and own.kind == kind


def _theirs_reduced(ground: Ground) -> list[tuple[Made, Reduced]]:
    """Return what the second side reduces there, the last of a kind and of an array."""
    found: dict[tuple[str, int], tuple[Made, Reduced]] = {}
    side = ground.other
    for operation in ground.theirs_made[::-1]:
        sources = [n for o in ground.theirs_made for n in o.inputs]
        own = reduced(side, operation.outputs[0], [*dict.fromkeys((*operation.inputs, *sources))])
        if own is not None:
            found.setdefault((own.kind, own.source), (operation, own))
    return [*found.values()]


def _reduction(new: Reduced, source: Step, shape: tuple[int, ...]) -> Step:
    function = REDUCTIONS[new.kind]

    def step(read: Any, values: Values) -> Any:
        made = function(np.asarray(source(read, values)), axis=new.axes, keepdims=new.keeps)
        return np.asarray(made).reshape(shape)

    return step
