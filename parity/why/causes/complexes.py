"""Complex gradients: conjugated, turned, or a matter of their real and imaginary parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.why.causes.context import Arrays, Context
from parity.why.causes.fitting import Candidate, Problem

HINT = (
    "torch's gradient of a real loss is d/dre + i d/dim; JAX's is its conjugate. Which of the two "
    "did you write down?"
)


def as_real(x: np.ndarray) -> np.ndarray:
    """Return (..., 2): the real and the imaginary part of every number."""
    return np.stack([x.real, x.imag], axis=-1)


def real_context(context: Context) -> Context:
    """Return what is known with every complex array as real ones; the rule is left out."""

    def real(arrays: Arrays) -> Arrays:
        return {k: as_real(x) if x.dtype.kind == "c" else x for k, x in arrays.items()}

    noise = None if context.noise is None else np.stack([context.noise] * 2, axis=-1)
    return replace(
        context,
        noise=noise,
        tensors=real(context.tensors),
        gradients=real(context.gradients),
        paths=real(context.paths),
        rule=None,
        right=None,
    )


def conjugated(got: np.ndarray, reference: np.ndarray, context: Context) -> Iterator[Cause]:
    """Yield what is wrong where a value, or one factor of it, is conjugated, turned, or halved."""
    problem = Problem(as_real(got), as_real(reference), real_context(context))
    for ways in (_whole(reference), _factors(reference, context), _products(problem, context)):
        tried = [*ways]
        for key, sentence, value in tried:
            found = Candidate(
                Kind.CONJUGATED, key, sentence, HINT, as_real(value), tried=len(tried)
            )
            if value.shape == reference.shape and problem.accepts(found):
                yield problem.cause(found)
                return


Ways = Iterator[tuple[str, str, np.ndarray]]


def _whole(reference: np.ndarray) -> Ways:
    yield "conj", "the conjugate of the right value", np.conj(reference)
    yield "-conj", "minus the conjugate of the right value", -np.conj(reference)
    yield "i", "the right value times i", 1j * reference
    yield "-i", "the right value times -i", -1j * reference
    yield "real", "the real part of the right value alone", reference.real + 0j
    yield "imag", "the imaginary part of the right value alone", 1j * reference.imag


def _arrays(context: Context) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what is complex, a gradient under "the gradient of" its name."""
    for word, arrays in (("", context.tensors), ("the gradient of ", context.gradients)):
        yield from ((f"{word}{k}", x) for k, x in arrays.items() if x.dtype.kind == "c")


def _factors(reference: np.ndarray, context: Context) -> Ways:
    """Each tensor in turn as the factor that stands where its conjugate belongs, or the reverse."""
    for name, x in _arrays(context):
        if x.ndim > reference.ndim or np.any(x == 0):
            continue
        try:
            turned = np.broadcast_to(x / np.conj(x), reference.shape)
        except ValueError:
            continue
        yield name, f"{name} where its conjugate belongs", reference * turned
        yield f"conj {name}", f"the conjugate of {name} where it belongs itself", reference / turned


def _products(problem: Problem, context: Context) -> Ways:
    """A matrix product with one factor that is not conjugated, or is."""
    matrices = [(name, x) for name, x in _arrays(context) if x.ndim == 2]
    for (one, a), (two, b) in permutations(matrices, 2):
        for left in (a, np.conj(a), a.T, np.conj(a.T)):
            for right in (b, np.conj(b), b.T, np.conj(b.T)):
                if left.shape[1] != right.shape[0]:
                    continue
                value = left @ right
                if value.shape != problem.reference.shape[:-1] or problem.apart(as_real(value)):
                    continue
                for name, wrong in ((one, np.conj(left) @ right), (two, left @ np.conj(right))):
                    said = (
                        f"in a product, {name} is conjugated where it should not be, or the reverse"
                    )
                    yield f"product {name}", said, wrong
