"""One problem in float64, solved: every corner's answer, and how far rounding may move it."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import numpy as np

from parity.judge.compare import distance
from parity.judge.noise import BOUND, sigma
from parity.judge.tensor import Tensor
from parity.pairs.legs import Outcome
from parity.pairs.structure import MisfitError

Values = tuple[np.ndarray, ...]


class Exact(NamedTuple):
    """One problem in float64: what every corner answers, and how far rounding may move it."""

    values: Values
    outcomes: dict[str, Outcome]
    own: dict[str, Outcome]
    """Each framework's own noise."""

    def noise(self, part: int, name: str) -> np.ndarray:
        """Return the hypotenuse of the frameworks' own noises of an output (0) or a gradient."""
        first, *others = (own[part][name] for own in self.own.values())
        return reduce(np.hypot, others, first)

    def noises(self, part: int) -> dict[str, np.ndarray]:
        """Return that of every output (0) or gradient (1)."""
        first = next(iter(self.own.values()))
        return {name: self.noise(part, name) for name in first[part]}

    def tensor(self, part: int, name: str) -> Tensor:
        """Return an output (part 0) or a gradient (1) as every corner has it."""
        answers = {corner: outcome[part][name] for corner, outcome in self.outcomes.items()}
        return Tensor(name, answers, self.noise(part, name))


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
