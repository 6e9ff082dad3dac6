"""One number in a function, found so that the outputs are another function's. Names nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]

STEPS = 40
"""Runs of the function for one number."""


def solve(
    run: Callable[[float], Arrays | None], wanted: Arrays, start: float
) -> float | None:
    """Return the number at which ``run`` gives ``wanted``, nearly; None where it leads nowhere.

    Secant steps on the least squares of all outputs, each weighed by its own size; a step that does
    not help is halved.
    """
    floats = [n for n, x in wanted.items() if x.dtype.kind in "fc"]
    target = {n: wanted[n] for n in floats}
    weights = {n: 1 / (_rms(x) or 1.0) for n, x in target.items()}

    def off(number: float) -> np.ndarray | None:
        found = run(number)
        if found is None or any(found[n].shape != x.shape for n, x in target.items()):
            return None
        parts = [((found[n] - x) * weights[n]).ravel() for n, x in target.items()]
        whole = np.concatenate([np.stack([p.real, p.imag]).ravel() for p in parts])
        return np.where(np.isfinite(whole), whole, 1e3)

    if not floats:
        return None
    here = off(start)
    if here is None:
        return None
    number, size, first = start, _norm(here), _norm(here)
    step = 1e-4 * abs(start) or 1e-6
    ahead = off(number + step)
    if ahead is None:
        return None
    slope = (ahead - here) / step
    for turn in range(STEPS // 4):
        along = float(slope @ slope)
        if not along > 0 or not np.isfinite(along):
            return None
        move = -float(slope @ here) / along
        there, moved = None, None
        for _ in range(8):
            moved = off(number + move)
            if moved is not None and _norm(moved) < size:
                there = moved
                break
            move /= 4
        if there is None:
            break
        slope = (there - here) / move
        number, here, size = number + move, there, _norm(there)
        if turn == 1 and size > 0.6 * first:
            return None
        if abs(move) <= 1e-14 * abs(number):
            break
    return number if size < 1e-3 * first else None


def _rms(x: np.ndarray) -> float:
    finite = np.abs(x[np.isfinite(x)])
    return float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0


def _norm(x: np.ndarray) -> float:
    return float(np.sqrt(x @ x))
