"""Matrix products, and products summed over an axis, of which one factor is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from parity.judge.cause import Kind
from parity.judge.noise import BOUND
from parity.why.causes.context import Arrays
from parity.why.causes.fitting import Candidate, Problem
from parity.why.causes.layout import reordered

HINT = "Which two tensors meet in this product, and along which axis do their entries pair up?"
LARGEST = 1 << 22
"""Multiplications of one product; larger ones are not searched."""

Combine = Callable[[np.ndarray, np.ndarray], np.ndarray]

FORMS: tuple[tuple[str, Combine], ...] = (
    ("{0}.T @ {1}", lambda a, b: a.T @ b),
    ("{1} @ {0}.T", lambda a, b: b @ a.T),
    ("{1} @ {0}", lambda a, b: b @ a),
    ("({0} * {1}).sum(0)", lambda a, b: (a * b).sum(0, keepdims=True)),
    ("({0} * {1}).sum(1)", lambda a, b: (a * b).sum(1, keepdims=True)),
)


class Product(NamedTuple):
    """The right value as a product of a forward tensor and a gradient."""

    form: str
    combine: Combine
    tensor: str
    gradient: str

    @property
    def over_rows(self) -> bool:
        """Whether it sums over both factors' rows."""
        return self.form.startswith("{0}.T") or self.form.endswith("sum(0)")


def products(problem: Problem) -> Iterator[Candidate]:
    """The right product with one factor exchanged, reordered, or short of a row."""
    if not problem.same_shape or problem.reference.ndim != 2:
        return
    tensors = _matrices(problem.context.tensors)
    gradients = _matrices(problem.context.gradients)
    for right in _right(problem, tensors, gradients):
        slips = list(_slips(right, tensors, gradients))
        whole = right.form.format(right.tensor, f"the gradient of {right.gradient}")
        for said, a, b in slips:
            yield Candidate(
                Kind.PRODUCT,
                said,
                f"in {whole}: {said}",
                HINT,
                right.combine(a, b),
                tried=len(slips),
            )


def _slips(
    right: Product, tensors: dict[str, np.ndarray], gradients: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield (what went wrong, tensor, gradient) for each slip in one of the two factors."""
    a, b = tensors[right.tensor], gradients[right.gradient]
    for name, other in tensors.items():
        if name != right.tensor and other.shape == a.shape:
            yield f"reads {name} where {right.tensor} belongs", other, b
    for name, other in gradients.items():
        if name != right.gradient and other.shape == b.shape:
            yield f"reads the gradient of {name} where that of {right.gradient} belongs", a, other
    for _, how, moved in reordered(a):
        if moved.shape == a.shape:
            yield f"{right.tensor} is {how}", moved, b
    for _, how, moved in reordered(b):
        if moved.shape == b.shape:
            yield f"the gradient of {right.gradient} is {how}", a, moved
    if right.over_rows:
        for row in range(len(a)):
            yield f"row {row} is left out", np.delete(a, row, 0), np.delete(b, row, 0)


def _matrices(arrays: Arrays) -> dict[str, np.ndarray]:
    return {
        name: array.astype(np.float64)
        for name, array in arrays.items()
        if array.ndim == 2 and array.dtype.kind == "f"
    }


def _right(
    problem: Problem, tensors: dict[str, np.ndarray], gradients: dict[str, np.ndarray]
) -> Iterator[Product]:
    """Yield the first way in which the right value is such a product."""
    reference = problem.reference
    yard = BOUND * problem.yard(reference)
    for form, combine in FORMS:
        for tensor, a in tensors.items():
            for gradient, b in gradients.items():
                if (
                    _shape(form, a.shape, b.shape) != reference.shape
                    or a.size * b.shape[1] > LARGEST
                ):
                    continue
                if np.all(np.abs(combine(a, b) - reference) <= yard):
                    yield Product(form, combine, tensor, gradient)
                    return


def _shape(form: str, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape of a product without computing it, None where there is none."""
    if "sum" in form:
        axis = int(form[-2])
        return (*(1 if i == axis else s for i, s in enumerate(a)),) if a == b else None
    if form.startswith("{0}"):
        return (a[1], b[1]) if a[0] == b[0] else None
    if form.endswith(".T"):
        return (b[0], a[0]) if a[1] == b[1] else None
    return (b[0], a[1]) if b[1] == a[0] else None
