"""Why a gradient of a pair is wrong: what is known about it is put together, and `diagnose` asked.

Looks only at corners that a verdict calls odd, on the float64 problem; changes no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from parity.causes.cause import Arrays, Cause, Context
from parity.compare import FLOAT64, distance
from parity.diagnosis import diagnose
from parity.legs import Legs
from parity.noise import BOUND, sigma
from parity.pair import Pair
from parity.structure import MisfitError
from parity.trial import Exact, Trial
from parity.verdict import Row
from parity.walk import without_end


def causes_of(row: Row, legs: Legs, problem: Exact) -> tuple[Cause, ...]:
    """Return why each odd corner of a gradient's row is wrong, against the others in float64.

    Empty where every corner is odd, and where the difference is not in float64.
    """
    odd = [corner for corner in problem.outcomes if corner in row.odd]
    right = [corner for corner in problem.outcomes if corner not in row.odd]
    if not odd or not right:
        return ()
    context = _context(row.name, legs, problem, right)
    reference = _mean(problem, right, row.name)
    causes: list[Cause] = []
    for corner in odd:
        known = replace(
            context,
            tensor=f"{corner}'s gradient of {row.name}",
            rule=partial(_rerun, legs, corner, problem, row.name) if context.upstream else None,
        )
        causes += diagnose(problem.outcomes[corner][1][row.name], reference, known)
    return tuple(causes)


def causes_of_misfit(
    misfit: MisfitError, pair: Pair, seed: int, dtypes: tuple[str, ...]
) -> tuple[Cause, ...]:
    """Return why a corner's gradient has another shape than its input, against the others'."""
    assert misfit.value is not None
    legs = Legs(pair, pair.arguments(np.random.default_rng(seed)))
    del legs.corners[misfit.corner]
    problem = Trial(pair, seed, dtypes, legs).problems[dtypes[0]]
    context = _context(misfit.tensor, legs, problem, [*problem.outcomes])
    known = replace(context, tensor=f"{misfit.corner}'s gradient of {misfit.tensor}")
    reference = _mean(problem, [*problem.outcomes], misfit.tensor)
    return tuple(diagnose(misfit.value, reference, known))


def _mean(problem: Exact, corners: Sequence[str], name: str) -> np.ndarray:
    found: np.ndarray = np.mean([problem.outcomes[c][1][name] for c in corners], axis=0)
    return found


def _context(name: str, legs: Legs, problem: Exact, right: Sequence[str]) -> Context:
    leaves, douts = _given(legs, problem)
    noise = problem.noise[1][name]
    if {*leaves} & {*douts}:  # an input is called like an output
        return Context(noise=noise, sizes=_sizes(leaves))
    others = {other: _mean(problem, right, other) for other in legs.floating if other != name}
    return Context(
        noise=noise,
        sizes=_sizes(leaves),
        tensors=leaves | problem.outcomes[right[0]][0],
        gradients=others | douts,
        paths=_paths(name, legs, problem, _mean(problem, right, name)),
        upstream=tuple(douts),
    )


def _given(legs: Legs, problem: Exact) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    names, outputs = legs.arguments.names, legs.cotangents()
    leaves = dict(zip(names, problem.values[: len(names)], strict=True))
    return leaves, dict(zip(outputs, problem.values[len(names) :], strict=True))


def _sizes(leaves: Arrays) -> dict[str, int]:
    """Return a name for every different size of the inputs."""
    sizes: dict[str, int] = {}
    for name, x in leaves.items():
        for axis, size in enumerate(x.shape):
            if size > 2 and size not in sizes.values():
                sizes[f"{name}.shape[{axis}]"] = size
    return sizes


def _paths(name: str, legs: Legs, problem: Exact, reference: np.ndarray) -> Arrays:
    """Return the terms of a gradient by path, if JAX's function has some and they add up to it."""
    leaves, douts = _given(legs, problem)
    if "jax" not in legs.corners:
        return {}
    from parity.frameworks import jax_side, jaxpr_paths

    forward = legs.corners["jax"].forward

    def function(values: Arrays) -> Arrays:
        return forward(*(values[leaf] for leaf in leaves))

    try:
        with jax_side.exactly(FLOAT64):
            found = jax_side.to_numpy(jaxpr_paths.compiled(function)(leaves, douts))[name]
    except Exception:  # an operation that cannot be run backwards alone has no paths
        return {}
    total = sum(found.values(), np.zeros_like(reference))
    if distance(total, reference, sigma(problem.noise[1][name], FLOAT64)).sigmas > BOUND:
        return {}
    return without_end(found)[0]


def _rerun(
    legs: Legs, corner: str, problem: Exact, name: str, tensors: Arrays, gradients: Arrays
) -> np.ndarray:
    """Return a corner's gradient of other values."""
    leaves, douts = _given(legs, problem)
    values = (*(tensors[leaf] for leaf in leaves), *(gradients[out] for out in douts))
    return legs.run("compiled", legs.corners[corner], FLOAT64, values)[1][name]
