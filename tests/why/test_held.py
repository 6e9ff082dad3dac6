"""Gradients that one side holds back, and derivatives that are a choice: the operation is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from parity import Pair, check
from tests.shared.sampled import few

STOP = jax.lax.stop_gradient


def causes(jax_side, torch_side, inputs):
    report = check(Pair(jax=jax_side, torch=torch_side, inputs=inputs), dtypes=["float64"])
    assert str(report.verdict) == "different"
    return [c.sentence for row in report.rows for c in row.causes]


def nearest(take, stop):
    def forward(x, book):
        q = take(book, ((x[:, None] - book[None]) ** 2).sum(-1))
        return x + stop(q - x)

    return forward


def scanned(x, w):
    def body(h, row):
        h = jnp.tanh(row + STOP(h) @ w)
        return h, h

    return jax.lax.scan(body, jnp.zeros(3), x)[1]


def looped(x, w):
    h, found = torch.zeros(3, dtype=x.dtype), []
    for row in x:
        h = torch.tanh(row + h @ w)
        found.append(h)
    return torch.stack(found)


HELD = {
    "a codebook": (
        nearest(lambda b, d: b[jnp.argmin(d, 1)], lambda x: x),
        nearest(lambda b, d: b[d.argmin(1)], torch.Tensor.detach),
        {"x": (6, 3), "book": (4, 3)}, "torch detaches a value at test_held.py:",
    ),
    "a state in a scan": (
        scanned, looped, {"x": (4, 3), "w": (3, 3)}, "jax stops a gradient at test_held.py:",
    ),
    "a target": (
        lambda v, r: ((v[:-1] - STOP(r + 0.9 * v[1:])) ** 2).sum(),
        lambda v, r: ((v[:-1] - (r + 0.9 * v[1:])) ** 2).sum(),
        {"v": (6,), "r": (5,)}, "jax stops a gradient at test_held.py:",
    ),
    "one of two": (
        lambda x, y: STOP(jnp.exp(x)) * y + jnp.sin(x * y),
        lambda x, y: x.exp().detach() * y + torch.sin(x.detach() * y),
        {"x": (4,), "y": (4,)}, "torch detaches a value at test_held.py:",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(HELD, "one of two"))
def test_a_gradient_that_is_held_back_is_named_with_its_line(name):
    *pair, said = HELD[name]
    found = causes(*pair)
    assert found
    assert all(said in cause and "both sides agree" in cause for cause in found), found


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return 2 * g


def test_a_detach_is_not_blamed_for_another_fault():
    def torch_side(x):
        return Doubled.apply(x - x.mean(0).detach())

    found = causes(lambda x: x - x.mean(0), torch_side, {"x": (5, 3)})
    assert not any("both sides agree" in cause for cause in found)


def fixed(**arrays):
    return lambda rng: {name: np.array(x, float) for name, x in arrays.items()}


KINKED = {
    "softplus": (
        lambda x: jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x))), F.softplus,
        fixed(x=[[-1.5, 0, 0.75], [0, 2.25, -0.5]]), "maximum and abs (test_held.py:",
    ),
    "softplus in torch": (
        jax.nn.softplus, lambda x: F.relu(x) + torch.log1p(torch.exp(-x.abs())),
        fixed(x=[-1.5, 0, 0.75]), "relu and abs (test_held.py:",
    ),
    "logaddexp": (
        lambda a, b: jnp.maximum(a, b) + jnp.log1p(jnp.exp(-jnp.abs(a - b))), torch.logaddexp,
        fixed(a=[0.3, 1.2, -0.7], b=[0.3, 0.2, -0.7]), "maximum and abs (test_held.py:",
    ),
    "a rest that is the identity": (
        jnp.tanh, lambda x: torch.tanh(F.relu(x) - F.relu(-x)),
        fixed(x=[-1.5, 0, 0.75]), "wrong exactly where relu (test_held.py:",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(KINKED, "softplus in torch"))
def test_operations_at_their_kinks_are_named_where_the_whole_is_smooth(name):
    *pair, said = KINKED[name]
    first = causes(*pair)[0]
    assert said in first, first
    assert "not the derivative of the whole" in first
