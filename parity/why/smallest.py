"""The smallest inputs on which a difference still shows, where nothing has named it.

Shrinks only what was given as named shapes: of arrays nobody knows which numbers matter.
"""

from __future__ import annotations

from dataclasses import replace

from parity.judge.verdict import Row
from parity.pairs.pair import Pair, is_shape
from parity.trial.trial import Trial

LARGEST = 3
"""Sizes that a smaller case may have, at most."""


def smallest_case(pair: Pair, row: Row) -> str:
    """Return the smallest shapes with which ``row``'s tensor fails alike, and its numbers there.

    Sizes that are equal stay equal. Empty where no smaller case fails, or none can be made.
    """
    if not isinstance(pair.inputs, dict):
        return ""
    shapes = {name: value for name, value in pair.inputs.items() if is_shape(value)}
    largest = max((size for shape in shapes.values() for size in shape), default=0)
    for most in range(1, min(LARGEST, largest - 1) + 1):
        smaller = {name: tuple(min(n, most) for n in shape) for name, shape in shapes.items()}
        found = _failing(replace(pair, inputs={**pair.inputs, **smaller}), row)
        if found:
            said = ", ".join(f"{name} {list(shape)}" for name, shape in smaller.items())
            return f"the smallest failing case is {said}: {row.name}: {found.reason}"
    return ""


def _failing(pair: Pair, row: Row) -> Row | None:
    try:
        trial = Trial(pair, row.batch, ("float64",))
        rows = [*trial.forward(), *trial.gradients()]
    except Exception:  # a function need not take smaller inputs
        return None
    alike = (r for r in rows if (r.name, r.verdict, r.odd) == (row.name, row.verdict, row.odd))
    return next(alike, None)
