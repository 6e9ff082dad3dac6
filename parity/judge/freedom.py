"""What two right answers may differ by: the sign of eigenvectors, the order of eigenvalues.

Says which freedom it is, in words; a difference that is always the same is a convention instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from parity.judge.compare import wide
from parity.judge.noise import BOUND, roundoff, sigma
from parity.judge.space import Space
from parity.judge.tensor import NEIGHBOURS, POOR, Tensor

Forward = Callable[[tuple[np.ndarray, ...]], Mapping[str, np.ndarray]]
"""(leaves) -> every floating output, by name."""


def freedom(tensor: Tensor, outputs: Mapping[str, Forward], space: Space) -> str:
    """Say which freedom a forward's answers differ by.

    An order that is the same for other inputs is none: a flip, a sign of a transform, descending.
    """
    found = gauge(tensor)
    fixed = tensor.noise.ndim == 1 and found and _always_so(tensor, outputs, space)
    return "" if fixed else found


def _always_so(tensor: Tensor, outputs: Mapping[str, Forward], space: Space) -> bool:
    """Return whether the answers are in one and the same other order for other inputs too."""
    first, *others = (wide(x) for x in tensor.answers.values())
    rank, backward = np.argsort(np.argsort(first)), np.arange(first.size)[::-1]
    orders: list[tuple[np.ndarray, ...]]
    orders = [(np.argsort(x)[rank], backward) for x in others]
    rng, seen = np.random.default_rng(0), 0
    for _ in range(NEIGHBOURS):
        moved = space.neighbour(rng, 0.25)
        first, *others = (wide(f(moved)[tensor.name]) for f in outputs.values())
        if not all(np.all(np.isfinite(x)) for x in (first, *others)):
            continue
        yard = POOR * roundoff(np.float64) * np.abs(first).max()
        for k, x in enumerate(others):
            orders[k] = tuple(order for order in orders[k] if _same(x[order], first, yard))
        seen += 1
    return bool(seen) and all(orders)


def gauge(tensor: Tensor, dtype: np.dtype | type = np.float64) -> str:
    """Say which freedom two answers differ by, if it is the sign or the order of eigenvectors."""
    first, *others = (wide(x) for x in tensor.answers.values())
    yard = sigma(tensor.noise, dtype)
    if first.ndim < 2 or not np.all(np.isfinite(first)):
        if first.ndim == 1 and all(_reordered(x, first, yard.max()) for x in others):
            return f"{tensor.name} holds the same values in another order; sort both"
        return ""
    for axis, word in ((-2, "columns"), (-1, "rows")):
        unit = np.abs(np.linalg.norm(first, axis=axis) - 1) < 64 * roundoff(dtype)
        if unit.all() and all(_same(np.abs(x), np.abs(first), yard) for x in others):
            return (
                f"{tensor.name} is the same up to the sign of its {word}, unit vectors: "
                "eigenvectors are defined up to sign; compare what the sign cannot change "
                "(V @ V.T), or fix it in both"
            )
    return ""


def _same(a: np.ndarray, b: np.ndarray, yard: np.ndarray | float) -> bool:
    return bool(np.all(np.abs(a - b) <= BOUND * yard))


def _reordered(a: np.ndarray, b: np.ndarray, yard: float) -> bool:
    moved = not np.array_equal(np.argsort(a), np.argsort(b))
    return moved and _same(np.sort(a), np.sort(b), yard)
