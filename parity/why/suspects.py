"""Why a gradient of a pair is wrong: what is known about it is put together, and `diagnose` asked.

Looks only at corners that a verdict calls odd, on the float64 problem; changes no verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from importlib import import_module
from typing import Any

import numpy as np

from parity.errors import ParityError, UsageError
from parity.judge.cause import Cause, Kind
from parity.judge.compare import FLOAT64, distance
from parity.judge.noise import BOUND, sigma
from parity.judge.verdict import Row
from parity.pairs.legs import Legs
from parity.pairs.pair import Pair
from parity.pairs.structure import MisfitError
from parity.trial.exact import Exact
from parity.trial.trial import Trial
from parity.why.causes.context import Arrays, Context
from parity.why.causes.fitting import Problem as Difference
from parity.why.conventions.further import SEED, other_numbers
from parity.why.diagnosis import diagnose
from parity.why.kinked import kinked
from parity.why.repairs import repaired
from parity.why.rule_mends import rules_mended
from parity.why.tied import tied
from parity.why.walk import without_end

Paths = list[dict[str, dict[str, np.ndarray]]]
"""Of each function that has some: {input: {path: term}}."""

VAGUE = (Kind.UPSTREAM, Kind.SLICES, Kind.OFFSET)
"""What says less than a line does."""

DRAWN = 3
"""Sets of other numbers on which a cause has to hold."""

PATHS = {"jax": "jaxpr_paths", "torch": "torch_paths"}


def causes_of(
    rows: Sequence[Row],
    legs: Legs,
    problems: Mapping[int, Sequence[Exact]],
    lines: Collection[str] = (),
) -> dict[str, tuple[Cause, ...]]:
    """Return {gradient: why each odd corner has it wrong}, against the others in float64.

    Asked of the first row's problem. Nothing for a gradient that every corner has wrong there, or
    none. ``lines`` are where the gradients part, as far as that is known.
    """
    causes: dict[str, tuple[Cause, ...]] = {}
    wrong: dict[str, dict[str, np.ndarray]] = {}
    if not rows:
        return causes
    problem = problems[rows[0].batch][0]
    functions = _path_functions(legs)
    paths = _paths(legs, functions, problem)
    other = _Other(legs, functions, problem)
    for row in {row.name: row for row in reversed(rows)}.values():
        right = [corner for corner in problem.outcomes if corner not in row.odd]
        if not right:
            continue
        reference = _mean(problem, right, row.name)
        context = _context(row.name, legs, problem, right, paths)
        for corner in (corner for corner in problem.outcomes if corner in row.odd):
            known = replace(
                context,
                tensor=f"{corner}'s gradient of {row.name}",
                rule=partial(_rerun, legs, corner, problem, row.name) if context.upstream else None,
            )
            elsewhere = partial(other.as_seen, corner, tuple(right), row.name)
            found = diagnose(problem.outcomes[corner][1][row.name], reference, known, elsewhere)
            causes[row.name] = causes.get(row.name, ()) + tuple(found)
            if found and all(cause.kind in (*VAGUE, Kind.UNKNOWN) for cause in found):
                link = tied(legs, problem, corner, right[0], row.name)
                causes[row.name] = (*([link] if link else ()), *causes[row.name])
            if row.reason.startswith("smooth"):
                kinks = kinked(legs, problem, corner, right[0], row.name)
                causes[row.name] = (*([kinks] if kinks else ()), *causes[row.name])
            if found:
                wrong.setdefault(corner, {})[row.name] = reference
    for corner, references in wrong.items():
        kept = {
            name: _mean(problem, [*problem.outcomes], name)
            for name in legs.floating
            if not any(corner in row.odd for row in rows if row.name == name)
        }
        odd = {name: [r.odd for r in rows if r.name == name] for name in legs.floating}
        right_in = {
            name: [c for c in problem.outcomes if not any(c in o for o in odd[name])]
            for name in (*references, *kept)
        }
        causes |= _inside(corner, legs, problem, references, kept, right_in, lines, causes)
        for name, mend in repaired(corner, legs, problem, references, kept, right_in).items():
            known_too = [c for c in causes[name] if c.kind is not Kind.UNKNOWN]
            before = [c for c in known_too if c.kind not in VAGUE]
            causes[name] = (*before, mend, *(c for c in known_too if c.kind in VAGUE))
    return causes


def _inside(
    corner: str,
    legs: Legs,
    problem: Exact,
    wrong: Arrays,
    kept: Arrays,
    right_in: Mapping[str, Sequence[str]],
    lines: Collection[str],
    causes: Mapping[str, tuple[Cause, ...]],
) -> dict[str, tuple[Cause, ...]]:
    """Return the causes of what is wrong with the edits of rules inside the function before them.

    They say where, which nothing else does that is known of an input's gradient.
    """
    if corner.endswith(".rule") or len(right_in) < len(legs.floating):
        return {}
    found = rules_mended(corner, legs, problem, {**kept, **wrong}, right_in, lines)
    if not found:
        return {}
    return {
        name: (
            *(replace(cause, tensor=f"{corner}'s gradient of {name}") for cause in found),
            *(c for c in causes[name] if c.kind not in (Kind.UNKNOWN, *VAGUE)),
        )
        for name in wrong
    }


def causes_of_misfit(
    misfit: MisfitError, pair: Pair, seed: int, dtypes: tuple[str, ...]
) -> tuple[Cause, ...]:
    """Return why a corner's gradient has another shape than its input, against the others'.

    Nothing where the others cannot be run without it.
    """
    legs = Legs(pair, pair.arguments(np.random.default_rng(seed)))
    del legs.corners[misfit.corner]
    try:
        problem = Trial(pair, seed, dtypes, legs).problems[dtypes[0]]
    except (MisfitError, ParityError, UsageError):
        return ()
    assert misfit.value is not None
    paths = _paths(legs, _path_functions(legs), problem)
    context = _context(misfit.tensor, legs, problem, [*problem.outcomes], paths)
    known = replace(context, tensor=f"{misfit.corner}'s gradient of {misfit.tensor}")
    reference = _mean(problem, [*problem.outcomes], misfit.tensor)
    return tuple(diagnose(misfit.value, reference, known))


def _mean(problem: Exact, corners: Sequence[str], name: str) -> np.ndarray:
    found: np.ndarray = np.mean([problem.outcomes[c][1][name] for c in corners], axis=0)
    return found


def _context(name: str, legs: Legs, problem: Exact, right: Sequence[str], paths: Paths) -> Context:
    leaves, douts = _given(legs, problem)
    noise = problem.noise(1, name)
    if {*leaves} & {*douts}:  # an input is called like an output
        return Context(noise=noise, sizes=_sizes(leaves))
    others = {other: _mean(problem, right, other) for other in legs.floating if other != name}
    return Context(
        noise=noise,
        sizes=_sizes(leaves),
        tensors=leaves | problem.outcomes[right[0]][0],
        gradients=others | douts,
        paths=_adding_up(name, paths, _mean(problem, right, name), noise),
        upstream=tuple(douts),
        right=partial(_rerun, legs, right[0], problem, name, leaves),
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


def _path_functions(legs: Legs) -> dict[str, Any]:
    """Return {framework: (inputs, cotangents) -> the terms of every gradient by path}."""
    found, names = {}, legs.arguments.names
    for framework in legs.pair.sides:
        forward = legs.corners[framework].forward

        def function(values: Arrays, forward: Any = forward) -> Arrays:
            outputs: Arrays = forward(*(values[name] for name in names))
            return outputs

        paths = import_module(f"parity.frameworks.{PATHS[framework]}")
        found[framework] = paths.compiled(function)
    return found


def _paths(legs: Legs, functions: Mapping[str, Any], problem: Exact) -> Paths:
    """Return each function's terms of every gradient by path, where it has some."""
    leaves, douts = _given(legs, problem)
    found: Paths = []
    for framework, function in functions.items():
        side = legs.corners[framework].side
        try:
            with side.exactly(FLOAT64):
                given = (
                    dict(zip(own, side.from_numpy(tuple(own.values())), strict=True))
                    for own in (leaves, douts)
                )
                found.append(side.to_numpy(function(*given)))
        except Exception:  # an operation that cannot be run backwards alone has no paths
            continue
    return found


class _Other:
    """The same gradients on numbers that no cause was found on, run when first asked for."""

    def __init__(self, legs: Legs, functions: Mapping[str, Any], problem: Exact) -> None:
        self.legs, self.functions, self.problem = legs, functions, problem

    @cached_property
    def solved(self) -> list[tuple[Exact, Paths]]:
        """Return the problems of other numbers, as far as the corners can be run on them."""
        made = (other_numbers(self.legs, self.problem, False, SEED + 100 * k) for k in range(DRAWN))
        solved = (
            Exact(other.values, {**other.outcomes}, {**other.own})
            for other in made
            if other is not None
        )
        return [(exact, _paths(self.legs, self.functions, exact)) for exact in solved]

    def as_seen(self, corner: str, right: tuple[str, ...], name: str) -> list[Difference]:
        """Return one corner's gradient against the right ones, on all of them."""
        found = []
        for exact, paths in self.solved:
            context = _context(name, self.legs, exact, right, paths)
            if context.upstream:
                rule = partial(_rerun, self.legs, corner, exact, name)
                context = replace(context, rule=rule)
            got = exact.outcomes[corner][1][name]
            found.append(Difference(got, _mean(exact, right, name), context))
        return found


def _adding_up(name: str, paths: Paths, reference: np.ndarray, noise: np.ndarray) -> Arrays:
    """Return the terms of a gradient of the first function whose terms add up to it."""
    yard = sigma(noise, FLOAT64)
    for terms in (own[name] for own in paths):
        total = sum(terms.values(), np.zeros_like(reference))
        if distance(total, reference, yard).sigmas <= BOUND:
            return without_end(terms)[0]
    return {}


def _rerun(
    legs: Legs, corner: str, problem: Exact, name: str, tensors: Arrays, gradients: Arrays
) -> np.ndarray:
    """Return a corner's gradient of other values."""
    leaves, douts = _given(legs, problem)
    given = (*(tensors[leaf] for leaf in leaves), *(gradients[out] for out in douts))
    values = tuple(x.copy(order="C") for x in given)  # torch takes no flipped views
    return legs.run("compiled", legs.corners[corner], FLOAT64, values)[1][name]
