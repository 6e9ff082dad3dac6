"""Numbers that a change was not found on: what holds there too is no accident of the data.

Other numbers for a pair's inputs, in other shapes too where they were given as shapes. Decides
nothing: `rerun.py` asks whether a change holds on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from parity.judge.compare import FLOAT64
from parity.judge.noise import BOUND, roundoff
from parity.pairs.legs import LARGE, Legs, Outcome
from parity.pairs.pair import is_shape, short_decimals
from parity.why.conventions.change import Problem

SEED = 20261126
"""What the other numbers are drawn from: a seed that nobody gives."""

LOOSE = 1e-9
"""Relative distance up to which two sides agree here: no accident comes so near."""

SLACK = 16.0
"""Other numbers may be so much noisier than those whose noise was measured."""

TURNED = 0.01
"""By how much given numbers are changed, where no others can be drawn."""


class Further(NamedTuple):
    """A problem like those that were judged, with a guess at its noise."""

    values: tuple[np.ndarray, ...]
    outcomes: Mapping[str, Outcome]
    own: Mapping[str, Outcome]


def other_numbers(
    legs: Legs, problem: Problem, loose: bool = True, seed: int = SEED
) -> Further | None:
    """Return a problem of other numbers; None where the sides cannot be run on them, or overflow.

    Drawn again where a seed decides them. Arrays that were given are disturbed: whole numbers,
    signs and what is equal stay as they are. Its noise is at least LOOSE, or what was measured.
    """
    count = len(legs.arguments.names)
    try:
        drawn = legs.pair.arguments(np.random.default_rng(seed))
    except Exception:  # it is the user's function that draws them
        return None
    if drawn.names != legs.arguments.names:
        return None
    leaves = tuple(
        _disturbed(new) if np.array_equal(new, old) else new
        for new, old in zip(drawn.leaves, problem.values[:count], strict=True)
    )
    return _solved(legs, problem, leaves, loose)


def in_order(legs: Legs, problem: Problem) -> Further | None:
    """Return the same problem with its whole numbers sorted.

    For what moves rows: labels and masks that no seed changes may stand in a lucky order. None
    where there are none.
    """
    return _reordered(legs, problem, lambda x: np.argsort(x.reshape(len(x), -1)[:, 0]))


def _shuffled(seed: int, legs: Legs, problem: Problem) -> Further | None:
    """Return the same problem with the rows of its whole numbers shuffled, all alike."""
    return _reordered(legs, problem, lambda x: np.random.default_rng(seed).permutation(len(x)))


OTHER_ORDERS: tuple[Callable[[Legs, Problem], Further | None], ...] = (
    in_order,
    *(partial(_shuffled, SEED + k) for k in range(4)),
)
"""Of a few rows, one order is lucky too often."""


def _reordered(
    legs: Legs, problem: Problem, order: Callable[[np.ndarray], np.ndarray]
) -> Further | None:
    leaves = [*problem.values[: len(legs.arguments.names)]]
    whole = [i for i, x in enumerate(leaves) if x.dtype.kind in "iub" and x.ndim and x.size > 1]
    for i in whole:
        leaves[i] = leaves[i][order(leaves[i])]
    return _solved(legs, problem, tuple(leaves)) if whole else None


def other_shape(legs: Legs, problem: Problem) -> Further | None:
    """Return a problem twice as long along every axis, None where the shapes are not free."""
    given = legs.pair.inputs
    if not isinstance(given, dict) or not all(is_shape(value) for value in given.values()):
        return None
    rng = np.random.default_rng(SEED)
    shapes = [tuple(n if n == 1 else 2 * n for n in value) for value in given.values()]
    if sum(int(np.prod(shape)) for shape in shapes) > LARGE:
        return None
    return _solved(legs, problem, tuple(short_decimals(rng, shape) for shape in shapes))


def _disturbed(x: np.ndarray) -> np.ndarray:
    """Return nearby numbers: a function of each number alone, so that ties and symmetries stay.

    A whole number stays, for it may stand on a kink: at 0, or at 6.
    """
    if x.dtype.kind not in "fc":
        return x
    new: np.ndarray = x * (1 + TURNED * np.sin(7 * np.abs(x) + 1))
    return np.where(np.isfinite(x) & (x != np.round(x)), new, x)


def _solved(
    legs: Legs, problem: Problem, leaves: tuple[np.ndarray, ...], loose: bool = True
) -> Further | None:
    rng = np.random.default_rng(SEED + 1)
    outcomes = {}
    try:
        corner = next(iter(legs.corners.values()))
        first = legs.run("forward", corner, FLOAT64, leaves)
        shapes = {name: x.shape for name, x in first.items()}
        douts = tuple(
            _cotangent(rng, shapes[name], x.dtype) for name, x in legs.cotangents().items()
        )
        values = (*leaves, *(douts if legs.floating else ()))
        for name, corner in legs.corners.items():
            outcomes[name] = legs.run("compiled", corner, FLOAT64, values)
    except Exception:  # a size, or a number, that a function cannot take
        return None
    parts = [part for side in legs.pair.sides for part in outcomes[side]]
    if not all(bool(np.all(np.isfinite(x))) for part in parts for x in part.values()):
        return None
    own = {side: _noise(problem, side, outcomes[side], loose) for side in legs.pair.sides}
    return Further(values, outcomes, own)


def _cotangent(rng: np.random.Generator, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    drawn = short_decimals(rng, shape)
    return drawn + 1j * short_decimals(rng, shape) if np.dtype(dtype).kind == "c" else drawn


def _noise(problem: Problem, side: str, outcome: Outcome, loose: bool) -> Outcome:
    """Return the noise that may be expected: as much of its size as where it was measured."""

    def guessed(part: int) -> dict[str, np.ndarray]:
        found = {}
        for name, x in outcome[part].items():
            before, noise = problem.outcomes[side][part][name], problem.own[side][part][name]
            amplified = SLACK * _largest(noise) / (_largest(before) or 1.0)
            least = LOOSE / BOUND / roundoff(FLOAT64) if loose else 1.0
            found[name] = np.full(x.shape, max(amplified, least) * _largest(x))
        return found

    return guessed(0), guessed(1)


def _largest(x: np.ndarray) -> float:
    return float(np.max(np.abs(x[np.isfinite(x)]), initial=0.0))
