"""One problem in float64, solved: every corner's answer, and how far rounding may move it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from parity.judge.compare import distance
from parity.judge.noise import BOUND, sigma
from parity.judge.tensor import Tensor
from parity.pairs.legs import Outcome, cast
from parity.pairs.structure import MisfitError

Values = tuple[np.ndarray, ...]


class Exact(NamedTuple):
    """One problem in float64: what every corner answers, and how far rounding may move it."""

    values: Values
    outcomes: dict[str, Outcome]
    noise: Outcome
    own: dict[str, Outcome]
    """Each framework's own noise."""

    def tensor(self, part: int, name: str) -> Tensor:
        """Return an output (part 0) or a gradient (1) as every corner has it."""
        answers = {corner: outcome[part][name] for corner, outcome in self.outcomes.items()}
        return Tensor(name, answers, self.noise[part][name])


def held_by(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return what ``dtype`` holds of an array, in float64."""
    return cast(array, dtype).astype(array.dtype)


def together(noises: list[Outcome]) -> Outcome:
    """Return the hypotenuse of the frameworks' own noises, tensor by tensor."""
    first, *others = noises
    parts = []
    for part in (0, 1):
        total = {}
        for name, noise in first[part].items():
            for other in others:
                noise = np.hypot(noise, other[part][name])
            total[name] = noise
        parts.append(total)
    return parts[0], parts[1]


def require_the_same(framework: str, first: Outcome, again: Outcome, noise: Outcome) -> None:
    """Raise MisfitError where the same function of the same numbers gave another result."""
    for part in (0, 1):
        for name, value in again[part].items():
            if value.dtype.kind in "iub":
                same = np.array_equal(value, first[part][name])
            else:
                yard = sigma(noise[part][name], np.float64)
                same = distance(first[part][name], value, yard).sigmas <= BOUND
            if not same:
                raise MisfitError(
                    name,
                    f"{framework} gives another result when it runs again: random numbers, or "
                    "state kept between runs; make them inputs",
                )
