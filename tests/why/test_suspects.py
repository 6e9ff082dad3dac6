"""Why a pair's gradient is wrong: the report names each mistake in a rule that a user wrote."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from parity import Pair, Rule, check
from parity.judge.cause import Kind
from tests.shared.sampled import few

EPS = 1e-5


def forward(x, gain):
    d = x - x.mean(0, keepdims=True)
    inv = ((d**2).sum(0, keepdims=True) / (x.shape[0] - 1) + EPS) ** -0.5
    return gain * d * inv, (d * inv, inv, gain)


def backward(*, bessel=True, mean=True, times=1, keep=True):
    def run(residual, dout):
        raw, inv, gain = residual
        n = raw.shape[0]
        ratio = n / (n - 1) if bessel else 1
        total = dout.sum(0) if mean else 0
        dx = times * gain * inv / n * (n * dout - total - ratio * raw * (dout * raw).sum(0))
        dgain = (dout * raw).sum(0)
        return dx, dgain[None] if keep else dgain

    return run


def tanh_backward(residual, dh):
    x, w, h = residual
    da = dh * (1 - h)
    return da @ w.T, x.T @ da


def tanh_forward(x, w):
    h = jnp.tanh(x @ w)
    return h, (x, w, h)


def plain(x, gain):
    return forward(x, gain)[0]


def linear_backward(residual, dout):
    x, w = residual
    return dout @ w.T, (x.T @ dout).T


def looked_up(i, C):
    return C[i], (i, C)


def set_not_add(residual, dout):
    i, C = residual
    return None, jnp.zeros_like(C).at[i].set(dout)


def local(residual, dout):
    return (residual,)


def softmax_forward(x):
    e = torch.exp(x - x.amax(-1, keepdim=True))
    p = e / e.sum(-1, keepdim=True)
    return p, p


def rms_forward(x, w):
    inv = (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()
    return x * inv * w, (x, inv)


def behind(x):
    return x.at[1:].add(0.5 * x[:-1])


def rms_without_weight(residual, g):
    x, inv = residual
    return inv * g - x * inv**3 * (g * x).mean(-1, keepdim=True), (g * x * inv).sum(0)


def scores(q, k):
    s = q @ k.T / q.shape[-1] ** 0.5
    return s, (q, k)


def scores_backward(residual, ds):
    q, k = residual
    ds = ds / q.shape[-1] ** 0.5
    return ds @ k, ds @ q


def curved(x, w):
    t = torch.tanh(x)
    return (x * t) @ w, (x, w)


def curved_without_slope(residual, g):
    x, w = residual
    t = x.tanh()
    return (g @ w.T) * (t + x * (1 - t * t)), x.T @ g


def summed(x):
    return (x * x).sum(1), x


def first_for_all(x, g):
    return (2 * x * g[0],)


def complex_normal(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def torchs_product(residual, dout):
    """Right for torch; JAX's gradients are not conjugated."""
    x, w = residual
    return dout @ w.conj().T, x.conj().T @ dout


@jax.custom_vjp
def squares(x):
    return (x**2).sum(1)


squares.defvjp(lambda x: (squares(x), x), lambda x, dout: (x * dout[:, None],))

BATCH = {"x": (7, 5), "gain": (1, 5)}
NAMED = {
    "no Bessel": (
        Pair(jax=Rule(forward, backward(bessel=False)), torch=plain, inputs=BATCH),
        (Kind.PATHS, r"\(x.shape\[0\]-1\)/x.shape\[0\]"),
    ),
    "no mean": (
        Pair(jax=plain, torch=Rule(forward, backward(mean=False)), inputs=BATCH),
        (Kind.PATHS, r"reduce_sum at test_suspects.py:\d+.* missing"),
    ),
    "twice, without a second framework": (
        Pair(torch=Rule(forward, backward(times=2)), inputs=BATCH),
        (Kind.FACTOR, "exactly 2 times"),
    ),
    "an axis dropped": (
        Pair(torch=Rule(forward, backward(keep=False)), jax=plain, inputs=BATCH),
        (Kind.SHAPE, "an axis of size 1 is kept or dropped"),
    ),
    "transposed": (
        Pair(
            jax=Rule(lambda x, w: (x @ w, (x, w)), linear_backward),
            torch=torch.matmul,
            inputs={"x": (7, 5), "w": (5, 3)},
        ),
        (Kind.SHAPE, "transposed, the numbers are right"),
    ),
    "set, not add": (
        Pair(
            jax=Rule(looked_up, set_not_add),
            torch=lambda i, C: C[i],
            inputs=lambda rng: {"i": rng.integers(0, 6, (9,)), "C": rng.normal(size=(6, 4))},
        ),
        (Kind.INDICES, "only the last use is kept"),
    ),
    "no gradient from above": (
        Pair(torch=Rule(lambda x: (x**2 / 2, x), local), inputs={"x": (7, 5)}),
        (Kind.NOT_LINEAR, "does not depend on the gradient from above"),
    ),
    "JAX's own custom rule": (
        Pair(jax=squares, torch=lambda x: (x**2).sum(1), inputs={"x": (7, 5)}),
        (Kind.EDIT, "right if .* reads `return .2 . x . dout"),
    ),
    "a slip that no number shows": (
        Pair(
            jax=Rule(tanh_forward, tanh_backward),
            torch=lambda x, w: torch.tanh(x @ w),
            inputs={"x": (7, 5), "w": (5, 3)},
        ),
        (Kind.EDIT, r"right if test_suspects.py:\d+ reads `da = dh \* \(1 - h \* h\)`"),
    ),
    "weight forgotten": (
        Pair(torch=Rule(rms_forward, rms_without_weight), inputs={"x": (7, 5), "w": (5,)}),
        (Kind.UPSTREAM, "w is missing as a factor of the gradient of out from above"),
    ),
    "not transposed": (
        Pair(
            jax=Rule(lambda x: (behind(x), ()), lambda _, g: (behind(g),)),
            inputs={"x": (7, 5)},
        ),
        (Kind.UPSTREAM, "applied forwards, where its transpose belongs"),
    ),
    "diagonal": (
        Pair(torch=Rule(softmax_forward, lambda p, g: (p * (1 - p) * g,)), inputs={"x": (7, 5)}),
        (Kind.UPSTREAM, "the derivative's diagonal alone"),
    ),
    "a path in torch": (
        Pair(torch=Rule(softmax_forward, lambda p, g: (p * g,)), inputs={"x": (7, 5)}),
        (Kind.PATHS, r"sum at test_suspects.py:\d+ is missing"),
    ),
    "an edit that would spoil another gradient": (
        Pair(torch=Rule(scores, scores_backward), inputs={"q": (7, 5), "k": (7, 5)}),
        (Kind.EDIT, r"reads `return \(ds @ k, ds\.T @ q\)`"),
    ),
    "an array that only the forward pass makes": (
        Pair(torch=Rule(curved, curved_without_slope), inputs={"x": (4, 3), "w": (3, 2)}),
        (Kind.EDIT, r"reads `return \(.*, \(x \* t\)\.T @ g\)`"),
    ),
    "the first row's gradient for all": (
        Pair(torch=Rule(summed, first_for_all), inputs={"x": (4, 3)}),
        (Kind.EDIT, r"reads `return \(2 \* x \* g\[:, None\],\)`"),
    ),
    "wrong where an integer repeats": (
        Pair(
            jax=lambda x, ids: jnp.ones(4, x.dtype).at[ids].multiply(x, unique_indices=True),
            torch=lambda x, ids: torch.stack([x[ids == k].prod() for k in range(4)]),
            inputs=lambda rng: {
                "x": rng.uniform(0.5, 2, 7),
                "ids": np.array([0, 1, 1, 2, 2, 2, 3]),
            },
        ),
        (Kind.INDICES, "wrong exactly where the value of ids repeats"),
    ),
    "not conjugated": (
        Pair(
            torch=Rule(lambda x: (x * x, x), lambda x, dout: (2 * x * dout,)),
            inputs=lambda rng: {"x": complex_normal(rng, 4, 3)},
        ),
        (Kind.CONJUGATED, "x where its conjugate belongs"),
    ),
    "not conjugated in a product": (
        Pair(
            jax=Rule(lambda x, w: (x @ w, (x, w)), torchs_product),
            torch=torch.matmul,
            inputs=lambda rng: {"x": complex_normal(rng, 7, 5), "w": complex_normal(rng, 5, 3)},
        ),
        (Kind.CONJUGATED, "in a product, w is conjugated"),
    ),
}


QUICK = (
    "transposed",
    "no gradient from above",
    "a path in torch",
    "an array that only the forward pass makes",
    "wrong where an integer repeats",
    "not conjugated",
)


@pytest.mark.parametrize("name", few(NAMED, *QUICK))
def test_the_report_names_the_cause(name):
    pair, (kind, says) = NAMED[name]
    report = check(pair, dtypes=["float64"])
    failed = next(row for row in report.rows if not row.verdict.passes)
    first = failed.causes[0]
    assert (first.kind, bool(re.search(says, first.sentence))) == (kind, True), report.text()
    assert first.tensor == f"{failed.odd[0]}'s gradient of {failed.name}"
    assert first.sentence in report.summary()
    assert not any("why was not found" in note for note in report.notes)


def test_a_search_that_fails_does_not_lose_the_result(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("in the search")

    monkeypatch.setattr("parity.checking.check.reasoned", broken)
    report = check(NAMED["no Bessel"][0], dtypes=["float64"])
    assert str(report.verdict) == "different"
    assert report.notes == (
        "why was not found: ZeroDivisionError: in the search; please report this",
    )


def test_what_has_no_name_is_shown_in_its_smallest_case():
    def backward(residual, dout):
        return (torch.where(residual.sum(0) > -99, torch.sin(3 * residual), 0) * dout,)

    rule = Rule(lambda x: (torch.tanh(x), x), backward)
    report = check(Pair(torch=rule, inputs={"x": (7, 5)}), dtypes=["float64"])
    (row,) = report.sections[0].gradients
    assert [cause.kind for cause in row.causes] == [Kind.UNKNOWN]
    assert "35 of 35 entries are wrong" in row.causes[0].sentence
    (note,) = report.notes
    assert note.startswith("the smallest failing case is x [1, 1]: x: torch.rule's gradient is not")
    assert "is not the derivative" in report.summary()  # what is known, not what is unknown


@pytest.mark.full
def test_a_named_cause_needs_no_smallest_case():
    assert check(NAMED["no Bessel"][0], dtypes=["float64"]).notes == ()


def test_a_smaller_case_that_cannot_be_run_or_does_not_fail_is_passed_over():
    """It takes two rows for this to be wrong, and five columns to be run at all."""

    source = "lambda x, g: (g * (torch.sin(3 * x) if len(x) > 1 else 1 - torch.tanh(x) ** 2),)"
    backward = eval(source, {"torch": torch})  # without a source that could be mended
    rule = Rule(lambda x: (torch.tanh(x), x), backward)
    report = check(Pair(torch=rule, inputs={"x": (3, 3)}), dtypes=["float64"])
    assert report.notes[0].startswith("the smallest failing case is x [2, 2]")
    rule = Rule(lambda x: (torch.tanh(x.reshape(-1, 5)), x.reshape(-1, 5)), backward)
    report = check(Pair(torch=rule, inputs={"x": (4, 5)}), dtypes=["float64"])
    assert report.notes == ()


def test_two_rules_of_a_wrong_shape():
    wrong = Rule(lambda x: (x * x, x), lambda x, dout: ((2 * x * dout).sum(0),))
    report = check(Pair(jax=wrong, torch=wrong, inputs={"x": (4, 3)}))
    assert report.summary().startswith("different: first in the gradient of x")
    assert "shape [3]" in report.summary()


@pytest.mark.full
def test_several_seeds_are_asked_about_one_problem():
    pair = Pair(torch=Rule(forward, backward(times=2)), inputs=BATCH)
    row = check(pair, seeds=4, dtypes=["float64"]).sections[0].gradients[0]
    assert row.causes[0].sentence == "exactly 2 times the right value"
    assert any("dx = gain * inv" in cause.sentence for cause in row.causes)


def rows(rng):
    return {"x": rng.normal(size=(5, 3)) + 1}


def scaled_by(weights):
    """A rule whose gradient has a factor that the numbers decide."""
    return Rule(
        lambda x: (torch.sin(x).sum(1), x), lambda x, g: (g[:, None] * x.cos() * weights(x),)
    )


ACCIDENTS = {"as many as rows": 5, "as many as columns": 3, "two": 2, "one less than rows": 4}


@pytest.mark.parametrize("name", few(ACCIDENTS, "as many as rows"))
def test_what_is_so_for_these_numbers_alone_is_no_cause(name):
    """A factor that is a size, or 2, only for one seed: how many numbers are above 1."""
    seed = next(
        k for k in range(9999) if (rows(np.random.default_rng(k))["x"] > 1).sum() == ACCIDENTS[name]
    )
    rule = scaled_by(lambda x: (x > 1).sum())
    report = check(Pair(torch=rule, inputs=rows), seeds=[seed], dtypes=["float64"])
    causes = [c.sentence for row in report.rows for c in row.causes if c.kind is not Kind.UNKNOWN]
    assert str(report.verdict) == "different"
    assert not any("exactly" in sentence for sentence in causes), causes
