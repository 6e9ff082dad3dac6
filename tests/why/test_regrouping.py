"""Rotations of pairs written in every way, and tables: what each side has is named, with lines."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax

from parity import Pair, check
from tests.shared.sampled import few

INPUTS = {"x": (2, 3, 4), "w": (4, 4)}


def angles(m, q):
    t, d = q.shape[-2:]
    own = {} if m is jnp else {"dtype": q.dtype}
    frequencies = 1.0 / 10000 ** (m.arange(0, d, 2, **own) / d)
    return m.arange(t, **own)[:, None] * frequencies


def turned(q1, q2, a, m):
    return q1 * m.cos(a) - q2 * m.sin(a), q2 * m.cos(a) + q1 * m.sin(a)


def halves_jax(x, w):
    q = x @ w
    q1, q2 = q[..., :2], q[..., 2:]
    return jnp.concatenate(turned(q1, q2, angles(jnp, q), jnp), -1)


def split_jax(x, w):
    q1, q2 = jnp.split(x @ w, 2, -1)
    return jnp.concatenate(turned(q1, q2, angles(jnp, x @ w), jnp), -1)


def rotate_half_jax(x, w):
    q = x @ w
    a = jnp.concatenate([angles(jnp, q)] * 2, -1)
    r = jnp.concatenate([-q[..., 2:], q[..., :2]], -1)
    return q * jnp.cos(a) + r * jnp.sin(a)


def neighbours_jax(x, w):
    q = x @ w
    return jnp.stack(turned(q[..., ::2], q[..., 1::2], angles(jnp, q), jnp), -1).reshape(q.shape)


def neighbours_torch(x, w):
    q = x @ w
    return torch.stack(turned(q[..., ::2], q[..., 1::2], angles(torch, q), torch), -1).flatten(-2)


def complex_torch(x, w):
    q = x @ w
    a = angles(torch, q)
    pairs = torch.view_as_complex(q.reshape(*q.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(a), a)).flatten(-2)


def rotate_half_torch(x, w):
    q = x @ w
    a = torch.cat([angles(torch, q)] * 2, -1)
    r = torch.cat([-q[..., 2:], q[..., :2]], -1)
    return q * a.cos() + r * a.sin()


def turned_back_torch(x, w):
    q = x @ w
    q1, q2 = q.chunk(2, -1)
    a = angles(torch, q)
    return torch.cat([q1 * a.cos() + q2 * a.sin(), q2 * a.cos() - q1 * a.sin()], -1)


def shifted(numbers):
    return lambda x, w: torch.tanh((x - torch.tensor(numbers, dtype=x.dtype)) @ w)


NAMED = {
    "halves and neighbours": (halves_jax, neighbours_torch, "jax .*2 apart.*torch neighbours"),
    "split and neighbours": (split_jax, neighbours_torch, "jax .*2 apart.*torch neighbours"),
    "rotate_half and complex numbers": (rotate_half_jax, complex_torch, "torch neighbours"),
    "neighbours and rotate_half": (neighbours_jax, rotate_half_torch, "jax takes neighbours"),
    "turned back": (halves_jax, turned_back_torch, r"jax subtracts and adds .*torch adds and sub"),
    "another table": (
        lambda x, w: jnp.tanh((x - jnp.array([0.4, 0.3, 0.2, 0.1])) @ w),
        shifted([0.4, 0.3, 0.1, 0.2]),
        r"jax subtracts \[0\.4, 0\.3, 0\.2, \.\.\.\].*torch subtracts \[0\.4, 0\.3, 0\.1, \.\.\.\]",
    ),
    "one number for a table": (
        lambda x, w: jnp.tanh((x - jnp.array([0.4, 0.3, 0.2, 0.1])) @ w),
        shifted([0.5, 0.5, 0.5, 0.5]),
        r"torch subtracts \[0\.5, 0\.5, 0\.5",
    ),
}


@pytest.mark.parametrize("name", few(NAMED, "another table"))
def test_what_each_side_has_is_named(name):
    jax_side, torch_side, says = NAMED[name]
    report = check(Pair(jax=jax_side, torch=torch_side, inputs=INPUTS), dtypes=["float64"])
    first = report.rows[0].causes[0].sentence
    assert re.search(says, first), report.text()
    assert "test_regrouping.py:" in first


def averaged(m, x):
    state, before, after = 0 * x[0], [], []
    for row in x:
        before.append(state)
        state = 0.8 * state + m.sin(row)
        after.append(state)
    return m.stack(before), m.stack(after)


@pytest.mark.full
def test_a_state_before_and_after_a_turn():
    def scanned(x):
        return lax.scan(lambda s, row: (0.8 * s + jnp.sin(row), s), 0 * x[0], x)[1]

    for way, ahead in ((1, "torch"), (0, "")):
        pair = Pair(jax=scanned, torch=lambda x: averaged(torch, x)[way], inputs={"x": (5, 3)})  # noqa: B023
        said = [c.sentence for row in check(pair, dtypes=["float64"]).rows for c in row.causes]
        assert any(f"{ahead} is that of jax a row further along axis 0" in s for s in said) == bool(
            ahead
        )


@pytest.mark.full
def test_a_number_of_a_loss_is_no_bias():
    pair = Pair(
        jax=lambda x, y: jnp.mean(
            jnp.where(jnp.abs(x - y) < 1, (x - y) ** 2 / 2, jnp.abs(x - y) - 0.5)
        ),
        torch=lambda x, y: torch.nn.functional.smooth_l1_loss(x, y, beta=0.5),
        inputs={"x": (3, 4), "y": np.zeros((3, 4), np.float32)},
    )
    report = check(pair, dtypes=["float64"])
    assert "beta = 1 (torch side has 0.5" in report.summary()
