"""What a learner is told: one line a gradient, and of the first that is wrong why, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_letters, digits
from typing import Any

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.judge.verdict import Status
from parity.learn.child import PRINTED
from parity.makemore.exercises import ROWS
from parity.why.answers import Line

MOST = 2
"""Causes that are told of one gradient: two candidates are both named."""

LETTERS = f"{ascii_letters}{digits}_"

LINES, WIDEST = 20, 160
"""What is shown of a learner's prints."""

SAID = {
    Status.RIGHT: "right",
    Status.INTRODUCED: "WRONG HERE",
    Status.INHERITED: "follows from what is wrong above",
}


def column(name: str, own: Any, right: Any) -> str:
    """Return the line that the lecture's own `cmp` prints."""
    same_shape = own.shape == right.shape
    with np.errstate(all="ignore"):
        exact = bool(np.all(own == right)) if same_shape else False
        near = same_shape and bool(np.allclose(own, right, rtol=1e-5, atol=1e-8))
        far = float(np.abs(own - right).max(initial=0.0)) if same_shape else np.nan
    distance = f"maxdiff: {far}" if same_shape else f"shape: {own.shape}, not {right.shape}"
    return f"{name:15s} | exact: {exact!s:5s} | approximate: {near!s:5s} | {distance}"


def told(line: Line) -> str:
    """Return what is said of one gradient in a word or two."""
    return SAID[line.status]


def why(line: Line) -> list[str]:
    """Return why a gradient is wrong where it is: each cause, and what to ask oneself."""
    if line.status is not Status.INTRODUCED:
        return []
    first, *rest = line.causes[:MOST]
    others = [cause for cause in rest if cause.sentence not in first.sentence]
    return [*_cause(first), *(f"Or: {cause.sentence}." for cause in others)]


def _cause(cause: Cause) -> list[str]:
    said = f"{sentence(cause.sentence)}."
    hinted = cause.hint and cause.kind is not Kind.UNKNOWN  # which speaks of a case not shown here
    return [said, f"  {cause.hint}"] if hinted else [said]


def printed(text: str) -> list[str]:
    """Return what a learner's code printed, each line marked as theirs, and not too much of it."""
    lines = "".join(x if x.isprintable() or x in "\n\t" else "\ufffd" for x in text).splitlines()
    shown = [f"| {x[:WIDEST]}{'...' if len(x) > WIDEST else ''}" for x in lines[:LINES]]
    return [*shown, "| ..."] if len(lines) > LINES or len(text) >= PRINTED else shown


def sentence(text: str) -> str:
    """Return words with a capital letter, unless a tensor's name comes first."""
    first = text[: len(text) - len(text.lstrip(LETTERS))]
    names = first in ROWS or "_" in first or len(first) == 1
    return text if names else f"{text[:1].upper()}{text[1:]}"


def summary(lines: Sequence[Line], rows: Sequence[str]) -> str:
    """Return how far a learner is, in one line."""
    wrong = [line for line in lines if line.status is Status.INTRODUCED]
    follow = sum(line.status is Status.INHERITED for line in lines)
    missing = len(rows) - len(lines)
    parts = [f"{sum(line.status is Status.RIGHT for line in lines)} of {len(rows)} right"]
    if wrong:
        parts.append(f"wrong at d{', d'.join(line.tensor for line in wrong)}")
    if follow:
        parts.append(f"{follow} follow from {'it' if len(wrong) == 1 else 'them'}")
    if missing:
        parts.append(f"{missing} not there yet")
    return "; ".join(parts)


def text(
    judged: Sequence[Line], rows: Sequence[str], lines: Mapping[str, int] | None = None
) -> str:
    """Return all gradients, a line each, and of the first that is wrong why.

    ``lines`` are those of the learner's file, by tensor, where they are known.
    """
    held: Mapping[str, Line] = {line.tensor: line for line in judged}
    said = [f"d{name:15s} {told(held[name])}" for name in rows if name in held]
    first = next((line for line in judged if line.status is Status.INTRODUCED), None)
    reason = []
    if first:
        where = f", line {lines[first.tensor]}" if lines else ""
        reason = ["", f"d{first.tensor}{where}:", *(f"  {x}" for x in why(first))]
    return "\n".join([*said, *reason, "", summary(judged, rows)])
