"""Steps away from a kink that may lead to a claimed gradient. Runs nothing, and knows no function.

What is tied may change places: of a sort, or a choice of the largest, every order of equals is
right, and of ten equals there are too many orders to be met by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST = 4
"""Exchanges that are proposed."""

Known = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A step, the gradients ahead of it and those behind."""


def exchanged(known: Sequence[Known], claim: np.ndarray) -> list[np.ndarray]:
    """Return known steps with their elements exchanged, the most promising first.

    Where exchanging two elements of a step exchanges their gradients, the gradients ahead, or
    behind, are then the claim, if they are the same numbers in another order.
    """
    order = np.argsort(claim)
    found: list[tuple[float, int, np.ndarray]] = []
    for step, ahead, behind in known:
        for gradients in (ahead, behind):
            if np.all(np.isfinite(gradients)):
                mine = np.argsort(gradients)
                off = float(np.abs(gradients[mine] - claim[order]).sum())
                moved = np.empty_like(step)
                moved[order] = step[mine]
                found.append((off, len(found), moved))
    return [moved for _, _, moved in sorted(found, key=lambda one: one[:2])[:MOST]]


def towards(
    wanted: np.ndarray, best: np.ndarray, turn: int, rng: np.random.Generator
) -> np.ndarray:
    """Return amounts by which to move: along what is wanted, then variations of the best."""
    if turn % 8 == 0:
        return wanted / (np.abs(wanted).max() or 1.0) + 1e-3 * rng.normal(size=best.size)
    redrawn = rng.uniform(size=best.size) < rng.choice([0.2, 0.5, 1.0])
    return np.where(redrawn, rng.normal(size=best.size), best)
