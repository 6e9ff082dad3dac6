"""What must be the same before any number is compared: structure, shapes, kinds of number, dtypes.

Each complaint is a sentence that says what to fix. Never broadcasts, and skips nothing in silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.judge.compare import FLOAT64


class MisfitError(Exception):
    """Two sides cannot be compared; the message says which, where and what to do.

    ``corner`` is the one that breaks a contract, if it is one's fault alone; ``value`` what it
    returned, if that is a gradient of another shape.
    """

    def __init__(
        self, tensor: str, message: str, corner: str = "", value: np.ndarray | None = None
    ) -> None:
        super().__init__(message)
        self.tensor, self.corner, self.value = tensor, corner, value


def fitting(corner: str, name: str, grad: np.ndarray | None, x: np.ndarray) -> np.ndarray:
    """Return a gradient, zeros for None; MisfitError unless it is shaped like its input."""
    if grad is None:
        return np.zeros_like(x)
    if grad.shape != x.shape:
        raise MisfitError(
            name,
            f"{corner}'s gradient of {name} has shape {list(grad.shape)}, {name} has "
            f"{list(x.shape)}; {_reshaping(grad.shape, x.shape)}",
            corner,
            grad,
        )
    if grad.dtype != x.dtype:
        raise MisfitError(
            name,
            f"{corner}'s gradient of {name} is {grad.dtype} in a {x.dtype} run; compute in the "
            "inputs' dtype",
            corner,
        )
    return grad


def same_structure(left: str, a: dict[str, Any], right: str, b: dict[str, Any]) -> None:
    """Raise MisfitError unless both return the same names, shapes and kinds of number."""
    for name in [*a, *b]:
        if name not in a or name not in b:
            has, lacks = (left, right) if name in a else (right, left)
            raise MisfitError(
                name,
                f"{has} returns {name} and {lacks} does not ({left}: {', '.join(a)}; "
                f"{right}: {', '.join(b)}); return the same structure from both",
            )
    for name, x in a.items():
        y = b[name]
        if tuple(x.shape) != tuple(y.shape):
            raise MisfitError(
                name,
                f"{left} returns shape {list(x.shape)}, {right} {list(y.shape)}; "
                f"{_reshaping(tuple(x.shape), tuple(y.shape))}",
            )
    for name, x in a.items():
        kinds = [_kind(np.dtype(z.dtype)) for z in (x, b[name])]
        if kinds[0] != kinds[1]:
            raise MisfitError(
                name,
                f"{left} returns {x.dtype}, {right} {b[name].dtype}; return the same kind of "
                "number from both",
            )


def _reshaping(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    if a[::-1] == b:
        return "one is the other's transpose"
    if sorted(a) == sorted(b):
        return "the axes are in another order; transpose one"
    if np.prod(a) == np.prod(b):
        return "the same number of elements; reshape one"
    return "shapes are never broadcast here; return the same shape from both"


def _kind(dtype: np.dtype) -> str:
    if dtype.kind in "iu":
        return "integer"
    return {"b": "boolean", "c": "complex"}.get(dtype.kind, "real")


def right_dtypes(corner: str, outline: dict[str, Any]) -> None:
    """Raise MisfitError for a narrower float than float64."""
    for name, x in outline.items():
        dtype = np.dtype(x.dtype)
        if _kind(dtype) in ("real", "complex") and dtype not in (FLOAT64, np.complex128):
            raise MisfitError(
                name,
                f"{corner} returns {dtype} in a float64 run; compute in the inputs' dtype: no "
                "cast, no constant of a fixed dtype",
            )
