"""A search ends when its budget is used up, says so, and is never silent for long."""

import time

import jax.numpy as jnp
import torch

from parity import Pair, check
from parity.progress import QUIET, telling
from parity.why.budget import Budget
from parity.why.conventions.rerun import Rerun

PAIR = Pair(
    jax=lambda x: jnp.tanh(x) * jnp.cosh(x[:1]),
    torch=lambda x: torch.sin(x).cumsum(0),
    inputs={"x": (3, 2)},
)


def test_what_a_spent_budget_left_untried_is_said():
    report = check(PAIR, dtypes=["float64"], budget=0)
    said = " ".join(report.notes)
    assert not report
    assert "were not all tried: the budget of 0 s is used up" in said
    assert "no smaller case was looked for: the budget of 0 s is used up" in said
    assert report.as_dict()["peak_mb"] > 50


def test_nothing_is_solved_for_once_the_budget_is_spent(monkeypatch):
    """To solve for two constants takes hundreds of runs before anything is proposed."""
    runs = []
    forward = Rerun.forward
    monkeypatch.setattr(
        Rerun, "forward", lambda *args, **how: runs.append(args) or forward(*args, **how)
    )
    many = Pair(
        jax=lambda x: jnp.tanh(1.1 * x + 0.3) * 0.7 + 0.2 * x,
        torch=lambda x: torch.sin(1.2 * x + 0.4) * 0.9 + 0.6 * x,
        inputs={"x": (9,)},
    )
    report = check(many, dtypes=["float64"], budget=0)
    assert "were not all tried: the budget of 0 s is used up" in " ".join(report.notes)
    assert len(runs) < 10


def test_a_budget_has_seconds_and_bytes():
    assert not Budget(60).spent()
    assert Budget(0).spent()
    small = Budget(60, size=-1)
    time.sleep(0.15)
    assert small.spent()
    assert "GB" in str(small)


def test_silent_work_is_told_of_and_quick_work_is_not():
    heard = []
    with telling(heard.append, "working"):
        time.sleep(0.1)
    assert not heard
    with telling(heard.append, "working"):
        time.sleep(QUIET * 1.4)
    assert heard == ["working, 2 s so far"]
    with telling(heard.append, "working") as say:
        for _ in range(3):
            time.sleep(QUIET / 2)
            say("a word")
    assert heard[1:] == ["a word"] * 3
