"""Gathers and scatters gone wrong: a selection that is not one, repeated indices that are lost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.judge.cause import Kind
from parity.judge.noise import BOUND
from parity.why.causes.fitting import Candidate, Problem

PICK_HINT = "Which entries does the forward pass read here? Do the others reach the result at all?"
POSITION_HINT = "An index says where, not how much. What should stand at that place?"
REPEAT_HINT = "A row that was read three times gets three messages. What becomes of them?"


def selection(problem: Problem) -> Iterator[Candidate]:
    """A term with one entry a row, spread over the row, the batch, or weighted by its position."""
    if not problem.same_shape or problem.got.ndim != 2:
        return
    terms = {"": problem.reference} | {k: v for k, v in problem.context.paths.items()}
    for name, raw in terms.items():
        term = raw.astype(np.float64)
        if term.shape != problem.got.shape or np.any((term != 0).sum(1) > 1):
            continue
        if term.shape[1] < 2 or not np.any(term):
            continue
        if name and np.array_equal(term, problem.reference):
            continue
        rest = problem.reference - term
        through = f" of the path through {name}" if name else ""
        place = (term != 0).argmax(1)
        value = term.sum(1, keepdims=True)
        columns = np.zeros(term.shape[1], bool)
        columns[place[value[:, 0] != 0]] = True
        yield Candidate(
            Kind.SELECTION,
            "row",
            f"the selection{through} is missing: every entry of a row holds what belongs to one",
            PICK_HINT,
            rest + value,
        )
        yield Candidate(
            Kind.SELECTION,
            "batch",
            f"the selection{through} picks its columns in every row, not row by row",
            "Is row i paired with index i, or with all of them?",
            rest + np.where(columns, value, 0.0),
        )
        yield Candidate(
            Kind.SELECTION,
            "position",
            f"the position{through} is used as a weight, where a 1 at that position belongs",
            POSITION_HINT,
            rest + place[:, None] * value,
        )
        for shift, other in ((1, "previous"), (-1, "next")):
            yield Candidate(
                Kind.SELECTION,
                f"row shift {shift}",
                f"the selection{through} uses the index of the {other} row",
                "Is row i paired with index i?",
                rest + np.roll(term != 0, shift, 0) * value,
            )
            yield Candidate(
                Kind.SELECTION,
                f"column shift {shift}",
                f"the selection{through} is off by one column",
                "Do both count from the same number?",
                rest + np.roll(term, shift, 1),
            )


def support(problem: Problem) -> Iterator[Candidate]:
    """Right wherever it is not zero (or wherever it should not be), and wrong elsewhere."""
    if not problem.same_shape:
        return
    got, reference = problem.got, problem.reference
    agree = np.abs(got - reference) <= BOUND * problem.sigma
    lost = (got == 0) & ~agree
    if agree.any() and lost.any() and np.all(agree | lost) and np.any(got != 0):
        yield Candidate(
            Kind.SELECTION,
            "lost",
            f"{int(lost.sum())} of {got.size} entries are zero and should not be{_where(lost)}; "
            "the others are right",
            "What do the entries that you left at zero have in common?",
            np.where(lost, 0.0, reference),
        )
    extra = (reference == 0) & ~agree
    values = np.unique(got[extra])
    if extra.any() and agree[reference != 0].all() and np.any(reference) and values.size == 1:
        yield Candidate(
            Kind.SELECTION,
            "extra",
            f"{int(extra.sum())} of {got.size} entries hold {values[0]:.4g} and should be zero"
            f"{_where(extra)}; the others are right",
            PICK_HINT,
            np.where(extra, values[0], reference),
            free=1,
        )


def _where(mask: np.ndarray) -> str:
    """Say along which axis whole slices are meant, if that is so."""
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        whole = mask.all(others) if others else mask
        if mask.ndim > 1 and np.array_equal(mask.any(others), whole):
            chosen = np.flatnonzero(whole)
            name = "row" if axis == 0 else "column" if axis == 1 else f"slice of axis {axis}"
            return f": {name}{'s' * (chosen.size > 1)} {', '.join(map(str, chosen[:6]))}"
    return ""


def indices(problem: Problem) -> Iterator[Candidate]:
    """A scatter of rows by repeated indices that forgets to add, or pairs them in another order."""
    reference, got = problem.reference, problem.got
    if not problem.same_shape or reference.ndim < 1:
        return
    for name, rows, index in _scatters(problem):
        ways = list(_scattered(rows, index, reference.shape))
        candidates = [
            Candidate(
                Kind.INDICES,
                key,
                f"rows that {name} reads more than once: {sentence}",
                REPEAT_HINT,
                value,
                tried=len(ways),
            )
            for key, sentence, value in ways
        ]
        fitting = [candidate for candidate in candidates if problem.accepts(candidate)]
        yield from fitting or _one_of_each(problem, name, rows, index, got)


def _scatters(problem: Problem) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield (index name, rows, flat index) for every scatter-add that gives the reference."""
    reference = problem.reference
    width = reference.shape[1:]
    for name, index in problem.context.tensors.items():
        if index.dtype.kind not in "iu" or not index.size:
            continue
        if index.min() < 0 or index.max() >= reference.shape[0]:
            continue
        for raw in problem.context.gradients.values():
            if raw.size == index.size * int(np.prod(width)) and raw.shape[0] == index.shape[0]:
                rows = raw.astype(np.float64).reshape(index.shape + width)
                total = np.zeros(reference.shape)
                np.add.at(total, index, rows)
                if np.all(np.abs(total - reference) <= BOUND * problem.yard(reference)):
                    yield name, rows, index


def _scattered(
    rows: np.ndarray, index: np.ndarray, shape: tuple[int, ...]
) -> Iterator[tuple[str, str, np.ndarray]]:
    flat, each = index.ravel(), rows.reshape(index.size, *shape[1:])

    def added(place: np.ndarray, values: np.ndarray) -> np.ndarray:
        total = np.zeros(shape)
        np.add.at(total, place, values)
        return total

    last, first = np.zeros(shape), np.zeros(shape)
    for i in range(index.size):
        last[flat[i]] = each[i]
        first[flat[-1 - i]] = each[-1 - i]
    total = added(flat, each)
    times = np.bincount(flat, minlength=shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    yield "last", "only the last use is kept (set, not add)", last
    yield "first", "only the first use is kept", first
    yield "average", "averaged over the uses, not summed", total / np.maximum(times, 1)
    yield "times", "weighted by the number of uses once more", total * times
    if index.ndim > 1:
        crossed = index.T.ravel()
        yield (
            "crossed",
            "indices and values are flattened in different orders",
            added(crossed, each),
        )
        for position in range(index.shape[1]):
            left = np.arange(index.shape[1]) != position
            value = added(index[:, left].ravel(), rows[:, left].reshape(-1, *shape[1:]))
            yield f"without {position}", f"column {position} of the indices is left out", value
            only = added(index[:, position], rows[:, position])
            yield f"only {position}", f"only column {position} of the indices is used", only
        yield (
            "reversed",
            "the columns of the indices are reversed",
            added(index[:, ::-1].ravel(), each),
        )
    for row in range(len(index)):
        left = np.arange(len(index)) != row
        yield (
            f"without row {row}",
            f"row {row} is left out",
            added(index[left].ravel(), rows[left].reshape(-1, *shape[1:])),
        )
    for shift in (1, -1):
        yield (
            f"index {shift:+d}",
            "the indices are off by one",
            added((flat + shift) % shape[0], each),
        )
        rolled = np.roll(flat, shift)
        yield (
            f"roll {shift:+d}",
            "indices and values are shifted against each other",
            added(rolled, each),
        )


def _one_of_each(
    problem: Problem, name: str, rows: np.ndarray, index: np.ndarray, got: np.ndarray
) -> Iterator[Candidate]:
    """Every row holds one of its uses, whichever: what unordered assignment leaves."""
    each = rows.reshape(index.size, *got.shape[1:])
    value = np.zeros(got.shape)
    most = 1
    for row in range(got.shape[0]):
        uses = each[index.ravel() == row]
        if len(uses):
            off = np.abs(uses - got[row]).reshape(len(uses), -1).max(1)
            value[row] = uses[off.argmin()]
            most *= len(uses)
    yield Candidate(
        Kind.INDICES,
        "one",
        f"rows that {name} reads more than once keep only one of their uses (set, not add)",
        REPEAT_HINT,
        value,
        tried=min(most, 2**40),
    )
