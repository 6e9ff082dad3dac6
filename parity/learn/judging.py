"""A learner's exercise judged: each step on right values from above, and why one is wrong.

The learner's code runs in another process (`submission.py`); right values never leave this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np

from parity.judge.cause import Kind
from parity.judge.compare import FLOAT64
from parity.judge.verdict import Status
from parity.learn.course import Exercise, Step, course
from parity.learn.outcome import Judged
from parity.learn.submission import CALL, FailureError, Remote, Started, Submission, Way
from parity.learn.telling import why
from parity.learn.whole import given, whole
from parity.makemore import network_walk
from parity.why.rule_walk import judge_rule
from parity.why.variants import Formula
from parity.why.walk import Bench, Walk

SEED = 4


class Course(NamedTuple):
    """What one exercise is judged on."""

    bench: Bench
    probe: Bench
    sizes: dict[str, int]


def judged(
    exercise: Exercise,
    file: Path,
    framework: str,
    seconds: float = CALL,
    started: Started | None = None,
) -> list[Judged]:
    """Judge every step of a learner's file; a file that cannot be loaded fails in all of them.

    A call of the learner's may take so many ``seconds``. ``started`` is a process for it that is
    there already.
    """
    with Submission(file, started or Started(framework), seconds) as submission:
        held = _course(exercise.name)
        try:
            submission.load()
            printed = submission.printed
            found = (_step(step, submission, held, step.function) for step in exercise.steps)
            first, *rest = [one for step in found for one in step]
            return [first._replace(printed=printed + first.printed), *rest]
        except FailureError as failure:
            status = "unwritten" if failure.unwritten else "wrong"
            first, *rest = [Judged(step, status, (failure.sentence,)) for step in exercise.steps]
            return [first._replace(printed=submission.printed), *rest]


def one_by_one(
    exercise: Exercise, file: Path, framework: str, functions: Mapping[str, Step]
) -> dict[str, list[Judged]]:
    """Judge functions of a file by name, each as a way to write one step of an exercise."""
    with Submission(file, Started(framework)) as submission:
        held = _course(exercise.name)
        submission.load()
        return {name: _step(step, submission, held, name) for name, step in functions.items()}


def _step(step: Step, submission: Submission, held: Course, name: str) -> list[Judged]:
    file = submission.file.name
    if name not in submission.functions:
        said = f"{file} has no function {name}; `reset` brings it back"
        return [Judged(step, "wrong", (said,))]
    asked = submission.functions[name]
    known = _known(step, held)
    if unknown := [x for x in asked if x not in known]:
        said = f"{name} asks for {unknown[0]}, which is nothing here; it may have {_some(known)}"
        return [Judged(step, "wrong", (said,))]
    return whole(step, submission, name) if step.gives else [_one(step, submission, held, name)]


def _known(step: Step, held: Course) -> set[str]:
    """Return what a step may ask for."""
    if step.gives:
        return {*given(held.bench.inputs), *held.sizes} - ({"lr"} - {*step.reads})
    above = (f"d{x}" for x in held.bench.above if x != step.gradient)
    return {*held.bench.tensors, *above, *held.sizes}


def _one(step: Step, submission: Submission, held: Course, name: str) -> Judged:
    """Judge one gradient on right values from above."""
    rule = partial(_call, submission, name, held)
    try:
        rule(_given(held.bench, step.gradient))
    except FailureError as failure:
        status = "unwritten" if failure.unwritten else "wrong"
        return Judged(step, status, (failure.sentence,), printed=submission.printed)
    printed = submission.printed  # of the first call: the others are the judge's
    side = cast(ModuleType, Remote)
    line = judge_rule(step.gradient, rule, side, FLOAT64, held.bench, held.probe)
    lucky = all(cause.kind is Kind.UNKNOWN for cause in line.causes)
    if line.status is Status.RIGHT and lucky:  # as far as this loss can see, and that is said
        causes = tuple(cause.sentence for cause in line.causes)
        return Judged(step, "right", causes[:1], line.causes, printed=printed)
    wrong = replace(line, status=Status.INTRODUCED)
    return Judged(step, "wrong", tuple(why(wrong)), line.causes, printed=printed)


def _given(bench: Bench, gradient: str) -> dict[str, np.ndarray]:
    above = {f"d{name}": x for name, x in bench.above.items() if name != gradient}
    return {name: np.array(x) for name, x in {**bench.tensors, **above}.items()}


def _call(
    submission: Submission,
    name: str,
    held: Course,
    values: dict[str, Any],
    way: Way = "eager",
) -> np.ndarray:
    sizes = held.sizes if "Xb" not in values else network_walk.sizes(values)
    value, changed = submission.call(name, values, sizes, way)
    for key, x in changed.items():
        values[key] = x
    return value[""]


def right_values(exercise: Exercise, step: Step) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return what a step may read, by name, and the gradient that it should return."""
    bench = _course(exercise.name).bench
    return _given(bench, step.gradient), bench.answers[step.gradient].right


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names))


@cache
def _course(name: str) -> Course:
    """Return the right values that an exercise is judged on, made once."""
    (exercise,) = (one for one in course() if one.name == name)
    if not exercise.network:
        bench = _own(exercise)
        return Course(bench, bench, {})
    above = tuple(
        {"logits": "loss", "hprebn": "hpreact"}[step.gradient]
        for step in exercise.steps
        if exercise.fused
    )
    probe = network_walk.probe(above or None)
    batch = network_walk.diagnosis_batch(1)
    walk = network_walk.fused() if above else network_walk.network()
    bench = walk.bench(batch, given=above or None)
    return Course(bench, probe, network_walk.sizes(batch))


def _own(exercise: Exercise) -> Bench:
    """Return right values of an exercise that has a forward pass of its own."""
    jax = {"jax": import_module("jax"), "jnp": import_module("jax.numpy")}
    code = compile("\n".join(exercise.forward["jax"]), exercise.name, "exec")

    def forward(values: Mapping[str, Any]) -> dict[str, Any]:
        held = {**values}
        exec(code, dict(jax), held)
        return {name: x for name, x in held.items() if name not in values}

    def formulas(name: str, tensors: Any, gradients: Any) -> tuple[Formula, ...]:
        torch = import_module("torch")
        step = next((s for s in exercise.steps if s.gradient == name), None)
        body = step.solution["torch"].strip() if step else ""
        if not body.startswith("return ") or "\n" in body:
            return ()
        given = {**tensors, **{f"d{k}": v for k, v in gradients.items()}}
        values = {k: torch.tensor(v, dtype=torch.float64) for k, v in given.items()}
        return (Formula.of(body.replace("return ", f"d{name} = ", 1), values, {"torch": torch}),)

    rng = np.random.default_rng(SEED)
    inputs = {name: rng.standard_normal(shape) for name, shape in exercise.inputs.items()}
    for name in exercise.positive:
        inputs[name] = np.abs(inputs[name]) + 0.5
    return Walk(forward, formulas=formulas).bench(inputs, random=True)
