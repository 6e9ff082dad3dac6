"""What is asked at a kink, and what it answers around the point. Values only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from parity.judge.slopes import Vector


@dataclass(frozen=True)
class Witness:
    """One corner in float64: the loss <cotangent, forward(x)> and its gradient, of a vector."""

    name: str
    loss: Callable[[Vector], float]
    gradient: Callable[[Vector], Vector]


class Around(NamedTuple):
    """Gradients a step ahead of x and a step behind, of the elements that are looked at."""

    ahead: np.ndarray
    behind: np.ndarray
    agree: np.ndarray
    """Where all corners agree on both."""
    along: Vector
    """The step, of all elements."""
