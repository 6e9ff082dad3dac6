"""An operation that only one side has: left out of the first, or put into it from the second."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from parity.frameworks.recordings import Made
from parity.why.conventions.spelling import written
from parity.why.inside.edit import Edit, Step
from parity.why.inside.forms import FLIPS, Form, exponent, fits, forms, plain, puts
from parity.why.inside.ground import Ground, only
from parity.why.inside.paths import path as between
from parity.why.inside.points import points
from parity.why.inside.words import called, does, placed

FIRST_ONLY = frozenset("sub div pow rem atan2".split())
"""What is nothing like its second operand."""
SCALES = ("multiplies by", "divides by")


def extra(ground: Ground) -> Iterator[Edit]:
    """Yield what the first side does, left out, one operation or all from one value to another."""
    for place in ground.places:
        operation = ground.operation(place)
        if operation.moves and operation.kind != "rev":
            continue
        shape = np.shape(ground.made(place))
        for i in range(len(operation.inputs) if shape else 0):
            if not passes(ground, operation, i, shape) or _both_do(ground, operation, i):
                continue
            what = placed(f"only {ground.left} {told(ground, operation, i)}", operation)
            for group in ground.turns(place):
                yield Edit(what, dict.fromkeys(group, instead(i, shape)))
    yield from _several(ground)


def _both_do(ground: Ground, operation: Made, i: int) -> bool:
    """Return whether the second side does the same there with what the first adds or multiplies."""
    rest = [n for j, n in enumerate(operation.inputs) if j != i]
    others = {t for o in ground.theirs_made if o.kind == operation.kind for n in o.inputs
              for t in ground.twins(n)}  # fmt: skip
    return any(n in others for n in rest if np.ndim(ground.value(n)))


def _do_both(ground: Ground, kind: str, form: Form) -> bool:
    """Return whether the first side does there, with the same, what the second does."""
    own = [ground.operation(p) for p in ground.places]
    if form.donor is None:
        return any(form.said == told(ground, o, i) for o in own for i in range(len(o.inputs)))
    alike = {n for o in own if o.kind == kind for n in o.inputs}
    wide = np.ndim(ground.other.values[form.donor]) > 0
    return wide and not alike.isdisjoint(ground.twins(form.donor))


def passes(ground: Ground, operation: Made, i: int, shape: tuple[int, ...]) -> bool:
    """Return whether one of its inputs may stand in the place of what an operation makes."""
    x, made = ground.value(operation.inputs[i]), ground.value(operation.outputs[0])
    kinds = getattr(x, "dtype", None), getattr(made, "dtype", None)
    if getattr(made, "dtype", np.dtype("O")).kind not in "fcb":
        return False  # what is done to an index says nothing to a reader
    if kinds[0] != kinds[1] or (i and operation.kind in FIRST_ONLY):
        return False
    if ground.one.fixed[operation.inputs[i]] and only(x) == 0:
        return False  # what is added to a 0 that is always there is all that there is
    return np.shape(x) == shape or (np.ndim(x) > 0 and fits(np.shape(x), shape))


def instead(i: int, shape: tuple[int, ...]) -> Step:
    """Return one of an operation's inputs, in a shape, in the place of what it makes."""
    return lambda read, values: np.broadcast_to(np.asarray(read[i]), shape)


def told(ground: Ground, operation: Made, i: int) -> str:
    """Return what an operation does to one of its operands."""
    if operation.kind == "where":
        return "masks"
    if operation.kind == "clamp":
        return "clips"
    if operation.kind == "rev":
        return f"flips {called(ground.one, operation.inputs[0])}"
    rest = [n for j, n in enumerate(operation.inputs) if j != i]
    if operation.kind == "maximum" and rest and only(ground.value(rest[0])) == 0:
        return "takes relu"
    if not rest:
        power = exponent(ground.value(operation.inputs[0]), ground.value(operation.outputs[0]))
        given = written(power) if operation.kind == "pow" and power is not None else ""
        return does(operation.kind, given)
    return does(operation.kind, operand(ground, rest[0]))


def operand(ground: Ground, number: int) -> str:
    """Return what an operand is: ``0.05 p`` where it is that."""
    made = ground.one.maker(number)
    if made is not None and made.kind == "mul" and len(made.inputs) == 2:
        for factor, rest in (made.inputs, made.inputs[::-1]):
            known = only(ground.value(factor))
            if known is not None and ground.one.maker(factor) is None:
                return f"{written(known)} times {called(ground.one, rest)}"
    return called(ground.one, number)


def _several(ground: Ground) -> Iterator[Edit]:
    """Yield a value in the place of all that is made of it in two or more operations."""
    makes = [place for place in ground.places if not ground.operation(place).moves]
    for place in makes[::-1]:
        last = ground.operation(place)
        rest = [ground.operation(p) for p in makes if p > place]
        if last.inside and any((o.inside, o.line) == (last.inside, last.line) for o in rest):
            continue  # half of a call
        for number in dict.fromkeys(ground.mine.inputs):
            x, y = ground.value(number), ground.made(place)
            if np.shape(x) != np.shape(y) or number in last.inputs or not np.ndim(x):
                continue
            path = [ground.operation(p) for p in makes if p <= place]
            insides = {o.inside for o in path}
            kinds = [*dict.fromkeys(o.inside or o.kind for o in path)]
            what = f"takes {kinds[0]}" if len(insides) == 1 and path[0].inside else (
                f"has {' and '.join(kinds[:3])}"
            )  # fmt: skip
            sources = ground.of_ours(number, [place])
            if sources and between(ground, number, last.outputs[0]):
                said = placed(f"only {ground.left} {what}", *path)
                yield Edit(said, {place: sources[0]})


# what only the second side has


def missing(ground: Ground) -> Iterator[Edit]:
    """Yield what the second side does, put in wherever it fits."""
    places = [*points(ground)]
    flips = [o for o in ground.theirs.operations if o.kind in FLIPS]
    own = [(o, form) for o in (*flips, *ground.theirs_made) for form in forms(ground, o)]
    for operation, form in (*_at_once(own), *own):
        if _do_both(ground, operation.kind, form):
            continue
        said = placed(f"only {ground.right} {form.said}", operation)
        for point in places:
            for put in puts(ground, form, point):
                yield point.edit(said, put)


def _at_once(own: Sequence[tuple[Made, Form]]) -> Iterator[tuple[Made, Form]]:
    """Yield what several factors make together: attention may scale queries and keys by a root."""
    scaled = [(o, form) for o, form in own if form.donor is None and form.said.startswith(SCALES)]
    if len(scaled) > 1:
        factor = plain(math.prod(float(form.function(1.0)) for _, form in scaled))
        yield scaled[-1][0], Form(f"multiplies by {written(factor)}", lambda x: x * factor)
