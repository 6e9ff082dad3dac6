"""The yardstick's arithmetic: from measured rounding noise to the sigma of each element.

Knows no framework and no tensor; the measuring is done beside each framework.
"""

from __future__ import annotations

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


def roundoff(dtype: np.dtype | type) -> float:
    """Return the unit roundoff u of a floating dtype: half the distance from 1 to the next."""
    name = np.dtype(dtype).name
    return 2.0**-8 if name == "bfloat16" else float(np.finfo(dtype).eps) / 2


def sigma(noise: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Return each element's sigma in ``dtype``: hypot(its noise, 0.1 tensor rms) + 2**-126 (2**-24).

    ``noise`` is in units of the roundoff. The share of the tensor's rms keeps one lucky element of
    a measurement with few seeds from judging its neighbours.
    """
    finite = noise[np.isfinite(noise)]
    overall = np.sqrt(np.mean(finite**2)) if finite.size else 0.0
    floor = TINY16 if np.dtype(dtype) == np.float16 else TINY
    return roundoff(dtype) * np.hypot(noise, 0.1 * overall) + floor
