"""A reduction along other axes than the other side's: softmax over the queries, a norm by columns.

What is made of a reduction is kept as large as what was reduced, until it meets that again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.recordings import Made
from parity.judge.cause import enumerated
from parity.where.parting import Side
from parity.why.inside.edit import Edit, Step
from parity.why.inside.functions import ALONG, REDUCTIONS
from parity.why.inside.ground import MOST_AXES, Ground, near
from parity.why.inside.words import at

PRIMITIVE = ("sum", "amax", "amin", "prod")
SPREADING = frozenset("broadcast_in_dim expand_dims reshape squeeze".split())
"""What brings what was reduced back among all the axes."""
ELEMENTWISE = frozenset(
    """abs add convert_element_type copy div erf exp exp2 expm1 log log1p maximum minimum mul neg
    pow rsqrt sigmoid sign sqrt square stop_gradient sub tanh where""".split()
)


class Reduction(NamedTuple):
    """One that goes along some axes."""

    place: int
    kind: str
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    """Of what is reduced."""


def axes(ground: Ground) -> Iterator[Edit]:
    """Yield reductions of the first side along other axes, those that are alike together."""
    for found in _groups(ground):
        first = found[0]
        for other in _other_axes(first):
            operations = [ground.operation(r.place) for r in found]
            said = _said(ground, first.axes, operations, other)
            for mean in (False, True):
                steps: dict[int, Step] = {}
                for each in found:
                    own = _steps(ground, each, other, mean)
                    if own is None:
                        break
                    steps |= own
                else:
                    yield Edit(said, steps)
    yield from _running(ground)


def _other_axes(one: Reduction) -> Iterator[tuple[int, ...]]:
    ndim = len(one.shape)
    counts = sorted(range(1, ndim + 1), key=lambda count: abs(count - len(one.axes)))
    for count in counts:
        for other in combinations(range(ndim), count):
            if other != one.axes:
                yield other


def _groups(ground: Ground) -> Iterator[list[Reduction]]:
    """Yield reductions along the same axes of as large arrays: all, those of a line, each."""
    places = [*ground.places, *(ground.reading if ground.mine.read else ())]
    own = [r for place in places if (r := _reduction(ground, place)) is not None]
    seen: set[tuple[int, ...]] = set()
    for one in own:
        alike = [r for r in own if (r.axes, r.shape) == (one.axes, one.shape)]
        lines = {ground.operation(r.place).line for r in alike}
        everywhere = [
            r
            for place, o in enumerate(ground.one.recording.operations)
            if o.kind in PRIMITIVE and o.line in lines
            and (r := _reduction(ground, place)) is not None
            and (r.axes, r.shape) == (one.axes, one.shape)
        ]  # fmt: skip
        wide = [
            r
            for place, o in enumerate(ground.one.recording.operations)
            if o.kind in PRIMITIVE and (r := _reduction(ground, place)) is not None
            and (r.axes, r.shape) == (one.axes, one.shape)
        ]  # fmt: skip
        for group in (alike, everywhere, wide, [one]):
            key = tuple(r.place for r in group)
            if group and key not in seen:
                seen.add(key)
                yield group


def _reduction(ground: Ground, place: int) -> Reduction | None:
    operation = ground.operation(place)
    if operation.kind not in PRIMITIVE:
        return None
    x = ground.value(operation.inputs[0])
    if np.asarray(x).dtype.kind != "f" or np.ndim(x) > MOST_AXES:
        return None
    along = ground.axes(place, REDUCTIONS[operation.kind])
    return None if along is None else Reduction(place, operation.kind, along, np.shape(x))


def _steps(
    ground: Ground, one: Reduction, other: tuple[int, ...], mean: bool
) -> dict[int, Step] | None:
    """Return what a reduction and what brings it back do, along other axes; None if it cannot be.

    With ``mean``, as many terms are counted as before.
    """
    function = REDUCTIONS[one.kind]
    counts = [math.prod(one.shape[a] for a in along) for along in (one.axes, other)]
    factor = counts[0] / counts[1] if mean and one.kind == "sum" else 1.0
    plain = tuple(n for a, n in enumerate(one.shape) if a not in other)
    if plain == np.shape(ground.made(one.place)) and not _spread(ground, one):
        return {one.place: lambda read, values: function(read[0], axis=other) * factor}
    steps: dict[int, Step] = {
        one.place: lambda read, values: np.broadcast_to(
            function(read[0], axis=other, keepdims=True) * factor, one.shape
        )
    }
    onward = _passed(ground, one)
    return None if onward is None else steps | onward


def _spread(ground: Ground, one: Reduction) -> bool:
    return bool(_passed(ground, one))


def _passed(ground: Ground, one: Reduction) -> dict[int, Step] | None:
    """Return what lets a whole array through where a reduced one was brought back.

    What was one number may meet its mean, which did nothing until then.
    """
    recording = ground.one.recording
    whole = {recording.operations[one.place].outputs[0]}
    steps: dict[int, Step] = {}
    for place, operation in enumerate(recording.operations):
        if whole.isdisjoint(operation.inputs):
            continue
        grown = np.shape(ground.made(place)) == one.shape
        if operation.kind in SPREADING:
            steps[place] = lambda read, values: read[0]
        elif operation.kind == "sum" and not np.ndim(ground.read(place)[0]):
            steps[place] = lambda read, values: np.mean(read[0])
            continue
        elif operation.kind not in ELEMENTWISE:
            return None
        elif not np.ndim(ground.made(place)):
            steps[place] = _wide(operation, one.shape)
        if not grown:
            whole.update(operation.outputs)
    outputs = set(recording.outputs.values())
    return None if outputs & whole else steps


def _wide(operation: Made, shape: tuple[int, ...]) -> Step:
    def step(read: Any, values: Any) -> Any:
        wide = [np.broadcast_to(x, shape) for x in read]
        return operation.apply(wide)[0] if operation.apply else []

    return step


def _said(
    ground: Ground, axes: tuple[int, ...], own: Sequence[Made], other: tuple[int, ...]
) -> str:
    theirs = [o for o in ground.theirs_made if _along(ground.other, o)]
    theirs += [o for o in ground.theirs.readers if _along(ground.other, o)]
    known = [a for o in theirs if (a := _along(ground.other, o)) and a != axes]
    named = known[0] if known else other
    what = next((f"takes {o.inside}" for o in own if o.inside), "reduces")
    return (
        f"{ground.left} {what} over {_axes(axes)}{at(*own[:1])}, {ground.right} over "
        f"{_axes(named)}{at(*theirs[:1])}"
    )


def _axes(along: tuple[int, ...]) -> str:
    return f"{'axis' if len(along) == 1 else 'axes'} {enumerated([*map(str, along)])}"


def _along(side: Side, operation: Made) -> tuple[int, ...] | None:
    """Return the axes along which one of the second side's operations reduces."""
    if not operation.inputs or not operation.outputs:
        return None
    x = np.asarray(side.values[operation.inputs[0]])
    y = np.asarray(side.values[operation.outputs[0]])
    if x.dtype.kind != "f" or x.ndim > MOST_AXES or x.size <= y.size:
        return None
    for function in (REDUCTIONS[k] for k in (*PRIMITIVE, "var", "mean")):
        for count in range(1, x.ndim + 1):
            for along in combinations(range(x.ndim), count):
                for keeps in (False, True):
                    z = function(x, axis=along, keepdims=keeps)
                    if z.shape == y.shape and near(z, y):
                        return along
    return None


def _running(ground: Ground) -> Iterator[Edit]:
    """Yield a cumulative sum or product along another axis."""
    for place in ground.places:
        operation = ground.operation(place)
        function = ALONG.get(operation.kind)
        if function is None:
            continue
        x, y = ground.read(place)[0], ground.made(place)
        own = next((a for a in range(np.ndim(x)) if near(function(x, a), y)), None)
        for other in range(np.ndim(x)) if own is not None else ():
            if other != own:
                said = (
                    f"{ground.left} goes along axis {own}{at(operation)}, {ground.right} along "
                    f"axis {other}"
                )
                yield Edit(said, {place: _run(function, other)})


def _run(function: Any, axis: int) -> Step:
    return lambda read, values: function(read[0], axis)
