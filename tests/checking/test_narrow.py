"""Code that writes float32 into its middle: its mathematics is judged, and its accuracy.

The expectations were written before the code was run on them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jax import lax

from parity import Pair, UsageError, check
from tests.shared.sampled import few

INPUTS = {"x": (5, 6), "w": (6,)}


def rms_up(x, w):
    h = x.astype(jnp.float32)
    h = h * lax.rsqrt((h * h).mean(-1, keepdims=True) + 1e-6)
    return h.astype(x.dtype) * w


def rms(x, w, eps=1e-6):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * w


def rms_up_torch(x, w):
    return rms(x.float(), 1.0).to(x.dtype) * w


def rows(report, dtype):
    return [row for row in report.rows if row.dtype == dtype]


def test_a_side_that_upcasts_is_the_same_mathematics_and_less_accurate_in_float64():
    report = check(Pair(jax=rms_up, torch=rms, inputs=INPUTS))
    assert report
    assert {str(row.verdict) for row in rows(report, "float32")} == {"rounding"}
    out = rows(report, "float64")[0]
    assert (str(out.verdict), out.odd) == ("less accurate", ("jax",))
    assert "jax goes on in float32" in out.reason
    assert "at test_narrow.py:21" in out.reason
    assert "torch" not in out.reason


def test_where_both_upcast_both_are_said_to():
    report = check(Pair(jax=rms_up, torch=rms_up_torch, inputs=INPUTS), dtypes=["float64"])
    assert report
    assert {row.odd for row in report.rows} == {("jax", "torch")}


def test_a_fault_beside_an_upcast_is_found():
    pair = Pair(jax=rms_up, torch=lambda x, w: rms(x, w, 1e-5), inputs=INPUTS)
    report = check(pair, dtypes=["float64"])
    assert report.verdict == "convention"
    assert "epsilon = 1e-5" in report.summary()


def test_a_wrong_gradient_behind_an_upcast_is_found():
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.float().exp().to(x.dtype)

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    pair = Pair(
        jax=lambda x: jnp.exp(x.astype(jnp.float32)).astype(x.dtype),
        torch=Doubled.apply,
        inputs={"x": (3, 4)},
    )
    report = check(pair, dtypes=["float64"], budget=0)
    assert (report.verdict, report.fault()) == ("different", "fault: torch")


def test_a_detour_through_bfloat16_is_named_and_fails_only_where_accuracy_must_not_be_lost():
    pair = Pair(
        jax=lambda x, w: x @ w,
        torch=lambda x, w: x.bfloat16().to(x.dtype) @ w,
        inputs={"x": (5, 7), "w": (7, 3)},
    )
    report = check(pair)
    assert report
    assert report.exit_code(strict=True) == 1
    assert {(str(row.verdict), row.odd) for row in report.sections[0].forward} == {
        ("less accurate", ("torch",))
    }


TABLE = np.array([0.1, -1e9, 3.3], np.float32)
ARRAY, BUFFER = jnp.asarray(TABLE), torch.tensor(TABLE)

PORTS = {
    "attention": (
        jax.nn.dot_product_attention,
        lambda q, k, v: F.scaled_dot_product_attention(
            *(x.transpose(1, 2) for x in (q, k, v))
        ).transpose(1, 2),
        dict.fromkeys("qkv", (2, 3, 2, 4)),
    ),
    "a mask made in float32": (
        lambda x: x * (x > 0).astype(jnp.float32),
        lambda x: x * (x > 0).float(),
        {"x": (3, 4)},
    ),
    "nothing is lost": (
        lambda x: x.astype(jnp.float32).astype(x.dtype),
        lambda x: x.float().to(x.dtype),
        {"x": (3, 4)},
    ),
    "resized": (
        lambda x: jax.image.resize(x, (6, 8), "nearest"),
        lambda x: F.interpolate(x[None, None], size=(6, 8), mode="nearest")[0, 0],
        {"x": (3, 4)},
    ),
    "places": (
        lambda x: x + jnp.linspace(0, 1, 4),
        lambda x: x + torch.linspace(0, 1, 4),
        {"x": (3, 4)},
    ),
    "a float32 table, made inside": (
        lambda x: x * TABLE,
        lambda x: x * torch.tensor(TABLE),
        {"x": (3,)},
    ),
    "a float32 buffer": (
        lambda x: x + ARRAY.astype(x.dtype),
        lambda x: x + BUFFER.detach(),
        {"x": (3,)},
    ),
    "autocast": (lambda x: x @ x.T, None, {"x": (3, 4)}),
}


def autocast(x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (x @ x.T).to(x.dtype)


@pytest.mark.parametrize("name", PORTS)
def test_real_code_passes_against_a_plain_port(name):
    one, other, inputs = PORTS[name]
    report = check(
        Pair(jax=one, torch=other or autocast, inputs=inputs), dtypes=["float64"], budget=0
    )
    assert report, report.text()


def multiplied(x):
    return lax.reduce(x.astype(jnp.float32), np.float32(1), lambda a, b: a * b + 0.1 * a, (0,))


def called_back(x):
    like = jax.ShapeDtypeStruct((4,), np.float32)
    return jax.pure_callback(lambda x: np.prod(x, 0), like, x.astype(jnp.float32))


@pytest.mark.parametrize(
    ("function", "name"),
    few([(multiplied, "reduce"), (called_back, "pure_callback")], (multiplied, "reduce")),
)
def test_what_cannot_be_widened_is_one_sentence_with_the_line(function, name):
    line = (
        rf"{name} at test_narrow\.py:\d+ computes in a narrower float .*; give it the inputs' dtype"
    )
    pair = Pair(jax=function, torch=lambda x: x.prod(0), inputs={"x": (3, 4)}, forward_only=True)
    with pytest.raises(UsageError, match=line):
        check(pair, dtypes=["float64"], budget=0)
