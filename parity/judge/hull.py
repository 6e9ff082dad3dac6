"""Whether a vector is a mixture of others: membership in their convex hull. NumPy only.

Says yes only where it has found the weights; a no means that these points do not reach it.
"""

from __future__ import annotations

import numpy as np

LAST = 8
"""Points that show whether those before them fill a plane."""


def mixture(points: np.ndarray, claim: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """Return the point of the hull of ``points`` (rows) nearest to ``claim``, in ``tolerance``.

    Lawson and Hanson's non-negative least squares of sum w (p - claim) = 0, sum w = 1.
    """
    scaled = ((points - claim) / tolerance).T
    size = np.abs(scaled).max(initial=0.0) or 1.0
    rows = np.linalg.qr(scaled / size, mode="r") if len(scaled) > len(points) else scaled / size
    weights = _nonnegative(
        np.vstack([rows, np.ones(len(points))]), np.append(np.zeros(len(rows)), 1.0)
    )
    total = weights.sum()
    return (weights / total) @ points if total > 0 else points.mean(0)


def within(points: np.ndarray, claim: np.ndarray, tolerance: np.ndarray) -> bool:
    """Return whether some mixture of ``points`` is ``claim`` up to ``tolerance`` an element."""
    if not (len(points) and np.all(np.isfinite(points)) and np.all(np.isfinite(claim))):
        return False
    return bool(np.all(np.abs(mixture(points, claim, tolerance) - claim) <= tolerance))


def leaves_the_flat(points: np.ndarray, claim: np.ndarray, tolerance: np.ndarray) -> bool:
    """Return whether ``claim`` is off the plane through ``points``, where they do fill one.

    Then no further point brings it in: the last few of them lie in the plane of the others.
    """
    half = len(points) - LAST
    if half < 2 or not (np.all(np.isfinite(points)) and np.all(np.isfinite(claim))):
        return False
    base, scaled = points[0] / tolerance, points / tolerance
    span = (scaled[1:half] - base).T
    asked = np.vstack([scaled[half:], claim / tolerance]) - base
    weights = np.linalg.lstsq(span, asked.T, rcond=1e-7)[0]
    off = np.abs(span @ weights - asked.T).max(0)
    return bool(off[:-1].max(initial=0.0) <= 1 and off[-1] > 8)


def _nonnegative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return x >= 0 with the least |a x - b|, by an active set."""
    count = a.shape[1]
    x, free = np.zeros(count), np.zeros(count, bool)
    for _ in range(3 * count):
        gain = np.where(free, -np.inf, a.T @ (b - a @ x))
        if gain.max() <= 1e-12:
            break
        free[np.argmax(gain)] = True
        while True:
            best = np.zeros(count)
            best[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            under = free & (best <= 0)
            if not under.any():
                break
            share = np.min(x[under] / (x[under] - best[under] + 1e-300))
            x = np.maximum(x + share * (best - x), 0.0)
            free &= x > 1e-15
        x = best
    return x
