"""Two sides that differ in rows alone: those that a mask empties, or the same rows a place further.

Where a mask lets nothing through, what stands in the output is nobody's mathematics: zeros, a mean
of everything, NaN. Facts about where two functions differ; nothing is changed.
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
TURNS = frozenset("scan stack while".split())
"""What puts the turns of a loop together."""


def where_nothing_passes(rerun: Rerun) -> str:
    """Return in words that the sides differ exactly where a mask has no True; "" where not so.

    On other numbers, and with the rows of the mask in other orders, too.
    """
    first = rerun.problems[0]
    others: list[Problem] = []
    for place, name in enumerate(rerun.legs.arguments.names):
        for axis in _fitting(rerun, first, place):
            others = others or _others(rerun)
            if len(others) > 1 and all(axis in _fitting(rerun, p, place) for p in others):
                return (
                    f"the sides differ only where a row of {name} lets nothing through, along "
                    f"axis {axis} of what they return"
                )
    return ""


def _others(rerun: Rerun) -> list[Problem]:
    made = (make(rerun.legs, rerun.problems[0]) for make in OTHERS)
    return [problem for problem in made if problem is not None]


def where_a_row_is_ahead(rerun: Rerun) -> str:
    """Return in words that one side's rows are the other's, one further; "" where not so.

    On other numbers, too.
    """
    first, second = rerun.sides
    problems = rerun.problems
    for ahead, behind in ((first, second), (second, first)):
        found = _ahead(problems[0], ahead, behind)
        if found and all(_ahead(p, ahead, behind) == found for p in (*problems, *_others(rerun))):
            ((name, axis),) = found.items()
            said = f"{name} of {ahead} is that of {behind} a row further along axis {axis}"
            states = f": {behind} gives a state before each turn, {ahead} after it"
            return said + (states if has_turns(rerun) else "")
    return ""


def has_turns(rerun: Rerun) -> bool:
    """Return whether a side goes round a loop, or puts together what it made one by one."""
    programs = (p for side in rerun.sides for p in rerun.programs(side)[:1])
    return any(o.kind in TURNS for p in programs for _, o in p.walk())


def _ahead(problem: Problem, ahead: str, behind: str) -> dict[str, int]:
    """Return {output: axis} of the one output that differs, if its rows are one further."""
    apart = dict(_apart(problem, problem.outcomes[ahead][0], problem.outcomes[behind][0]))
    if len(apart) != 1:
        return {}
    ((name, _),) = apart.items()
    one, other = (problem.outcomes[side][0][name] for side in (ahead, behind))
    noise = sigma(np.hypot(*(own[0][name] for own in problem.own.values())), np.float64)
    for axis in range(min(one.ndim, 2)):
        mine, theirs, rounding = (np.moveaxis(x, axis, 0) for x in (one, other, noise))
        allowed = BOUND * np.hypot(rounding[:-1], rounding[1:])
        if len(mine) > 2 and np.all(np.abs(mine[:-1] - theirs[1:]) <= allowed):
            return {name: axis}
    return {}


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
    for _, apart in _apart(problem, first, second):
        axes = {
            axis
            for axis, size in enumerate(apart.shape)
            if size == dead.size
            and np.array_equal(apart.any(tuple(a for a in range(apart.ndim) if a != axis)), dead)
        }
        found = axes if found is None else found & axes
    return sorted(found or ())


def _apart(problem: Problem, first: Arrays, second: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (output, where it differs) of the outputs that do."""
    for name, one in first.items():
        if one.dtype.kind == "f" and one.shape == second[name].shape:
            noise = np.hypot(*(own[0][name] for own in problem.own.values()))
            apart = ~(np.abs(one - second[name]) <= BOUND * sigma(noise, np.float64))
            if apart.any():
                yield name, apart
