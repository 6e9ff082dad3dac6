"""Two sides that differ only where a row of a mask lets nothing through.

What then stands in the output is nobody's mathematics: zeros, a mean of everything, NaN. A fact
about where two functions differ; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.judge.noise import BOUND, sigma
from parity.pairs.legs import Arrays
from parity.why.conventions.change import Problem
from parity.why.conventions.further import OTHER_ORDERS, other_numbers
from parity.why.conventions.rerun import Rerun

OTHERS = (other_numbers, *OTHER_ORDERS[:2])


def where_nothing_passes(rerun: Rerun) -> str:
    """Return in words that the sides differ exactly where a mask has no True; "" where not so.

    On other numbers, and with the rows of the mask in other orders, too.
    """
    first = rerun.problems[0]
    others: list[Problem] | None = None
    for place, name in enumerate(rerun.legs.arguments.names):
        for axis in _fitting(rerun, first, place):
            if others is None:
                made = (make(rerun.legs, first) for make in OTHERS)
                others = [problem for problem in made if problem is not None]
            if len(others) > 1 and all(axis in _fitting(rerun, p, place) for p in others):
                return (
                    f"the sides differ only where a row of {name} lets nothing through, along "
                    f"axis {axis} of what they return"
                )
    return ""


def _fitting(rerun: Rerun, problem: Problem, place: int) -> list[int]:
    """Return the axes of the outputs along which they differ exactly where a mask is all False."""
    mask = problem.values[place]
    if mask.ndim < 2 or mask.dtype.kind != "b":
        return []
    dead = ~mask.reshape(-1, *mask.shape[-2:]).any((0, 2))
    if not dead.any() or dead.all():
        return []
    first, second = (problem.outcomes[side][0] for side in rerun.sides)
    found: set[int] | None = None
    for apart in _apart(problem, first, second):
        axes = {
            axis
            for axis, size in enumerate(apart.shape)
            if size == dead.size
            and np.array_equal(apart.any(tuple(a for a in range(apart.ndim) if a != axis)), dead)
        }
        found = axes if found is None else found & axes
    return sorted(found or ())


def _apart(problem: Problem, first: Arrays, second: Arrays) -> Iterator[np.ndarray]:
    for name, one in first.items():
        if one.dtype.kind == "f" and one.shape == second[name].shape:
            noise = np.hypot(*(own[0][name] for own in problem.own.values()))
            apart = ~(np.abs(one - second[name]) <= BOUND * sigma(noise, np.float64))
            if apart.any():
                yield apart
