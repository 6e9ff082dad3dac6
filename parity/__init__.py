"""The harness: identical seeded inputs to both frameworks, every gradient compared and judged.

Imports neither framework until something is run: the names below are loaded when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.causes.cause import Cause, Context
    from parity.checking import check
    from parity.diagnosis import diagnose
    from parity.errors import ParityError, UsageError
    from parity.naming import name
    from parity.pair import Pair, Rule
    from parity.report import Report
    from parity.verdict import Verdict

__all__ = [
    "Cause",
    "Context",
    "Pair",
    "ParityError",
    "Report",
    "Rule",
    "UsageError",
    "Verdict",
    "check",
    "diagnose",
    "name",
]

_HOMES = {
    "Cause": "causes.cause",
    "Context": "causes.cause",
    "Pair": "pair",
    "ParityError": "errors",
    "Report": "report",
    "Rule": "pair",
    "UsageError": "errors",
    "Verdict": "verdict",
    "check": "checking",
    "diagnose": "diagnosis",
    "name": "naming",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'parity' has no attribute {name!r}")
    return getattr(import_module(f"parity.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
