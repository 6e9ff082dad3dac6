"""What a check of two whole models says beyond that of two functions: weights, and a tree of parts.

Judges nothing: rows come judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from parity.checking.reasons import reasoned
from parity.errors import ParityError, UsageError
from parity.judge.cause import Cause, Kind
from parity.judge.compare import FLOAT64, is_float
from parity.judge.verdict import Status, Verdict
from parity.models.conversion import SECONDS, wrongly_converted
from parity.models.match import Match, Weights
from parity.models.modules import parts
from parity.models.optimizers import alone, as_trained
from parity.models.sides import Whole, is_of_models, whole, with_weights
from parity.models.statistics import are_kept, left_behind
from parity.models.stopped import marked
from parity.models.training import gradients_of, trained
from parity.models.use import by_use
from parity.pairs.legs import Legs
from parity.pairs.pair import Pair
from parity.pairs.structure import MisfitError
from parity.progress import telling
from parity.show.section import Section
from parity.trial.exact import Exact
from parity.trial.trial import Trial
from parity.why.budget import Budget

SHARE = 0.4
"""Of the time for reasons, in which conversions of weights are tried."""
APART = (Verdict.CONVENTION, Verdict.DIFFERENT)


def opened(pair: Pair) -> Whole | None:
    """Return two models as a pair of functions; None of any other pair."""
    return whole(pair) if is_of_models(pair) else None


def put_right(models: Whole, section: Section, problem: Exact) -> Whole | None:
    """Return the models with guesses about equal weights put right by use; None if none is."""
    if any(row.verdict in APART for row in section.forward):
        return None
    gradients = [problem.outcomes[side][1] for side in ("torch", "jax")]
    better = by_use(models.weights, gradients[0], gradients[1])
    return with_weights(models, better) if better else None


def explained(
    models: Whole,
    section: Section,
    legs: Legs,
    problems: Mapping[int, Sequence[Exact]],
    budget: float,
) -> tuple[Section, list[str]]:
    """Return the section with its parts and with what was converted wrongly, and notes.

    ``budget`` is how many seconds are left to look for all reasons in.
    """
    failed = [row for row in section.forward if row.verdict in APART]
    first = next((r.batch for r in section.rows if not r.verdict.passes), next(iter(problems)))
    values = problems[first][0].values
    if failed and all(is_float(legs.outputs[row.name].dtype) for row in failed):
        own = problems[failed[0].batch][0].values
        cause = wrongly_converted(models, legs, own, min(SECONDS, budget * SHARE))
        if cause is not None:
            section = replace(
                section,
                forward=tuple(
                    replace(r, causes=(cause,)) if r.verdict in APART else r
                    for r in section.forward
                ),
                gradients=tuple(
                    replace(r, causes=(cause,)) if r.verdict is Verdict.CONVENTION else r
                    for r in section.gradients
                ),
            )
    found = parts(models, legs, section.rows, values)
    notes = _notes(models.weights, models, bool(failed))
    return replace(section, modules=tuple(found)), notes


def stopped(section: Section, legs: Legs, problems: Mapping[int, Sequence[Exact]]) -> Section:
    """Return the section with the modules marked in which a gradient is stopped, if one is."""
    causes = (cause for row in section.gradients for cause in row.causes)
    held = next((cause for cause in causes if cause.key == "detached"), None)
    if held is None:
        return section
    values = next(iter(problems.values()))[0].values
    return replace(section, modules=marked(section.modules, legs, values, held.sentence))


def stepped(
    models: Whole,
    section: Section,
    legs: Legs,
    problem: Exact,
    dtypes: Sequence[str],
    told: Callable[[str], None],
    budget: float,
) -> tuple[tuple[Section, ...], list[str]]:
    """Return the section of training beside what was checked, where two optimizers are given.

    ``budget`` is how many seconds are spent on why the two part, if they do.
    """
    if models.given.optimizer is None:
        return (), []
    if not all(row.verdict.passes for row in section.rows):
        return (), ["nothing was trained: what is checked first has to agree"]
    steps = models.given.steps
    with telling(told, "training both models"):
        (first, *others), leaf = trained(models, legs, problem, dtypes)
    notes = []
    limit = Budget(budget)
    done = "looked for" if limit.spent() else "found"
    if not first.verdict.passes:
        try:
            first = replace(first, causes=parted(models, legs, problem, leaf, told, limit))
        except Exception as error:  # a search for reasons may fail, a verdict may not
            notes = [f"why the optimizers part was not found: {type(error).__name__}: {error}"]
        if limit.spent() and not first.causes and not notes:
            notes = [f"why the optimizers part was not {done}: {limit}"]
    title = f"trained for {steps} step{'s' * (steps > 1)}"
    return (Section(title, (first, *others), (), steps=steps),), notes


def parted(
    models: Whole,
    legs: Legs,
    problem: Exact,
    match: Match,
    told: Callable[[str], None],
    budget: Budget,
) -> tuple[Cause, ...]:
    """Return what one of two optimizers does otherwise to a leaf; nothing where that is unknown.

    Found on other numbers than those of the training, on which they have to part likewise.
    """
    if budget.spent():
        return ()
    pair = alone(models, match)
    trial = Trial(pair, 0, ("float64",))
    name = match.layout.sources()[0]
    gradients = gradients_of(models, legs, problem, name)
    real = as_trained(pair, np.asarray(models.torch.tensors[name], FLOAT64), gradients)
    again = Trial(replace(pair, inputs=real), 0, ("float64",), trial.legs)
    if any(each.verdict.passes for one in (trial, again) for each in one.forward()):
        return ()
    section = Section("one parameter", tuple(trial.forward()), ())
    problems = {0: trial.solved, 1: again.solved}
    section, _ = reasoned(section, trial.legs, problems, told, budget)
    return tuple(c for c in section.forward[0].causes if c.kind is not Kind.UNKNOWN)


def left(models: Whole, section: Section, seed: int, dtypes: Sequence[str]) -> Beside:
    """Return the section of running statistics beside what was checked, where torch's are kept.

    The modules whose statistics differ are marked in what was checked.
    """
    if not are_kept(models) or not all(row.verdict.passes for row in section.rows):
        return section, (), []
    try:
        rows, notes = left_behind(models, seed, dtypes)
    except (UsageError, MisfitError, ParityError) as error:  # what was checked stands
        return section, (), [f"running statistics were not compared: {error}"]
    if not rows:
        return section, (), []
    wrong = {row.name.rpartition(".")[0] for row in rows if not row.verdict.passes}
    marked = tuple(
        replace(part, status=str(Status.INTRODUCED))
        if any(f"{name}.".startswith(f"{part.name}." if part.name else "") for name in wrong)
        else part
        for part in section.modules
    )
    section = replace(section, modules=marked)
    return section, (Section("running statistics", tuple(rows), ()),), notes


Beside = tuple[Section, tuple[Section, ...], list[str]]
"""What was checked, sections beside it, and notes."""


def _notes(weights: Weights, models: Whole, failed: bool) -> list[str]:
    said = [*weights.unfed.values(), *models.lacking.values()]
    for name in (x for x in models.torch.tensors if x not in models.torch.buffers):
        sure = [match for match in weights.of(name) if not match.decided.guess]
        leaves = [match.leaf for match in sure if match.layout.sources() == (name,)]
        whole = [x for x in leaves if models.jax.tensors[x].size == models.torch.tensors[name].size]
        if len(whole) > 1:
            also = [other for other, first in models.torch.shared.items() if first == name]
            tied = f", which torch ties to {' and '.join(also)}," if also else ""
            said.append(
                f"{name}{tied} is in {' and '.join(whole)}: leaves of their own, which an "
                "optimizer's step parts"
            )
    if failed and weights.guessed:
        names = [match.layout.sources()[0] for match in weights.guessed]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        listed = f"{', '.join(names[:3])}{more}"
        said.append(f"matched by name or order, for neither numbers nor places tell: {listed}")
    return said
