"""Another part of an array, an activation on the other side of a sum, the state of the step before.

Every case was written, with what has to be said of it, before the code was run on it.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from parity import Pair
from parity.pairs.legs import Legs
from parity.where.alignment import aligned
from parity.why.inside.explaining import explained
from tests.shared.sampled import few


def said(pair):
    arguments = pair.arguments(np.random.default_rng(0))
    legs = Legs(pair, arguments)
    cause = explained(legs, aligned(legs, arguments.leaves, 60.0), [arguments.leaves], seconds=60.0)
    return "" if cause is None else cause.sentence


X, P, W, V = (2, 5, 6), (9, 6), (6, 6), (6, 3)


def rows_from_one(x, p, w):
    return jnp.tanh(x + p[1 : x.shape[1] + 1]) @ w


def rows_from_none(x, p, w):
    return torch.tanh(x + p[: x.shape[1]]) @ w


def last(x, w, v):
    return jnp.tanh(x @ w)[:, -1] @ v


def first(x, w, v):
    return torch.tanh(x @ w)[:, 0] @ v


def mean_of_all(x, w, v):
    return jnp.tanh(x @ w).mean(1) @ v


def last_of_torch(x, w, v):
    return torch.tanh(x @ w)[:, -1] @ v


def mean_of_torch(x, w, v):
    return torch.tanh(x @ w).mean(1) @ v


def even(x, w):
    h = jnp.tanh(x @ w)
    return h[..., ::2] ** 2


def odd(x, w):
    h = torch.tanh(x @ w)
    return h[..., 1::2] ** 2


def stages(act, x, w, v):
    for part in (w, w[:, ::2], v):
        short = x @ part
        x = act(jnp.tanh(short) * 2, short)
    return x


def stages_of_torch(x, w, v):
    for part in (w, w[:, ::2], v):
        short = x @ part
        x = F.silu(torch.tanh(short) * 2 + short)
    return x


def state_before(x, w):
    def turn(carry, xt):
        h, c = carry
        z = jax.nn.sigmoid(xt + h @ w)
        new = z * c + (1 - z) * xt
        return (z * jnp.tanh(c), new), h

    start = jnp.zeros_like(x[0])
    (h, _), _ = jax.lax.scan(turn, (start, start), x)
    return h


def state_after(x, w):
    h = c = torch.zeros_like(x[0])
    for xt in x:
        z = torch.sigmoid(xt + h @ w)
        c = z * c + (1 - z) * xt
        h = z * torch.tanh(c)
    return h


def from_the_end(x, w):
    def turn(h, xt):
        h = jnp.tanh(xt + h @ w)
        return h, h

    return jax.lax.scan(turn, jnp.zeros_like(x[0]), x, reverse=True)[1]


def from_the_start(x, w):
    h, out = torch.zeros_like(x[0]), []
    for xt in x:
        h = torch.tanh(xt + h @ w)
        out.append(h)
    return torch.stack(out)


def flipped_of_torch(x, w):
    h, out = torch.zeros_like(x[0]), []
    for xt in x.flip(0):
        h = torch.tanh(xt + h @ w)
        out.append(h)
    return torch.stack(out).flip(0)


def in_a_loop(x, w):
    h = jnp.zeros_like(x[0])
    for t in range(len(x)):
        h = jnp.tanh(x[t] + h @ w)
    return h


def last_of_the_flipped(x, w):
    return flipped_of_torch(x, w)[0]


CASES = {
    "positions from one": (rows_from_one, rows_from_none, (X, P, W), r"of p jax takes 1:6 .*0:5"),
    "the last for the first": (last, first, (X, W, V), r"index 4 along axis 1 .*index 0"),
    "the mean for the last": (mean_of_all, last_of_torch, (X, W, V), r"the mean .*index 4"),
    "the last for the mean": (last, mean_of_torch, (X, W, V), r"index 4 .*the mean along axis 1"),
    "even for odd": (even, odd, (X, W), r"0:5:2 along axis 2 .*1:6:2"),
    "silu before the sum, in stages": (
        lambda x, w, v: stages(lambda a, b: jax.nn.silu(a) + b, x, w, v[::2]),
        lambda x, w, v: stages_of_torch(x, w, v[::2]),
        ((4, 6), W, V),
        r"jax takes silu before the sum .*torch after",
    ),
    "silu before the product": (
        lambda x, w: jax.nn.silu(x) @ w,
        lambda x, w: F.silu(x @ w),
        (X, W),
        r"jax takes silu before the matrix product .*torch after",
    ),
    "gelu after the sum": (
        lambda x, w: jax.nn.gelu(x @ w + x, approximate=False),
        lambda x, w: F.gelu(x @ w) + x,
        (X, W),
        r"jax adds x before gelu .*torch after",
    ),
    "a scan from the end": (
        from_the_end,
        from_the_start,
        ((4, 3, 6), W),
        r"only jax goes backwards through x",
    ),
    "torch from the end": (
        lambda x, w: from_the_end(x[::-1], w)[::-1],
        flipped_of_torch,
        ((4, 3, 6), W),
        r"only torch goes backwards through",
    ),
    "a loop against the flipped": (
        in_a_loop,
        last_of_the_flipped,
        ((4, 3, 6), W),
        r"only torch goes backwards through x",
    ),
    "the cell before": (
        state_before,
        state_after,
        ((4, 3, 6), W),
        r"jax reads .*of the turn before in tanh",
    ),
}


@pytest.mark.parametrize("name", few(CASES, "positions from one"))
def test_what_is_otherwise_is_named(name):
    jax_side, torch_side, shapes, says = CASES[name]
    names = jax_side.__code__.co_varnames[: jax_side.__code__.co_argcount]
    sentence = said(
        Pair(jax=jax_side, torch=torch_side, inputs=dict(zip(names, shapes, strict=True)))
    )
    assert re.search(says, sentence), sentence


@pytest.mark.full
def test_a_pair_the_other_way_round_is_no_loop():
    pair = Pair(
        jax=lambda x: jnp.tanh(x[1] - 2 * x[0]),
        torch=lambda x: torch.tanh(x[0] - 2 * x[1]),
        inputs={"x": (2, 5)},
    )
    assert "backwards" not in said(pair)
