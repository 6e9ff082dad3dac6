"""Arrays that a function puts together otherwise: the order of the parts, interleaved or in blocks.

A concatenation, a stack, and what is repeated by a broadcast. Proposed from the shapes that a
program made; `search.py` tries them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

from parity.frameworks.programs import UNCHANGED, Edit, Operation, Program
from parity.why.conventions.alternatives import Alternative

JOINING = {"cat": "a concatenation", "concatenate": "a concatenation", "stack": "a stack"}
RESHAPING = frozenset("reshape view _unsafe_view".split())
REPEATING = frozenset("broadcast_in_dim expand repeat".split())
COPYING = frozenset("clone contiguous copy".split())
MOST = 4
"""Parts that are put in every order."""
COUNTS = (2, 3, 4)


def joined(program: Program, values: Mapping[int, Any]) -> Iterator[Alternative]:
    """Yield what a program puts together in every other order; ``values`` are those of its run."""
    for _, operation in program.walk():
        what = JOINING.get(operation.kind)
        if what is not None:
            yield from _ordered(operation, what)
        elif _repeats(program, operation):
            what = "a repeated array"
        shape = getattr(values.get(operation.outputs[0]), "shape", ()) if what else ()
        for axis, size in enumerate(shape):
            yield from _interleaved(operation, what or "", axis, size)


def _ordered(operation: Operation, what: str) -> Iterator[Alternative]:
    count = len(operation.inputs)
    for order in permutations(range(count)) if count <= MOST else ():
        if list(order) != list(range(count)):
            words = f"the parts of {what} in the order {list(order)}"
            yield Alternative(words, operation, _in_order(operation, order))


def _in_order(operation: Operation, order: Sequence[int]) -> Edit:
    return lambda values, x: operation.apply([x[i] for i in order], UNCHANGED)[0]


def _repeats(program: Program, operation: Operation) -> bool:
    """Return whether an operation lays out side by side what a broadcast repeats."""
    if operation.kind not in RESHAPING or not operation.inputs:
        return operation.kind == "repeat"
    made = program.producer(operation.inputs[0])
    while made is not None and made.kind in COPYING:
        made = program.producer(made.inputs[0])
    return made is not None and made.kind in REPEATING


def _interleaved(operation: Operation, what: str, axis: int, size: int) -> Iterator[Alternative]:
    seen = set()
    for count in COUNTS:
        if size % count or size == count:
            continue
        for words, first in (("interleaved", count), ("no longer interleaved", size // count)):
            if first not in seen:  # of 6, in 2 and no longer in 3 are one
                seen.add(first)
                said = f"{what} {words} in {count} along axis {axis}"
                yield Alternative(said, operation, _split(operation, axis, (first, -1)))


def _split(operation: Operation, axis: int, parts: tuple[int, int]) -> Edit:
    def edit(values: Mapping[int, Any], x: list[Any]) -> Any:
        whole = operation.apply(x, UNCHANGED)[0]
        shape = tuple(whole.shape)
        apart = whole.reshape((*shape[:axis], *parts, *shape[axis + 1 :]))
        return apart.swapaxes(axis, axis + 1).reshape(shape)

    return edit
