"""Which versions of the frameworks this works with: an older one is said to be older."""

from __future__ import annotations

import re
from importlib import import_module

from parity.errors import UsageError

LEAST = {"jax": "0.10.2", "torch": "2.7"}
"""As in pyproject.toml."""


def require_supported(framework: str) -> None:
    """Raise UsageError where a framework is missing, or older than what is supported."""
    least = LEAST[framework]
    try:
        found = str(import_module(framework).__version__)
    except ModuleNotFoundError as error:
        if error.name != framework:
            raise
        raise UsageError(
            f"{framework} is not installed; pip install '{framework}>={least}'"
        ) from error
    if _numbers(found) < _numbers(least):
        raise UsageError(
            f"{framework} {found} is installed, and {least} or later is needed; "
            f"pip install -U '{framework}>={least}'"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.split("+")[0])[:3])
