"""One gradient's rule by hand, judged on right gradients from above: how far it is off, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.judge.compare import FLOAT64
from parity.judge.noise import BOUND
from parity.judge.verdict import Status
from parity.why.answers import Line, cast, far
from parity.why.causes.context import Arrays, Context
from parity.why.diagnosis import diagnose
from parity.why.walk import Bench

BEHAVIOUR = (Kind.RAISES, Kind.IMPURE, Kind.NOT_TRACEABLE)
"""What is wrong with a rule whatever it computes."""

Rule = Callable[[Mapping[str, Any]], Any]
"""One gradient as a function of the tensors by name and of their gradients as d + name."""


def judge_rule(
    name: str, rule: Rule, side: ModuleType, dtype: np.dtype, bench: Bench, probe: Bench
) -> Line:
    """Judge a rule on ``bench`` in ``dtype``; name its causes on ``probe`` in float64.

    A rule that is right on ``bench`` may still have causes: what the probe alone can see.
    """
    off = _far(bench, name, rule, side, dtype)
    causes = _causes(probe, name, rule, side, FLOAT64)
    known = causes and all(cause.kind is not Kind.UNKNOWN for cause in causes)
    if off <= BOUND and causes and not known:
        causes = (_right_by_luck(causes[0]),)
    elif off > BOUND and not known:
        causes = _causes(bench, name, rule, side, dtype) or causes
    behaves = not any(cause.kind in BEHAVIOUR for cause in causes)
    status = Status.RIGHT if off <= BOUND and behaves else Status.INTRODUCED
    return Line(name, status, causes, off)


def _far(bench: Bench, name: str, rule: Rule, side: ModuleType, dtype: np.dtype) -> float:
    """Return how far a rule is from right, in sigmas; infinitely far where it fails."""
    given = cast(bench.tensors, dtype), cast(bench.above, dtype)
    try:
        return far(_numeric(rule, side, dtype)(*given), bench.answers[name], dtype)
    except Exception:  # `diagnose` says what it raises
        return np.inf


def _causes(
    bench: Bench, name: str, rule: Rule, side: ModuleType, dtype: np.dtype
) -> tuple[Cause, ...]:
    """Return what is wrong with a rule, here and under compilation."""
    numeric = _numeric(rule, side, dtype)
    context = bench.walk.context(name, bench, dtype, numeric)
    try:
        tensors, gradients = (
            {k: v.copy() for k, v in held.items()} for held in (context.tensors, context.gradients)
        )
        value = numeric(tensors, gradients)
    except Exception:
        value = np.full((), np.nan)
    causes = diagnose(value, bench.answers[name].right, context)
    return tuple(causes) or tuple(_untraceable(rule, side, dtype, context))


def _right_by_luck(cause: Cause) -> Cause:
    return replace(
        cause,
        sentence="right for this result, though not as a rule of this step alone: under other "
        f"gradients from above {cause.sentence}",
        hint="Which property of this loss makes it right? Would it be right under another?",
    )


def _numeric(rule: Rule, side: ModuleType, dtype: np.dtype) -> Callable[[Arrays, Arrays], Any]:
    """Return a rule of framework arrays as one of NumPy arrays, which it may change as well."""

    def run(tensors: Arrays, gradients: Arrays) -> np.ndarray:
        given = dict(tensors) | {f"d{name}": value for name, value in gradients.items()}
        with side.exactly(dtype):
            values = dict(zip(given, side.from_numpy(tuple(given.values())), strict=True))
            result = rule(values)
            found: np.ndarray = side.to_numpy(result)
            for name, held in given.items():
                np.copyto(held, side.to_numpy(values[name]))
        return found

    return run


def _untraceable(
    rule: Rule, side: ModuleType, dtype: np.dtype, context: Context
) -> Iterable[Cause]:
    """Yield the cause where a rule runs, but not when the framework compiles it."""
    values = dict(context.tensors) | {f"d{k}": v for k, v in context.gradients.items()}
    with side.exactly(dtype):
        given = dict(zip(values, side.from_numpy(tuple(values.values())), strict=True))
        try:
            side.compiled(rule)(given)
        except Exception as error:
            yield Cause(
                Kind.NOT_TRACEABLE,
                type(error).__name__,
                f"runs, but not compiled: {type(error).__name__}",
                "Shapes must be known before values. Which line asks for a value too early?",
                tensor=context.tensor,
            )
