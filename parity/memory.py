"""Memory of this process: the most it has held, and what it no longer uses given back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable

HEAVY = 4_000_000
"""Numbers from which on memory is what counts: one run follows the other, and tidies up."""


def is_heavy(sizes: Iterable[int]) -> bool:
    """Return whether arrays of so many numbers are so many that a run of them is dear."""
    return sum(sizes) > HEAVY


def peak_mb() -> int | None:
    """Return the process's peak so far, in megabytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2 ** (20 if sys.platform == "darwin" else 10)


def give_back() -> None:
    """Hand to the system what was freed: glibc keeps most of it, for each thread that asked."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not all of Linux has glibc
        if trim is not None:
            trim(0)
