"""Slips in rules by hand: operands, labels, the gradient from above, letters and axes.

Every expectation was written before the code was run on it.
"""

import re

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from parity import Pair, Rule, check
from tests.shared.sampled import few

# --- arrays that only the forward makes ---


def gelu_mlp(x, w, v):
    h = x @ w
    a = h * torch.sigmoid(1.702 * h)
    return a @ v, (x, w, v)


def gelu_mlp_back(saved, g):
    x, w, v = saved
    h = x @ w
    s = torch.sigmoid(1.702 * h)
    dh = (g @ v.T) * (s + 1.702 * h * s * (1 - s))
    return dh @ w.T, x.T @ dh, h.T @ g


def gated(x, w, v):
    return (F.silu(x @ w) * (x @ v)).sum(-1), (x, w, v)


def gated_back(saved, g):
    x, w, v = saved
    a, b = x @ w, x @ v
    s = torch.sigmoid(a)
    da = g[:, None] * b * s * (1 + a * (1 - s))
    db = g[:, None] * a
    return da @ w.T + db @ v.T, x.T @ da, x.T @ db


def normed(x, w):
    r = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
    return (x * r) @ w, (x, w, r)


def normed_back(saved, g):
    x, w, r = saved
    d = g @ w.T
    dx = r * d - x * r**3 * (d * x).mean(-1, keepdim=True)
    return dx, x.T @ g


def softmaxed(x, v):
    p = torch.softmax(x, -1)
    return p @ v, (x, v)


def softmaxed_back(saved, g):
    x, v = saved
    p = torch.softmax(x, -1)
    d = g @ v.T
    return p * (d - (d * p).sum(-1, keepdim=True)), x.T @ g


# --- wrong where an integer says so ---


def hinge(x, y):
    s = 2 * y - 1
    return torch.relu(1 - s * x), (x, y)


def hinge_back(saved, g):
    x, y = saved
    s = 2 * y - 1
    return -g * (1 - s * x > 0), None


def crossed(x, y):
    p = torch.softmax(x, -1)
    return -torch.log(p[torch.arange(len(y)), y]), (p, y)


def crossed_back(saved, g):
    p, y = saved
    d = p.clone()
    d[torch.arange(len(y)), torch.where(y == 1, 0, y)] -= 1
    return d * g[:, None], None


def summed(x, ids):
    out = torch.zeros(4, dtype=x.dtype).index_add(0, ids, x * x)
    return out, (x, ids)


def summed_back(saved, g):
    x, ids = saved
    count = torch.bincount(ids, minlength=4)
    return 2 * x * (g / count.clamp(min=1))[ids], None


def picked(table, ids):
    return torch.tanh(table[ids]), (table, ids)


def picked_back(saved, g):
    table, ids = saved
    d = torch.zeros_like(table)
    d[ids] = g * (1 - torch.tanh(table[ids]) ** 2)
    return d, None


# --- the gradient from above ---


def squares(x):
    return (x * x).mean(1), x


def squares_first(x, g):
    return (2 * x * g[0] / x.shape[1],)


def distances(x, y):
    return ((x - y) ** 2).sum(1), (x, y)


def distances_first(saved, g):
    x, y = saved
    d = 2 * (x - y)
    return d * g[0], -d * g[:, None]


def columns(x):
    return jnp.sin(x).sum(0), x


def columns_first(x, g):
    return (jnp.cos(x) * g[0],)


# --- letters and axes ---


def bilinear(x, w, y):
    return torch.einsum("bi,kij,bj->bk", x, w, y), (x, w, y)


def bilinear_back(saved, g):
    x, w, y = saved
    dx = torch.einsum("bk,kij,bj->bi", g, w, y)
    dw = torch.einsum("bk,bi,bj->kji", g, x, y)
    return dx, dw, torch.einsum("bk,kij,bi->bj", g, w, x)


def outer(q, k):
    return jnp.einsum("bqd,bkd->bqk", q, k), (q, k)


def outer_back(saved, g):
    q, k = saved
    return jnp.einsum("bqk,bkd->bqd", g, k), jnp.einsum("bkq,bqd->bkd", g, q)


def centred(x):
    return x - x.mean((0, 2), keepdim=True), x


def centred_back(x, g):
    return (g - g.mean(0, keepdim=True),)


def scaled_channels(x, s):
    return x * s[None, :, None], (x, s)


def scaled_channels_back(saved, g):
    x, s = saved
    return g * s[None, :, None], (g * x).sum((1, 2))


def integers(**arrays):
    return lambda rng: {
        name: (rng.normal(size=x) if isinstance(x, tuple) else np.array(x))
        for name, x in arrays.items()
    }


NAMED = {
    "an activation forgotten": (
        Pair(torch=Rule(gelu_mlp, gelu_mlp_back), inputs={"x": (4, 3), "w": (3, 5), "v": (5, 2)}),
        r"reads `.*\(?h \* s\)?\.T @ g",
    ),
    "a gate without its activation": (
        Pair(torch=Rule(gated, gated_back), inputs={"x": (4, 3), "w": (3, 5), "v": (3, 5)}),
        r"reads `db = g\[:, None\] \* a \* s|reads `db = .*a \* s|reads `db = .*s \* a",
    ),
    "a scale forgotten": (
        Pair(torch=Rule(normed, normed_back), inputs={"x": (4, 3), "w": (3, 2)}),
        r"reads `return \(?dx, \(?x \* r\)?\.T @ g|reads `.*\(r \* x\)\.T @ g|reads `.*\(x \* r\)",
    ),
    "scores for probabilities": (
        Pair(torch=Rule(softmaxed, softmaxed_back), inputs={"x": (4, 3), "v": (3, 2)}),
        r"reads `.*, p\.T @ g",
    ),
    "a sign of the label": (
        Pair(torch=Rule(hinge, hinge_back), inputs=integers(x=(6,), y=[0, 1, 1, 0, 1, 0])),
        r"y|s",
    ),
    "one class alone": (
        Pair(torch=Rule(crossed, crossed_back),
             inputs=integers(x=(6, 3), y=[0, 1, 2, 1, 0, 2])),
        r"exactly where y is 1|y == 1|y = 1",
    ),
    "divided by how often": (
        Pair(torch=Rule(summed, summed_back),
             inputs=integers(x=(7,), ids=[0, 1, 1, 2, 2, 2, 3])),
        r"ids repeats|count",
    ),
    "the last of equals": (
        Pair(torch=Rule(picked, picked_back),
             inputs=integers(table=(4, 2), ids=[0, 1, 1, 3, 2, 3])),
        r"only the last use is kept|rows that ids reads more than once",
    ),
    "the first of a mean": (
        Pair(torch=Rule(squares, squares_first), inputs={"x": (4, 3)}), r"g\[:, None\]",
    ),
    "the first in one input": (
        Pair(torch=Rule(distances, distances_first), inputs={"x": (4, 3), "y": (4, 3)}),
        r"g\[:, None\]",
    ),
    "the first column's": (
        Pair(jax=Rule(columns, columns_first), inputs={"x": (4, 3)}),
        r"cos\(x\) \* g`|g\[None\]|its first slice of axis 0 is taken for all",
    ),
    "letters of the result": (
        Pair(torch=Rule(bilinear, bilinear_back),
             inputs={"x": (4, 3), "w": (2, 3, 3), "y": (4, 3)}),
        r"->kij|transposed|axes",
    ),
    "letters of an operand": (
        Pair(jax=Rule(outer, outer_back), inputs={"q": (2, 3, 4), "k": (2, 3, 4)}),
        r"bqk,bqd->bkd",
    ),
    "one axis for two": (
        Pair(torch=Rule(centred, centred_back), inputs={"x": (3, 4, 2)}), r"\(0, 2\)",
    ),
    "other axes of a sum": (
        Pair(torch=Rule(scaled_channels, scaled_channels_back), inputs={"x": (3, 3, 3), "s": (3,)}),
        r"\(0, 2\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(NAMED, "one class alone"))
def test_the_slip_is_named(name):
    pair, says = NAMED[name]
    report = check(pair, dtypes=["float64"])
    assert report.verdict == "different", report.text()
    assert report.fault().endswith(".rule"), report.text()
    said = [c.sentence for row in report.rows for c in row.causes]
    assert any(re.search(says, sentence) for sentence in said), report.text()
