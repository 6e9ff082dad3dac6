"""How much memory the process has held at most."""

from __future__ import annotations

import sys


def peak_mb() -> int | None:
    """Return the process's peak so far, in megabytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2 ** (20 if sys.platform == "darwin" else 10)
