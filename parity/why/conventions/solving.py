"""Numbers in a function, found so that its outputs are another function's. Names nothing.

Least squares over all outputs, each weighed by its own size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from parity.judge.compare import rms

Arrays = dict[str, np.ndarray]

TURNS = 10
"""Steps towards one number, or two."""

PAIRS = 6
"""Pairs of numbers that are followed further than one linear step."""


class _Residual:
    """How far a changed function's outputs are from those that are wanted, as one vector."""

    def __init__(self, wanted: Arrays) -> None:
        self.wanted = {n: x for n, x in wanted.items() if x.dtype.kind in "fc"}
        self.weights = {n: 1 / (rms(x) or 1.0) for n, x in self.wanted.items()}

    def of(self, found: Arrays | None) -> np.ndarray | None:
        """Return the vector; what is not finite is far; None where there are no such outputs."""
        if not self.wanted or found is None:
            return None
        if any(n not in found or found[n].shape != x.shape for n, x in self.wanted.items()):
            return None
        parts = [((found[n] - x) * self.weights[n]).ravel() for n, x in self.wanted.items()]
        whole = np.concatenate([np.stack([p.real, p.imag]).ravel() for p in parts])
        return np.where(np.isfinite(whole), whole, 1e3)


def solve(run: Callable[[float], Arrays | None], wanted: Arrays, start: float) -> float | None:
    """Return the number at which ``run`` gives ``wanted``, nearly; None where it leads nowhere.

    Secant steps; one that does not help is shortened.
    """
    residual = _Residual(wanted)

    def off(number: float) -> np.ndarray | None:
        return residual.of(run(number))

    here, step = off(start), _step(start)
    ahead = None if here is None else off(start + step)
    if here is None or ahead is None:
        return None
    number, first, slope = start, _norm(here), (ahead - here) / step
    for turn in range(TURNS):
        along = float(slope @ slope)
        if not 0 < along < np.inf:
            return None
        move = -float(slope @ here) / along
        there = None
        for _ in range(8):
            moved = off(number + move)
            if moved is not None and _norm(moved) < _norm(here):
                there = moved
                break
            move /= 4
        if there is None:
            break
        slope = (there - here) / move
        number, here = number + move, there
        if turn == 1 and _norm(here) > 0.6 * first:
            return None
        if abs(move) <= 1e-14 * abs(number):
            break
    return number if _norm(here) < 1e-3 * first else None


def solve_two(
    run: Callable[[Mapping[int, float]], Arrays | None], wanted: Arrays, starts: Sequence[float]
) -> Iterator[tuple[tuple[int, int], tuple[float, float]]]:
    """Yield (which two of the numbers, their values) where two together give ``wanted``, nearly.

    The linear problem says which pairs are worth following; Gauss and Newton follow them.
    """
    residual = _Residual(wanted)
    here = residual.of(run({}))
    if here is None:
        return
    columns: dict[int, np.ndarray] = {}
    for i, start in enumerate(starts):
        ahead = residual.of(run({i: start + _step(start)}))
        if ahead is not None and np.any(ahead != here):
            columns[i] = (ahead - here) / _step(start)
    left = {
        pair: _norm(here + np.stack([columns[i] for i in pair], 1) @ _least(here, columns, pair))
        for pair in combinations(columns, 2)
    }
    for pair in sorted(left, key=lambda pair: left[pair])[:PAIRS]:
        values = _follow(run, residual, pair, [starts[i] for i in pair])
        if values is not None:
            yield pair, values


def _least(here: np.ndarray, columns: Mapping[int, np.ndarray], pair: Sequence[int]) -> np.ndarray:
    matrix = np.stack([columns[i] for i in pair], 1)
    return np.linalg.lstsq(matrix, -here, rcond=None)[0]


def _follow(
    run: Callable[[Mapping[int, float]], Arrays | None],
    residual: _Residual,
    pair: tuple[int, int],
    starts: list[float],
) -> tuple[float, float] | None:
    values = np.array(starts)
    first = here = residual.of(run(dict(zip(pair, values, strict=True))))
    for _ in range(TURNS):
        if here is None or first is None or _norm(here) < 1e-13 * _norm(first):
            break
        columns = {}
        for k, i in enumerate(pair):
            ahead = values.copy()
            ahead[k] += _step(values[k])
            there = residual.of(run(dict(zip(pair, ahead, strict=True))))
            if there is None:
                return None
            columns[i] = (there - here) / _step(values[k])
        values = values + _least(here, columns, pair)
        here = residual.of(run(dict(zip(pair, values, strict=True))))
    if here is None or first is None or _norm(here) > 1e-6 * _norm(first):
        return None
    return float(values[0]), float(values[1])


def _step(number: float) -> float:
    return 1e-4 * abs(number) or 1e-6


def _norm(x: np.ndarray) -> float:
    return float(np.sqrt(x @ x))
