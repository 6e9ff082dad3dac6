"""Code that writes float32 into its middle, in a float64 run: what it computes if it did not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jax import lax

from parity.frameworks import jax_side
from parity.frameworks.jax_wide import widened
from parity.frameworks.narrowing import meant
from parity.frameworks.torch_wide import widening
from tests.shared.sampled import few

X = np.random.default_rng(0).normal(size=(3, 4))
F32, BF16 = jnp.float32, jnp.bfloat16


def norm(x, up):
    h = up(x)
    return h / jnp.sqrt((h * h).mean(-1, keepdims=True) + 1e-6)


def rotated(x, dtype):
    phase = jnp.arange(4, dtype=dtype)[None] * x
    return jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], -1)


def scanned(x, dtype):
    def body(carry, element):
        carry = carry + element.astype(dtype) ** 2
        return carry, jnp.exp(-carry)

    carry, stacked = lax.scan(body, jnp.zeros(4, dtype), x)
    return carry.sum() + stacked


def looped(x, dtype):
    return lax.while_loop(
        lambda s: s[0] < 3,
        lambda s: (s[0] + 1, s[1] * jnp.asarray(0.3, dtype)),
        (0, x.astype(dtype)),
    )[1]


def branched(x, dtype):
    return lax.cond(
        x.sum() > 0, lambda u: u.astype(dtype) ** 3, lambda u: jnp.sin(u.astype(dtype)), x
    )


def scattered(x, dtype):
    return jnp.zeros((5, 4), dtype).at[jnp.array([0, 2, 2])].add(x.astype(dtype)) ** 2


@jax.custom_vjp
def clipped(x):
    return x * 2


clipped.defvjp(lambda x: (x * 2, x), lambda x, g: (jnp.clip(g, -1, 1) * x,))

JAX = {
    "softmax": (
        lambda x: jax.nn.softmax(x.astype(F32)).astype(x.dtype),
        lambda x: jax.nn.softmax(x),
    ),
    "norm": (lambda x: norm(x, lambda h: h.astype(F32)), lambda x: norm(x, lambda h: h)),
    "phases": (lambda x: rotated(x, F32), lambda x: rotated(x, x.dtype)),
    "a number": (lambda x: x * jnp.float32(0.1), lambda x: x * 0.1),
    "a NumPy number": (lambda x: x + np.float32(1e-5), lambda x: x + 1e-5),
    "places": (lambda x: x * jnp.linspace(0, 1, 4, dtype=F32), lambda x: x * jnp.linspace(0, 1, 4)),
    "gelu": (lambda x: jax.nn.gelu(x.astype(F32)), jax.nn.gelu),
    "a product": (
        lambda x: jnp.matmul(x.astype(F32), x.T.astype(F32), preferred_element_type=F32),
        lambda x: x @ x.T,
    ),
    "scan": (lambda x: scanned(x, F32), lambda x: scanned(x, x.dtype)),
    "cond": (lambda x: branched(x, F32), lambda x: branched(x, x.dtype)),
    "scatter": (lambda x: scattered(x, F32), lambda x: scattered(x, x.dtype)),
    "a custom rule": (lambda x: clipped(x.astype(F32)), lambda x: clipped(x)),
    "remat": (
        lambda x: jax.checkpoint(lambda u: jnp.sin(u.astype(F32)))(x),
        jnp.sin,
    ),
    "half": (lambda x: jnp.tanh(x.astype(BF16)).astype(x.dtype), jnp.tanh),
    "a solve": (
        lambda x: jnp.linalg.solve(x[:, :3].astype(F32) + 3 * jnp.eye(3, dtype=F32), x.astype(F32)),
        lambda x: jnp.linalg.solve(x[:, :3] + 3 * jnp.eye(3), x),
    ),
    "eight bits": (lambda x: x.astype(jnp.float8_e4m3fn).astype(x.dtype) * 2, lambda x: x * 2),
    "resized": (
        lambda x: jax.image.resize(x.astype(F32), (6, 4), "nearest"),
        lambda x: jax.image.resize(x, (6, 4), "nearest"),
    ),
}


def differentiated(function):
    def run(x):
        out, pull = jax.vjp(function, x)
        return out, pull(jnp.cos(out).astype(out.dtype))[0]

    return run


@pytest.mark.parametrize("name", few(JAX, every=3))
def test_jax_computes_what_is_written_without_narrowing(name):
    narrow, plain = JAX[name]
    with jax_side.exactly(np.dtype(np.float64)):
        found = jax.jit(widened(differentiated(narrow)))(jnp.asarray(X))
        right = jax.jit(differentiated(plain))(jnp.asarray(X))
    for a, b in zip(found, right, strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=2e-15, atol=2e-15)


def test_a_loop_is_widened_though_it_has_no_gradient():
    with jax_side.exactly(np.dtype(np.float64)):
        found = jax.jit(widened(lambda x: looped(x, F32)))(jnp.asarray(X))
    np.testing.assert_allclose(found, X * 0.3**3, rtol=4e-16)


@pytest.mark.parametrize("name", few(JAX, every=4))
def test_where_nothing_is_narrow_every_bit_is_as_before(name):
    _, plain = JAX[name]
    with jax_side.exactly(np.dtype(np.float64)):
        found = jax.jit(widened(differentiated(plain)))(jnp.asarray(X))
        right = jax.jit(differentiated(plain))(jnp.asarray(X))
        assert all(np.array_equal(a, b) for a, b in zip(found, right, strict=True))


def test_a_float32_run_is_left_alone():
    x = X.astype(np.float32)
    narrow = JAX["half"][0]
    assert np.array_equal(jax.jit(widened(narrow))(x), jax.jit(narrow)(x))


def test_a_table_stays_the_numbers_that_it_is():
    table = np.float32(X)
    with jax_side.exactly(np.dtype(np.float64)):
        found = jax.jit(widened(lambda x: x * table))(jnp.asarray(X))
    assert np.array_equal(found, X * table.astype(np.float64))


@pytest.mark.parametrize(
    "number",
    [
        0.1,
        1e-5,
        0.044715,
        1 / 3,
        1 / 64**0.5,
        1 / 3**0.5,
        (2 / np.pi) ** 0.5,
        np.log(2),
        np.pi,
        -1 / 7,
    ],
)
def test_a_number_is_what_was_meant(number):
    assert meant(float(np.float32(number))) == pytest.approx(number, rel=3e-16)


def test_what_no_float32_holds_is_left_alone():
    for number in (0.1, 1 / 3, 1e300, np.pi):
        assert meant(number) == number
    drawn = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    close = [abs(meant(float(x)) - x) <= abs(x) * 2.0**-24 for x in drawn]
    assert all(close)


W, TABLE = torch.randn(4, 5), torch.tensor([0.1, 0.2, 0.3, 0.7])

TORCH = {
    "softmax": (lambda x: torch.softmax(x.float(), -1).to(x.dtype), lambda x: torch.softmax(x, -1)),
    "its option": (
        lambda x: torch.softmax(x, -1, dtype=torch.float32),
        lambda x: torch.softmax(x, -1),
    ),
    "places": (lambda x: x * torch.linspace(0, 1, 4), lambda x: x * torch.arange(4).double() / 3),
    "made": (
        lambda x: x * (torch.ones(4, dtype=torch.float32) / 3 + torch.tensor(0.1)),
        lambda x: x * (1 / 3 + torch.tensor(0.1, dtype=torch.float64)),
    ),
    "layer norm": (
        lambda x: F.layer_norm(x.float(), (4,), torch.ones(4), torch.zeros(4)).to(x.dtype),
        lambda x: F.layer_norm(x, (4,)),
    ),
    "half": (lambda x: torch.tanh(x.half()).bfloat16(), torch.tanh),
    "eight bits": (lambda x: x.to(torch.float8_e4m3fn).to(x.dtype) * 2, lambda x: x * 2),
    "a table": (
        lambda x: x * TABLE + (x @ W).sum(),
        lambda x: x * TABLE.double() + (x @ W.double()).sum(),
    ),
    "the determinant": (
        lambda x: torch.linalg.det(x[:, :3].float()),
        lambda x: torch.linalg.det(x[:, :3]),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_computes_what_is_written_without_narrowing(name):
    def run(function):
        x = torch.tensor(X, requires_grad=True)
        out = function(x)
        return out.detach(), *torch.autograd.grad(out, x, torch.cos(out).detach())

    narrow, plain = TORCH[name]
    right = run(plain)
    with widening():
        found = run(narrow)
    assert torch.get_default_dtype() == torch.float32
    for a, b in zip(found, right, strict=True):
        assert a.dtype == torch.float64
        torch.testing.assert_close(a, b, rtol=2e-15, atol=2e-15)


def test_autocast_and_transforms_are_widened():
    def run(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return F.linear(x, W.T)

    with widening():
        found = run(torch.tensor(X))
        cubed = torch.func.vmap(torch.func.grad(lambda v: (v.float() ** 3).sum()))(torch.tensor(X))
    torch.testing.assert_close(found, torch.tensor(X) @ W.double(), rtol=1e-15, atol=1e-15)
    torch.testing.assert_close(cubed, 3 * torch.tensor(X) ** 2, rtol=1e-15, atol=1e-15)
