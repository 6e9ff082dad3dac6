"""The course checked by itself: stubs fail, solutions pass, known mistakes fail and are named."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from parity.judge.cause import Cause, enumerated
from parity.learn.course import FRAMEWORKS, IMPORTS, TO_WRITE, Exercise, Step, Wrong, course
from parity.learn.judging import one_by_one
from parity.learn.outcome import Judged
from parity.learn.reading import source

UNWRITTEN, RIGHT, WRONG = "unwritten", "right", "wrong"


class Case(NamedTuple):
    """One way to write a step, and what has to come of it."""

    step: Step
    body: str
    wanted: str
    named: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """{what is wrong: patterns of its cause}"""
    silent: bool = False
    """Nothing may be said of it."""


class Found(NamedTuple):
    """What came of the cases of one exercise in one framework."""

    exercise: str
    framework: str
    cases: int
    mistakes: int
    named: int
    faults: tuple[str, ...]
    """What came otherwise than it has to, a sentence each."""


def selfcheck(frameworks: Sequence[str] = FRAMEWORKS) -> Iterator[Found]:
    """Yield what came of every exercise in every framework."""
    for exercise in course():
        for framework in frameworks:
            yield checked(exercise, framework)


def checked(exercise: Exercise, framework: str) -> Found:
    """Judge the stub, the solutions and the known mistakes of an exercise, in one process."""
    cases = {f"case_{n}": case for n, case in enumerate(_cases(exercise, framework))}
    with tempfile.TemporaryDirectory(prefix="parity-selfcheck-") as folder:
        file = Path(folder, "cases.py")
        functions = "\n\n".join(source(name, c.step, c.body) for name, c in cases.items())
        file.write_text(f"{IMPORTS[framework]}\n\n\n{functions}", encoding="utf-8")
        found = one_by_one(exercise, file, framework, {n: c.step for n, c in cases.items()})
    mistakes = {name: case for name, case in cases.items() if case.wanted == WRONG}
    faults = [_fault(case, found[name]) for name, case in cases.items()]
    named = sum(_is_named(case, found[name]) for name, case in mistakes.items())
    said = tuple(fault for fault in faults if fault)
    return Found(exercise.name, framework, len(cases), len(mistakes), named, said)


def _cases(exercise: Exercise, framework: str) -> Iterator[Case]:
    for step in exercise.steps:
        yield Case(step, TO_WRITE, UNWRITTEN)
        solutions = [way[framework] for way in (step.solution, step.also) if framework in way]
        yield from (Case(step, body, RIGHT, silent=not step.gives) for body in solutions)
        for body in step.benign:
            yield Case(step, body, RIGHT)
        for wrong in step.wrong:
            if framework in wrong.body:
                yield _mistake(step, wrong, framework)


def _mistake(step: Step, wrong: Wrong, framework: str) -> Case:
    return Case(step, wrong.body[framework], WRONG, wrong.named)


def _fault(case: Case, found: list[Judged]) -> str:
    name, shown = case.step.function, case.body.strip().split("\n")[-1]
    status, said = _status(found), " ".join(sentence for one in found for sentence in one.said)
    if status != case.wanted:
        return f"{name}, `{shown}`: {status}, not {case.wanted}: {said}"
    if case.silent and said:
        return f"{name}, `{shown}`: right, and yet: {said}"
    wrong = {one.name or case.step.gradient for one in found if one.status == WRONG}
    if case.named and wrong != {*case.named}:
        return f"{name}, `{shown}`: wrong at {enumerated(sorted(wrong))}"
    if case.named and not _is_named(case, found):
        called = [_key(one.causes[0]) for one in found if one.causes and one.status == WRONG]
        if any(not key.startswith("unknown") for key in called):
            return f"{name}, `{shown}`: called {enumerated(called)}"
    return ""


def _status(found: list[Judged]) -> str:
    """Return the worst that came of a function's gradients."""
    held = {one.status for one in found}
    return next(status for status in (WRONG, UNWRITTEN, RIGHT) if status in held)


def _key(cause: Cause) -> str:
    return f"{cause.kind}: {cause.key}"


def _is_named(case: Case, found: list[Judged]) -> bool:
    """Return whether every mistake in a function is called by its name."""
    held = {one.name or case.step.gradient: one.causes for one in found if one.status == WRONG}
    return held.keys() == case.named.keys() and all(
        any(re.fullmatch(p, _key(cause)) for p in patterns for cause in held[name])
        for name, patterns in case.named.items()
    )
