"""Cases of which the default suite runs a few, and the long proofs all."""

from collections.abc import Iterable
from typing import Any

import pytest


def few(cases: Iterable[Any], *always: Any, every: int = 0) -> list[Any]:
    """Return the cases as parameters: all but ``always`` and each ``every``-th are marked full."""
    cases = [*cases]
    assert all(x in cases for x in always), "a case that does not exist is never run"
    full = pytest.mark.full
    return [
        x
        if x in always or (every and i % every == 0)
        else pytest.param(*(x if type(x) is tuple else (x,)), marks=full)
        for i, x in enumerate(cases)
    ]
