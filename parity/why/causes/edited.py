"""The right formula with one slip: which edit of its source gives the wrong value."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import numpy as np

from parity.judge.cause import Kind
from parity.why.causes.fitting import Candidate, Problem
from parity.why.edits import Edit
from parity.why.variants import Variant

MOST_PAIRS = 2000
TRIED = 1000
"""About how many edits a line has: what an edit must beat to be no luck."""

HINTS = {
    "name": "Which tensor stands at this place in the forward pass? Is it the one this line reads?",
    "operator": "Multiplied or divided, added or subtracted: what does the derivative say here?",
    "sign": "Does the result grow or fall when this grows?",
    "number": "Which axis, which exponent, which constant does the forward pass have here?",
    "term": "Which factor, or which term, does the derivative have that this line has not?",
    "grouping": "What belongs inside the brackets?",
}
OTHER = "Where does this line part from the derivative of its forward line?"


def edited(problem: Problem, *, pairs: bool) -> Iterator[Candidate]:
    """Variants of the right formulas by one edit, or with ``pairs`` by the same slip twice.

    All that fit give the same numbers, so the one whose line is shortest stands for them.
    """
    for formula in problem.context.formulas:
        found = [
            (len(ast.unparse(variant.edits[-1].statement)), candidate)
            for variant in (formula.doubles(MOST_PAIRS) if pairs else formula.variants())
            if variant.value.shape == problem.got.shape
            and problem.accepts(candidate := _candidate(variant))
        ]
        if found:
            yield min(found, key=lambda item: item[0])[1]


def _candidate(variant: Variant) -> Candidate:
    count = len(variant.edits)
    return Candidate(
        Kind.EDIT,
        "; ".join(f"{e.before} -> {e.after}" for e in variant.edits),
        " and ".join(map(worded, variant.edits)),
        HINTS.get(variant.edits[0].rule, OTHER),
        variant.value,
        evidence=f"the right line with {'one edit' if count == 1 else f'{count} edits'} fits",
        tried=TRIED**count,
    )


def constants(problem: Problem) -> Iterator[Candidate]:
    """The right formulas with another number in the place of one of their constants."""
    for formula in problem.context.formulas:
        for text, value, run in formula.constants():
            found = _solved(problem, value, run)
            if found is not None:
                c, fits = found
                yield Candidate(
                    Kind.CONSTANT,
                    f"{text} = {c:.6g}",
                    f"right if {text} were {c:.6g} (it is {value:.6g})",
                    "Which number does the forward pass have there, to the last digit?",
                    fits,
                    evidence=f"{text} = {c:.10g}",
                    free=1,
                    tried=TRIED,
                )


def _solved(
    problem: Problem, value: float, run: Callable[[float], np.ndarray | None]
) -> tuple[float, np.ndarray] | None:
    """Return the constant for which the worst element is right, and the value with it."""
    place = np.unravel_index(np.argmax(np.abs(problem.got - problem.reference)), problem.got.shape)

    def off(c: float) -> float:
        found = run(c)
        if found is None or found.shape != problem.got.shape:
            return np.nan
        return float(found[place] - problem.got[place])

    grid = [value * 10.0**k for k in np.linspace(-4, 4, 33)]
    values = [off(c) for c in grid]
    for low, high, below, above in zip(grid, grid[1:], values, values[1:], strict=False):
        if below * above <= 0:
            for _ in range(80):
                middle = (low + high) / 2
                if off(middle) * below > 0:
                    low = middle
                else:
                    high = middle
            found = run((low + high) / 2)
            return ((low + high) / 2, found) if found is not None else None
    return None


def worded(edit: Edit) -> str:
    """Return what an edit did, in words."""
    before, after = f"`{edit.before}`", f"`{edit.after}`"
    if edit.rule == "name":
        wrong, right = _exchanged(edit)
        if wrong and right:
            return f"reads {wrong} where {right} belongs"
    if edit.rule in ("term", "call", "argument"):
        return f"{after} where {before} belongs: something was left out"
    if edit.rule == "sign":
        return f"{after} where {before} belongs: a minus sign"
    if edit.rule == "grouping":
        return f"{after} where {before} belongs: other brackets"
    if edit.rule == "twice":
        return f"{after} where {before} belongs: a factor too many"
    return f"{after} where {before} belongs"


def _exchanged(edit: Edit) -> tuple[str, str]:
    """Return (the name that is read, the name that belongs there)."""
    try:
        before, after = (
            [n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)]
            for text in (edit.before, edit.after)
        )
    except SyntaxError:
        return "", ""
    different = [(b, a) for b, a in zip(after, before, strict=False) if a != b]
    return different[0] if len(different) == 1 else ("", "")
