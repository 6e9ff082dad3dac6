"""How a rule behaves, whatever it computes: does it fail, change its inputs, forget what came in?

Runs the rule on copies, under the given upstream gradients and under others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.judge.compare import distance
from parity.judge.noise import BOUND, TINY, roundoff
from parity.why.causes.context import Context


def conduct(context: Context, reference: np.ndarray) -> Iterator[Cause]:
    """Yield what is wrong with a rule's behaviour; nothing for one that is pure and linear.

    ``reference`` says how large a value has to be not to be the rounding of a zero.
    """
    if context.rule is None:
        return
    trial = _Trial(context, reference)
    try:
        first = trial.run()
    except Exception as error:
        message = str(error).strip().split("\n")[0]
        yield trial.cause(
            Kind.RAISES,
            type(error).__name__,
            f"raises {type(error).__name__}: {message}",
            "Which two shapes meet in that line, and which forward pass did they come from?",
        )
        return
    if trial.changed:
        yield trial.cause(
            Kind.IMPURE,
            "input",
            f"changes what it was given: {', '.join(trial.changed)} differs after the call",
            "You asked for a gradient and lost a forward value. Did two names share one array?",
        )
    again = trial.run()
    if trial.apart(first, again) > BOUND:
        yield trial.cause(
            Kind.IMPURE,
            "again",
            "gives another answer when it is called again with the same values",
            "What does it remember from the first call, or draw at random?",
        )
    elif context.upstream:
        yield from _linear(trial, first)


class _Trial:
    """A rule with fresh copies of its values for every run."""

    def __init__(self, context: Context, reference: np.ndarray) -> None:
        self.context = context
        noise = 0.0 if context.noise is None else context.noise
        self.scale = float(np.max(np.maximum(np.abs(reference), noise), initial=0.0))
        self.changed: list[str] = []
        random = np.random.default_rng(0)
        self.other = {
            name: random.standard_normal(context.gradients[name].shape) for name in context.upstream
        }

    def run(self, scale: float = 1.0, other: float = 0.0) -> np.ndarray:
        assert self.context.rule is not None
        tensors = {name: np.array(value) for name, value in self.context.tensors.items()}
        gradients = {name: np.array(value) for name, value in self.context.gradients.items()}
        for name in self.context.upstream:
            mixed = scale * gradients[name] + other * self.other[name]
            gradients[name] = np.asarray(mixed, gradients[name].dtype)
        before = [(k, v, v.copy()) for k, v in tensors.items()]
        before += [(f"the gradient of {k}", v, v.copy()) for k, v in gradients.items()]
        value = self.context.rule(tensors, gradients)
        self.changed = [k for k, v, copy in before if not np.array_equal(v, copy, equal_nan=True)]
        return np.asarray(value)

    def apart(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return how far two answers are apart, in roundoffs of the largest number in sight."""
        if a.shape != b.shape:
            return float("inf")
        size = max(self.scale, *(float(np.max(np.abs(x), initial=0.0)) for x in (a, b)))
        unit = 64 * size * roundoff(a.dtype if a.dtype.kind == "f" else np.float64) + TINY
        return distance(a, np.asarray(b, np.float64), np.full(a.shape, unit)).sigmas

    def cause(self, kind: Kind, key: str, sentence: str, hint: str, evidence: str = "") -> Cause:
        return Cause(kind, key, sentence, hint, evidence, self.context.tensor)


def _linear(trial: _Trial, first: np.ndarray) -> Iterator[Cause]:
    """f(2u) = 2 f(u) and f(u + v) = f(u) + f(v), or the rule is no derivative."""
    try:
        doubled, other, total = trial.run(2.0), trial.run(0.0, 1.0), trial.run(1.0, 1.0)
    except Exception:
        return
    if not np.all(np.isfinite(first)) or trial.apart(first, 0 * first) <= BOUND:
        return
    if trial.apart(doubled, first) <= BOUND and trial.apart(other, first) <= BOUND:
        yield trial.cause(
            Kind.NOT_LINEAR,
            "upstream missing",
            "does not depend on the gradient from above: this is the local derivative alone",
            "You have the derivative of this one step. Where is what came from above?",
            "the same value for twice the upstream gradient",
        )
        return
    for power in (2, 3):
        if trial.apart(doubled, first * 2.0**power) <= BOUND:
            yield trial.cause(
                Kind.NOT_LINEAR,
                f"degree {power}",
                f"has the gradient from above {power} times as a factor",
                "Is there a d too many, in a name that should be a forward value?",
                f"factor {2**power} for twice the upstream gradient",
            )
            return
    if trial.apart(doubled, 2 * first) > BOUND or trial.apart(total, first + other) > BOUND:
        yield trial.cause(
            Kind.NOT_LINEAR,
            "not linear",
            "is not linear in the gradient from above: f(2u) is not 2 f(u), or f(u + v) is not "
            "f(u) + f(v)",
            "A derivative multiplies what comes from above by what does not depend on it. Which "
            "step does something else?",
        )
