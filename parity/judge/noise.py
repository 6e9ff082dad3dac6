"""The yardstick's arithmetic: from measured rounding noise to the sigma of each element.

Knows no framework and no tensor; the measuring is done beside each framework.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

U0 = 2.0**-24
"""Unit roundoff of float32: the noise is measured at this size and scales in proportion."""

SEEDS = 16
"""Noisy runs; with fewer the yardstick itself is noisy."""

BOUND = 32.0
"""Differences up to this many sigmas are rounding: one number for every tensor and dtype."""

TINY = 2.0**-126
"""The smallest normal float32: below it XLA flushes to zero and torch does not."""

TINY16 = 2.0**-24
"""The smallest float16: nothing finer can be told in that dtype."""

FEW_SEEDS = 4
"""Noisy runs where SEEDS would take longer than LONG; a tensor's elements then pool their noise."""

LONG = 60.0
"""Seconds that a yardstick may take with all its seeds."""


SERIES = {"digamma": 1.0, "lgamma": 2.0, "polygamma": 0.0, "zeta": 0.0}
"""Sums of terms of about this size, whatever the sum: error 4 u hypot(y, size), measured."""


def matrix_growth(shape: tuple[int, ...], *, spectral: bool) -> float:
    """Return how many roundings of its rms a matrix may be moved by a backward stable algorithm.

    sqrt(n) / 2 for factorisations and solves, n / 2 for eigenvalues and singular values: measured.
    """
    sides = shape[-2:] or (1,)
    return max(1.0, min(sides) / 2 if spectral else max(sides) ** 0.5 / 2)


class Cost(NamedTuple):
    """What one yardstick is estimated to take, on one processor."""

    operations: int
    elements: int
    """Numbers made in one run, or multiplied and added up where that is more."""
    setup: float
    """Seconds before the first noisy run: tracing, compiling, the plain run."""
    run: float
    """Seconds a noisy run."""


class Plan(NamedTuple):
    """How to measure: how many seeds, whether their noise is pooled, the estimated seconds."""

    seeds: int
    pooled: bool
    seconds: float


def plan(cost: Cost) -> Plan:
    """Return the plan for a cost: fewer seeds and a pooled sigma where all would take too long."""
    seeds = SEEDS if cost.setup + SEEDS * cost.run <= LONG else FEW_SEEDS
    return Plan(seeds, seeds < SEEDS, cost.setup + seeds * cost.run)


def roundoff(dtype: np.dtype | type) -> float:
    """Return the unit roundoff u of a floating dtype: half the distance from 1 to the next."""
    name = np.dtype(dtype).name
    return 2.0**-8 if name == "bfloat16" else float(np.finfo(dtype).eps) / 2


def pooled(noise: np.ndarray, seeds: int) -> np.ndarray:
    """Return noise of fewer than SEEDS runs as hypot(own, sqrt(1 - seeds/SEEDS) tensor rms)."""
    finite = noise[np.isfinite(noise)]
    overall = np.sqrt(np.mean(finite**2)) if finite.size else 0.0
    return np.hypot(noise, np.sqrt(max(0.0, 1 - seeds / SEEDS)) * overall)


def sigma(noise: np.ndarray, dtype: np.dtype | type, seeds: int = SEEDS) -> np.ndarray:
    """Return each element's sigma in ``dtype``: hypot(its noise, share * tensor rms) + 2**-126.

    ``noise`` is in units of the roundoff. The share of the tensor's rms, 0.1, keeps one lucky
    element of a measurement with few seeds from judging its neighbours; with fewer than SEEDS it is
    sqrt(1 - seeds / SEEDS): the elements pool their noise.
    """
    noise = np.asarray(noise, np.float64)
    finite = noise[np.isfinite(noise)]
    overall = np.sqrt(np.mean(finite**2)) if finite.size else 0.0
    floor = TINY16 if np.dtype(dtype) == np.float16 else TINY
    share = max(0.1, np.sqrt(max(0.0, 1 - seeds / SEEDS)))
    return roundoff(dtype) * np.hypot(noise, share * overall) + floor
