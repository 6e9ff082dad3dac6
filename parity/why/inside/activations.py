"""Activations and softmaxes, by the numbers that they make of others; and others in their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from parity.frameworks.recordings import Made
from parity.where.parting import Side
from parity.why.inside.edit import Edit, Step
from parity.why.inside.functions import ACTIVATIONS, softmax
from parity.why.inside.ground import Ground, near, only
from parity.why.inside.words import at

SAMPLE = 64
"""Numbers on which an activation is tried first."""
BACK = 4
"""Operations that one may be made of."""


def other_activations(ground: Ground) -> Iterator[Edit]:
    """Yield an activation of the first side with another one in its place."""
    for place in (*ground.places, *ground.behind)[::-1]:
        for own, number in activations(ground.one, ground.operation(place)):
            x, y = np.asarray(ground.value(number)), np.asarray(ground.made(place))
            for name, function in ACTIVATIONS.items():
                if name == own or near(function(x), y):
                    continue
                lines = at(ground.operation(place))
                theirs = at(*ground.theirs_made[-1:])
                said = f"{ground.left} has {own}{lines}, {ground.right} {name}{theirs}"
                for group in ground.turns(place):
                    sources = ground.of_ours(number, group)
                    if sources is not None:
                        each = zip(group, sources, strict=True)
                        yield Edit(said, {p: _of(s, function) for p, s in each})


def activations(side: Side, operation: Made) -> Iterator[tuple[str, int]]:
    """Yield (name, what it is done to) of the activations that an operation completes."""
    y = np.asarray(side.values[operation.outputs[0]]) if operation.outputs else np.empty(0)
    if y.dtype.kind != "f" or y.size < 2 or only(y) is not None:  # zeros are relu of zeros
        return
    some = slice(None, None, -(-y.size // SAMPLE))
    for number in before(side, operation):
        x = np.asarray(side.values[number])
        if x.shape != y.shape or x.dtype.kind != "f":
            continue
        few = x.ravel()[some]
        for name, function in ACTIVATIONS.items():
            if near(function(few), y.ravel()[some]) and near(function(x), y):
                yield name, number
                break


def softmaxes(side: Side, operation: Made) -> Iterator[tuple[int, int]]:
    """Yield (axis, what it is done to) of the softmaxes that an operation completes."""
    y = np.asarray(side.values[operation.outputs[0]]) if operation.outputs else np.empty(0)
    if operation.kind not in ("div", "softmax") or y.dtype.kind != "f" or not y.size:
        return
    for number in before(side, operation):
        x = np.asarray(side.values[number])
        if x.shape == y.shape and x.dtype.kind == "f":
            for axis in range(-1, -1 - x.ndim, -1):
                if near(softmax(x, axis), y):
                    yield axis, number
                    return


def _of(source: Step, function: Any) -> Step:
    return lambda read, values: function(np.asarray(source(read, values)))


def before(side: Side, operation: Made) -> list[int]:
    """Return what an operation is made of, the nearest first, as far back as a reduction may go."""
    found: dict[int, None] = {}
    level = [*operation.inputs]
    for _ in range(2 * BACK):
        found |= dict.fromkeys(level)
        makers = (side.maker(n) for n in level)
        level = [n for o in makers if o is not None for n in o.inputs if n not in found]
        if len(found) > 4 * BACK:
            break
    return [*found]
