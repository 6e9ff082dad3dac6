"""What a comparison could have caught. Judges nothing that was compared."""

from __future__ import annotations

import numpy as np

from parity.judge.noise import BOUND


def smallest_fault(reference: np.ndarray, sigma: np.ndarray) -> float:
    """Return the smallest relative fault of a tensor that is not rounding: 32 min(sigma / |g|).

    The tensor multiplied by 1 + fault is then more than 32 sigma away in some element. Infinite
    where it is zero everywhere, or NaN; from 1 on, zeros would pass for it. 0 where it is infinite
    and nothing else: whatever is finite is another value.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        faults = BOUND * sigma / np.abs(reference)
    faults = faults[np.isfinite(faults) & np.isfinite(reference)]
    none = 0.0 if np.any(np.isinf(reference)) else float("inf")
    return float(faults.min()) if faults.size else none
