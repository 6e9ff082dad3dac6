"""Code as it is written elsewhere, float32 in its middle, against plain ports: right, and at fault.

Every expectation, and every fault, was written before the code was run on it.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as F
from jax import lax

from parity import Pair, check
from tests.shared.sampled import few


def attention(q, k, v, scale=0.5):
    p = torch.softmax(torch.einsum("blhd,bmhd->bhlm", q, k) * scale, -1)
    return torch.einsum("bhlm,bmhd->blhd", p, v)


def flax_norm(x, w):
    return nn.RMSNorm(epsilon=1e-6).apply({"params": {"scale": w}}, x)


def llama_norm(x, w, eps=1e-6):
    h = x.to(torch.float32)
    return w * (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


def t5_norm(x, w):
    h = x.astype(jnp.float32)
    return (h * lax.rsqrt(jnp.mean(jnp.square(h), -1, keepdims=True) + 1e-6) * w).astype(x.dtype)


def plain_norm(x, w, mean=torch.mean):
    return x / torch.sqrt(mean(x * x, -1, keepdim=True) + 1e-6) * w


def rotary(x, base=10000.0):
    """As in transformers: the phases in float32, whatever is given."""
    inverse = 1.0 / (base ** (torch.arange(0, 8, 2, dtype=torch.int64).float() / 8))
    phases = torch.arange(5).float()[:, None] * inverse
    both = torch.cat((phases, phases), -1)
    turned = torch.cat((-x[..., 4:], x[..., :4]), -1)
    return x * both.cos().to(x.dtype) + turned * both.sin().to(x.dtype)


def rotary_jax(x):
    a = jnp.arange(5.0)[:, None] * 10000.0 ** (-jnp.arange(4) / 4)
    u, v = x[..., :4], x[..., 4:]
    c, s = jnp.cos(a), jnp.sin(a)
    return jnp.concatenate([u * c - v * s, v * c + u * s], -1).astype(x.dtype)


SLOPES = [2.0 ** (-8 * (i + 1) / 6) for i in range(6)]


def alibi(scores, slopes=None):
    slopes = torch.tensor(SLOPES) if slopes is None else slopes
    far = torch.arange(4)[None, :] - torch.arange(4)[:, None]
    return torch.softmax(scores + slopes[:, None, None] * far, -1)


def alibi_jax(scores):
    far = jnp.arange(4)[None, :] - jnp.arange(4)[:, None]
    slopes = jnp.array(SLOPES, jnp.float32)
    return jax.nn.softmax(scores + slopes[:, None, None] * far, -1).astype(scores.dtype)


def resized(x, mode="nearest"):
    return F.interpolate(x[None, None], size=(6, 8), mode=mode)[0, 0]


def stepped(make):
    def run(p, grads):
        p = torch.nn.Parameter(p.detach().clone())
        optimizer = make([p])
        for g in grads:
            p.grad = g.clone()
            optimizer.step()
        return p.detach()

    return run


def adamw(p, grads):
    m = v = jnp.zeros_like(p)
    for t, g in enumerate(grads, 1):
        p = p - 0.01 * 0.1 * p
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - 0.01 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p


def nadam(p, grads):
    m = v = jnp.zeros_like(p)
    product = 1.0
    for t, g in enumerate(grads, 1):
        now, after = (0.9 * (1 - 0.5 * 0.96 ** (0.004 * s)) for s in (t, t + 1))
        product *= now
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        size = jnp.sqrt(v / (1 - 0.999**t)) + 1e-8
        p = p - 0.01 * ((1 - now) / (1 - product) * g + after / (1 - product * after) * m) / size
    return p


def autocast(x, w, b, bias=True):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return torch.tanh(F.linear(x, w, b if bias else None)).to(x.dtype)


STEPS = {"p": (6,), "grads": (3, 6)}
BLOCK = {"x": (5, 8), "w": (6, 8), "b": (6,)}
NORM = {"x": (4, 8), "w": (8,)}

REAL = {
    "dot_product_attention": (
        jax.nn.dot_product_attention,
        attention,
        lambda q, k, v: attention(q, k, v, 0.25),
        dict.fromkeys("qkv", (2, 3, 2, 4)),
    ),
    "flax's norm": (flax_norm, plain_norm, llama_norm, NORM),
    "transformers' norm": (t5_norm, llama_norm, lambda x, w: llama_norm(x, w, 1e-5), NORM),
    "rotary": (rotary_jax, rotary, lambda x: rotary(x, 500.0), {"x": (2, 5, 8)}),
    "alibi": (
        alibi_jax,
        alibi,
        lambda s: alibi(s, torch.tensor(SLOPES[::-1])),
        {"scores": (6, 4, 4)},
    ),
    "nearest": (
        lambda x: jax.image.resize(x, (6, 8), "nearest"),
        resized,
        lambda x: resized(x, "bilinear"),
        {"x": (3, 4)},
    ),
    "linspace": (
        lambda x: x + jnp.linspace(-1, 1, 7),
        lambda x: x + torch.linspace(-1, 1, 7),
        lambda x: x + torch.linspace(-1, 1, 8)[:-1],
        {"x": (3, 7)},
    ),
    "AdamW": (
        adamw,
        stepped(lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1)),
        stepped(lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1)),
        STEPS,
    ),
    "NAdam": (
        nadam,
        stepped(lambda p: torch.optim.NAdam(p, 0.01)),
        stepped(lambda p: torch.optim.NAdam(p, 0.01, momentum_decay=0.04)),
        STEPS,
    ),
    "det": (
        jnp.linalg.det,
        lambda x: torch.linalg.det(x.float()).to(x.dtype),
        lambda x: torch.linalg.det(x.float() + 1e-4).to(x.dtype),
        {"x": (4, 4)},
    ),
    "autocast": (
        lambda x, w, b: jnp.tanh(x @ w.T + b),
        autocast,
        lambda x, w, b: autocast(x, w, b, bias=False),
        BLOCK,
    ),
}
FAULTY = {"flax's norm": (flax_norm, lambda x, w: plain_norm(x, w, torch.sum))}


def judged(one, other, inputs):
    return check(Pair(jax=one, torch=other, inputs=inputs), budget=0)


@pytest.mark.parametrize("name", few(REAL, "rotary"))
def test_right_ports_pass_and_only_what_narrows_loses_digits(name):
    one, other, _, inputs = REAL[name]
    report = judged(one, other, inputs)
    assert report, report.text()
    lost = {corner.split()[0] for row in report.rows for corner in row.odd}
    assert lost <= {one.side for one in report.sections[0].converted}, report.text()


def test_a_table_held_in_float32_is_named_and_nothing_differs():
    report = judged(alibi_jax, alibi, {"scores": (6, 4, 4)})
    lost = [row for row in report.rows if row.verdict == "less accurate"]
    assert {(row.dtype, row.odd) for row in lost} == {("float64", ("jax",))}
    assert "jax has a table at test_real_code.py:" in lost[0].reason


@pytest.mark.parametrize("name", few(REAL, "alibi"))
def test_one_real_fault_is_found(name):
    one, _, other, inputs = REAL[name]
    one, other = FAULTY.get(name, (one, other))
    report = judged(one, other, inputs)
    assert report.verdict in ("convention", "different"), report.text()
