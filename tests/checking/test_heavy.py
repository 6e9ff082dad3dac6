"""A pair of many numbers is run one way after another, and what is said of it is as of others."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from parity import Pair, check, memory
from parity.judge import noise
from parity.pairs import legs
from parity.trial.trial import Trial

RNG = np.random.default_rng(0)
INPUTS = {"x": RNG.normal(size=(7, 5)).astype(np.float32), "w": RNG.normal(size=(5, 4))}


@pytest.fixture
def heavy(monkeypatch):
    """Everything is many numbers, and measuring takes too long."""
    monkeypatch.setattr(legs, "LARGE", 0)
    monkeypatch.setattr(noise, "LONG", 0.0)

    def few(number):
        monkeypatch.setattr(memory, "HEAVY", number)

    few(0)
    return few


def by_jax(x, w):
    return jnp.tanh(x @ w)


def by_torch(x, w):
    return torch.tanh(x @ w)


def rows(jax_side, torch_side):
    report = check(Pair(jax=jax_side, torch=torch_side, inputs=INPUTS))
    return report.sections[0].rows


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_rows_are_the_same(heavy, factor):
    one = rows(by_jax, lambda x, w: factor * by_torch(x, w))
    heavy(10**9)
    other = rows(by_jax, lambda x, w: factor * by_torch(x, w))
    assert [r.name for r in one] == [r.name for r in other]
    assert [r.verdict for r in one] == [r.verdict for r in other]
    for mine, theirs in zip(one, other, strict=True):
        assert [*mine.distances] == [*theirs.distances]
        assert mine.sigmas == pytest.approx(theirs.sigmas, rel=1e-5)


def test_one_side_is_done_before_the_other_is_run(heavy, monkeypatch):
    ran, run = [], legs.Legs.run

    def recorded(self, way, corner, dtype, values):
        ran.append((way, corner.name, str(dtype)))
        return run(self, way, corner, dtype, values)

    monkeypatch.setattr(legs.Legs, "run", recorded)
    trial = Trial(Pair(jax=by_jax, torch=by_torch, inputs=INPUTS), 0, ("float64",))
    order = [("compiled", "torch"), ("yardstick", "torch"), ("yardstick", "jax")]
    assert [one[:2] for one in ran] == [*order, ("compiled", "jax")]
    assert [*trial.problems["float64"].outcomes] == ["jax", "torch"]


def test_an_input_that_every_dtype_holds_is_held_once(heavy):
    trial = Trial(Pair(jax=by_jax, torch=by_torch, inputs=INPUTS), 0, ("float32", "float64"))
    x, w = trial.arguments.leaves
    for problem in trial.problems.values():
        assert problem.values[0] is x
        assert problem.values[1] is not w
    assert len(trial.solved) == 1


def test_what_is_random_is_seen(heavy):
    (row,) = rows(by_jax, lambda x, w: F.dropout(by_torch(x, w)))
    assert "torch gives another result when it runs again" in row.reason


def test_what_is_kept_between_runs_is_seen(heavy):
    kept = torch.zeros((), dtype=torch.float64)

    def counting(x, w):
        with torch.no_grad():
            kept.add_(1)
        return by_torch(x, w) * kept

    (row,) = rows(by_jax, counting)
    assert "torch gives another result when it runs again" in row.reason
