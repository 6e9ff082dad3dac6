"""Further code with a narrow float in it, steep slopes, constrained inputs, gradients inside.

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


def positions(n, d):
    at = torch.arange(n, dtype=torch.float32)[:, None] / 100.0 ** (torch.arange(0, d, 2) / d)
    return torch.cat([at.sin(), at.cos()], 1)


def positions_jax(n, d):
    at = jnp.arange(n, dtype=jnp.float32)[:, None] / 100.0 ** (jnp.arange(0, d, 2) / d)
    return jnp.concatenate([jnp.sin(at), jnp.cos(at)], 1)


def averaged(x):
    def body(h, row):
        h = jnp.float32(0.9) * h + jnp.float32(0.1) * row.astype(jnp.float32)
        return h, h

    return lax.scan(body, jnp.zeros(3, jnp.float32), x)[1].astype(x.dtype)


def averaged_torch(x, rate=0.1):
    h, found = torch.zeros(3, dtype=x.dtype), []
    for row in x:
        h = (1 - rate) * h + rate * row
        found.append(h)
    return torch.stack(found)


@jax.custom_vjp
def swish(x):
    return (x.astype(jnp.float32) * jax.nn.sigmoid(x.astype(jnp.float32))).astype(x.dtype)


def swish_back(x, g):
    h = x.astype(jnp.float32)
    s = jax.nn.sigmoid(h)
    return (((s + h * s * (1 - s)) * g.astype(jnp.float32)).astype(g.dtype),)


swish.defvjp(lambda x: (swish(x), x), swish_back)


class Norm(torch.autograd.Function):
    """As in a fused kernel: the statistics in float32, forward and backward."""

    @staticmethod
    def forward(ctx, x):
        h = x.float()
        scale = torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)
        ctx.save_for_backward(h, scale)
        return (h * scale).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        h, scale = ctx.saved_tensors
        d = g.float()
        dx = scale * d - scale**3 * h * (d * h).mean(-1, keepdim=True)
        return dx.to(g.dtype)


NARROW = {
    "positions in float32": (
        lambda x: x + positions_jax(5, 8), lambda x: x + positions(5, 8),
        lambda x: x + positions(5, 8).flip(1), {"x": (2, 5, 8)},
    ),
    "a window": (
        lambda x: x * jnp.hanning(9)[:8], lambda x: x * torch.hann_window(8),
        lambda x: x * torch.hamming_window(8), {"x": (3, 8)},
    ),
    "a mask of minus infinity": (
        lambda s: jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((4, 4), bool)), s, -jnp.inf)),
        lambda s: (s + torch.triu(torch.full((4, 4), -torch.inf), 1)).softmax(-1),
        lambda s: (s + torch.triu(torch.full((4, 4), -1.0), 1)).softmax(-1), {"s": (2, 4, 4)},
    ),
    "an average in a scan": (
        averaged, averaged_torch, lambda x: averaged_torch(x, 0.11), {"x": (6, 3)},
    ),
    "a rule in float32": (swish, F.silu, F.gelu, {"x": (3, 4)}),
    "a kernel in float32": (
        lambda x: x / jnp.sqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6), Norm.apply,
        lambda x: Norm.apply(x) * 1.001, {"x": (4, 6)},
    ),
    "a sum in float32": (
        lambda x: x - jnp.mean(x, -1, keepdims=True, dtype=jnp.float32),
        lambda x: x - x.sum(-1, keepdim=True, dtype=torch.float32) / 6,
        lambda x: x - x.sum(-1, keepdim=True, dtype=torch.float32) / 5, {"x": (4, 6)},
    ),
    "a softmax asked for in float32": (
        lambda x: jax.nn.softmax(x, -1),
        lambda x: torch.softmax(x, -1, dtype=torch.float32).to(x.dtype),
        lambda x: torch.softmax(x, 0, dtype=torch.float32).to(x.dtype), {"x": (4, 6)},
    ),
    "a product that accumulates in float32": (
        lambda x, w: jnp.einsum("ij,jk->ik", x, w, preferred_element_type=jnp.float32),
        lambda x, w: (x.float() @ w.float()).to(x.dtype),
        lambda x, w: (x.float() @ w.float()).to(x.dtype) * 0.999, {"x": (3, 5), "w": (5, 2)},
    ),
    "a number that is a tensor": (
        lambda x: x * jnp.array(0.1, jnp.float32) + 0.3, lambda x: x * torch.tensor(0.1) + 0.3,
        lambda x: x * torch.tensor(0.1001) + 0.3, {"x": (3, 4)},
    ),
    "rematerialised": (
        jax.checkpoint(lambda x: jnp.tanh(x.astype(jnp.float32)).astype(x.dtype) * x),
        lambda x: torch.utils.checkpoint.checkpoint(
            lambda x: x.float().tanh().to(x.dtype) * x, x, use_reentrant=False),
        lambda x: x.sin() * x, {"x": (3, 4)},
    ),
    "mapped over rows": (
        jax.vmap(lambda r: (r.astype(jnp.float32) / r.astype(jnp.float32).sum()).astype(r.dtype)),
        torch.vmap(lambda r: (r.float() / r.float().sum()).to(r.dtype)),
        torch.vmap(lambda r: (r.float() / r.float().norm()).to(r.dtype)),
        lambda rng: {"x": rng.uniform(0.5, 2, (3, 4))},
    ),
    "classes as numbers": (
        lambda w, i: jax.nn.one_hot(i, 5, dtype=jnp.float32) @ w,
        lambda w, i: F.one_hot(i, 5).to(w.dtype) @ w,
        lambda w, i: F.one_hot((i + 1) % 5, 5).to(w.dtype) @ w,
        lambda rng: {"w": rng.normal(size=(5, 3)), "i": np.array([0, 4, 4, 1])},
    ),
}  # fmt: skip


def judged(jax_side, torch_side, inputs, budget=0):
    pair = Pair(jax=jax_side, torch=torch_side, inputs=inputs)
    return check(pair, dtypes=["float64"], budget=budget)


@pytest.mark.parametrize("name", few(NARROW, "mapped over rows"))
def test_what_narrows_passes_against_its_port(name):
    jax_side, torch_side, _, inputs = NARROW[name]
    report = judged(jax_side, torch_side, inputs)
    assert report.verdict in ("identical", "rounding", "less accurate"), report.text()


@pytest.mark.parametrize("name", few(NARROW, "a number that is a tensor"))
def test_a_fault_beside_it_is_found(name):
    jax_side, _, torch_side, inputs = NARROW[name]
    report = judged(jax_side, torch_side, inputs)
    assert report.verdict in ("convention", "different"), report.text()


# --- steep slopes ---


def mask(rng):
    return {"x": rng.normal(size=(3, 4)), "m": np.array([[1, 1, 0, 1], [1, 0, 0, 1.0], [1] * 4])}


STEEP = {
    "a log softmax": (
        lambda x, m: jax.nn.log_softmax(x - (1 - m) * 1e9) * m,
        lambda x, m: torch.log_softmax(x / 2 - (1 - m) * 1e9, -1) * m, mask,
    ),
    "a penalty": (
        lambda x, m: jnp.tanh(x) + 1e8 * jnp.maximum(0, 1 - m - x**2) ** 2,
        lambda x, m: torch.tanh(x) + 2e8 * F.relu(1 - m - x**2) ** 2, mask,
    ),
    "unit length of nothing": (
        lambda x: x / (1e-12 + jnp.sqrt((x * x).sum(-1, keepdims=True))),
        lambda x: x / (1e-10 + (x * x).sum(-1, keepdim=True).sqrt()),
        lambda rng: {"x": rng.normal(size=(2, 3)) * 1e-11},
    ),
    "a step that is nearly one": (
        lambda x: jax.nn.sigmoid(1e7 * (x - 0.5)) * x,
        lambda x: torch.sigmoid(1e7 * (x - 0.5)) * 2 * x,
        lambda rng: {"x": np.array([0.5, 0.5 + 1e-8, 0.2, 0.9])},
    ),
    "a layer norm of equals": (
        lambda x: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-12),
        lambda x: F.layer_norm(x, (4,), eps=1e-10),
        lambda rng: {"x": np.ones((2, 4)) + 1e-7 * rng.normal(size=(2, 4))},
    ),
    "a logarithm near its end": (
        lambda x: jnp.log(x + 1e-12), lambda x: torch.log(2 * x + 1e-12),
        lambda rng: {"x": np.array([0.0, 1e-13, 0.3])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(STEEP, "unit length of nothing"))
def test_steep_functions_that_differ_are_a_convention(name):
    report = judged(*STEEP[name])
    assert report.verdict == "convention", report.text()
    assert report.fault().startswith("fault: neither side"), report.text()


# --- inputs inside a domain ---


def positive(rng):
    a = rng.normal(size=(4, 4))
    return {"a": a @ a.T + np.eye(4), "b": rng.normal(size=4)}


def powers(m, power):
    def run(a, b):
        values, vectors = m.linalg.eigh(a)
        return (vectors * values**power) @ vectors.T @ b

    return run


def likelihood(a, b):
    c = jnp.linalg.cholesky(a + 1e-2 * jnp.eye(4))
    y = jax.scipy.linalg.solve_triangular(c, b, lower=True)
    return 0.5 * y @ y + jnp.log(jnp.diag(c)).sum()


def likelihood_torch(a, b, jitter=1e-2):
    c = torch.linalg.cholesky(a + jitter * torch.eye(4))
    y = torch.linalg.solve_triangular(c, b[:, None], upper=False)[:, 0]
    return 0.5 * y @ y + c.diagonal().log().sum()


INSIDE = {
    "another jitter": (likelihood, lambda a, b: likelihood_torch(a, b, 1e-3), "convention"),
    "the same jitter": (likelihood, likelihood_torch, "rounding"),
    "a root by eigenvectors, inverted": (powers(jnp, 0.5), powers(torch, -0.5), "convention"),
    "a root by eigenvectors": (powers(jnp, 0.5), powers(torch, 0.5), "rounding"),
    "a determinant by a factor, and not": (
        lambda a, b: 2 * jnp.log(jnp.diag(jnp.linalg.cholesky(a))).sum() * b,
        lambda a, b: torch.logdet(a) * b, "rounding",
    ),
    "solved by a factor, and not": (
        lambda a, b: jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(a, lower=True), b),
        lambda a, b: torch.linalg.solve(a, b), "convention",
    ),
    "the factor of the inverse": (
        lambda a, b: jnp.linalg.cholesky(a) @ b,
        lambda a, b: torch.linalg.cholesky(torch.linalg.inv(a)) @ b, "convention",
    ),
    "one triangle of a system": (
        lambda a, b: jax.scipy.linalg.solve_triangular(a, b, lower=True),
        lambda a, b: torch.linalg.solve_triangular(a, b[:, None], upper=True)[:, 0], "convention",
    ),
    "eigenvalues of the other triangle": (
        lambda a, b: jnp.linalg.eigvalsh(a, UPLO="L", symmetrize_input=False) * b,
        lambda a, b: torch.linalg.eigvalsh(a, UPLO="U") * b, "convention or rounding",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", few(INSIDE, "solved by a factor, and not"))
def test_matrices_of_a_domain_blame_nobody(name):
    jax_side, torch_side, expected = INSIDE[name]
    report = judged(jax_side, torch_side, positive)
    assert str(report.verdict) in expected, report.text()
    assert "fault: jax" not in report.fault()
    assert "fault: torch" not in report.fault()


# --- gradients taken inside ---


def energy(x, w):
    return jnp.tanh(x @ w).sum()


def score_jax(x, w):
    """Hyvaerinen's score matching: half a squared gradient and its divergence."""
    g = jax.vmap(jax.grad(energy), (0, None))(x, w)
    h = jax.vmap(jax.hessian(energy), (0, None))(x, w)
    return (0.5 * (g**2).sum(-1) + jnp.trace(h, axis1=1, axis2=2)).mean()


def score_torch(x, w):
    x = x.requires_grad_() if not x.requires_grad else x
    (g,) = torch.autograd.grad(torch.tanh(x @ w).sum(), x, create_graph=True)
    trace = 0.0
    for k in range(x.shape[1]):
        (row,) = torch.autograd.grad(g[:, k].sum(), x, create_graph=True)
        trace = trace + row[:, k]
    return (0.5 * (g**2).sum(-1) + trace).mean()


def product_jax(x, v):
    return jax.jvp(jax.grad(lambda x: jnp.sum(jnp.sin(x) * x[::-1])), (x,), (v,))[1]


def product_torch(x, v):
    return torch.func.jvp(
        torch.func.grad(lambda x: torch.sum(torch.sin(x) * x.flip(0))), (x,), (v,)
    )[1]


def each_jax(w, x, y):
    return jax.vmap(jax.grad(lambda w, x, y: (jnp.tanh(x @ w) - y) ** 2), (None, 0, 0))(w, x, y)


def each_torch(w, x, y):
    one = torch.func.grad(lambda w, x, y: (torch.tanh(x @ w) - y) ** 2)
    return torch.vmap(one, (None, 0, 0))(w, x, y)


def heat_jax(x, w):
    def u(t, w):
        return jnp.tanh(t * w).sum()

    first = jax.vmap(jax.grad(u), (0, None))
    second = jax.vmap(jax.grad(jax.grad(u)), (0, None))
    return ((second(x, w) - first(x, w)) ** 2).mean()


def heat_torch(x, w):
    x = x.detach().clone().requires_grad_() + 0 * x
    u = torch.tanh(x[:, None] * w).sum(1)
    (first,) = torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True)
    (second,) = torch.autograd.grad(first, x, torch.ones_like(u), create_graph=True)
    return ((second - first) ** 2).mean()


def jacobian_torch(x):
    return torch.autograd.functional.jacobian(
        lambda x: torch.sin(x).cumsum(0), x, create_graph=True
    ).sum(0)


INNER = {
    "score matching": (score_jax, score_torch, {"x": (3, 2), "w": (2, 3)}),
    "a product with the second derivative": (product_jax, product_torch, {"x": (4,), "v": (4,)}),
    "a gradient of each example": (each_jax, each_torch, {"w": (3,), "x": (4, 3), "y": (4,)}),
    "a jacobian": (
        lambda x: jax.jacobian(lambda x: jnp.cumsum(jnp.sin(x)))(x).sum(0), jacobian_torch,
        {"x": (4,)},
    ),
    "an equation of heat": (heat_jax, heat_torch, {"x": (4,), "w": (3,)}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("name", few(INNER, "a gradient of each example"))
def test_gradients_taken_inside_are_differentiated(name):
    report = judged(*INNER[name])
    if name == "an equation of heat":  # the points are detached there, and nothing flows to x
        assert report.fault() == "fault: torch", report.text()
        return
    assert report.verdict in ("identical", "rounding"), report.text()


def test_a_penalty_without_a_graph_is_a_fault():
    def stopped(x, w):
        with torch.enable_grad():
            (g,) = torch.autograd.grad(torch.tanh(x @ w).sum(), x)
        return (g**2).sum() + 0 * w.sum()

    def whole(x, w):
        return (jax.grad(energy)(x, w) ** 2).sum() + 0 * w.sum()

    report = judged(whole, stopped, {"x": (3, 4), "w": (4, 2)})
    assert report.fault() == "fault: torch", report.text()
