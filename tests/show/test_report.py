"""What a report says first, what it says once, and what it folds: from rows made up by hand."""

from dataclasses import replace

import pytest
from rich.console import Console

from parity.checking.check import Options
from parity.judge.cause import Cause, Kind
from parity.judge.verdict import Row, Status, Verdict
from parity.models.modules import Part
from parity.show.report import CHECK_SCHEMA, Report
from parity.show.section import Section

EPS = Cause(Kind.CONVENTION, "eps", "Matches if eps = 1e-5", "Which?", "then 1 of 32 sigma apart")
OTHER = Cause(Kind.CONVENTION, "eps", "Matches if eps = 1e-6", "Which?", "then 2 of 32 sigma apart")
THIRD = Cause(Kind.CONVENTION, "scale", "Matches if x is scaled", "Which?", "then 3 sigma apart")


def report(forward, gradients, notes=()):
    section = Section("layer", tuple(forward), tuple(gradients))
    return Report(Options("layer", (0,), ("float32",)), (section,), notes, CHECK_SCHEMA)


def text(found, verbose=False):
    console = Console(width=400, color_system=None)
    with console.capture() as captured:
        found.show(console, verbose)
    return captured.get()


def row(name, verdict=Verdict.ROUNDING, reason="", **more):
    return Row(name, "float32", verdict, reason, **more)


@pytest.fixture
def differing():
    """Two functions that differ in one output, and the gradients of eight inputs with it."""
    out = row("out", Verdict.CONVENTION, "the functions differ", causes=(EPS, OTHER, THIRD))
    own = "right for its own forward on every side"
    follow = (row(f"x{i}", Verdict.CONVENTION, own, causes=(EPS, OTHER, THIRD)) for i in range(8))
    return report([out], [*follow, row("bias")])


def test_the_cause_stands_in_the_first_line_and_is_said_once(differing):
    said = text(differing)
    assert said.splitlines()[1] == "convention: first in out, and in 8 more: Matches if eps = 1e-5"
    assert said.count(EPS.sentence) == 1
    assert EPS.evidence in said


def test_of_several_ways_to_the_same_one_more_is_shown_unless_asked(differing):
    assert OTHER.sentence in text(differing)
    assert THIRD.sentence not in text(differing)
    assert THIRD.sentence in text(differing, verbose=True)


def test_what_only_follows_is_one_line_with_its_first_names(differing):
    lines = text(differing).splitlines()
    (folded,) = (line for line in lines if "8 more that follow" in line)
    assert [f"gradient of x{i}" in folded for i in range(8)] == [True] * 6 + [False] * 2
    assert folded.endswith(", ... (--verbose shows them)")
    assert sum("right for its own forward" in line for line in lines) == 0
    assert any(line.startswith("gradient of bias") for line in lines)
    whole = text(differing, verbose=True)
    assert "more that" not in whole
    assert whole.count("right for its own forward") == 8


def test_a_module_in_which_all_only_follows_is_one_line_as_one_that_is_right(differing):
    named = ("", "a", "a.in", "b", "b.in", "c", "c.in", "d", "d.in")
    how = "introduced right right introduced introduced inherited inherited inherited introduced"
    parts = tuple(
        Part(name, f"<{name}>", status, 1.0, ())
        for name, status in zip(named, how.split(), strict=True)
    )
    found = replace(differing, sections=(replace(differing.sections[0], modules=parts),))
    shown = text(found)
    assert [f"<{name}>" in shown for name in named] == [
        name not in ("a.in", "c.in") for name in named
    ]
    assert all(f"<{name}>" in text(found, verbose=True) for name in named)


def test_a_wrong_gradient_among_those_that_follow_keeps_its_row(differing):
    (section,) = differing.sections
    wrong = row("w", Verdict.DIFFERENT, "not the derivative of its own forward", odd=("torch",))
    said = text(report(section.forward, [*section.gradients, wrong]))
    assert any(line.startswith("gradient of w") for line in said.splitlines())
    assert "w: not the derivative" in said
    assert "fault: torch" in said


def test_gradients_are_not_said_to_follow_where_outputs_agree():
    own = [row(f"x{i}", Verdict.CONVENTION, "one detaches") for i in range(8)]
    assert "more that follow" not in text(report([row("out")], own))


def test_rows_that_agree_are_folded_in_a_long_table_alone():
    wrong = row("w", Verdict.DIFFERENT, "wrong", odd=("jax",))
    for count, folded in ((8, False), (30, True)):
        said = text(report([row("out")], [wrong, *(row(f"x{i}") for i in range(count))]))
        assert (f"{count + 1} more that agree" in said) == folded
        assert any(line.startswith("gradient of w") for line in said.splitlines())


def test_inherited_rows_follow():
    start = row("h", Verdict.DIFFERENT, "wrong", odd=("jax",), place=Status.INTRODUCED)
    after = [
        row(f"x{i}", Verdict.DIFFERENT, "too", odd=("jax",), place=Status.INHERITED)
        for i in range(5)
    ]
    said = text(report([row("out")], [*after, start]))
    assert "5 more that follow" in said
    assert said.splitlines()[1].startswith("different: first in the gradient of h")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ((row("out", Verdict.CONVENTION, "differ", causes=(EPS,)),), "decide which of the two"),
        ((row("out", Verdict.CONVENTION, "differ"),), "parity.name"),
        ((row("out", Verdict.DIFFERENT, "undecided"),), "try other inputs"),
        ((row("out", Verdict.DIFFERENT, "wrong", odd=("jax",)),), ""),
        ((row("out", Verdict.NOT_COMPARABLE, "reshape one"),), ""),
    ],
)
def test_what_to_do_next_is_said_where_the_cause_does_not(rows, says):
    found = report(rows, [])
    assert says in found.advice()
    assert bool(found.advice()) == bool(says)
    assert found.as_dict()["advice"] == found.advice()
