"""The harness: identical seeded inputs to both frameworks, every gradient compared and judged.

Imports neither framework until something is run: the names below are loaded when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.checking.check import check
    from parity.errors import ParityError, UsageError
    from parity.judge.cause import Cause
    from parity.judge.verdict import Verdict
    from parity.learn.notebook import check_notebook, cmp
    from parity.pairs.naming import name
    from parity.pairs.pair import Model, Pair, Rule
    from parity.pairs.tree import Constant
    from parity.show.report import Report
    from parity.why.causes.context import Context
    from parity.why.diagnosis import diagnose

__all__ = [
    "Cause",
    "Constant",
    "Context",
    "Model",
    "Pair",
    "ParityError",
    "Report",
    "Rule",
    "UsageError",
    "Verdict",
    "check",
    "check_notebook",
    "cmp",
    "diagnose",
    "name",
]

_HOMES = {
    "Cause": "judge.cause",
    "Constant": "pairs.tree",
    "Context": "why.causes.context",
    "Model": "pairs.pair",
    "Pair": "pairs.pair",
    "ParityError": "errors",
    "Report": "show.report",
    "Rule": "pairs.pair",
    "UsageError": "errors",
    "Verdict": "judge.verdict",
    "check": "checking.check",
    "check_notebook": "learn.notebook",
    "cmp": "learn.notebook",
    "diagnose": "why.diagnosis",
    "name": "pairs.naming",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'parity' has no attribute {name!r}")
    return getattr(import_module(f"parity.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
