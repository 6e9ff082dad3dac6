"""Cases of which the default suite runs a few, and the long proofs all."""

from collections.abc import Iterable
from typing import Any

import pytest


def few(cases: Iterable[Any], *always: Any) -> list[Any]:
    """Return the cases as parameters: those in ``always`` as they are, the others marked full."""
    cases = [*cases]
    assert {*always} <= {*cases}, "a case that does not exist is never run"
    full = pytest.mark.full
    return [
        x if x in always else pytest.param(*(x if isinstance(x, tuple) else (x,)), marks=full)
        for x in cases
    ]
