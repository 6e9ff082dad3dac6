"""A sum where none belongs: `2 * bndiff + dbndiff2` for a product, or over everything there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from parity.judge.cause import Kind
from parity.judge.noise import BOUND
from parity.why.causes.fitting import Candidate, Problem

HINT = "The chain rule: how do the derivative of a step and what comes from above meet?"


class Product(NamedTuple):
    """A right value, or one path of it, as a number times a tensor times a gradient."""

    path: str
    term: np.ndarray
    number: float
    tensor: str
    gradient: str


def sums(problem: Problem) -> Iterator[Candidate]:
    """The right value with one product of a forward tensor and a gradient added up instead."""
    if not problem.same_shape:
        return
    known = problem.context
    found = [*_products(problem)]
    for path, term, number, tensor, gradient in found:
        a, b = known.tensors[tensor], known.gradients[gradient]
        times = "" if number == 1 else f"{number:.6g} * "
        above = f"the gradient of {gradient}"
        ways = {f"{times}{tensor} + {above}": number * a + b}
        if times:
            ways[f"{tensor} + {times}{above}"] = a + number * b
        where = f"in the path through {path}, " if path else ""
        for said, value in ways.items():
            yield Candidate(
                Kind.PRODUCT,
                said,
                f"{where}{said} where {times}{tensor} * {above} belongs: a sum for a product",
                HINT,
                problem.reference - term + value,
                tried=2 * len(found),
            )


def summed_up(problem: Problem) -> Iterator[Candidate]:
    """A sum over everything, where each entry was to be kept."""
    got, right = problem.got, problem.reference
    if got.size != 1 or right.size == 1:
        return
    total = float(right.sum())
    noise = float(np.linalg.norm(problem.noise)) + 2 * abs(total)
    yield Candidate(
        Kind.SHAPE,
        "sum all",
        f"shape {got.shape} instead of {right.shape}: the sum of all {right.size} right values",
        "Over which axes was this tensor broadcast? What is summed over the others as well?",
        np.full(got.shape, total),
        noise=np.full(got.shape, noise),
    )


def _products(problem: Problem) -> Iterator[Product]:
    shape, yard = problem.reference.shape, BOUND * problem.yard(problem.reference)
    terms = {"": problem.reference, **problem.context.paths}
    for path, term in terms.items():
        for tensor, a in problem.context.tensors.items():
            if a.dtype.kind != "f" or a.size < 2:
                continue
            for gradient, b in problem.context.gradients.items():
                number = _ratio(term, a, b, shape)
                if number and np.all(np.abs(number * a * b - term) <= yard):
                    yield Product(path, term, number, tensor, gradient)


def _ratio(term: np.ndarray, a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return what a product would have to be multiplied by, 0 where it does not fit at all."""
    try:
        if np.broadcast_shapes(a.shape, b.shape) != shape:
            return 0.0
    except ValueError:
        return 0.0
    whole = np.multiply(a, b, dtype=np.float64)
    size = float(np.vdot(whole, whole))
    number = float(np.vdot(whole, term)) / size if size else 0.0
    near = round(number * 8) / 8
    return near if abs(near - number) <= 1e-6 * abs(number) else number
