"""Why a pair fails and where that starts: a finished section, completed with both.

Looks only at what failed; changes no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace

from parity.judge.cause import Cause, Kind
from parity.judge.verdict import Row, Verdict
from parity.pairs.legs import Legs
from parity.progress import telling
from parity.show.section import Section
from parity.trial.exact import Exact
from parity.where.alignment import Aligned, aligned
from parity.where.backward import gradient_places
from parity.where.birth import Births
from parity.where.named_walk import walk
from parity.why.budget import Budget
from parity.why.conventions.search import explain
from parity.why.detached import detached
from parity.why.inside.explaining import explained
from parity.why.smallest import smallest_case
from parity.why.suspects import causes_of


def reasoned(
    section: Section,
    legs: Legs,
    problems: Mapping[int, Sequence[Exact]],
    told: Callable[[str], None],
    budget: Budget,
) -> tuple[Section, list[str]]:
    """Return the section with causes and places for what failed, and notes on what was not found.

    ``problems`` are the float64 problems of every seed.
    """
    failed = [row for row in section.rows if not row.verdict.passes]
    if not failed:
        return section, []
    notes: list[str] = []
    with telling(told, "looking for where the two part"):
        found = _aligned(section, legs, problems)
    if any(row.verdict is Verdict.CONVENTION and not row.causes for row in failed):
        own = [p for solved in problems.values() for p in solved]
        with telling(told, "looking for what is done otherwise there"):
            known = _inside(legs, found, own, budget)
        with telling(told, "looking for what restores parity") as say:
            lines = {line for place in (found.places() if found else ()) for line in place.lines}
            section, said = _explained(section, legs, own, say, budget, known, lines)
        notes += said
    with telling(told, "looking for the cause of a wrong gradient"):
        section = _diagnosed(section, legs, problems)
    with telling(told, "looking for where the difference starts"):
        section = _born(section, Births(legs, problems))
        section, said = _placed(section, legs, problems[failed[0].batch][0])
        if section.start is not None:  # what names find decides
            section = replace(section, places=())
        elif found is not None:
            section = replace(section, places=found.places())
    unnamed = next(filter(_is_unnamed, section.rows), None)
    if unnamed is not None and budget.spent():
        notes.append(f"no smaller case was looked for: {budget}")
    elif unnamed is not None:
        with telling(told, "looking for the smallest case that fails"):
            case = smallest_case(legs.pair, unnamed)
        notes += [case] if case else []
    return section, notes + said


def _is_unnamed(row: Row) -> bool:
    """Return whether two things differ and nothing was found that restores parity."""
    apart = row.verdict in (Verdict.DIFFERENT, Verdict.CONVENTION)
    return apart and all(cause.kind is Kind.UNKNOWN for cause in row.causes)


def _explained(
    section: Section,
    legs: Legs,
    problems: Sequence[Exact],
    told: Callable[[str], None],
    budget: Budget,
    known: Sequence[Cause],
    lines: Set[str],
) -> tuple[Section, list[str]]:
    found = explain(legs, problems, told, budget, known, lines)
    if not found.causes:
        said = f"no change that was tried restores parity ({found.tried})"
        return section, [said] if found.tried else []

    def caused(row: Row) -> Row:
        return replace(row, causes=found.causes) if row.verdict is Verdict.CONVENTION else row

    forward, gradients = (tuple(map(caused, rows)) for rows in (section.forward, section.gradients))
    return replace(section, forward=forward, gradients=gradients), []


def _diagnosed(section: Section, legs: Legs, problems: Mapping[int, Sequence[Exact]]) -> Section:
    """Return the section with causes for the gradients of which a corner is known to be wrong."""
    blamed = [r for r in section.gradients if r.verdict is Verdict.DIFFERENT and r.odd]
    wrong = [r for r in section.gradients if r.dtype == "float64" and not r.verdict.passes]
    own = [p for solved in problems.values() for p in solved]
    held = detached(legs, own) if wrong and all(r in blamed for r in wrong) else None
    if held is not None:
        said = (replace(r, causes=(held,)) if r in blamed else r for r in section.gradients)
        return replace(section, gradients=tuple(said))
    section = _parted_behind(section, legs, problems)
    lines = {line for place in section.places for line in place.lines}
    found = causes_of([row for row in blamed if not row.causes], legs, problems, lines)

    def diagnosed(row: Row) -> Row:
        return replace(row, causes=found.get(row.name, ())) if row in blamed else row

    gradients = tuple(map(diagnosed, section.gradients))
    mended = {c.line for causes in found.values() for c in causes if c.line}
    places = () if mended - lines else section.places  # the line that mends it says more
    return replace(section, gradients=gradients, places=places)


def _parted_behind(
    section: Section, legs: Legs, problems: Mapping[int, Sequence[Exact]]
) -> Section:
    """Return the section with where the gradients part in float64, if all outputs agree."""
    rows = [r for r in section.rows if r.dtype == "float64" and not r.verdict.passes]
    wrong = [r for r in rows if r in section.gradients and r.verdict is Verdict.DIFFERENT]
    if not wrong or len(wrong) < len(rows):
        return section
    odd = {corner for row in wrong for corner in row.odd}
    return replace(section, places=gradient_places(legs, problems[wrong[0].batch][0], odd))


def _born(section: Section, births: Births) -> Section:
    """Return the section with the births of what is not finite; a mere count of it gives way."""

    def born(row: Row, rows: Sequence[Row], gradient: bool) -> Row:
        exact = next((r for r in rows if (r.name, r.dtype) == (row.name, "float64")), None)
        narrow = row.dtype != "float64" and exact is not None and exact.verdict.passes
        found = births.of(row, gradient, narrow)
        if not found:
            return row
        known = (c for c in row.causes if c.kind not in (Kind.NOT_FINITE, Kind.UNKNOWN))
        return replace(row, causes=(*known, *found))

    forward = tuple(born(row, section.forward, False) for row in section.forward)
    gradients = tuple(born(row, section.gradients, True) for row in section.gradients)
    return replace(section, forward=forward, gradients=gradients)


def _aligned(
    section: Section, legs: Legs, problems: Mapping[int, Sequence[Exact]]
) -> Aligned | None:
    """Return both sides as they ran in float64, and where they part, if an output differs."""
    apart = (Verdict.CONVENTION, Verdict.DIFFERENT)
    failed = [r for r in section.forward if r.dtype == "float64" and r.verdict in apart]
    return aligned(legs, problems[failed[0].batch][0].values) if failed else None


def _inside(
    legs: Legs, found: Aligned | None, problems: Sequence[Exact], budget: Budget
) -> Sequence[Cause]:
    """Return what one side does otherwise in the regions where the two part, if that is known."""
    if found is None or budget.spent():
        return ()
    cause = explained(legs, found, [p.values for p in problems])
    return () if cause is None else (cause,)


def _placed(section: Section, legs: Legs, problem: Exact) -> tuple[Section, list[str]]:
    found = walk(legs, problem.values)
    if found is None:
        return section, []

    def placed(rows: Sequence[Row], gradient: bool) -> tuple[Row, ...]:
        return tuple(
            row if row.verdict.passes else replace(row, place=found.place(row.name, gradient))
            for row in rows
        )

    forward, gradients = placed(section.forward, False), placed(section.gradients, True)
    section = replace(section, forward=forward, gradients=gradients, walk=found.steps)
    return section, [*found.notes]
