"""The course checked by itself: stubs fail, solutions pass, known mistakes fail and are named."""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import indent
from typing import NamedTuple

from parity.learn.course import FRAMEWORKS, IMPORTS, TO_WRITE, Exercise, Step, Wrong, course
from parity.learn.judging import Judged, one_by_one
from parity.learn.own import INPUTS
from parity.makemore.exercises import ROWS

UNWRITTEN, RIGHT, WRONG = "unwritten", "right", "wrong"


class Case(NamedTuple):
    """One way to write a step, and what has to come of it."""

    step: Step
    body: str
    wanted: str
    named: tuple[str, ...] = ()


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
        functions = "\n\n".join(_source(name, case) for name, case in cases.items())
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
        yield Case(step, step.solution[framework], RIGHT)
        if framework in step.also:
            yield Case(step, step.also[framework], RIGHT)
        for body in step.benign:
            yield Case(step, body, RIGHT)
        for wrong in step.wrong:
            if framework in wrong.body:
                yield _mistake(step, wrong, framework)


def _mistake(step: Step, wrong: Wrong, framework: str) -> Case:
    return Case(step, wrong.body[framework], WRONG, wrong.named)


def _source(name: str, case: Case) -> str:
    """Return a function that asks for all that its body reads."""
    body = ast.parse(f"def f():\n{indent(case.body.strip(), '    ')}\n")
    read = {n.id for n in ast.walk(body) if isinstance(n, ast.Name)}
    made = {
        n.id for n in ast.walk(body) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    extra = [x for x in sorted(read & EXTRA) if x not in {*case.step.reads} | made]
    asked = ", ".join([*case.step.reads, *extra])
    return f"def {name}({asked}):\n{indent(case.body.strip(), '    ')}\n"


EXTRA = frozenset((*ROWS, *INPUTS, *(f"d{name}" for name in ROWS), "n", "vocab"))
"""What a mistake may read beside what its step is given."""


def _fault(case: Case, found: Judged) -> str:
    name = f"d{case.step.gradient}"
    shown = case.body.strip().split("\n")[-1]
    if found.status != case.wanted:
        return f"{name}, `{shown}`: {found.status}, not {case.wanted}: {' '.join(found.said)}"
    keys = [f"{cause.kind}: {cause.key}" for cause in found.causes]
    if case.named and keys and not _is_named(case, found) and not keys[0].startswith("unknown"):
        return f"{name}, `{shown}`: called {keys[0]}"
    return ""


def _is_named(case: Case, found: Judged) -> bool:
    keys = [f"{cause.kind}: {cause.key}" for cause in found.causes]
    raised = any(pattern.startswith("raises") for pattern in case.named) and not found.causes
    return raised or any(re.fullmatch(p, key) for p in case.named for key in keys)
