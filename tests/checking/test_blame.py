"""Whom a check blames: a convention is nobody's fault, and a fault is never a convention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from parity import Pair, Rule, check
from tests.shared.sampled import few

JNP, TORCH = jnp, torch


def judged(pair):
    report = check(pair, dtypes=["float64"], budget=0)
    return str(report.verdict), report


def fixed(**arrays):
    return lambda rng: {name: np.array(x, float) for name, x in arrays.items()}


KINKS = {
    "top-k of a tie of three": (
        lambda x: jax.lax.top_k(x, 2)[0],
        lambda x: x.flip(-1).topk(2).values,
        fixed(x=[[0.5, 2, 2, 2, -1]]),
    ),
    "difference of maxima": (
        lambda a, b, d: jnp.max(jnp.stack([a, b]), 0) - jnp.max(jnp.stack([b, d]), 0),
        lambda a, b, d: torch.stack([a, b]).max(0).values - torch.stack([b, d]).max(0).values,
        fixed(a=[0, 0, 1], b=[0, 0, 2], d=[0, 1, 0]),
    ),
    "hinge on differences": (
        lambda x, y: jnp.maximum(0, 1 - (x[:, None] - y[None])),
        lambda x, y: F.relu(1 - (x[:, None] - y[None])),
        fixed(x=[1, 1, 2], y=[0, 0, 1]),
    ),
    "sort after relu": (
        lambda x: jnp.sort(jax.nn.relu(x), -1),
        lambda x: F.relu(x).sort(-1, descending=True).values.flip(-1),
        lambda rng: {"x": rng.integers(-2, 3, (1, 32)).astype(float)},
    ),
    "sort after another relu": (
        lambda x: jnp.sort(jnp.where(x >= 0, x, 0), -1),
        lambda x: F.relu(x).sort(-1).values,
        lambda rng: {"x": rng.integers(0, 3, (1, 32)).astype(float)},
    ),
    "top-k of many ties": (
        lambda x: jax.lax.top_k(x, 4)[0],
        lambda x: x.topk(4).values,
        lambda rng: {"x": rng.integers(0, 3, (1, 32)).astype(float)},
    ),
    "median of many ties": (
        lambda x: jnp.median(x, -1),
        lambda x: x.quantile(0.5, -1),
        lambda rng: {"x": rng.integers(0, 3, (1, 32)).astype(float)},
    ),
}


@pytest.mark.parametrize("name", few(KINKS, "difference of maxima", "hinge on differences",
                                     "sort after relu"))  # fmt: skip
def test_right_values_at_kinks_pass(name):
    jax_side, torch_side, inputs = KINKS[name]
    found, report = judged(Pair(jax=jax_side, torch=torch_side, inputs=inputs))
    assert found == "kink", report.summary()


def division(x):
    return x.prod(1), x


def by_division(x, dout):
    return ((dout * x.prod(1))[:, None] / x,)


SMOOTH = {
    "softplus": (
        lambda x: jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x))), F.softplus, "jax",
        fixed(x=[-1.5, 0, 0.75]),
    ),
    "a rest that is the identity": (
        jnp.tanh, lambda x: torch.tanh(F.relu(x) - F.relu(-x)), "torch", fixed(x=[-1.5, 0, 0.75]),
    ),
    "prod by division": (
        lambda x: jnp.prod(x, 1), Rule(division, by_division), "torch.rule",
        fixed(x=[[0, 2, 3], [0, 0, 3]]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(SMOOTH, "softplus", "prod by division"))
def test_a_smooth_point_is_not_called_a_kink(name):
    jax_side, torch_side, side, inputs = SMOOTH[name]
    found, report = judged(Pair(jax=jax_side, torch=torch_side, inputs=inputs))
    assert (found, report.fault()) == ("different", f"fault: {side}")
    assert "smooth here" in report.rows[-1].reason
    assert "a kink" not in report.text()


def positive(rng):
    a = rng.normal(size=(4, 4))
    return {"a": a @ a.T + np.eye(4)}


TRIANGLES = {
    "the other triangle": (
        jnp.linalg.cholesky,
        lambda a: torch.linalg.cholesky(a, upper=True),
        positive,
    ),
    "descending eigenvalues": (
        jnp.linalg.eigvalsh,
        lambda a: torch.linalg.eigvalsh(a).flip(0),
        positive,
    ),
    "not symmetric": (jnp.linalg.eigvalsh, torch.linalg.eigvalsh, {"a": (4, 4)}),
    "a precision for a covariance": (
        lambda a: jax.scipy.stats.multivariate_normal.logpdf(jnp.ones(4, a.dtype), 0 * a[0], a),
        lambda a: torch.distributions.MultivariateNormal(0 * a[0], precision_matrix=a).log_prob(
            torch.ones_like(a[0])
        ),
        positive,
    ),
}


@pytest.mark.parametrize("name", few(TRIANGLES, "the other triangle"))
def test_which_triangle_is_read_is_a_convention(name):
    jax_side, torch_side, inputs = TRIANGLES[name]
    found, report = judged(Pair(jax=jax_side, torch=torch_side, inputs=inputs))
    assert found == "convention"
    assert "reads one triangle" in report.rows[-1].reason


@pytest.mark.parametrize(
    "inputs", few([lambda rng: {"w": positive(rng)["a"]}, {"w": (4, 4)}], every=2)
)
@pytest.mark.parametrize("wrong", few([lambda g: (g + g.T) / 2, lambda g: g.T], every=2))
def test_a_symmetrised_gradient_of_a_plain_product_is_wrong(inputs, wrong):
    v = np.array([1.0, -2.0, 0.5, 3.0])
    rule = Rule(
        lambda w: (w @ torch.tensor(v, dtype=w.dtype), w),
        lambda w, g: (wrong(torch.outer(g, torch.tensor(v, dtype=g.dtype))),),
    )
    report = judged(Pair(jax=lambda w: w @ jnp.array(v, w.dtype), torch=rule, inputs=inputs))[1]
    assert report.fault() == "fault: torch.rule"


def masked(rng):
    return {"x": rng.normal(size=(2, 4)), "m": np.array([[1, 1, 0, 1], [1, 0, 0, 1.0]])}


@pytest.mark.parametrize("steep", few([1e4, 1e9, 1e12, 1e30]))
def test_slopes_too_steep_for_differences_blame_nobody(steep):
    found, report = judged(
        Pair(
            jax=lambda x, m: jax.nn.softmax(2 * x + steep * (m - 1), -1),
            torch=lambda x, m: torch.softmax(x + steep * (m - 1), -1),
            inputs=masked,
        )
    )
    assert (found, report.fault()[:20]) == ("convention", "fault: neither side;")
    told = "right for its own forward" in report.rows[-1].reason
    assert told == (steep < 1e12)


def test_a_wrong_gradient_of_a_steep_function_is_still_named():
    def forward(x):
        return torch.tanh(1e8 * (x - 1))

    rule = Rule(lambda x: (forward(x), x), lambda x, g: (g * 2e8 * (1 - forward(x) ** 2),))
    pair = Pair(jax=lambda x: jnp.tanh(1e8 * (x - 1)), torch=rule, inputs=fixed(x=[1, 1 + 2**-22]))
    assert judged(pair)[1].fault() == "fault: torch.rule"


def test_functions_that_differ_only_around_the_point_are_a_convention():
    pair = Pair(jax=lambda x: jnp.sin(2 * x), torch=torch.sin, inputs=fixed(x=[0, 0]))
    found, report = judged(pair)
    assert found == "convention"
    assert "though not at it" in report.rows[-1].reason


def test_only_what_was_measured_is_said_to_round_more():
    """The antialiased kernel is opaque; its real error is the larger one."""
    pair = Pair(
        jax=lambda x: jax.image.resize(x, (1, 1, 5, 5), "cubic"),
        torch=lambda x: F.interpolate(x, (5, 5), mode="bicubic", antialias=True),
        inputs={"x": (1, 1, 12, 12)},
    )
    report = check(pair)
    assert not any("rounds" in row.reason and "jax" in row.odd for row in report.rows)


def test_zeros_would_not_pass_where_the_check_has_just_failed():
    """One side's gradient is zero, the other's is not: something was tested after all."""
    dead = jax.custom_vjp(lambda x: jnp.sin(x))
    dead.defvjp(lambda x: (jnp.sin(x), x), lambda x, d: (0 * d,))
    nan = Rule(lambda x: (x.sin(), x), lambda x, g: (g * float("nan"),))
    for pair in (
        Pair(jax=dead, torch=torch.sin, inputs={"x": (3,)}),
        Pair(jax=jnp.sin, torch=nan, inputs={"x": (3,)}),
    ):
        report = judged(pair)[1]
        assert report.exit_code() == 1
        assert report.vacuous == ()
        assert not any(row.vacuous for row in report.rows)
        assert "zeros would pass" not in report.text()


MANY = "abcdef"


def many(m, spoiled=""):
    """Six inputs and four outputs, each of its own; one is spoiled."""

    def forward(*inputs):
        named = dict(zip(MANY, inputs, strict=True))
        outs = [
            named["a"] * named["b"], m.sin(named["c"]), named["d"] * named["e"], m.cos(named["f"])
        ]  # fmt: skip
        return tuple(x * (1.5 if str(i) == spoiled else 1) for i, x in enumerate(outs))

    return forward


@pytest.mark.full
def test_nothing_is_dropped_however_many_there_are():
    inputs = {name: (2,) for name in MANY}
    report = check(Pair(jax=many(jnp), torch=many(torch), inputs=inputs), budget=0)
    outs = [f"out[{i}]" for i in range(4)]
    assert [(row.name, row.dtype) for row in report.rows] == [
        (name, dtype) for name in (*outs, *MANY) for dtype in ("float32", "float64")
    ]
    for i in range(4):
        pair = Pair(jax=many(jnp), torch=many(torch, str(i)), inputs=inputs)
        bad = {row.name for row in judged(pair)[1].rows if not row.verdict.passes}
        assert outs[i] in bad


@pytest.mark.parametrize("wrong", few(MANY, MANY[-1]))
def test_each_of_many_gradients_is_judged(wrong):
    class Spoiled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, dout):
            return 2 * dout

    def torch_side(*inputs):
        named = zip(MANY, inputs, strict=True)
        return many(torch)(*(Spoiled.apply(x) if n == wrong else x for n, x in named))

    pair = Pair(jax=many(jnp), torch=torch_side, inputs={name: (2,) for name in MANY})
    rows = judged(pair)[1].rows
    assert [row.name for row in rows if not row.verdict.passes] == [wrong]


def test_an_error_in_one_narrow_dtype_is_no_kink_unless_rounding_moves_it_as_far():
    def forward(x):
        return x * (2 if x.dtype == torch.float64 else 2.5)

    near = Pair(jax=lambda x: x * 2, torch=forward, inputs=fixed(x=[1, 2, 3]))
    report = check(near, budget=0)
    assert str(report.verdict) == "different"
    assert report.fault() == "fault: torch"
    assert not any(row.verdict == "kink" for row in report.rows)


def test_strict_fails_a_gradient_of_which_nothing_was_tested():
    def shifted(x, b):
        return x + b - (x + b).mean(0)

    report = judged(Pair(jax=shifted, torch=shifted, inputs={"x": (7, 3), "b": (3,)}))[1]
    assert (report.exit_code(), report.exit_code(strict=True)) == (0, 1)


@pytest.mark.parametrize("when", ["always", "in float32"])
def test_a_changed_input_is_noticed(when):
    def torch_side(x, y):
        with torch.no_grad():
            if when == "always" or y.dtype == torch.float32:
                y.add_(1)
        return x * 2

    pair = Pair(jax=lambda x, y: x * 2, torch=torch_side, inputs={"x": (3,), "y": (2,)})
    report = check(pair, budget=0)
    assert report.exit_code() == 1
    assert "changed its own input" in report.text().replace("\n", " ")


def table(rng):
    return {"t": rng.normal(size=(5, 3)), "i": np.array([0, 1, 4, 0])}


def test_a_padding_row_is_a_convention():
    pair = Pair(
        jax=lambda t, i: t[i],
        torch=lambda t, i: F.embedding(i, t, padding_idx=0),
        inputs=table,
    )
    found, report = judged(pair)
    assert found == "convention"
    assert "padding_idx=0" in report.rows[-1].reason
    doubled = Rule(
        lambda t, i: (F.embedding(i, t, padding_idx=1), (t, i)),
        lambda s, g: (torch.zeros_like(s[0]).index_add(0, s[1], 2 * g), None),
    )
    assert judged(Pair(jax=lambda t, i: t[i], torch=doubled, inputs=table))[0] == "different"


def nearest(m, take, stop):
    def forward(x, book):
        q = take(book, ((x[:, None] - book[None]) ** 2).sum(-1))
        return x + stop(q - x)

    return forward


STRAIGHT = {
    "rounding": (jnp.round, lambda x: x + (x.round() - x).detach(), {"x": (3, 4)}, "torch"),
    "a sign": (
        lambda x: jax.lax.stop_gradient(jnp.sign(x) - x) + x, torch.sign, {"x": (5,)}, "jax"
    ),
    "a codebook": (
        nearest(jnp, lambda b, d: b[d.argmin(1)], lambda x: x),
        nearest(torch, lambda b, d: b[d.argmin(1)], torch.Tensor.detach),
        {"x": (6, 3), "book": (4, 3)},
        "torch",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(STRAIGHT, "rounding"))
def test_who_is_meant_by_a_straight_through_estimator_is_not_known(name):
    jax_side, torch_side, inputs, side = STRAIGHT[name]
    found, report = judged(Pair(jax=jax_side, torch=torch_side, inputs=inputs))
    assert found == "different"
    assert report.fault().startswith(f"fault: undecided; {side} detaches on purpose")
    assert f"{side} detaches a value" in report.text().replace("\n", " ")


def test_a_detached_mean_is_still_a_fault():
    pair = Pair(jax=lambda x: x - x.mean(0), torch=lambda x: x - x.mean(0).detach(),
                inputs={"x": (3, 4)})  # fmt: skip
    assert judged(pair)[1].fault() == "fault: torch"
