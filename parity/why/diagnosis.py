"""Why two tensors that should agree do not: `diagnose` names the causes that restore parity.

Knows shapes, values and paths, and no tensor by name. It never guesses: a cause is named when it
reproduces the wrong tensor within the yardstick, element by element, and not by luck
(`causes/fitting.py`). Where nothing does, it says where the wrong entries are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from parity.errors import UsageError
from parity.judge.cause import Cause, Kind
from parity.why.causes import complexes, indexing, layout, places, scale
from parity.why.causes.added import summed_up, sums
from parity.why.causes.conduct import conduct
from parity.why.causes.context import Context
from parity.why.causes.edited import constants, edited
from parity.why.causes.fitting import Candidate, Problem
from parity.why.causes.paths import paths
from parity.why.causes.products import products
from parity.why.causes.upstream import upstream

__all__ = ["Cause", "Context", "Kind", "diagnose"]

MOST = 2
"""Candidates of one rule that are named: beyond, they say the same in other words."""

Rule = Callable[[Problem], Iterator[Candidate]]

EXACT: tuple[Rule, ...] = (
    layout.shape,
    scale.zeros,
    scale.factor,
    paths,
    layout.reduction,
    layout.same,
    indexing.selection,
    indexing.support,
    indexing.indices,
    layout.order,
    products,
    sums,
)
"""Explanations with nothing left to choose; all that fit are named."""

RATIOS: tuple[Rule, ...] = (summed_up, scale.power, scale.elementwise)
"""Where none of those fits: they would say the same in terms of another tensor."""

LOOSE: tuple[Rule, ...] = (
    constants,
    scale.slices,
    scale.offset,
    partial(edited, pairs=True),
)
"""Explanations with more to choose, one after the other, where no other fits."""

FINAL: tuple[Rule, ...] = (layout.shape, scale.zeros, scale.factor)
"""What these find is said; nothing that follows could add to it."""


Elsewhere = Callable[[], Sequence[Problem]]
"""The same difference on other numbers, made when first asked for."""


def diagnose(
    got: np.ndarray,
    reference: np.ndarray,
    context: Context | None = None,
    elsewhere: Elsewhere = lambda: (),
) -> list[Cause]:
    """Return the causes of the difference, the most telling first; empty where there is none.

    ``got`` is what is wrong, in the dtype under test; ``reference`` is right, in float64. Any
    shape; forward values or gradients. Every cause but one of kind unknown restores parity by
    itself, and on the numbers of ``elsewhere`` too. Raises UsageError where they are not arrays of
    numbers.
    """
    got, reference = _numbers("got", got), _numbers("reference", reference)
    context = context or Context()
    if "c" in (got.dtype.kind, reference.dtype.kind):
        return _of_complex(got, reference, context)
    accepted = partial(_accepted, elsewhere=elsewhere)
    problem = Problem(got, reference, context)
    found = list(conduct(context, np.asarray(reference, np.float64)))
    if not problem.differs or any(cause.kind is Kind.RAISES for cause in found):
        return found
    if not np.all(np.isfinite(problem.got)):
        return [*found, _not_finite(problem)]
    found += sorted(accepted(problem, EXACT), key=_is_long)
    if not found:
        found += accepted(problem, RATIOS)
    if not found:
        found += accepted(problem, (upstream,))
    found += accepted(problem, (partial(edited, pairs=False),))
    for rule in () if found else LOOSE:
        found = found or accepted(problem, (rule,))
    return found or [places.unknown(problem)]


def _is_long(cause: Cause) -> bool:
    """Return whether a cause lists many paths: true, and the last to be read."""
    return cause.kind is Kind.PATHS and cause.sentence.count(";") > 1


def _accepted(problem: Problem, rules: tuple[Rule, ...], elsewhere: Elsewhere) -> list[Cause]:
    causes: list[Cause] = []
    for rule in rules:
        kept = _kept(problem, rule)
        for other in elsewhere() if kept else ():
            if other.differs:
                there = _kept(other, rule)
                kept = [found for found in kept if any(_is_same(found, one) for one in there)]
        named = map(problem.cause, kept)
        causes += list({cause.sentence: cause for cause in named}.values())[:MOST]
        if kept and rule in FINAL:
            break
    return causes


def _kept(problem: Problem, rule: Rule) -> list[Candidate]:
    return [found for found in rule(problem) if problem.accepts(found)]


def _is_same(one: Candidate, other: Candidate) -> bool:
    """Return whether two say the same; what is fitted may have another number elsewhere."""
    fitted = one.free and other.free
    return one.kind is other.kind and bool(one.key == other.key or fitted)


def _of_complex(got: np.ndarray, reference: np.ndarray, context: Context) -> list[Cause]:
    known = complexes.real_context(context)
    if got.shape != reference.shape:  # is said of the real parts alike
        return diagnose(got.real, reference.real, replace(known, noise=context.noise))
    conjugated = [*complexes.conjugated(got, reference, context)]
    return conjugated or diagnose(complexes.as_real(got), complexes.as_real(reference), known)


def _numbers(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "fiubc":
        raise UsageError(f"{name} is {array.dtype}; give an array of numbers")
    return array


def _not_finite(problem: Problem) -> Cause:
    bad = ~np.isfinite(problem.got)
    first = np.argwhere(bad)[0].tolist()
    kind = "NaN" if np.any(np.isnan(problem.got)) else "infinite"
    return Cause(
        Kind.NOT_FINITE,
        kind,
        f"{kind} in {int(bad.sum())} of {bad.size} entries, first at {first}",
        "Which step divides, or takes a logarithm or a power, and of what?",
        tensor=problem.context.tensor,
    )
