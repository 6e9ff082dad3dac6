"""Weights that were converted wrongly: another conversion of them makes all outputs agree.

Tries, by running the JAX model on other arrangements of torch's tensors. What is said holds on
other weights, too. Looks at no code.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from parity.errors import ParityError, UsageError
from parity.judge.cause import Cause
from parity.judge.compare import FLOAT64
from parity.models.changes import Change, changes
from parity.models.sides import Whole
from parity.pairs import tree
from parity.pairs.legs import Arrays, Legs, call

CLOSE = 1e-9
"""Of an output's size: what other weights may differ by, whose rounding is not measured."""
SECONDS = 20.0
"""In which changes are tried."""


def wrongly_converted(
    whole: Whole, legs: Legs, values: Sequence[np.ndarray], seconds: float = SECONDS
) -> Cause | None:
    """Return which weights make all outputs agree once converted otherwise; None if none do."""
    try:
        return _Trials(whole, legs, values, seconds).cause()
    except (UsageError, ParityError):  # a leaf of other numbers may be refused
        return None


class _Trials:
    def __init__(
        self, whole: Whole, legs: Legs, values: Sequence[np.ndarray], seconds: float
    ) -> None:
        self.whole, self.legs = whole, legs
        names = legs.arguments.names
        given = dict(zip(names, values, strict=False))
        self.inputs = tuple(x for name, x in given.items() if name not in whole.torch.tensors)
        self.given = given
        self.until = time.monotonic() + seconds
        self.leaves = [*whole.weights.matches, *whole.weights.unfed]
        side = legs.corners["jax"].side
        self.side = side
        self.function = side.compiled(side.widened(self._forward))
        rng = np.random.default_rng(20)
        self.problems = [given, *(self._disturbed(rng) for _ in range(2))]
        """The weights themselves, and others that a change has to hold on as well."""
        self.wanted: dict[int, Arrays] = {}

    def _forward(self, *arrays: Any) -> dict[str, Any]:
        count = len(self.inputs)
        leaves = dict(zip(self.leaves, arrays[count:], strict=True))
        names, tensors = self.legs.arguments.arguments, self.whole.torch.tensors
        rest = [*self.given.values()][count:]  # torch's own, of which nothing is made here
        built = self.legs.arguments.build((*arrays[:count], *rest))
        own = [x for name, x in zip(names, built, strict=True) if name not in tensors]
        out = self.whole.run(leaves, own)
        return {name: self.side.asarray(x) for name, x in tree.positions(out, "out")}

    def _disturbed(self, rng: np.random.Generator) -> Arrays:
        """Return the problem with other weights; what is guessed stays what it is."""
        guessed = {name for match in self.whole.weights.guessed for name in match.layout.sources()}
        own = {*self.whole.torch.tensors} - guessed
        return {
            name: x * (1 + 0.2 * rng.uniform(-1, 1, x.shape)) if name in own else x
            for name, x in self.given.items()
        }

    def cause(self) -> Cause | None:
        for change in changes(self.whole):
            if time.monotonic() > self.until:
                return None
            if self._agrees(change, 0) and all(self._agrees(change, n) for n in (1, 2)):
                return self._least(change).cause()
        return None

    def _least(self, change: Change) -> Change:
        """Return a change without what it does not need."""
        for leaf in [*change.leaves]:
            less = change.without(leaf)
            if less.leaves and all(self._agrees(less, n) for n in range(3)):
                change = less
        return change

    def _agrees(self, change: Change, number: int) -> bool:
        problem = self.problems[number]
        tensors = {n: problem.get(n, x) for n, x in self.whole.torch.tensors.items()}
        made = {
            leaf: match.layout.of(tensors) for leaf, match in self.whole.weights.matches.items()
        }
        own = {leaf: self.whole.jax.tensors[leaf].astype(np.float64) for leaf in self.leaves}
        leaves = own | made | {leaf: make(tensors) for leaf, make in change.leaves.items()}
        arrays = (*self.inputs, *(np.ascontiguousarray(leaves[leaf]) for leaf in self.leaves))
        found = call(self.side, FLOAT64, self.function, arrays)
        wanted = self._wanted(number)
        return all(_close(found[name], x) for name, x in wanted.items())

    def _wanted(self, number: int) -> Arrays:
        if number not in self.wanted:
            leaves = tuple(self.problems[number][name] for name in self.legs.arguments.names)
            corner = self.legs.corners["torch"]
            self.wanted[number] = self.legs.run("forward", corner, FLOAT64, leaves)
        return self.wanted[number]


def _close(x: np.ndarray, wanted: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):
        far = np.abs(x - wanted)
    bound = CLOSE * max(float(np.sqrt(np.mean(np.abs(wanted) ** 2))), 1e-300)
    return bool(np.all(far <= bound))
