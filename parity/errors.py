"""The ways a run can end badly: gradients disagree, training diverges, the input cannot be used."""

from __future__ import annotations

from typing import Any


class ParityError(AssertionError):
    """Gradients that should agree do not. ``.report`` holds the whole comparison."""

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class DivergedError(Exception):
    """Training whose loss or parameters are no longer finite. The message says at which step."""


class LostProcessError(Exception):
    """Another process of the same work is gone. The message: how that was noticed."""


class UsageError(Exception):
    """Input that cannot be used. The message is one sentence: what, where, what to do."""


def require_at_least(least: int, **values: int) -> None:
    """Raise UsageError, in the words of the command line, for the first value below ``least``."""
    for name, value in values.items():
        if value < least:
            raise UsageError(f"{option(name)} is {value}; give {least} or more")


def require_batch(batch_size: int) -> None:
    """Raise UsageError for a batch on which batchnorm is not defined."""
    if batch_size < 2:
        raise UsageError(f"--batch-size {batch_size} has no batch variance; give 2 or more")


def require_seed(**values: int) -> None:
    """Raise UsageError for the first value that torch's generator would not take as a seed."""
    for name, value in values.items():
        if not -(2**63) <= value < 2**64:
            raise UsageError(f"{option(name)} is {value}; give 64 bits, as to torch")


def option(name: str) -> str:
    """Return how the command line spells a field."""
    return "--" + name.replace("_", "-")
