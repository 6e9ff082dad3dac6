"""Running statistics after one run of both models in training mode, as batch norm keeps them.

Knows the two things in which running averages differ: how much of the old is kept (momentum), and
whether a variance is over n or n - 1. Looks for no other cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.judge.compare import FLOAT64
from parity.judge.judging import judge
from parity.judge.verdict import Row, Verdict
from parity.models.match import Match
from parity.models.sides import Whole
from parity.models.training import label
from parity.trial.trial import Trial

EXACT = 1e-9
"""How closely the share that is kept is known in float64."""
TIMES = 3
"""Inputs on which what is said has to hold."""


class _Kept(NamedTuple):
    """How much of the old average each side keeps; NaN where that is not one number."""

    jax: float
    torch: float

    @property
    def same(self) -> bool:
        """Whether both keep as much."""
        return abs(self.jax - self.torch) <= EXACT

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What there is to say of it."""
        if self.same:
            return ()
        sentence = (
            f"momentum: of the old average jax keeps {self.jax:.6g} and torch {self.torch:.6g}, "
            f"which is momentum={self.torch:.6g} in JAX's libraries and {1 - self.torch:.6g} in "
            "torch"
        )
        hint = "How much of the old average is kept?"
        evidence = "it holds for other averages and other inputs"
        return (Cause(Kind.CONVENTION, "momentum", sentence, hint, evidence),)


def _one(numbers: np.ndarray) -> float:
    """Return the number that all are; NaN if there is none."""
    middle = float(np.median(numbers)) if numbers.size else float("nan")
    return middle if np.all(np.abs(numbers - middle) <= EXACT) else float("nan")


def are_kept(whole: Whole) -> bool:
    """Return whether torch's module is in training mode where it owns what JAX holds, too."""
    owners = {match.layout.sources()[0].rpartition(".")[0] for match in whole.averages}
    module: Any = whole.given.torch
    return any(module.get_submodule(owner).training for owner in owners)


def left_behind(whole: Whole, seed: int, dtypes: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Return a row a statistic and dtype, as both models leave it after one run, and notes.

    Nothing of what neither side writes.
    """
    chosen = tuple(name for name in dtypes if name in ("float32", "float64")) or ("float64",)
    trial = Trial(whole.after, seed, chosen)
    averages = {f"out[{number}]": match for number, match in enumerate(whole.averages)}
    moved = {name: match for name, match in averages.items() if _is_moved(trial, name, match)}
    found = [row for row in trial.forward() if row.name in moved]
    kept: dict[str, _Kept] = {}
    counts: dict[str, int] = {}
    if any(row.verdict is Verdict.CONVENTION for row in found):
        kept, counts = _kept(whole, trial, moved), _counts(whole, trial)
    rows, over_n = [], []
    for row in found:
        match, law = moved[row.name], kept.get(row.name)
        name = label(whole, match)
        if row.verdict is Verdict.CONVENTION and law:
            count = counts.get(match.layout.sources()[0].rpartition(".")[0], 0)
            other = _over_n(trial, row, match, law.torch, count) if law.same and count else row
            over_n += [name] * other.verdict.passes
            row = other if other.verdict.passes else replace(row, causes=law.causes)
        rows.append(replace(row, name=f"{name} after a run"))
    return rows, _notes([*dict.fromkeys(over_n)])


def _notes(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return [
        f"{', '.join(names[:2])}{more}: torch divides the variance by n - 1, jax by n, as its "
        "libraries do; that is allowed for"
    ]


def _old(trial: Trial, match: Match, values: Sequence[np.ndarray]) -> np.ndarray:
    """Return an average before a run, as JAX has it."""
    names = trial.legs.arguments.names
    old: np.ndarray = match.layout.of(dict(zip(names, values, strict=True)))
    return old


def _is_moved(trial: Trial, name: str, match: Match) -> bool:
    problem = trial.solved[0]
    old = _old(trial, match, problem.values)
    return any(not np.array_equal(out[name], old) for out, _ in problem.outcomes.values())


def _kept(whole: Whole, trial: Trial, moved: dict[str, Match]) -> dict[str, _Kept]:
    """Return how much of each average is kept, of those that keep as much on all inputs."""
    times = [_kept_on(whole, trial, moved, number) for number in range(TIMES)]
    same = np.ptp([[times[i][name] for name in moved] for i in range(TIMES)], 0).max(-1) <= EXACT
    return {name: times[0][name] for name, fits in zip(moved, same, strict=True) if fits}


def _kept_on(whole: Whole, trial: Trial, moved: dict[str, Match], number: int) -> dict[str, _Kept]:
    """Measure: both sides run twice on the same inputs, from averages that are 1 apart."""
    rng = np.random.default_rng([trial.seed, number])
    inputs = whole.after.arguments(rng)
    drawn = {match.layout.sources()[0] for match in moved.values()}
    named = dict(zip(inputs.names, inputs.leaves, strict=True))
    named |= {name: rng.uniform(0.5, 1.5, named[name].shape) for name in sorted(drawn)}
    high = named | {name: named[name] + 1 for name in drawn}
    found: dict[str, dict[str, float]] = {name: {} for name in moved}
    for side, corner in trial.legs.corners.items():
        first, second = (
            trial.legs.run("forward", corner, FLOAT64, tuple(x.values())) for x in (named, high)
        )
        for name in moved:
            found[name][side] = _one(second[name] - first[name])
    return {name: _Kept(**kept) for name, kept in found.items()}


def _counts(whole: Whole, trial: Trial) -> dict[str, int]:
    """Return {module that ran once on one tensor: how many numbers went in}."""
    corner = trial.legs.corners["torch"]
    watch = import_module("parity.frameworks.torch_modules").watched
    with corner.side.exactly(FLOAT64):
        leaves = corner.side.from_numpy(trial.solved[0].values)
        passed = watch(whole.given.torch, corner.forward, leaves)
    return {name: ins[0].size for name, (ins, _) in passed.items() if len(ins) == 1}


def _over_n(trial: Trial, row: Row, match: Match, kept: float, count: int) -> Row:
    """Judge again what torch would leave if its variance were over n, not n - 1.

    JAX's libraries know no other. What is no such variance comes out as it was: apart.
    """
    problem, outcomes = trial.problems[row.dtype], trial.outcomes[row.dtype]
    old = _old(trial, match, problem.values)
    share = 1 - old.size / count  # (n - 1) / n
    more = (1 - share) * kept * old

    def over_n(corner: str, x: np.ndarray) -> np.ndarray:
        return (share * x + more).astype(x.dtype) if corner.startswith("torch") else x

    exact, corners = (
        {corner: over_n(corner, found[0][row.name]) for corner, found in some.items()}
        for some in (problem.outcomes, outcomes)
    )
    noise = problem.noise(0, row.name)
    dtype = np.dtype(row.dtype)
    return judge(row.name, dtype, corners, exact, exact["jax"], noise, batch=row.batch)
