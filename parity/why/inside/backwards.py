"""A loop that goes the other way through its sequence: from the last element to the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from parity.frameworks.recordings import Made
from parity.why.inside.edit import Edit, Step, Values
from parity.why.inside.ground import Ground
from parity.why.inside.words import at, called

FEWEST = 3
"""Elements that are taken one after another, if it is not said to be a loop: two are a pair."""
ELEMENTS = frozenset("turn slice squeeze dynamic_slice gather".split())
STACKS = frozenset("turn stack concatenate".split())


def backwards(ground: Ground) -> Iterator[Edit]:
    """Yield the sequences of a loop taken from the other end, and what it stacks as well."""
    loops = [*_loops(ground)]
    for count in dict.fromkeys(len(places) for _, places in loops):
        own = [(source, places) for source, places in loops if len(places) == count]
        stacks = [
            place
            for place, o in enumerate(ground.one.recording.operations)
            if o.kind in STACKS and len(o.inputs) == count and place > min(own[0][1])
        ]
        source, first = own[0]
        begins = _begins(ground, source, first[0])
        sides = (ground.right, ground.left) if begins else (ground.left, ground.right)
        what = f"{called(ground.one, source)}{at(ground.operation(first[0]))}"
        said = f"only {sides[0]} goes backwards through {what}, from the last to the first"
        turned: dict[int, Step] = {}
        for _, places in own:
            turned |= _reversed(ground, places)
        yield Edit(said, turned)
        yield Edit(said, turned | {place: _stacked(ground.operation(place)) for place in stacks})


def _begins(ground: Ground, source: int, place: int) -> bool:
    """Return whether a loop begins with the first element, of what its sequence was made of."""
    begins = np.array_equal(np.ravel(ground.made(place)), np.ravel(_element(ground, source, 0)))
    made = ground.one.maker(source)
    while made is not None and made.moves and len(made.inputs) == 1:
        x, y = np.asarray(ground.value(made.inputs[0])), np.asarray(ground.value(source))
        if made.kind == "rev" and np.array_equal(y[0], x[-1]) and not np.array_equal(y[0], x[0]):
            begins = not begins
        source = made.inputs[0]
        made = ground.one.maker(source)
    return begins


def _loops(ground: Ground) -> Iterator[tuple[int, list[int]]]:
    """Yield sequences, and the operations that take one element after another of each."""
    found: dict[tuple[int, str, str], list[int]] = {}
    for place, o in enumerate(ground.one.recording.operations):
        if o.kind in ELEMENTS and o.inputs and np.ndim(ground.value(o.inputs[0])):
            found.setdefault((o.inputs[0], o.kind, o.line), []).append(place)
    for (source, kind, _), places in found.items():
        length = np.shape(ground.value(source))[0]
        enough = kind == "turn" or length >= FEWEST
        if enough and len(places) == length and _ends(ground, source, places):
            yield source, places


def _ends(ground: Ground, source: int, places: Sequence[int]) -> bool:
    """Return whether the first and the last operation take the two ends of a sequence."""
    ends = [np.ravel(_element(ground, source, k)) for k in (0, -1)]
    made = [np.ravel(ground.made(places[k])) for k in (0, -1)]
    return any(all(map(np.array_equal, made[::turn], ends)) for turn in (1, -1))


def _element(ground: Ground, source: int, k: int) -> np.ndarray:
    return np.asarray(ground.value(source))[k]


def _reversed(ground: Ground, places: Sequence[int]) -> dict[int, Step]:
    pairs = zip(places, places[::-1], strict=True)
    return {place: _as(ground.operation(other)) for place, other in pairs}


def _as(operation: Made) -> Step:
    def step(read: Any, values: Values) -> Any:
        return operation.apply(read) if operation.apply else []

    return step


def _stacked(operation: Made) -> Step:
    def step(read: Any, values: Values) -> Any:
        return operation.apply(read[::-1]) if operation.apply else []

    return step
