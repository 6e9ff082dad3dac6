"""A step of a backward pass: what it should be, how far it is from that, what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from parity.judge.cause import Cause
from parity.judge.compare import FLOAT64, distance
from parity.judge.noise import sigma
from parity.judge.verdict import Status
from parity.why.causes.context import Arrays


@dataclass(frozen=True)
class Line:
    """One judged step of a backward pass."""

    tensor: str
    status: Status
    causes: tuple[Cause, ...] = ()
    """Why, where it is introduced here. For a step that is right: what only a probe can see."""
    sigmas: float = 0.0
    """How far the value is from what it should be, given what came from above."""


class Answer(NamedTuple):
    """What one gradient should be, and its rounding noise in units of the roundoff."""

    right: np.ndarray
    noise: np.ndarray


def far_of(value: Any, answer: Answer) -> float:
    """Return how far a finished gradient is from right, in sigmas of its own dtype."""
    value = np.asarray(value)
    return far(value, answer, value.dtype if value.dtype.kind == "f" else FLOAT64)


def far(value: np.ndarray, answer: Answer, dtype: np.dtype) -> float:
    """Return how far an array is from right, in sigmas of a dtype; infinitely for another shape."""
    if value.shape != answer.right.shape or value.dtype.kind != "f":
        return np.inf
    noise = np.maximum(answer.noise, np.abs(answer.right))  # what a step is given is rounded too
    return distance(value, answer.right, sigma(noise, dtype)).sigmas


def cast(arrays: Arrays, dtype: np.dtype) -> dict[str, np.ndarray]:
    """Return floats in a dtype; others as they are."""
    return {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in arrays.items()}
