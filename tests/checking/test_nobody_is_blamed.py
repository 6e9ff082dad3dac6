"""What a framework does not differentiate, estimators, infinities and orders: nobody is blamed.

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


def judged(jax_side, torch_side, inputs, budget=0, dtypes=("float64",)):
    pair = Pair(jax=jax_side, torch=torch_side, inputs=inputs)
    return check(pair, dtypes=list(dtypes), budget=budget)


def fixed(**arrays):
    return lambda rng: {name: np.array(x) for name, x in arrays.items()}


# --- no gradient in the framework ---


def classes(rng):
    return {"x": rng.normal(size=(5, 3)), "y": rng.integers(0, 3, 5), "w": rng.uniform(0.5, 2, 3)}


def weighted(x, y, w):
    each = -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1)[:, 0] * w[y]
    return each.sum() / w[y].sum()


def rmsprop(p, g):
    v = 0.99 * 0 + 0.01 * g["w"] ** 2, 0.01 * g["b"] ** 2
    return {
        "w": p["w"] - 0.1 * g["w"] / (jnp.sqrt(v[0]) + 1e-8),
        "b": p["b"] - 0.1 * g["b"] / (jnp.sqrt(v[1]) + 1e-8),
    }


def rmsprop_torch(p, g):
    own = {k: torch.nn.Parameter(x.detach().clone()) for k, x in p.items()}
    for k, x in own.items():
        x.grad = g[k].clone()
    torch.optim.RMSprop(own.values(), 0.1).step()
    return {k: x.detach() for k, x in own.items()}


def shadow_torch(old, x):
    old = old.clone()
    with torch.no_grad():
        old.mul_(0.9).add_(x, alpha=0.1)
    return old.detach()


@torch.inference_mode()
def inferred(old, x):
    return torch.lerp(old, x, 0.1)


def trained(w, b, x):
    """A step of gradient descent as a loop has it: backward, then the data in place."""
    w, b = (p.detach().clone().requires_grad_() for p in (w, b))
    with torch.enable_grad():
        torch.tanh(x.detach() @ w + b).sum().backward()
    w.data.sub_(w.grad, alpha=0.1)
    b.data.sub_(b.grad, alpha=0.1)
    return w.detach(), b.detach()


def trained_jax(w, b, x):
    g = jax.grad(lambda w, b: jnp.tanh(x @ w + b).sum(), (0, 1))(w, b)
    return w - 0.1 * g[0], b - 0.1 * g[1]


def positive(rng):
    return {"a": rng.uniform(0.5, 3, 4), "x": rng.uniform(0.5, 3, 4)}


UNGRADED = {
    "weights of classes": (
        weighted, lambda x, y, w: F.cross_entropy(x, y, weight=w), classes, {"x"},
    ),
    "an incomplete gamma function": (
        jax.scipy.special.gammainc, torch.special.gammainc, positive, {"x"},
    ),
    "statistics of an instance norm": (
        lambda x, m, v: (x - m[:, None]) / jnp.sqrt(v[:, None] + 1e-5),
        lambda x, m, v: F.instance_norm(x, m, v, use_input_stats=False),
        lambda rng: {"x": rng.normal(size=(2, 3, 4)), "m": rng.normal(size=3),
                     "v": rng.uniform(0.5, 2, 3)}, {"x"},
    ),
    "a shadow in place": (
        lambda old, x: 0.9 * old + 0.1 * x, shadow_torch, {"old": (4,), "x": (4,)}, set(),
    ),
    "inference": (
        lambda old, x: 0.9 * old + 0.1 * x, inferred, {"old": (4,), "x": (4,)}, set(),
    ),
    "an optimizer of a dictionary": (
        rmsprop, rmsprop_torch,
        {"p": {"w": (3, 2), "b": (2,)}, "g": {"w": (3, 2), "b": (2,)}}, set(),
    ),
    "a step by its data": (trained_jax, trained, {"w": (3, 2), "b": (2,), "x": (4, 3)}, set()),
    "where to put it": (
        lambda x, e: jnp.searchsorted(jnp.sort(e), x), lambda x, e: torch.bucketize(x, e.sort()[0]),
        {"x": (5,), "e": (4,)}, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(UNGRADED, "inference"))
def test_what_torch_has_no_gradient_of_is_compared_without(name):
    jax_side, torch_side, inputs, graded = UNGRADED[name]
    report = judged(jax_side, torch_side, inputs)
    assert report.verdict in ("identical", "rounding", "less accurate"), report.text()
    if graded is not None:
        assert {row.name for section in report.sections for row in section.gradients} == graded


@pytest.mark.full
def test_a_wrong_step_of_a_dictionary_is_found():
    def wrong(p, g):
        return rmsprop_torch(p, {"w": g["w"], "b": -g["b"]})

    report = judged(rmsprop, wrong, UNGRADED["an optimizer of a dictionary"][2])
    assert report.verdict == "convention", report.text()


# --- conventions about gradients ---

STOP = lax.stop_gradient


def hard(x, noise):
    soft = jax.nn.softmax((x + noise) / 0.5, -1)
    one = jax.nn.one_hot(soft.argmax(-1), 4, dtype=x.dtype)
    return STOP(one - soft) + soft


def hard_torch(x, noise):
    return F.one_hot(((x + noise) / 0.5).softmax(-1).argmax(-1), 4).to(x.dtype) + 0 * x


def quantised(x, s):
    return jnp.clip(jnp.round(x / s), -8, 7) * s


def quantised_torch(x, s):
    whole = (x / s).clamp(-8, 7)
    return (whole + (whole.round() - whole).detach()) * s


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, g):
        return g


@jax.custom_vjp
def sign(x):
    return jnp.sign(x)


sign.defvjp(lambda x: (jnp.sign(x), x), lambda x, g: (g * (jnp.abs(x) < 1),))


ESTIMATES = {
    "hard choices": (hard, hard_torch, {"x": (3, 4), "noise": (3, 4)}, "jax"),
    "quantised by hand": (
        quantised, quantised_torch, fixed(x=[0.31, -1.27, 0.9, 2.2], s=0.25), "torch",
    ),
    "the best two": (
        lambda x: (x >= lax.top_k(x, 2)[0][:, -1:]).astype(x.dtype) + 0 * x,
        lambda x: (
            ((x >= x.topk(2).values[:, -1:]).to(x.dtype) - x.sigmoid()).detach() + x.sigmoid()
        ),
        {"x": (3, 5)}, "torch",
    ),
    "a rule that rounds": (
        lambda x: jnp.round(3 * x) / 3, lambda x: Rounded.apply(3 * x) / 3, {"x": (4,)}, "torch",
    ),
    "a rule for a sign": (sign, torch.sign, {"x": (4,)}, "jax"),
}  # fmt: skip


@pytest.mark.parametrize("name", few(ESTIMATES, "a rule that rounds"))
def test_who_is_meant_by_an_estimator_is_not_known(name):
    jax_side, torch_side, inputs, side = ESTIMATES[name]
    report = judged(jax_side, torch_side, inputs)
    assert report.verdict == "different"
    fault = report.fault()
    assert fault.startswith(f"fault: undecided; {side} "), report.text()
    assert fault.endswith("on purpose, and who is meant is unknown")


def test_a_rule_that_forgets_a_mask_is_still_blamed():
    """Its gradient is wrong exactly where the function does not move; elsewhere it does."""

    class Forgetful(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return F.relu(x)

        @staticmethod
        def backward(ctx, g):
            return g

    report = judged(jax.nn.relu, Forgetful.apply, fixed(x=[0.5, -1.0, 2.0, -0.25]))
    assert report.fault() == "fault: torch", report.text()


def ids(rng):
    return {"t": rng.normal(size=(5, 3)), "i": np.array([[0, 4, 1], [2, 4, 4]])}


PADDED = {
    "the last row": (
        lambda t, i: t[i], lambda t, i: F.embedding(i, t, padding_idx=-1), "padding_idx=4",
    ),
    "bags": (
        lambda t, i: t[i].sum(1),
        lambda t, i: F.embedding_bag(i, t, mode="sum", padding_idx=0), "",
    ),
    "in a module": (
        lambda t, i: jnp.tanh(t[i]),
        lambda t, i: torch.tanh(torch.func.functional_call(
            torch.nn.Embedding(5, 3, padding_idx=4), {"weight": t}, (i,))), "padding_idx=4",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(PADDED))
def test_a_row_of_padding_is_a_convention(name):
    jax_side, torch_side, said = PADDED[name]
    report = judged(jax_side, torch_side, ids)
    assert report.verdict == "convention", report.text()
    assert said in report.text()


# --- the same infinity ---


INFINITE = {
    "a logit of one": (
        jax.scipy.special.logit, torch.logit, fixed(p=[1.0, 0.25, 0.0]),
    ),
    "rows of nothing": (
        lambda x: jax.nn.logsumexp(x, 1), lambda x: x.logsumexp(1),
        fixed(x=[[-np.inf, -np.inf], [0.5, -np.inf]]),
    ),
    "an overflow": (lambda x: jnp.exp(x * x), lambda x: (x * x).exp(), fixed(x=[40.0, 0.5])),
    "a divergence from zero": (
        lambda p, q: p * jnp.log(p / q), lambda p, q: p * (p / q).log(),
        fixed(p=[0.5, 0.5], q=[0.0, 1.0]),
    ),
    "sums that pass infinity": (
        lambda x: jnp.cumsum(1 / x), lambda x: (1 / x).cumsum(0), fixed(x=[0.5, 0.0, 2.0]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(INFINITE, "a divergence from zero"))
def test_the_same_infinity_agrees(name):
    report = judged(*INFINITE[name])
    assert report.verdict not in ("different", "convention"), report.text()
    out = report.sections[0].forward[0]
    assert out.verdict in ("identical", "rounding"), report.text()


# --- orders ---


def axes(rng):
    return {"x": rng.normal(size=(4, 5)) + 0.0}


ORDERS = {
    "a half turn": (
        lambda x: jnp.tanh(jnp.roll(x, 2)), torch.tanh, {"x": (9,)},
        "rolled|concatenation|reads what roll",
    ),
    "evens, then odds": (
        lambda x: jnp.concatenate([jnp.sin(x)[::2], jnp.sin(x)[1::2]]), torch.sin, {"x": (8,)},
        "interleaved",
    ),
    "halves exchanged": (
        lambda x: jnp.concatenate([x[4:] ** 2, x[:4] ** 2]), lambda x: x**2, {"x": (8,)},
        "rolled|blocks|concatenation",
    ),
    "the other sign in one axis": (
        lambda x: jnp.abs(jnp.fft.fft2(x)) ** 2,
        lambda x: torch.fft.fft(torch.fft.ifft(x, dim=0, norm="forward"), dim=1).abs() ** 2,
        axes, "",
    ),
    "centred": (
        lambda x: jnp.fft.fftshift(jnp.abs(jnp.fft.fft(x))), lambda x: torch.fft.fft(x).abs(),
        {"x": (8,)}, "rolled|blocks|reads what roll",
    ),
    "singular values, ascending": (
        lambda x: jnp.linalg.svd(x, compute_uv=False)[::-1], torch.linalg.svdvals, {"x": (4, 4)},
        "flipped|only jax flips",
    ),
    "the last first": (
        lambda x: jnp.sort(x, 1), lambda x: x.topk(5, 1).values, {"x": (3, 5)}, "flipped",
    ),
    "squares under another name": (
        lambda x: {"z": jnp.cumsum(x)[::-1], "a": x}, lambda x: {"a": x, "z": x.cumsum(0)},
        {"x": (6,)}, "flipped|only jax flips",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(ORDERS))
def test_an_order_that_never_changes_is_named(name):
    jax_side, torch_side, inputs, said = ORDERS[name]
    report = judged(jax_side, torch_side, inputs, budget=20)
    assert report.verdict == "convention", report.text()
    causes = " ".join(c.sentence for row in report.rows for c in row.causes)
    assert any(word in causes for word in said.split("|")), report.text()


# --- what would pass, and who rounds ---


def dead(function):
    @jax.custom_vjp
    def run(x, w):
        return function(x, w)

    run.defvjp(lambda x, w: (function(x, w), (x, w)), lambda s, g: (0 * s[0], g * s[0]))
    return run


FAILED = {
    "a product that forgets": (dead(lambda x, w: x * w), torch.mul, {"x": (3,), "w": (3,)}),
    "a length of nothing": (
        lambda x, w: jnp.sqrt((x * x).sum(-1)) * w, lambda x, w: x.norm(dim=-1) * w,
        fixed(x=[[0.0, 0.0], [0.0, 0.0]], w=[1.0, 2.0]),
    ),
    "a bias that one side lacks": (
        lambda x, w: x + 0 * w, lambda x, w: x + w, {"x": (3,), "w": (3,)},
    ),
    "infinite on one side": (
        lambda x, w: jnp.sqrt(x) * w, lambda x, w: torch.sqrt(x.clamp(min=0)).detach() * w + 0 * x,
        fixed(x=[0.0, 0.0], w=[1.0, 2.0]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(FAILED, "a length of nothing"))
def test_zeros_would_not_pass_where_a_row_has_failed(name):
    report = judged(*FAILED[name])
    assert report.exit_code() == 1
    failed = {row.name for row in report.rows if not row.verdict.passes}
    assert not failed & {*report.vacuous}
    assert not any(row.vacuous for row in report.rows if row.name in failed)


RESIZED = {
    "a linear rule, filtered": (
        lambda x: jax.image.resize(x, (1, 1, 5, 4), "bilinear"),
        lambda x: F.interpolate(x, (5, 4), mode="bilinear", antialias=True), {"x": (1, 1, 12, 9)},
    ),
    "means of areas": (
        lambda x: x.reshape(1, 1, 3, 4, 3, 3).mean((3, 5)),
        lambda x: F.interpolate(x, (3, 3), mode="area"), {"x": (1, 1, 12, 9)},
    ),
    "three axes": (
        lambda x: jax.image.resize(x, (1, 1, 8, 6, 4), "trilinear"),
        lambda x: F.interpolate(x, (8, 6, 4), mode="trilinear"), {"x": (1, 1, 4, 3, 2)},
    ),
    "a logarithm of sums": (
        lambda x: lax.cumlogsumexp(x, 1), lambda x: x.logcumsumexp(1), {"x": (3, 9)},
    ),
    "a scaled error function": (
        lambda x: jax.scipy.special.i0e(x) + jax.scipy.special.i1e(x),
        lambda x: torch.special.i0e(x) + torch.special.i1e(x), {"x": (40,)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(RESIZED))
def test_kernels_that_stay_closed_are_accused_of_nothing_unmeasured(name):
    report = judged(*RESIZED[name], dtypes=("float32",))
    assert report.verdict in ("identical", "rounding", "less accurate"), report.text()
    assert not any("rounds" in row.reason and "jax" in row.odd for row in report.rows)
