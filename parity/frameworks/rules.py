"""Backward rules by hand inside a function, as both frameworks' adapters speak of them.

`jax_rules.py` and `torch_rules.py` find them and run them; nothing is run here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Instead = Mapping[Any, Callable[..., Any] | None]
"""{key of a rule: what is used for it; None: the derivative of its function}."""


MOST_CALLS = 3
"""Calls of one rule that are looked at."""


class Call(NamedTuple):
    """One call of a rule by itself, on what it was given where its function stands."""

    key: Any
    """What the rule is known by."""
    backward: Callable[..., Any]
    """As the user wrote it."""
    name: str
    arguments: tuple[Any, ...]
    got: list[np.ndarray]
    """What it answers, one array a float input."""
    wanted: list[np.ndarray]
    """The derivative of its own function, for the same gradients from above."""
    answer: Callable[[Any], list[np.ndarray]]
    """What the backward pass returned, as one array a float input. Raises where it cannot be."""
    run: Callable[[Callable[..., Any], Sequence[Any]], Any]
    """Runs a backward pass on arguments."""

    places: Sequence[int]
    """Which of what a backward pass returns is each of them."""

    def agrees(self, found: Sequence[np.ndarray]) -> bool:
        """Return whether an answer is near enough to be worth judging."""
        return all(map(_near, found, self.wanted))

    def agrees_at(self, place: int, found: np.ndarray) -> bool:
        """Return whether the answer for one input is."""
        return _near(found, self.wanted[place])


NEAR = 1e-8
"""A first look alone: what passes it is judged by the whole function's gradients."""


def _near(x: np.ndarray, y: np.ndarray) -> bool:
    scale = float(np.max(np.abs(y), initial=0.0)) or 1.0
    return x.shape == y.shape and bool(np.all(np.abs(x - y) <= NEAR * scale))


def first_of_each(calls: Iterable[tuple[Any, Callable[[], Call | None]]]) -> list[Call]:
    """Return the first few calls of every rule, of (rule, what runs a call of it alone)."""
    found: dict[Any, list[Call]] = {}
    for rule, alone in calls:
        known = found.setdefault(rule, [])
        if len(known) < MOST_CALLS and (call := alone()):
            known.append(call)
    return [call for known in found.values() for call in known]


def drawn(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Return random numbers of a shape."""
    return rng.standard_normal(tuple(shape))
