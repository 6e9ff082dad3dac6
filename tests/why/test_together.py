"""Inputs and arrays that a port holds otherwise: inverted, conjugated, in another order.

Each is named, with the operation where it is one.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from parity import Pair, check
from tests.shared.sampled import few


def masked(rng):
    return {"x": rng.normal(size=(3, 4)), "mask": rng.random((3, 4)) < 0.6}


def rows(rng):
    return {"x": rng.normal(size=(6, 4)), "mask": np.array([1, 0, 0, 1, 1, 1], bool)}


def numbers(rng):
    return {"x": rng.normal(size=(3, 4)), "k": (rng.random((3, 4)) < 0.6) * 1.0}


def scales(rng):
    return {"x": rng.uniform(0.5, 2, (3, 4)), "t": rng.uniform(0.5, 2, 4)}


def positive(rng):
    a = rng.normal(size=(3, 3))
    return {"x": rng.normal(size=(5, 3)), "s": a @ a.T + np.eye(3)}


def stacked(rng):
    return {"x": rng.normal(size=(2, 3)), "s": rng.normal(size=(2, 3, 3)) + 3 * np.eye(3)}


def waves(rng):
    z, w = (rng.normal(size=(2, *shape)) for shape in ((4,), (4, 3)))
    return {"z": z[0] + 1j * z[1], "w": w[0] + 1j * w[1]}


def rotated(m, cat, table):
    def forward(x, p):
        a = table(p[:, None] * p)
        return x * m.cos(a) + cat([-x[:, 3:], x[:, :3]], -1) * m.sin(a)

    return forward


def mixed(m, cat, table, halves=lambda x: (x[:, :4], x[:, 4:])):
    def forward(x, t):
        full = table(t)
        a, b = halves(x)
        return x * m.cos(full) + cat([-b, a], -1) * m.sin(full)

    return forward


def waved(m, table):
    return lambda x, w: m.cumsum(x * table([m.sin(w), m.cos(w)]), 1)


INVERTED = {
    "a mask of attention": (
        lambda x, mask: jax.nn.softmax(jnp.where(mask, x, -1e30), -1) * x,
        lambda x, mask: x.masked_fill(mask, -1e30).softmax(-1) * x, masked,
        "has input mask inverted|the mask is inverted",
    ),
    "a mask that fills": (
        lambda x, mask: jnp.where(mask, x, 0.0) @ x.T,
        lambda x, mask: x.masked_fill(mask, 0.0) @ x.T, masked, "the mask is inverted",
    ),
    "a mask of a mean": (
        lambda x, mask: jnp.where(mask[:, None], x, 0.0).sum(0) / mask.sum(),
        lambda x, mask: (x * (~mask)[:, None]).sum(0) / (~mask).sum(), rows,
        "has input mask inverted|the mask is inverted",
    ),
    "a mask of numbers": (
        lambda x, k: (jnp.tanh(x) * k).sum(1), lambda x, k: (torch.tanh(x) * (1 - k)).sum(1),
        numbers, "has input k inverted|only torch subtracts from 1",
    ),
    "a time for a rate": (
        lambda x, t: jnp.exp(-x * t), lambda x, t: torch.exp(-x / t), scales,
        "has the reciprocal of input t$|jax multiplies .*, torch divides",
    ),
    "a mean for a rate": (
        lambda x, t: jnp.log(t) - t * x, lambda x, t: -torch.log(t) - x / t, scales,
        "has the reciprocal of input t$",
    ),
    "a temperature": (
        lambda x, t: jax.nn.softmax(x / t, 0), lambda x, t: torch.softmax(x * t, 0), scales,
        "has the reciprocal of input t$|jax divides .*, torch multiplies",
    ),
    "a precision": (
        lambda x, s: jnp.einsum("ni,ij,nj->n", x, s, x),
        lambda x, s: torch.einsum("ni,ij,nj->n", x, torch.linalg.inv(s), x), positive,
        "has the inverse of the matrix s",
    ),
    "several matrices": (
        lambda x, s: jnp.einsum("bij,bj->bi", s, x), lambda x, s: torch.linalg.solve(s, x),
        stacked, "has the inverse of the matrix s",
    ),
    "a determinant": (
        lambda x, s: (x @ s).sum() - jnp.linalg.slogdet(s)[1],
        lambda x, s: (x @ s.inverse()).sum() + torch.linalg.slogdet(s)[1], positive,
        "has the inverse of the matrix s",
    ),
}  # fmt: skip

TOGETHER = {
    "a table of phases": (
        mixed(jnp, jnp.concatenate, lambda t: jnp.concatenate([t, t], -1)),
        mixed(torch, torch.cat, lambda t: t.repeat_interleave(2, -1)),
        {"x": (5, 8), "t": (5, 4)},
        "what cos makes .* interleaved in 2 along axis 1",
    ),
    "a table of phases, and halves of x": (
        mixed(jnp, jnp.concatenate, lambda t: jnp.concatenate([t, t], -1),
              lambda x: jnp.split(x, 2, -1)),
        mixed(torch, torch.cat, lambda t: t.repeat_interleave(2, -1),
              lambda x: x.chunk(2, -1)),
        {"x": (5, 8), "t": (5, 4)},
        "what cos makes .* interleaved in 2 along axis 1",
    ),
    "a repeated table": (
        rotated(jnp, jnp.concatenate, lambda a: jnp.tile(a, (1, 2))),
        rotated(torch, torch.cat, lambda a: a.repeat_interleave(2, 1)),
        {"x": (3, 6), "p": (3,)},
        "jax tiles axis 1 .* torch repeats each",
    ),
    "waves of two kinds": (
        waved(jnp, lambda parts: jnp.stack(parts, -1).reshape(3, 8)),
        waved(torch, lambda parts: torch.cat(parts, -1)),
        {"x": (3, 8), "w": (3, 4)},
        "without moving its axes",
    ),
    "waves in the other order": (
        waved(jnp, lambda parts: jnp.concatenate(parts, -1)),
        waved(torch, lambda parts: torch.cat(parts[::-1], -1)),
        {"x": (3, 8), "w": (3, 4)},
        "jax puts .*sin.* and .*cos.* together .*, torch .*cos.* and .*sin",
    ),
    "a cell's input and state": (
        lambda x, h, w: jnp.tanh(jnp.concatenate([x, h], 1) @ w),
        lambda x, h, w: torch.tanh(torch.cat([h, x], 1) @ w),
        {"x": (3, 2), "h": (3, 5), "w": (7, 4)}, r"jax puts x and h together .*, torch h and x",
    ),
    "three parts": (
        lambda x, h: jnp.cumsum(jnp.concatenate([x, h, h * h], 1), 1),
        lambda x, h: torch.cat([h, h * h, x], 1).cumsum(1),
        {"x": (3, 2), "h": (3, 3)},
        "jax puts x, h and .* together .*, torch h, .* and x",
    ),
    "a correlation": (
        lambda z, w: jnp.fft.ifft(jnp.fft.fft(z)[:, None] * jnp.fft.fft(w, axis=0).conj(), axis=0),
        lambda z, w: torch.fft.ifft(torch.fft.fft(z)[:, None] * torch.fft.fft(w, dim=0), dim=0),
        waves, "only jax takes conj",
    ),
    "a matched filter": (
        lambda z, w: jnp.abs((jnp.exp(z).conj() + z) @ w),
        lambda z, w: ((torch.exp(z) + z) @ w).abs(),
        waves, "only jax takes conj",
    ),
    "a density": (
        lambda z, w: (z * (z @ w).sum()) * jnp.conj(z @ w).sum(),
        lambda z, w: (z * (z @ w).sum()) * (z @ w).sum(), waves,
        "only jax takes conj",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(INVERTED, "a mask that fills"))
def test_an_input_that_means_its_opposite_is_named(name):
    assert_named(*INVERTED[name])


@pytest.mark.parametrize("name", few(TOGETHER, "a cell's input and state"))
def test_what_is_put_together_otherwise_is_named(name):
    assert_named(*TOGETHER[name])


def hidden(rng):
    mask = rng.random((4, 4)) < 0.6
    mask[:, 0] = True
    mask[2] = False
    return {"x": rng.normal(size=(3, 4)), "v": rng.normal(size=(4, 3)), "mask": mask}


def over(where, reduced, otherwise):
    """Something of the numbers that a row lets through, or else something of all of them."""

    def forward(x, v, mask):
        whole = v @ x
        return where(mask.any(1), reduced(where(mask, whole, -30.0)), otherwise(whole))

    return forward


DEAD = {
    "zeros for a mean": (
        lambda x, v, mask: jax.nn.softmax(jnp.where(mask, v @ x, -1e30), -1) @ v,
        lambda x, v, mask: (
            (v @ x).exp() * mask / ((v @ x).exp() * mask).sum(1, keepdim=True).clamp(1e-9)
        ) @ v,
    ),
    "the largest of all": (
        over(jnp.where, lambda y: y.max(1), lambda y: y.min(1)),
        over(torch.where, lambda y: y.amax(1), lambda y: y.amax(1)),
    ),
    "the softest maximum": (
        over(jnp.where, lambda y: jax.nn.logsumexp(y, 1), lambda y: jnp.sin(y).sum(1)),
        over(torch.where, lambda y: y.logsumexp(1), lambda y: y[:, 0]),
    ),
    "another norm": (
        over(jnp.where, lambda y: jnp.tanh(y).sum(1), lambda y: (y * y).sum(1)),
        over(torch.where, lambda y: y.tanh().sum(1), lambda y: y.abs().sum(1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(DEAD, "another norm"))
def test_rows_of_a_mask_that_let_nothing_through_are_named(name):
    assert_named(*DEAD[name], hidden, "only where a row of mask lets nothing through", 0.1)


def assert_named(jax_side, torch_side, inputs, says, budget=60.0):
    pair = Pair(jax=jax_side, torch=torch_side, inputs=inputs)
    report = check(pair, dtypes=["float64"], budget=budget)
    said = [c.sentence for row in report.rows for c in row.causes]
    assert str(report.verdict) == "convention", report.text()
    assert any(re.search(says, sentence) for sentence in said), report.text()
