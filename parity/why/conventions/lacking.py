"""What one side may not have: an operation left out, a function around an input or an output.

Proposed from what the operations and the inputs are; `search.py` tries them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from parity.frameworks.programs import UNCHANGED, Edit, Operation, Program, of_input
from parity.why.conventions.alternatives import Alternative, by

LEFT_OUT = {
    "add": "x + y",
    "sub": "x - y",
    "mul": "x y",
    "div": "x / y",
    "exp": "exp(x)",
    "log": "log(x)",
    "sqrt": "sqrt(x)",
    "square": "x^2",
    "pow": "a power of x",
    "abs": "|x|",
    "tanh": "tanh(x)",
    "sigmoid": "sigmoid(x)",
    "logistic": "sigmoid(x)",
}
"""Operations that one side may not have, and how they are written."""


class Put(NamedTuple):
    """A function put around an input or an output."""

    words: str
    place: int
    edit: Edit


def left_out(program: Program) -> Iterator[Alternative]:
    """Yield operations without which one side may do: their first operand, or their second."""
    for _, operation in program.walk():
        written = LEFT_OUT.get(operation.kind)
        if written is not None:
            yield Alternative(f"x for {written}", operation, lambda values, x: x[0])
        if operation.kind in ("add", "mul"):
            yield Alternative(f"y for {written}", operation, lambda values, x: x[1])


def corrections(program: Program, whole: Sequence[int]) -> list[int]:
    """Return the places of all divisions by 1 - b^step, the step among the ``whole`` inputs."""
    known = {c.slot for c in program.constants}
    made = {*whole}
    """What the step alone decides."""
    powers: set[int] = set()
    found = []
    for o in program.operations:
        if o.kind == "div" and o.inputs[1] in powers and o.inputs[0] not in made:
            found.append(o.place)
        if made.intersection(o.inputs) and made.issuperset({*o.inputs} - known):
            made.update(o.outputs)
            if o.kind == "pow" or powers.intersection(o.inputs):
                powers.update(o.outputs)
    return found


def put_in(
    program: Program, names: Sequence[str], masks: Sequence[str], square: Sequence[str], m: Any
) -> Iterator[Put]:
    """Yield the functions that may stand around each input, by name, and each output.

    ``masks`` are the inputs of zeros and ones, whose mean may divide an output; ``square`` those
    that hold square matrices.
    """
    slots = dict(zip(names, program.inputs, strict=False))
    outputs = [o for slot in dict.fromkeys(program.outputs) if (o := program.producer(slot))]
    for name in masks:
        yield Put(f"input {name} inverted", of_input(slots[name]), by(_inverted))
    for name in square:
        yield Put(f"the inverse of the matrix {name}", of_input(slots[name]), by(m.inv))
    for name in masks:
        for operation in outputs:
            said = f"an output divided by the mean of input {name}"
            yield Put(said, operation.place, _masked(operation, slots[name]))
    functions: dict[str, Callable[[Any], Any]] = {
        "exp": m.exp,
        "log": m.log,
        "sqrt": m.sqrt,
        "square": lambda x: x * x,
        "reciprocal": lambda x: 1 / x,
    }
    for what, function in functions.items():
        for name, slot in slots.items():
            yield Put(f"the {what} of input {name}", of_input(slot), by(function))
        for operation in outputs:
            yield Put(f"the {what} of an output", operation.place, _around(operation, function))


def _inverted(x: Any) -> Any:
    return ~x if "bool" in str(x.dtype) else 1 - x


def _masked(o: Operation, slot: int) -> Edit:
    def edit(values: Mapping[int, Any], x: list[Any]) -> Any:
        mask = values[slot]
        return o.apply(x, UNCHANGED)[0] * math.prod(mask.shape) / mask.sum()

    return edit


def _around(o: Operation, function: Callable[[Any], Any]) -> Edit:
    return lambda values, x: function(o.apply(x, UNCHANGED)[0])
