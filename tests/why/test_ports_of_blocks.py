"""Ports of blocks with one thing otherwise: an option, several inputs at once, one not used.

Every expectation was written before the code was run on it, but for a moment, a warm-up, an image.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jax import lax

from parity import Pair, check
from tests.shared.sampled import few


def pooled(x, padding):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 3, 3), (1, 1, 2, 2), padding)


def convolved(x, w):
    return lax.conv_general_dilated(x, w, (1,), "SAME", dimension_numbers=("NCH", "OIH", "NCH"))


def perceptron(activation):
    return lambda x, w, v: activation(x @ w) @ v


def lstm(m, sigmoid, split, order):
    def run(x, h, c, wi, wh, bi, bh):
        gates = split(x @ wi.T + bi + h @ wh.T + bh)
        i, f, g, o = (gates[k] for k in order)
        c = sigmoid(f) * c + sigmoid(i) * m.tanh(g)
        return sigmoid(o) * m.tanh(c), c

    return run


def three(m):
    def run(x, a, b, c):
        return m.tanh(m.tanh(x @ a) @ b) @ c

    return run


def three_turned(x, a, b, c):
    return F.linear(F.linear(F.linear(x, a).tanh(), b).tanh(), c)


def streams(m, mean):
    def run(x, y, z):
        return mean(m.tanh(x)) + 2 * mean(m.sin(y)) - mean(z * z)

    return run


class Tower(torch.nn.Module):
    """Layers that share one line of the user's code."""

    def __init__(self, last):
        super().__init__()
        self.layers = torch.nn.ModuleList(
            [torch.nn.SiLU(), torch.nn.Tanh(), last, torch.nn.Sigmoid()]
        )

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def tower(x, slope=0.01):
    h = jnp.tanh(jax.nn.silu(x))
    return jax.nn.sigmoid(jax.nn.leaky_relu(h, slope))


def corrected(p, g, t):
    m, v = 0.1 * g, 0.01 * g * g
    m, v = (x / (1 - b ** t.astype(g.dtype)) for x, b in ((m, 0.9), (v, 0.99)))
    return p - 0.1 * m / (jnp.sqrt(v) + 1e-8)


TOWER = Tower(torch.nn.LeakyReLU())
SEQUENCE = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ELU())

NAMED = {
    "a pool padded at its end": (
        lambda x: pooled(x, "SAME"), lambda x: F.max_pool2d(x, 3, 2, padding=1),
        {"x": (1, 2, 6, 6)}, r"padding \(1, 1\) for padding \(0, 1\)|padding",
    ),
    "reflected ends": (
        convolved, lambda x, w: F.conv1d(F.pad(x, (1, 1), mode="reflect"), w),
        {"x": (1, 2, 6), "w": (3, 2, 3)}, "reflect",
    ),
    "a hard activation": (
        perceptron(jax.nn.sigmoid), perceptron(F.hardsigmoid),
        {"x": (4, 3), "w": (3, 5), "v": (5, 2)},
        "jax has sigmoid .*, torch hardsigmoid",
    ),
    "gates of four inputs": (
        lstm(jnp, jax.nn.sigmoid, lambda y: jnp.split(y, 4, -1), (0, 1, 2, 3)),
        lstm(torch, torch.sigmoid, lambda y: y.chunk(4, -1), (0, 1, 3, 2)),
        {"x": (3, 2), "h": (3, 2), "c": (3, 2), "wi": (8, 2), "wh": (8, 2), "bi": (8,),
         "bh": (8,)},
        "inputs wi, wh, bi and bh are each with its 4 blocks|blocks of .*array.* in the order",
    ),
    "three square weights": (
        three(jnp), three_turned, {"x": (4, 3), "a": (3, 3), "b": (3, 3), "c": (3, 3)},
        "inputs a, b and c are each transposed",
    ),
    "channels of three streams": (
        streams(jnp, lambda x: x.mean(1)), streams(torch, lambda x: x.mean(2)),
        {name: (2, 3, 3) for name in "xyz"}, r"inputs x, y and z are each .*\[0, 2, 1\]",
    ),
    "a scale that is not used": (
        lambda x, w, s: x + jnp.tanh(x @ w), lambda x, w, s: x + s * torch.tanh(x @ w),
        {"x": (4, 3), "w": (3, 3), "s": (3,)}, "^the jax side does not use s$",
    ),
    "a leaf that is not used": (
        lambda p, x: jnp.tanh(x @ p["w"] + p["b"]), lambda p, x: torch.tanh(x @ p["w"]),
        {"p": {"w": (3, 2), "b": (2,)}, "x": (4, 3)}, r"^the torch side does not use p\['b'\]$",
    ),
    "a mask that is not used": (
        lambda q, k, m: jax.nn.softmax(q @ k.T) @ k,
        lambda q, k, m: torch.softmax(q @ k.T + m, -1) @ k,
        {"q": (4, 3), "k": (4, 3), "m": (4, 4)}, "^the jax side does not use m$",
    ),
    "the bias of a convolution": (
        lambda x, w, b: convolved(x, w) + 0 * b[:, None],
        lambda x, w, b: F.conv1d(x, w, b, padding=1),
        {"x": (1, 2, 6), "w": (3, 2, 3), "b": (3,)}, "b",
    ),
    "a covariance of a sample": (
        lambda x: jnp.cov(x.T, bias=True), lambda x: torch.cov(x.T), {"x": (7, 3)},
        r"n/\(n - 1\)|ddof|correction|divisor = 6|Bessel",
    ),
    "a scatter of a sample": (
        lambda x: jnp.einsum("ni,nj->ij", x - x.mean(0), x - x.mean(0)) / 7,
        lambda x: (x - x.mean(0)).T @ (x - x.mean(0)) / 6, {"x": (7, 3)},
        r"divisor = 6|n/\(n - 1\)|Bessel",
    ),
    "a slope inside a tower": (
        lambda x: tower(x, 0.2),
        lambda x: TOWER(x), {"x": (4, 3)},
        r"test_ports_of_blocks.py:\d+ \(layers.2, LeakyReLU\)",
    ),
    "an alpha in a sequence": (
        lambda x: jnp.where(jnp.sin(x) > 0, jnp.sin(x), 0.5 * jnp.expm1(jnp.sin(x))),
        lambda x: SEQUENCE(x.sin()),
        {"x": (4, 3)}, r"\(1, ELU\)",
    ),
    "no correction of a moment": (
        corrected, lambda p, g, t: p - 0.1 * (0.1 * g) / ((0.01 * g * g).sqrt() + 1e-8),
        lambda rng: {"p": rng.normal(size=4), "g": rng.normal(size=4), "t": np.array(3)},
        "corrects no bias: it does not divide by 1 - b",
    ),
    "no warm-up": (
        lambda x, n: x - jnp.where(n < 10, n / 10, 1.0) * jnp.sin(x),
        lambda x, n: x - torch.sin(x),
        lambda rng: {"x": rng.normal(size=4), "n": np.array(3)}, "^the torch side does not use n$",
    ),
    "an image unfiltered": (
        lambda x: jax.image.resize(x, (1, 1, 3, 4), "linear"),
        lambda x: F.interpolate(x, (3, 4), mode="bilinear"), {"x": (1, 1, 8, 9)},
        "antialias=True for antialias=False",
    ),
    "keys in another order": (
        lambda x: {"z": jnp.tanh(x) / 3, "n": jnp.argmax(x, 1), "a": x.sum(0)},
        lambda x: {"a": x.sum(0), "z": x.tanh() / 4, "n": x.argmax(1)}, {"x": (3, 4)},
        r"= 4 \(jax side has 3|= 3 \(torch side has 4",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(NAMED, "a leaf that is not used"))
def test_what_is_otherwise_is_named(name, capfd):
    jax_side, torch_side, inputs, says = NAMED[name]
    report = check(Pair(jax=jax_side, torch=torch_side, inputs=inputs), dtypes=["float64"])
    assert report.verdict == "convention", report.text()
    assert not any("please report" in note for note in report.notes), report.notes
    assert capfd.readouterr().err == ""  # XLA says what it thinks of a program there
    said = [c.sentence for row in report.rows for c in row.causes]
    assert any(re.search(says, sentence) for sentence in said), report.text()
    assert not any("threshold = inf" in s or "bound = " in s for s in said), report.text()


# --- layouts of which one changes a shape: no search may end in an error ---


def turned(m, cat, full):
    def run(x, t):
        h = full(t)
        return cat([x[:, 3:] * m.cos(h), x[:, :3] * m.sin(h)])

    return run


CROOKED = {
    "a table of other rows": (
        turned(jnp, lambda p: jnp.concatenate(p, 1), lambda t: jnp.repeat(t, 2, 0)),
        turned(torch, lambda p: torch.cat(p, 1), lambda t: t.repeat(2, 1)),
        {"x": (4, 6), "t": (2, 3)},
    ),
    "an outer product the other way": (
        lambda x, t: jnp.outer(x, t).reshape(2, 6).cumsum(1),
        lambda x, t: torch.outer(t, x).reshape(2, 6).cumsum(0),
        {"x": (3,), "t": (4,)},
    ),
    "patches in another order": (
        lambda x, t: x.reshape(2, 3, 2, 4).transpose(0, 2, 1, 3).reshape(4, 12) @ t,
        lambda x, t: x.reshape(2, 3, 2, 4).permute(2, 0, 3, 1).reshape(4, 12) @ t,
        {"x": (6, 8), "t": (12, 5)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(CROOKED))
def test_no_layout_ends_a_search(name, capfd):
    jax_side, torch_side, inputs = CROOKED[name]
    pair = Pair(jax=jax_side, torch=torch_side, inputs=inputs)
    report = check(pair, dtypes=["float64"], budget=10)
    assert report.verdict == "convention", report.text()
    assert not any("please report" in note for note in report.notes), report.notes
    assert capfd.readouterr().err == ""  # XLA says what it thinks of a program there
