"""What an operation does and what a value is, in a porter's words. Finds nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.frameworks.recordings import Made
from parity.where.parting import Side
from parity.why.conventions.spelling import written
from parity.why.inside.functions import REDUCED

DOES = {
    "abs": "takes the absolute value",
    "add": "adds",
    "clamp": "clips",
    "clamp_min": "clips",
    "clamp_max": "clips",
    "cumprod": "takes the cumulative product",
    "cumsum": "takes the cumulative sum",
    "div": "divides",
    "exp": "takes exp",
    "log": "takes log",
    "max": "takes the maximum",
    "mul": "multiplies",
    "neg": "changes the sign",
    "not": "inverts the mask",
    "bitwise_not": "inverts the mask",
    "logical_not": "inverts the mask",
    "reciprocal": "takes the reciprocal",
    "rev": "flips",
    "rsqrt": "takes the reciprocal of the square root",
    "softmax": "takes softmax",
    "sqrt": "takes the square root",
    "square": "squares",
    "sub": "subtracts",
}
TRANSITIVE = {
    "add": "adds {}",
    "addcmul": "adds {}",
    "div": "divides by {}",
    "maximum": "takes the maximum with {}",
    "minimum": "takes the minimum with {}",
    "mul": "multiplies by {}",
    "pow": "raises to the power {}",
    "rsub": "subtracts from {}",
    "sub": "subtracts {}",
}
POWERS = {
    "-0.5": DOES["rsqrt"],
    "-1": DOES["reciprocal"],
    "0.5": DOES["sqrt"],
    "2": DOES["square"],
}
SPOKEN = {"dot_general": "the matrix product", "mm": "the matrix product"}


def does(kind: str, operand: str = "") -> str:
    """Return what an operation does: ``adds 1``, ``takes tanh``."""
    if kind == "pow" and operand in POWERS:
        return POWERS[operand]
    if operand and kind in TRANSITIVE:
        return TRANSITIVE[kind].format(operand)
    return DOES.get(kind, f"takes {kind}")


def at(*operations: Made | None) -> str:
    """Return the lines of operations in brackets, with a space before; nothing where unknown."""
    lines = [*dict.fromkeys(o.line for o in operations if o is not None and o.line)]
    if not lines:
        return ""
    file = lines[0].split(":")[0]
    short = [lines[0], *(x.removeprefix(f"{file}:") for x in lines[1:3])]
    return f" ({' and '.join(short)})"


def placed(said: str, *operations: Made | None) -> str:
    """Return what is said with the lines of operations, unless it names them already."""
    where = at(*operations)
    return said if where in said else f"{said}{where}"


def called(side: Side, number: int, known: float | None = None) -> str:
    """Return what a value is: an input's name, a number, or what makes it, with its line."""
    operation = side.maker(number)
    while operation is not None and operation.moves and len(operation.inputs) == 1:
        held = _number(side.values[number])
        number = operation.inputs[0]
        if number in side.leaves:
            return side.leaves[number]
        if held is not None and side.maker(number) is None:
            return held
        operation = side.maker(number)
    if number in side.leaves:
        return side.leaves[number]
    if known is not None:
        return written(known)
    held = _number(side.values[number])
    if operation is None:
        return held if held is not None else "a constant"
    if operation.inside and operation.kind in REDUCED:
        return f"{REDUCED[operation.kind]} in {operation.inside}{at(operation)}"
    read = [_number(side.values[n]) for n in operation.inputs]
    if operation.kind == "maximum" and "0" in read:
        return f"what relu makes{at(operation)}"
    what = operation.inside or SPOKEN.get(operation.kind, operation.kind)
    return f"what {what} makes{at(operation)}"


def _number(value: Any) -> str | None:
    x = np.asarray(value)
    if x.size and x.dtype.kind in "fiu" and np.all(x == x.flat[0]):
        return written(float(x.flat[0]))
    return None
