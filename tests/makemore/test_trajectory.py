"""Training side by side: healthy sources stay within the growth of nudges by one ulp."""

import numpy as np
import pytest

import jax_impl.train
from parity.frameworks import torch_side
from parity.judge.verdict import Verdict
from parity.makemore import trajectory
from parity.makemore.data import load
from parity.makemore.notebook import Options, run
from parity.makemore.training import Config, initial
from tests.shared.sampled import few

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
SMALL = {"n_hidden": 6, "batch_size": 7, "exercises": (4,)}


def judged(steps=60, dtype="both"):
    return run(Options(steps=steps, dtype=dtype, **SMALL))


@pytest.mark.full
def test_four_sources_walk_together():
    report = judged(300)
    assert [row.name for row in report.rows[::2]] == "loss C W1 b1 W2 b2 bngain bnbias".split()
    assert report.verdict in (Verdict.IDENTICAL, Verdict.ROUNDING)
    assert max(row.sigmas for row in report.rows) < 16  # measured: 8.1 over many sizes
    assert {row.dtype for row in report.rows} == {"float32", "float64"}


def scaled(factor):
    original = torch_side.descent

    def descent(loss_and_grads):
        def source(params, X, Y):
            loss, grads = loss_and_grads(params, X, Y)
            return loss, type(grads)(*(dp * factor for dp in grads))

        return original(source)

    return descent


@pytest.mark.parametrize("factor", few([1 + 1e-3, 1 + 1e-10]))
def test_a_source_that_drifts_is_named(monkeypatch, factor):
    monkeypatch.setattr(torch_side, "descent", scaled(factor))
    report = judged()
    assert report.verdict is Verdict.DIFFERENT
    assert {row.odd for row in report.rows if row.verdict is Verdict.DIFFERENT} == {("autograd",)}
    assert "autograd against jax, jax.grad, torch in float64" in report.summary()


@pytest.mark.full
def test_the_largest_difference_of_any_mark_is_shown(monkeypatch):
    """A fault of the first step alone is largest there, and shown after many more."""
    original = jax_impl.train.train_steps

    calls: list[int] = []

    def first_alone(params, X, Y, ix, lr):
        params, losses = original(params, X, Y, ix, lr)
        calls.append(1)
        return params, losses.at[0].add(0.5 if len(calls) % trajectory.MARKS == 1 else 0.0)

    monkeypatch.setattr(jax_impl.train, "train_steps", first_alone)
    loss = judged(20, "float32").rows[0]
    assert loss.batch == 0
    assert loss.odd == ("jax",)
    assert max(pair.maxdiff for pair in loss.pairs) == pytest.approx(0.5, abs=1e-5)


def test_nudges_grow_with_the_steps_and_are_of_one_ulp():
    """After one step at a rate of almost 0, a parameter is off by its own nudge: u0 |p| rms."""
    config = Config(n_hidden=6, batch_size=7, steps=1, global_skip=0)
    dataset = load()
    params, generator = initial(config, dataset)
    ix = generator.randint(len(dataset.train.Y), (400, 7))
    still = [(ix[:1], np.array([1e-30], np.float32))]
    (noise,) = trajectory.growth(params, dataset, still)
    ratio = noise["W1"] / np.abs(params["W1"])
    assert np.sqrt(np.mean(ratio**2)) == pytest.approx(1, rel=0.15)  # 180 elements, 16 seeds each

    lr = np.full(200, 0.1, np.float32)
    first, second = trajectory.growth(params, dataset, [(ix[:200], lr), (ix[200:], lr)])
    rms = [np.sqrt(np.mean(mark["W2"] ** 2)) for mark in (noise, first, second)]
    assert rms[0] < rms[1] / 2
    assert rms[1] < 10 * rms[2]
