"""How long a search for reasons may go on, and in how much memory. Verdicts have no limit."""

from __future__ import annotations

import os
import time
from pathlib import Path

SECONDS = 60.0
"""What a search may take unless the user says otherwise."""

BYTES = 2 * 2**30
"""Memory by which the process may grow meanwhile."""

RARELY = 0.1
"""Seconds between two looks at the memory."""


class Budget:
    """Seconds from now on, and bytes from what the process holds now."""

    def __init__(self, seconds: float = SECONDS, size: int = BYTES) -> None:
        self.seconds, self.size = seconds, size
        self._begun, self._held = time.monotonic(), _held()
        self._looked, self._large = self._begun, False

    def spent(self) -> bool:
        """Return whether nothing more should be tried."""
        now = time.monotonic()
        if now - self._looked >= RARELY:
            self._looked, self._large = now, _held() - self._held > self.size
        return self._large or now - self._begun >= self.seconds

    def __str__(self) -> str:
        if self._large:
            return f"the budget of {self.size / 2**30:.0f} GB is used up"
        return f"the budget of {self.seconds:.0f} s is used up"


def _held() -> int:
    """Return the bytes of memory that the process holds; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
