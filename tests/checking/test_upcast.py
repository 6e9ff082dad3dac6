"""Half precision, with an upcast on one side or on both: the side that lacks it is named.

The pairs were written, with what is expected of them, before the code was run on them.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax
from rich.console import Console

from parity import Pair, check
from tests.shared.sampled import few

PLACES = np.array([0, 1, 17, 63, 255], np.int32)


def jnarrow(x):
    return x


def jwide(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def tnarrow(x):
    return x


def twide(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


def rotary_j(up, x):
    f = up(
        (100.0 ** (-jnp.arange(0, 4) / 4)).astype(x.dtype)
        if up is jnarrow
        else 100.0 ** (-jnp.arange(0, 4, dtype=jwide(x).dtype) / 4)
    )
    a = jnp.asarray(PLACES)[:, None].astype(f.dtype) * f
    c, s = jnp.cos(a).astype(x.dtype), jnp.sin(a).astype(x.dtype)
    u, v = jnp.split(x, 2, -1)
    return jnp.concatenate([u * c - v * s, v * c + u * s], -1)


def rotary_t(up, x):
    f = 100.0 ** (-torch.arange(0, 4, dtype=up(x).dtype) / 4)
    a = torch.tensor(PLACES)[:, None].to(f.dtype) * f
    c, s = a.cos().to(x.dtype), a.sin().to(x.dtype)
    u, v = x.chunk(2, -1)
    return torch.cat([u * c - v * s, v * c + u * s], -1)


def softmax_j(up, x):
    h = up(x) * 7.3
    e = jnp.exp(h - h.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(x.dtype)


def softmax_t(up, x):
    h = up(x) * 7.3
    e = (h - h.amax(-1, keepdim=True)).exp()
    return (e / e.sum(-1, keepdim=True)).to(x.dtype)


def layer_norm_j(up, x):
    h = up(x) + 32
    h = h - h.mean(-1, keepdims=True)
    return (h * lax.rsqrt((h * h).mean(-1, keepdims=True) + 1e-5)).astype(x.dtype)


def layer_norm_t(up, x):
    h = up(x) + 32
    h = h - h.mean(-1, keepdim=True)
    return (h * torch.rsqrt((h * h).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


def doubt_j(up, x):
    h = up(x) * 13.7
    return jnp.log(jnp.exp(h - h.max(-1, keepdims=True)).sum(-1)).astype(x.dtype)


def doubt_t(up, x):
    h = up(x) * 13.7
    return (h - h.amax(-1, keepdim=True)).exp().sum(-1).log().to(x.dtype)


def timestep_j(up, t):
    f = jnp.exp(-jnp.arange(4, dtype=up(t).dtype) * 1.3)
    a = up(t)[:, None] * 100 * f
    return jnp.concatenate([jnp.sin(a), jnp.cos(a)], -1).astype(t.dtype)


def timestep_t(up, t):
    f = torch.exp(-torch.arange(4, dtype=up(t).dtype) * 1.3)
    a = up(t)[:, None] * 100 * f
    return torch.cat([a.sin(), a.cos()], -1).to(t.dtype)


def distance_j(up, x, y):
    x, y, kept = up(x) + 8, up(y) + 8, x.dtype
    return ((x * x).sum(-1)[:, None] + (y * y).sum(-1) - 2 * x @ y.T).astype(kept)


def distance_t(up, x, y):
    x, y, kept = up(x) + 8, up(y) + 8, x.dtype
    return ((x * x).sum(-1)[:, None] + (y * y).sum(-1) - 2 * x @ y.T).to(kept)


def decay_j(up, x, g):
    total = jnp.cumsum(-jnp.log1p(jnp.exp(up(g))), 0)
    return (jnp.exp(total) * x).astype(x.dtype)


def decay_t(up, x, g):
    total = torch.cumsum(-torch.log1p(torch.exp(up(g))), 0)
    return (torch.exp(total) * x).to(x.dtype)


def variance_j(up, x):
    h = up(x) + 4
    return ((h * h).mean(-1) - h.mean(-1) ** 2).astype(x.dtype)


def variance_t(up, x):
    h = up(x) + 4
    return ((h * h).mean(-1) - h.mean(-1) ** 2).to(x.dtype)


def average_j(up, x):
    def body(h, one):
        return h * 0.984375 + one * 0.015625, None

    return lax.scan(body, jnp.zeros_like(up(x[0])), up(x))[0].astype(x.dtype)


def average_t(up, x):
    h = torch.zeros_like(up(x[0]))
    for one in up(x):
        h = h * 0.984375 + one * 0.015625
    return h.to(x.dtype)


def slopes_j(up, x):
    far = jnp.abs(jnp.arange(32)[:, None] - jnp.arange(32))
    scores = up(x) - 0.3 * far.astype(up(x).dtype)
    return jnp.exp(scores - scores.max(-1, keepdims=True)).astype(x.dtype)


def slopes_t(up, x):
    far = (torch.arange(32)[:, None] - torch.arange(32)).abs()
    scores = up(x) - 0.3 * far.to(up(x).dtype)
    return torch.exp(scores - scores.amax(-1, keepdim=True)).to(x.dtype)


FUNCTIONS = {
    "rotary": (rotary_j, rotary_t, {"x": (5, 8)}),
    "softmax": (softmax_j, softmax_t, {"x": (4, 6)}),
    "layer norm": (layer_norm_j, layer_norm_t, {"x": (4, 16)}),
    "doubt": (doubt_j, doubt_t, {"x": (4, 6)}),
    "timestep": (timestep_j, timestep_t, {"t": (6,)}),
    "distance": (distance_j, distance_t, {"x": (4, 6), "y": (5, 6)}),
    "decay": (decay_j, decay_t, {"x": (24, 3), "g": (24, 3)}),
    "variance": (variance_j, variance_t, {"x": (4, 24)}),
    "average": (average_j, average_t, {"x": (48, 3)}),
    "slopes": (slopes_j, slopes_t, {"x": (32, 32)}),
}
LOSES = dict(zip(FUNCTIONS, 5 * ["torch", "jax"], strict=True))
"""Which side lacks the upcast."""


def pair(name, jax_up, torch_up):
    one, other, inputs = FUNCTIONS[name]
    return Pair(jax=partial(one, jax_up), torch=partial(other, torch_up), inputs=inputs)


EACH = [(name, dtype) for name in FUNCTIONS for dtype in ("bfloat16", "float16")]


@pytest.mark.parametrize(("name", "dtype"), few(EACH, ("rotary", "bfloat16")))
def test_the_side_that_lacks_the_upcast_is_named(name, dtype):
    loses = LOSES[name]
    ups = (jnarrow, twide) if loses == "jax" else (jwide, tnarrow)
    report = check(pair(name, *ups), dtypes=[dtype], budget=0)
    assert report.verdict == "less accurate", report.text()
    lost = [row for row in report.rows if row.verdict == "less accurate"]
    assert {c.split()[0] for row in lost for c in row.odd} == {loses}, report.text()
    assert any(f"{dtype} on the {loses} side, test_upcast.py:" in r.reason for r in lost)


@pytest.mark.parametrize(("name", "dtype"), few(EACH, ("variance", "float16")))
def test_where_both_upcast_it_is_rounding(name, dtype):
    report = check(pair(name, jwide, twide), dtypes=[dtype], budget=0)
    assert report.verdict in ("rounding", "identical"), report.text()


def test_where_each_side_goes_on_in_another_float_is_listed():
    def one(x):
        x = jnp.tanh(x.astype(jnp.float32)).astype(x.dtype)
        return jnp.sin(x.astype(jnp.float32)).astype(x.dtype) * 2

    def other(x):
        x = torch.tanh(x.float()).to(x.dtype)
        return torch.sin(x) * torch.full((3,), 2, dtype=torch.bfloat16)

    both = Pair(jax=one, torch=other, inputs={"x": (2, 3)}, forward_only=True)
    report = check(both, dtypes=["bfloat16", "float64"], budget=0)
    listed = report.as_dict()["sections"][0]["converted"]
    told = [(x["dtype"], x["side"], x["line"], x["from"], x["to"], x["both"]) for x in listed]
    first, second, tanh, sin = (
        f"test_upcast.py:{function.__code__.co_firstlineno + line}"
        for function in (one, other)
        for line in (1, 2)
    )
    assert told == [
        ("bfloat16", "jax", first, "bfloat16", "float32", True),
        ("bfloat16", "jax", first, "float32", "bfloat16", True),
        ("bfloat16", "jax", second, "bfloat16", "float32", False),
        ("bfloat16", "jax", second, "float32", "bfloat16", False),
        ("bfloat16", "torch", tanh, "bfloat16", "float32", True),
        ("bfloat16", "torch", tanh, "float32", "bfloat16", True),
        ("float64", "jax", first, "float64", "float32", True),
        ("float64", "jax", second, "float64", "float32", False),
        ("float64", "torch", tanh, "float64", "float32", True),
        ("float64", "torch", sin, "", "bfloat16", False),
    ]
    console = Console(width=120, color_system=None)
    with console.capture() as captured:
        report.show(console, verbose=True)
    assert "goes on in another float" in captured.get()
    assert first in captured.get()
    assert first not in report.text().splitlines()[-1]


def test_the_better_side_is_held_to_its_own_bound():
    """A fault that the other side's rounding would hide, in half precision alone."""

    def faulty(fault, x):
        return variance_t(twide, x) * (1 + fault if x.dtype == torch.bfloat16 else 1)

    pairs = [
        Pair(jax=partial(variance_j, jnarrow), torch=partial(faulty, fault), inputs={"x": (4, 24)},
             forward_only=True)
        for fault in (0.0, 0.25)
    ]  # fmt: skip
    fine, wrong = (
        check(pair, dtypes=["bfloat16"], budget=0).sections[0].forward[0] for pair in pairs
    )
    assert fine.odd == ("jax", "jax eager")
    assert "torch" in wrong.odd
