"""A body of the course as a function that asks for all that it reads. Text alone: runs nothing."""

from __future__ import annotations

import ast
from textwrap import indent

from parity.learn.course import Step
from parity.learn.own import INPUTS
from parity.makemore.exercises import ROWS

EXTRA = frozenset((*ROWS, *INPUTS, *(f"d{name}" for name in ROWS), "n", "vocab"))
"""What a mistake may read beside what its step is given."""


def reads(step: Step, body: str) -> list[str]:
    """Return what a function with this body has to be given."""
    tree = ast.parse(f"def f():\n{indent(body.strip(), '    ')}\n")
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
    made = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    known = {*step.reads} | made
    return [*step.reads, *(x for x in sorted({n.id for n in names} & EXTRA) if x not in known)]


def source(name: str, step: Step, body: str) -> str:
    """Return the source of such a function."""
    asked = ", ".join(reads(step, body))
    return f"def {name}({asked}):\n{indent(body.strip(), '    ')}\n"
