"""The backward rules by hand inside a function that make its gradients wrong.

Each rule is put aside for the derivative of its own function: a rule is the culprit where all
gradients agree without it. Says nothing of its lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.rules import Call
from parity.judge.compare import FLOAT64, distance
from parity.judge.noise import BOUND, sigma
from parity.pairs.legs import Arrays, Legs
from parity.pairs.speaking import speaking_for

SEED = 20261127
"""What the gradients from above are drawn from, on which a rule is looked at alone."""


class Wanted(NamedTuple):
    """The gradients that are right on some values, and how far rounding may move them."""

    values: Sequence[np.ndarray]
    """Inputs, then gradients from above."""
    gradients: Arrays
    noise: Arrays

    def met_by(self, found: Mapping[str, np.ndarray]) -> bool:
        """Return whether gradients are right."""
        return all(
            found[name].shape == right.shape
            and distance(found[name], right, sigma(self.noise[name], FLOAT64)).sigmas <= BOUND
            for name, right in self.gradients.items()
        )


class Rules:
    """The rules of one side, which can be exchanged."""

    def __init__(self, legs: Legs, corner: str) -> None:
        self.legs, self.corner = legs, legs.corners[corner]
        if self.corner.written is not None and not self.corner.narrowed:
            self.corner = self.corner.written
        self.side = self.corner.side
        self.api = import_module(f"parity.frameworks.{self.side.HAND}_rules")

    def calls(self, values: Sequence[np.ndarray]) -> list[Call]:
        """Return calls of every rule, each with what it answers and what it should."""
        names, still = self.legs.arguments.names, self.legs.arguments.still
        return self._apart(
            values,
            lambda given: self.api.calls(self.corner.forward, given[: len(names)], still, SEED),
        )

    def gradients(self, values: Sequence[np.ndarray], instead: Mapping[Any, Any]) -> Arrays:
        """Return the gradients with other rules; None: the derivative of a rule's function."""
        count, still = len(self.legs.arguments.names), self.legs.arguments.still
        floats = [
            x
            for x, name in zip(values, self.legs.arguments.names, strict=False)
            if name in self.legs.floating
        ]

        def run(given: Any) -> Any:
            douts = dict(zip(self.legs.cotangents(), given[count:], strict=True))
            grads = self.api.gradients(self.corner.forward, given[:count], douts, still, instead)
            return self.side.to_numpy(grads)

        grads = self._apart(values, run)
        return {
            name: np.zeros_like(x) if grad is None else grad
            for name, grad, x in zip(self.legs.floating, grads, floats, strict=True)
        }

    def _apart(self, values: Sequence[np.ndarray], run: Callable[[Any], Any]) -> Any:
        named = dict(zip(self.legs.arguments.names, values, strict=False))
        speaking = speaking_for(self.corner.name, named, True)
        with self.side.exactly(FLOAT64), np.errstate(all="ignore"), speaking:
            return run(self.side.from_numpy(tuple(values)))

    def culprits(self, wanted: Wanted) -> dict[Any, list[Call]]:
        """Return the calls of the rules without which all gradients are right, by rule.

        Of several only those that are needed for it.
        """
        calls: dict[Any, list[Call]] = {}
        for call in self.calls(wanted.values):
            calls.setdefault(call.key, []).append(call)
        wrong = [key for key, own in calls.items() if not all(c.agrees(c.got) for c in own)]

        def right(keys: Sequence[Any]) -> bool:
            return wanted.met_by(self.gradients(wanted.values, dict.fromkeys(keys)))

        found = next(([key] for key in wrong if right([key])), [])
        if not found and len(wrong) > 1 and right(wrong):
            found = [*wrong]
            for key in wrong:
                fewer = [other for other in found if other is not key]
                found = fewer if right(fewer) else found
        return {key: calls[key] for key in found}


def culprits(legs: Legs, corner: str, wanted: Wanted) -> dict[Any, list[Call]]:
    """Return the rules by hand that make a corner's gradients wrong, with calls of each.

    Nothing where there are none, where they are not the reason, or where the function cannot be
    differentiated without them.
    """
    try:
        return Rules(legs, corner).culprits(wanted)
    except Exception:  # the user's function, run as it never was
        return {}
