"""Ties, clips and hinges as code has them, with right values on both sides and with wrong ones.

Every expectation was written before the code was run on it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jax import lax

from parity import Pair, check
from tests.shared.sampled import few


def fixed(**arrays):
    return lambda rng: {name: np.array(x) for name, x in arrays.items()}


def whole(**shapes):
    """Floats that are small whole numbers, so that many are equal."""
    return lambda rng: {k: rng.integers(-1, 3, shape) * 1.0 for k, shape in shapes.items()}


def wasserstein(m):
    def distance(x, y):
        return m.abs(m.sort(x) - m.sort(y)).mean()

    return distance


def wasserstein_torch(x, y):
    d = x.sort().values - y.sort(descending=True).values.flip(0)
    return torch.where(d >= 0, d, -d).mean()


def hardest(x, y):
    """The farthest of the same class, the nearest of another, a margin of 1."""
    d = jnp.abs(x[:, None] - x[None]).sum(-1)
    same = y[:, None] == y[None]
    near = jnp.where(same, jnp.inf, d).min(1)
    return jnp.maximum(jnp.where(same, d, 0.0).max(1) - near + 1, 0)


def hardest_torch(x, y):
    d = (x[:, None] - x[None]).abs().sum(-1)
    same = y[:, None] == y[None]
    far = d.masked_fill(~same, 0.0).sort(1).values[:, -1]
    near = d.masked_fill(same, torch.inf).sort(1).values[:, 0]
    return F.relu(far - near + 1)


def running_maximum(x):
    def body(h, row):
        h = jnp.maximum(h, row)
        return h, h

    return lax.scan(body, x[0], x[1:])[1]


def segments(x, i):
    return jax.ops.segment_max(x, i, 3) - jax.ops.segment_min(x, i, 3)


def segments_torch(x, i):
    def of(how):
        return torch.zeros(3, dtype=x.dtype).scatter_reduce(0, i, x, how, include_self=False)

    return of("amax") - of("amin")


def simplex(x):
    """Projection onto the simplex: a threshold from the sorted numbers."""
    u = jnp.sort(x)[::-1]
    above = (jnp.cumsum(u) - 1) / jnp.arange(1, x.size + 1)
    size = (u > above).sum()
    return jnp.maximum(x - above[size - 1], 0)


def simplex_torch(x):
    u = x.sort(descending=True).values
    above = (u.cumsum(0) - 1) / torch.arange(1, x.numel() + 1)
    size = (u > above).sum()
    return (x - above[size - 1]).clamp(min=0)


RIGHT = {
    "a running maximum": (
        lambda x: lax.cummax(x, 1), lambda x: x.cummax(1).values, whole(x=(3, 6)),
    ),
    "a maximum in a scan": (
        running_maximum, lambda x: x.cummax(0).values[1:], whole(x=(5, 3)),
    ),
    "the distance of two samples": (
        wasserstein(jnp), wasserstein_torch, whole(x=(7,), y=(7,)),
    ),
    "two pools": (
        lambda x, y: x.reshape(4, 2).max(1) - 2 * y.reshape(4, 2).max(1),
        lambda x, y: (
            F.max_pool1d(x[None], 2) - 2 * F.max_pool1d(y.flip(0)[None], 2).flip(1)
        )[0],
        whole(x=(8,), y=(8,)),
    ),
    "two clips": (
        lambda x: 2 * jnp.clip(x + 1, -1, 1) - jnp.clip(x - 1, -1, 1),
        lambda x: 2 * (x + 1).clamp(-1, 1) - F.hardtanh(x - 1),
        fixed(x=[0.0, 1.0, -2.0, 2.0, 0.5]),
    ),
    "relu6": (
        lambda x: jnp.minimum(jnp.maximum(x, 0), 6), F.relu6, fixed(x=[0.0, 6.0, 3.0, -1.0, 7.0]),
    ),
    "range of a segment": (segments, segments_torch, lambda rng: {
        "x": rng.integers(0, 2, 9) * 1.0, "i": np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])}),
    "a lower median": (
        lambda x: jnp.quantile(x, 0.5, axis=1, method="lower"), lambda x: x.median(1).values,
        whole(x=(4, 6)),
    ),
    "the largest size": (
        lambda x: jnp.linalg.norm(x, jnp.inf, axis=1),
        lambda x: torch.maximum(x.amax(1), (-x).amax(1)),
        fixed(x=[[2.0, -2.0, 1.0, 2.0], [0.5, 0.25, -0.5, -0.5]]),
    ),
    "the best of equal columns": (
        lambda x, w: lax.top_k(x @ w, 2)[0],
        lambda x, w: (x @ w).sort(1).values[:, -2:].flip(1),
        lambda rng: {"x": rng.normal(size=(3, 4)),
                     "w": np.repeat(rng.integers(-2, 3, (4, 2)) * 1.0, 3, 1)},
    ),
    "the hardest of a batch": (
        hardest, hardest_torch,
        lambda rng: {"x": rng.permutation(6)[:, None] * 1.0, "y": np.array([0, 0, 1, 1, 2, 2])},
    ),
    "a projection": (simplex, simplex_torch, fixed(x=[0.5, 0.5, -0.25, -0.25, -1.0])),
    "total variation": (
        lambda x: jnp.abs(jnp.diff(x)).sum(),
        lambda x: torch.where(x.diff() >= 0, x.diff(), -x.diff()).sum(),
        fixed(x=[1.0, 1.0, 2.0, 2.0, 2.0, 0.0]),
    ),
    "a median of rows under vmap": (
        jax.vmap(lambda x: jnp.sort(x)[2] - jnp.sort(x)[0]),
        torch.vmap(lambda x: x.kthvalue(3).values - x.amin()),
        whole(x=(3, 5)),
    ),
}  # fmt: skip


def judged(jax_side, torch_side, inputs, dtype="float64"):
    report = check(Pair(jax=jax_side, torch=torch_side, inputs=inputs), dtypes=[dtype], budget=0)
    return str(report.verdict), report


@pytest.mark.parametrize("name", few(RIGHT, "two clips"))
def test_right_values_pass(name):
    found, report = judged(*RIGHT[name])
    assert found in ("kink", "rounding", "identical"), report.text()


@pytest.mark.full
@pytest.mark.parametrize("name", ["a running maximum", "relu6", "two pools"])
def test_right_values_pass_in_bfloat16(name):
    found, report = judged(*RIGHT[name], "bfloat16")
    assert found in ("kink", "rounding", "identical"), report.text()


def spoiled(forward, backward):
    """A torch function with a gradient of our own: backward(dout, *inputs)."""

    class Spoiled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            ctx.save_for_backward(*inputs)
            return forward(*inputs)

        @staticmethod
        def backward(ctx, dout):
            return backward(dout, *ctx.saved_tensors)

    return Spoiled.apply


def everyone(dout, x):
    """Each of the equal ones gets all of the gradient, not a share."""
    found = torch.zeros_like(x)
    for k in range(x.shape[1]):
        seen = x[:, : k + 1]
        found[:, : k + 1] += (seen == seen.amax(1, keepdim=True)) * dout[:, k : k + 1]
    return found


def nobody(dout, x):
    """Equal neighbours of a sorted array get nothing."""
    found = torch.zeros_like(x).scatter(0, x.argsort(), dout)
    return found * torch.tensor([(x == v).sum() == 1 for v in x])


WRONG = {
    "a running maximum": (
        RIGHT["a running maximum"][0], spoiled(lambda x: x.cummax(1).values, everyone),
        fixed(x=[[1.0, 1.0, 2.0, 2.0]]),
    ),
    "a sort": (
        lambda x: jnp.sort(x), spoiled(lambda x: x.sort().values, nobody),
        fixed(x=[1.0, 3.0, 1.0, 2.0, 1.0]),
    ),
    "relu6": (
        jax.nn.relu6,
        spoiled(F.relu6, lambda dout, x: dout * ((x > 0) & (x < 6)) - dout * (x == 6)),
        fixed(x=[0.5, 6.0, 3.0, -1.0, 7.0]),
    ),
    "a clip": (
        lambda x: jnp.clip(x, -1, 1),
        spoiled(lambda x: x.clamp(-1, 1), lambda dout, x: dout * ((x.abs() < 1) + 2 * (x == -1))),
        fixed(x=[-1.0, 0.5, -2.0, 1.5]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(WRONG, "a sort"))
def test_wrong_values_do_not(name):
    found, report = judged(*WRONG[name])
    assert (found, report.fault()) == ("different", "fault: torch"), report.text()


SMOOTH = {
    "a cross entropy of logits, by its formula": (
        lambda x, y: jax.nn.softplus(x) - x * y,
        lambda x, y: F.relu(x) - x * y + torch.log1p(torch.exp(-x.abs())),
        "torch", fixed(x=[0.0, 1.0, -2.0, 0.0], y=[1.0, 0.0, 1.0, 0.0]),
    ),
    "the same with a clamp": (
        lambda x, y: jax.nn.softplus(x) - x * y,
        lambda x, y: x.clamp(min=0) - x * y + torch.log1p(torch.exp(-x.abs())),
        "torch", fixed(x=[0.0, 1.0, -2.0, 0.0], y=[1.0, 0.0, 1.0, 0.0]),
    ),
    "log cosh": (
        lambda x: 2 * jax.nn.relu(x) - x + jnp.log1p(jnp.exp(-2 * jnp.abs(x))),
        lambda x: torch.logaddexp(x, -x), "jax", fixed(x=[0.0, 1.0, -2.0]),
    ),
    "sine over its angle": (
        jnp.sinc, lambda x: torch.where(x == 0, 1.0, torch.sin(torch.pi * x) / (torch.pi * x)),
        "torch", fixed(x=[0.0, 0.5, -1.25]),
    ),
    "products up to here, by logarithms": (
        lambda x: jnp.cumprod(x), lambda x: torch.exp(torch.cumsum(torch.log(x), 0)),
        "torch", fixed(x=[0.5, 0.0, 3.0, 2.0]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(SMOOTH, "products up to here, by logarithms"))
def test_a_smooth_point_is_not_called_a_kink(name):
    jax_side, torch_side, side, inputs = SMOOTH[name]
    found, report = judged(jax_side, torch_side, inputs)
    assert (found, report.fault()) == ("different", f"fault: {side}"), report.text()
    assert "a kink" not in report.text()
    assert "zeros would pass" not in report.text()
