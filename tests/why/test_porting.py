"""What ports of layers get wrong: paddings, activations, arrangements, inputs that are not used.

Each is named, and what is true by an accident of the numbers is not.
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
from tests.shared.port_mistakes import LUCKY
from tests.shared.sampled import few

IMAGE = {"x": (1, 2, 6, 6), "w": (2, 2, 3, 3)}
LAYERS = {"x": (4, 3), "w": (5, 3), "v": (2, 5)}


def convolved(padding, stride=1, dilation=1):
    return lambda x, w: lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
    )


def two_layers(activation):
    return lambda x, w, v: activation(x @ w.T) @ v.T


def attended(q, k, v):
    weights = jax.nn.softmax(jnp.einsum("bshd,bthd->bhst", q, k), -1)
    return jnp.einsum("bhst,bthd->bshd", weights, v)


def attended_heads_first(q, k, v):
    return torch.einsum("bhsd,bhtd->bhst", q, k).softmax(-1) @ v


def gated(m, sigmoid, split, order):
    def run(x, h, wi, wh, b):
        gates = split(x @ wi.T + h @ wh.T + b)
        i, f, g = (gates[k] for k in order)
        return sigmoid(f) * h + sigmoid(i) * m.tanh(g)

    return run


SEQUENTIAL = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3)).double()


def modules(x, w, b):
    given = {"0.weight": w, "0.bias": b}
    return torch.func.functional_call(SEQUENTIAL, given, (x,))


def modules_with_another_eps(x, w, b):
    y = x @ w.T + b
    y = y - y.mean(-1, keepdims=True)
    return y / jnp.sqrt((y * y).mean(-1, keepdims=True) + 1e-3)


NAMED = {
    "SAME for symmetric": (
        Pair(
            jax=convolved("SAME", stride=2),
            torch=lambda x, w: F.conv2d(x, w, stride=2, padding=1),
            inputs=IMAGE,
        ),
        r"padding \(1, 1\) for padding \(0, 1\) at",
    ),
    "a dilation": (
        Pair(
            jax=convolved("SAME"),
            torch=lambda x, w: F.conv2d(x, w, padding=2, dilation=2),
            inputs=IMAGE,
        ),
        r"dilation 2 for 1, and padding \(2, 2\) for padding \(1, 1\)",
    ),
    "circular padding": (
        Pair(
            jax=convolved("SAME"),
            torch=lambda x, w: F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), w),
            inputs=IMAGE,
        ),
        "padding with circular values for padding with zeros",
    ),
    "convolution for correlation": (
        Pair(
            jax=lambda x, w: jnp.convolve(x, w, "same"),
            torch=lambda x, w: F.conv1d(x[None, None], w[None, None], padding=1)[0, 0],
            inputs={"x": (9,), "w": (3,)},
        ),
        "the kernel turned round",
    ),
    "antialias": (
        Pair(
            jax=lambda x: jax.image.resize(x, (1, 1, 3, 3), "bilinear", antialias=False),
            torch=lambda x: F.interpolate(x, (3, 3), mode="bilinear", antialias=True),
            inputs={"x": (1, 1, 7, 7)},
        ),
        "antialias=False for antialias=True",
    ),
    **{
        f"a cubic from {size} to {new}": (
            Pair(
                jax=lambda x, n=new: jax.image.resize(x, (1, 1, *n), "cubic"),
                torch=lambda x, n=new: F.interpolate(x, n, mode="bicubic"),
                inputs={"x": (1, 1, *size)},
            ),
            "with it the cubic's coefficient -0.5 for -0.75",
        )
        for size, new in [((4, 4), (8, 8)), ((7, 7), (3, 3)), ((5, 4), (7, 9)), ((6, 5), (4, 10))]
    },
    "gelu for silu": (
        Pair(jax=two_layers(jax.nn.silu), torch=two_layers(F.gelu), inputs=LAYERS),
        "jax has silu .*, torch gelu",
    ),
    "an activation by hand": (
        Pair(
            jax=two_layers(jax.nn.relu),
            torch=two_layers(lambda h: h * torch.sigmoid(1.702 * h)),
            inputs=LAYERS,
        ),
        r"jax has relu .*, torch x sigmoid\(1.702 x\)",
    ),
    "the axes of three inputs": (
        Pair(
            jax=attended,
            torch=attended_heads_first,
            inputs={name: (2, 3, 3, 2) for name in "qkv"},
        ),
        r"inputs q, k and v are each with its axes in the order \[0, 2, 1, 3\]",
    ),
    "the gates of three inputs": (
        Pair(
            jax=gated(jnp, jax.nn.sigmoid, lambda y: jnp.split(y, 3, -1), (0, 1, 2)),
            torch=gated(torch, torch.sigmoid, lambda y: y.chunk(3, -1), (1, 2, 0)),
            inputs={"x": (3, 2), "h": (3, 2), "wi": (6, 2), "wh": (6, 2), "b": (6,)},
        ),
        r"inputs wi, wh and b are each with its 3 blocks in the order",
    ),
    "an input that is not used": (
        Pair(
            jax=lambda x, w, b: x @ w.T,
            torch=F.linear,
            inputs={"x": (4, 3), "w": (2, 3), "b": (2,)},
        ),
        "^the jax side does not use b$",
    ),
    "an input that is not used, and eps": (
        Pair(
            jax=lambda x, w: (
                (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-3)
            ),
            torch=lambda x, w: F.layer_norm(x, (5,), w, None, 1e-5),
            inputs={"x": (4, 5), "w": (5,)},
        ),
        "torch side has ones for w and eps = 0.001",
    ),
    "a negative index": (
        Pair(
            jax=lambda x, i: jnp.tanh(jnp.zeros(4, x.dtype).at[i].add(x)),
            torch=lambda x, i: torch.tanh(
                torch.zeros(4, dtype=x.dtype).index_add(0, i[i >= 0], x[i >= 0])
            ),
            inputs=lambda rng: {"x": rng.normal(size=5), "i": np.array([0, 1, -1, 3, 1])},
        ),
        "a negative index out of range for one counted from the end",
    ),
    "a line of torch's own module": (
        Pair(
            jax=modules_with_another_eps,
            torch=modules,
            inputs={"x": (4, 3), "w": (3, 3), "b": (3,)},
        ),
        r"test_porting.py:\d+ \(1, LayerNorm\)",
    ),
    "a bias in one operation": (
        Pair(
            jax=lambda x, w, b: x @ w.T + 0 * b,
            torch=F.linear,
            inputs={"x": (4, 3), "w": (2, 3), "b": (2,)},
        ),
        "the torch side adds no bias, addmm",
    ),
}


def named(pair):
    report = check(pair, dtypes=["float64"])
    assert str(report.verdict) == "convention", report.text()
    assert not any("please report" in note for note in report.notes), report.notes
    return [c.sentence for row in report.rows for c in row.causes], report


QUICK = (
    "gelu for silu",
    "an input that is not used",
)


@pytest.mark.parametrize("name", few(NAMED, *QUICK))
def test_what_a_port_has_otherwise_is_named(name):
    pair, says = NAMED[name]
    said, report = named(pair)
    assert any(re.search(says, sentence) for sentence in said), report.text()


@pytest.mark.full
def test_an_order_of_rows_that_is_lucky_is_not_named():
    """With two ignored rows moved into the other half, the mean of means is the mean."""
    said, report = named(LUCKY)
    assert not said, report.text()


def test_an_input_that_is_written_through_a_view_is_used():
    """Circular padding copies x into views of a new tensor: its program does not read it."""
    pair = Pair(
        jax=lambda x: x.sum(2),
        torch=lambda x: F.pad(x, (1, 1), mode="circular").sum(2),
        inputs={"x": (2, 3, 4)},
    )
    said, report = named(pair)
    assert not any("does not use" in sentence for sentence in said), report.text()


def test_a_layout_does_not_stop_a_search_where_another_changed_the_shape():
    def rotated(m, cat, full):
        def run(x, theta):
            whole = full(theta)
            a, b = x[:, :4], x[:, 4:]
            return x * m.cos(whole) + cat([-b, a]) * m.sin(whole)

        return run

    pair = Pair(
        jax=rotated(jnp, lambda z: jnp.concatenate(z, -1), lambda t: jnp.concatenate([t, t], -1)),
        torch=rotated(torch, lambda z: torch.cat(z, -1), lambda t: t.repeat_interleave(2, -1)),
        inputs={"x": (5, 8), "theta": (5, 4)},
    )
    named(pair)


@pytest.mark.full
def test_aligned_corners_are_not_called_a_filter():
    """Its other operation takes no notice of them, and would match where nothing is filtered."""
    pair = Pair(
        jax=lambda x: jax.image.resize(x, (1, 2, 6, 6), "bilinear"),
        torch=lambda x: F.interpolate(x, (6, 6), mode="bilinear", align_corners=True),
        inputs={"x": (1, 2, 3, 3)},
    )
    report = check(pair, dtypes=["float64"])
    said = [cause.sentence for row in report.rows for cause in row.causes]
    assert any("align_corners = False" in sentence for sentence in said), report.text()
    assert not any("antialias" in sentence for sentence in said)
