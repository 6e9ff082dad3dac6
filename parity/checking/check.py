"""`parity.check`: a pair on seeded inputs, every output and gradient judged.

Runs `trial.py` once a seed and keeps the worst of each tensor. Judges nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from parity.checking.models import explained, left, opened, put_right, stepped, stopped
from parity.checking.reasons import reasoned
from parity.errors import ParityError, UsageError
from parity.frameworks.narrowing import Converted
from parity.judge.verdict import Row, Verdict, worst_of
from parity.memory import peak_mb
from parity.models.sides import Whole
from parity.pairs.pair import Pair
from parity.pairs.structure import MisfitError
from parity.progress import telling
from parity.show.report import CHECK_SCHEMA, Report
from parity.show.section import Section
from parity.trial.exact import Exact
from parity.trial.trial import Trial
from parity.why.budget import SECONDS, Budget
from parity.why.conventions.arranging import arrangements
from parity.why.suspects import causes_of_misfit

DTYPES = ("float32", "float64", "bfloat16", "float16")


@dataclass(frozen=True)
class Options:
    """What a check was run with."""

    pair: str
    seeds: tuple[int, ...]
    dtypes: tuple[str, ...]


def check(
    pair: Pair,
    *,
    seeds: int | Sequence[int] = 1,
    dtypes: Sequence[str] = ("float32", "float64"),
    budget: float = SECONDS,
    done: Callable[[str], None] = lambda what: None,
    told: Callable[[str], None] = lambda what: None,
) -> Report:
    """Run a pair on seeded inputs, compare every output and gradient, and return the report.

    ``seeds`` is how many (0, 1, ...) or which. ``dtypes``: float32, float64, bfloat16, float16.
    Cotangents are random. ``budget`` is how many seconds are spent on looking for reasons where
    something fails. ``done`` hears of every seed that is finished; ``told`` what goes on, wherever
    that takes more than two seconds, from another thread. Raises UsageError where a
    function cannot be called or an argument makes no sense; disagreement is in the report.
    """
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    options = Options(pair.name or "pair", chosen, tuple(dtypes))
    if not chosen:
        raise UsageError("no seed to run; give seeds=1 or more")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise UsageError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    if not dtypes:
        raise UsageError(f"no dtype to judge; give one or more of {', '.join(DTYPES)}")
    models = opened(pair)
    report = _checked(models.pair if models else pair, models, options, budget, done, told)
    if isinstance(report, Whole):  # guesses about equal weights, put right by how they are used
        report = _checked(report.pair, report, options, budget, done, told)
    assert isinstance(report, Report), "what is put right once has no guess left"
    return report


def _checked(
    pair: Pair,
    models: Whole | None,
    options: Options,
    budget: float,
    done: Callable[[str], None],
    told: Callable[[str], None],
) -> Report | Whole:
    judged, notes, legs = [], [], None
    converted: dict[Converted, None] = {}
    problems: dict[int, list[Exact]] = {}
    for seed in options.seeds:
        try:
            with telling(told, f"comparing outputs and gradients, seed {seed}") as say:
                trial = Trial(pair, seed, options.dtypes, legs, say)
                judged.append((trial.forward(), trial.gradients()))
            legs, notes, problems[seed] = trial.legs, trial.notes(), trial.solved
            converted |= dict.fromkeys(trial.precision.converted())
        except UsageError as error:
            raise _hinted(error, pair, seed, _own(models, pair, seed)) from error.__cause__
        except (MisfitError, ParityError) as error:
            own = _own(models, pair, seed)
            judged.append(_cannot_compare(error, options.dtypes, pair, seed, own))
            break  # what keeps two sides apart does not depend on the numbers
        done(f"seed {seed}")
    section = replace(_section(options.pair, judged), converted=(*converted,))
    if legs is not None and len(problems) == len(judged):
        if models is not None:
            better = put_right(models, section, next(iter(problems.values()))[0])
            if better is not None:
                return better
        limit = Budget(budget)
        try:
            if models is not None:
                with telling(told, "looking for weights that were converted wrongly"):
                    section, said = explained(models, section, legs, problems, budget)
                notes += said
            section, said = reasoned(section, legs, problems, told, limit)
            section = stopped(section, legs, problems) if models is not None else section
        except Exception as error:  # the verdicts stand, whatever the search for reasons meets
            said = [f"why was not found: {type(error).__name__}: {error}; please report this"]
        notes += said
    sections = [section]
    if models is not None and legs is not None and problems:
        first = next(iter(problems.values()))[0]
        more, said = stepped(models, section, legs, first, options.dtypes, told, budget)
        with telling(told, "comparing running statistics"):
            section, kept, also = left(models, section, options.seeds[0], options.dtypes)
        sections, notes = [section, *kept, *more], [*notes, *also, *said]
    return Report(options, tuple(sections), tuple(notes), CHECK_SCHEMA, peak_mb())


def _own(models: Whole | None, pair: Pair, seed: int) -> tuple[str, ...]:
    """Return the inputs of two models that are no weights; nothing of other pairs."""
    if models is None:
        return ()
    names = pair.arguments(np.random.default_rng(seed)).names
    return tuple(name for name in names if name not in models.torch.tensors)


def _cannot_compare(
    error: Exception, dtypes: tuple[str, ...], pair: Pair, seed: int, own: tuple[str, ...]
) -> tuple[list[Row], list[Row]]:
    """Return the row that says what keeps the two apart, with what would bring them together."""
    if isinstance(error, MisfitError) and error.corner:
        row = Row(
            error.tensor, dtypes[0], Verdict.DIFFERENT, str(error), (error.corner,), batch=seed
        )
        if error.value is not None:
            row = replace(row, causes=causes_of_misfit(error, pair, seed, dtypes))
        return ([row], []) if error.tensor == "gradients" else ([], [row])
    tensor = error.tensor if isinstance(error, MisfitError) else "inputs"
    row = Row(tensor, dtypes[0], Verdict.NOT_COMPARABLE, str(error), batch=seed)
    return [replace(row, causes=arrangements(pair, seed, own))], []


def _hinted(error: UsageError, pair: Pair, seed: int, own: tuple[str, ...]) -> UsageError:
    """Return the error of a function that cannot be called, with the order in which it can be."""
    if error.__cause__ is None:
        return error
    found = arrangements(pair, seed, own, raises=True)
    return UsageError(f"{error}. {found[0].sentence}") if found else error


def _section(title: str, judged: list[tuple[list[Row], list[Row]]]) -> Section:
    """Keep the worst row of each tensor over all seeds."""

    def worst(part: int) -> tuple[Row, ...]:
        rows: dict[tuple[str, str], list[Row]] = {}
        for found in judged:
            for row in found[part]:
                rows.setdefault((row.name, row.dtype), []).append(row)
        return tuple(worst_of(same) for same in rows.values())

    return Section(title, worst(0), worst(1))
