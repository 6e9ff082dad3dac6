"""What a run could have caught: the stated power is true, and what tests nothing is said."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from parity import Pair, check
from parity.judge.power import smallest_fault
from parity.trial.trial import Trial


def attention(m, softmax):
    def run(q, k, v, w):
        return (softmax(q @ k.T / 2) @ v) @ w, (q * q).sum(), m.tanh(v).sum(0)

    return run


NET = {"x": (7, 5), "w": (5, 6), "b": (6,), "u": (6, 3), "c": (3,)}
TENSORS = (7, 7, 4, 6, 2)
"""Outputs and gradients of each pair: 26 in all."""
PAIRS = [
    Pair(jax=lambda x, w, b, u, c: (jnp.tanh(x @ w + b) @ u + c, jnp.exp(b)),
         torch=lambda x, w, b, u, c: (torch.tanh(x @ w + b) @ u + c, torch.exp(b)), inputs=NET),
    Pair(jax=attention(jnp, lambda x: jax.nn.softmax(x, -1)),
         torch=attention(torch, lambda x: x.softmax(-1)),
         inputs={"q": (4, 4), "k": (6, 4), "v": (6, 5), "w": (5, 2)}),
    Pair(jax=lambda x, w, b: (x - x.mean(-1, keepdims=True))
         / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5) * w + b,
         torch=lambda x, w, b: F.layer_norm(x, (5,), w, b),
         inputs={"x": (7, 5), "w": (5,), "b": (5,)}),
    Pair(jax=lambda x, y, z: (jnp.log(x) * y, jnp.logaddexp(y, z), x @ z.T),
         torch=lambda x, y, z: (torch.log(x) * y, torch.logaddexp(y, z), x @ z.T),
         inputs=lambda rng: {k: rng.uniform(0.5, 3, (3, 4)) for k in "xyz"}),
    Pair(jax=lambda x: jnp.exp(-x * x), torch=lambda x: torch.exp(-x * x), inputs={"x": (3, 4)}),
]  # fmt: skip


ROUNDING = ("identical", "rounding")
FAULT = {"tensor": "", "size": 0.0}
"""Which of torch's tensors is spoiled, and by how much."""


class Spoiled(torch.autograd.Function):
    """The identity, whose gradient is spoiled if it is that tensor's turn."""

    @staticmethod
    def forward(ctx, x, name):
        ctx.name = name
        return x.clone()

    @staticmethod
    def backward(ctx, dout):
        return dout * (1 + FAULT["size"] * (FAULT["tensor"] == f"gradient of {ctx.name}")), None


def spoiled(pair, names):
    """Return the pair with every output and gradient of torch's under the control of FAULT."""

    def torch_side(*inputs):
        out = pair.torch(*(Spoiled.apply(x, n) for x, n in zip(inputs, names, strict=True)))
        outs = out if isinstance(out, tuple) else (out,)
        factors = [1 + FAULT["size"] * (FAULT["tensor"] == f"out {i}") for i in range(len(outs))]
        outs = tuple(x * factor for x, factor in zip(outs, factors, strict=True))
        return outs if isinstance(out, tuple) else outs[0]

    return Pair(jax=pair.jax, torch=torch_side, inputs=pair.inputs)


def judged(pair, legs, monkeypatch, tensor="", size=0.0):
    monkeypatch.setitem(FAULT, "tensor", tensor)
    monkeypatch.setitem(FAULT, "size", size)
    trial = Trial(pair, 0, ("float32", "float64"), legs)
    found = {}
    for row in trial.forward():
        place = row.name.removeprefix("out").strip("[]") or "0"
        found[f"out {place}", row.dtype] = row
    for row in trial.gradients():
        found[f"gradient of {row.name}", row.dtype] = row
    return found, trial.legs


@pytest.mark.parametrize(
    "pair", [pytest.param(p, marks=[] if p is PAIRS[4] else pytest.mark.full) for p in PAIRS]
)
def test_twice_the_stated_fault_is_caught_and_a_hundredth_is_not(pair, monkeypatch):
    names = pair.arguments(np.random.default_rng(0)).names
    unspoiled, pair = pair, spoiled(pair, names)
    healthy, legs = judged(pair, None, monkeypatch)
    assert len(healthy) == 2 * TENSORS[PAIRS.index(unspoiled)]
    for (tensor, dtype), row in healthy.items():
        assert row.verdict in ROUNDING
        assert 0 < row.power < 1e-11
        assert row.power < row.power_here or dtype == "float64"
        caught, _ = judged(pair, legs, monkeypatch, tensor, 2 * row.power)
        assert caught[tensor, dtype].verdict not in ROUNDING, (tensor, dtype, row.power)
        missed, _ = judged(pair, legs, monkeypatch, tensor, row.power / 100)
        assert missed[tensor, dtype].verdict in ROUNDING, (tensor, dtype, row.power)


def test_the_stated_fault_of_one_dtype_is_lost_accuracy():
    """A fault in float32 alone, which float64 does not show, is seen from power_here on."""
    for pair in PAIRS[:1]:
        trial = Trial(pair, 0, ("float32",))
        for row in trial.gradients():
            faulty = {
                c: (out, dict(grads)) for c, (out, grads) in trial.outcomes["float32"].items()
            }
            faulty["torch"][1][row.name] *= np.float32(1 + 2 * row.power_here)
            kept, trial.outcomes = trial.outcomes, {"float32": faulty}
            assert str(trial._row(1, row.name, "float32").verdict) == "less accurate"
            trial.outcomes = kept


def test_a_gradient_for_which_zeros_would_pass_fails_a_strict_run():
    def shifted(x, b):
        y = x + b  # the mean takes b away again
        return (y - y.mean(0)) ** 2

    pair = Pair(jax=shifted, torch=shifted, inputs={"x": (7, 5), "b": (5,)})
    report = check(pair, dtypes=["float64"])
    assert report.vacuous == ("b",)
    assert report.exit_code() == 0
    assert report.exit_code(strict=True) == 1
    assert "zeros would pass for the gradient of b" in report.text()
    rows = {row.name: row for row in report.rows}
    assert rows["b"].power >= 1
    assert rows["x"].power < 1e-12


def test_a_tested_pair_passes_a_strict_run():
    pair = Pair(jax=jnp.tanh, torch=torch.tanh, inputs={"x": (7, 5)})
    report = check(pair, dtypes=["float64"])
    assert report.exit_code(strict=True) == 0
    assert "catches" in report.text()


@pytest.mark.parametrize(
    ("reference", "sigma", "fault"),
    [
        ([1.0, 2.0], [1e-3, 1e-3], 16e-3),
        ([0.0, 0.0], [1e-3, 1e-3], np.inf),
        ([1e-9, 0.0], [1e-3, 1e-3], 32e6),
        ([np.nan, 4.0], [1.0, 1.0], 8.0),
    ],
)
def test_the_smallest_fault_is_that_of_the_largest_element(reference, sigma, fault):
    assert smallest_fault(np.array(reference), np.array(sigma)) == pytest.approx(fault)


def test_rows_without_numbers_have_power_zero():
    """A single unequal integer is seen."""
    argmax = Pair(jax=lambda x: x.argmax(1), torch=lambda x: x.argmax(1), inputs={"x": (7, 5)})
    report = check(argmax, dtypes=["float64"])
    assert all(row.power == 0 and not row.vacuous for row in report.rows)
    assert replace(report.rows[0], power=1.0).vacuous
