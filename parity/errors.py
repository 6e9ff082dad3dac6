"""The two ways a run can end badly: gradients disagree, or the input cannot be used."""

from __future__ import annotations

from typing import Any


class ParityError(AssertionError):
    """Gradients that should agree do not. ``.report`` holds the whole comparison."""

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class UsageError(Exception):
    """Input that cannot be used. The message is one sentence: what, where, what to do."""
