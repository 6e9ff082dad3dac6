"""What NumPy computes in JAX's place is what JAX computes; what is compiled is given back."""

import gc
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import Literal

from parity.frameworks.jax_eager import KEPT, eager
from parity.frameworks.jaxpr_numpy import MOVING, in_numpy
from parity.frameworks.jaxprs import CALLS, binder, number
from tests.shared.sampled import few


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def compared(function, *args):
    """Hold every operation that NumPy knows to JAX's own; return the names of those."""
    known = []

    def run(closed, given):
        values = dict(zip(closed.jaxpr.constvars, map(np.asarray, closed.consts), strict=True))
        values |= dict(zip(closed.jaxpr.invars, map(np.asarray, given), strict=True))

        def read(atom):
            return number(atom) if isinstance(atom, Literal) else values[atom]

        for equation in closed.jaxpr.eqns:
            name, inputs = equation.primitive.name, [*map(read, equation.invars)]
            if name in CALLS:
                outputs = run(equation.params["jaxpr"], inputs)
            else:
                outputs = [np.asarray(y) for y in binder(equation)(inputs)]
                found = in_numpy(equation, inputs)
                known.extend([name] if found is not None else [])
                for a, b in zip(found or outputs, outputs, strict=True):
                    assert (a.dtype, a.shape) == (b.dtype, b.shape), equation
                    tolerance = 0 if name in MOVING else 1e-12
                    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
            values |= dict(zip(equation.outvars, outputs, strict=True))
        return [*map(read, closed.jaxpr.outvars)]

    with jax.enable_x64(True), np.errstate(all="ignore"):
        run(jax.make_jaxpr(function)(*args), args)
    return known


PADDINGS = ([(1, 1), (0, 1)], [(2, 0), (1, 3)], [(-1, 1), (0, -1)])
CONVOLUTIONS = [
    ((2, 4, 7, 6), (6, 4, 3, 2), {"window_strides": (2, 1), "padding": "SAME"}),
    *(
        ((2, 4, 7, 6), (6, 4, 3, 2), {"window_strides": (1, 2), "padding": p, kind: (2, 1)})
        for p, kind in product(PADDINGS, ("rhs_dilation", "lhs_dilation"))
    ),
    ((2, 4, 7), (8, 1, 3), {"window_strides": (1,), "padding": "SAME", "feature_group_count": 4}),
    ((4, 4, 7), (8, 4, 3), {"window_strides": (1,), "padding": "SAME", "batch_group_count": 2}),
    (
        (2, 7, 6, 4),
        (3, 2, 4, 6),
        {
            "window_strides": (2, 2),
            "padding": "VALID",
            "dimension_numbers": ("NHWC", "HWIO", "NHWC"),
        },
    ),
]


@pytest.mark.parametrize(("x", "kernel", "how"), few(CONVOLUTIONS, every=3))
def test_a_convolution_and_its_gradients_are_jaxs(x, kernel, how, rng):
    def both(x, kernel):
        out, pull = jax.vjp(lambda *args: lax.conv_general_dilated(*args, **how), x, kernel)
        return pull(out)

    known = compared(both, rng.normal(size=x), rng.normal(size=kernel))
    assert known.count("conv_general_dilated") == 3


OPERATIONS = {
    "products": lambda x: jnp.einsum("ijk,kjl->jil", x, x.T) @ jnp.ones((3, 2)),
    "a large product": lambda x: jnp.ones((70, 70)) * x[0, 0, 0] @ jnp.full((70, 70), 0.3),
    "sums": lambda x: (x.sum(1), x.prod((0, 2)), x.max(0), x.min(), jnp.int32(3) + x.sum() * 0),
    "running": lambda x: (
        jnp.cumsum(x, 1),
        lax.cumprod(x, 2, reverse=True),
        lax.cummax(x, 0, reverse=True),
    ),
    "moved": lambda x: (x[::-1, 1:3, ::2], jnp.pad(x, 1), lax.pad(x, 1.0, [(1, 2, 3)] * 3)),
    "cut": lambda x: (jnp.split(x, [1, 3], 1), lax.dynamic_slice(x, (9, -9, 1), (2, 2, 2))),
    "put": lambda x: lax.dynamic_update_slice(x, x[:1, :1] * 2, (7, 1, 0)),
    "chosen": lambda x: (jnp.where(x > 0, x, 2.0), jnp.clip(x, -0.1, 0.2), jnp.stack([x, -x])),
    "whole numbers": lambda x: (jnp.arange(-7, 7) // 4, jnp.arange(-7, 7) % 4, x > 0, ~(x > 0)),
    "as many axes": lambda x: (x[:1].squeeze(0), jnp.tile(x, (2, 1, 3)), x[:, None].squeeze(1)),
    "made whole": lambda x: ((x * 9).astype("int32"), (jnp.abs(x) * 9).astype("uint8")),
    "converted": lambda x: ((x > 0).astype(float), (x * 1e12).astype("int32"), x.astype(bool)),
    "powers": lambda x: (x**3, jnp.abs(x) ** 0.3, x**-2, jnp.sqrt(x * x), lax.rsqrt(x * x)),
    "functions": lambda x: (jnp.tanh(x), jax.nn.sigmoid(x), jnp.sign(x), jnp.arctan2(x, 0.3)),
    "complex": lambda x: (lax.complex(x, x) * 1j).conj().real + jnp.abs(x + 1j),
    "not finite": lambda x: (
        jnp.log(x * 0),
        jnp.maximum(x / 0, jnp.nan),
        jnp.isfinite(1 / (x * 0)),
    ),
}


def gradient_of(function):
    return lambda x: jax.grad(lambda y: (function(y) ** 2 * 0.7).sum())(x)


ROWS, PLACES = np.array([2, 0, 2]), np.array([[1, 4], [0, -1]])
LOOKED_UP = {
    "rows": lambda x: x[ROWS],
    "rows in rows": lambda x: x[PLACES[:, :1] % 3],
    "another axis": lambda x: x[:, PLACES],
    "two axes": lambda x: x[ROWS, :, ROWS],
    "two axes, apart": lambda x: x[:, ROWS, 1:3][..., ROWS % 2],
    "windows": lambda x: jax.vmap(lambda i: lax.dynamic_slice(x, (0, i, 1), (2, 3, 1)))(ROWS),
    "along": lambda x: jnp.take_along_axis(x, ROWS[:, None, None] % 3, 0),
    "row by row": lambda x: jax.vmap(lambda row, i: row[i])(x, ROWS),
    "by whole numbers": lambda x: jnp.arange(9)[ROWS] + x[0, 0, 0],
    "outside": lambda x: jnp.take(x, np.array([1, 9]), 0),
}
"""Of these `row by row` and `along` may go by batches, and what is outside: JAX's alone."""


@pytest.mark.parametrize("name", LOOKED_UP)
def test_what_is_looked_up_and_added_back_is_jaxs(name, rng):
    x = rng.normal(size=(3, 5, 4))
    back = gradient_of(LOOKED_UP[name]) if name != "by whole numbers" else LOOKED_UP[name]
    known = compared(LOOKED_UP[name], x), compared(back, x)
    if name not in ("along", "row by row", "outside", "by whole numbers"):
        assert "gather" in known[0]
        assert "scatter-add" in known[1]


def test_what_is_added_at_several_places_is_in_the_order_of_jax(rng):
    x, y = (rng.normal(size=(n, 3)).astype(np.float32) for n in (2, 400))
    where = rng.integers(0, 2, 400)
    added = jnp.array(x).at[where].add(y)
    with jax.enable_x64(False):
        (equation,) = (
            e
            for e in jax.make_jaxpr(lambda x, i, y: x.at[i].add(y))(x, where, y).eqns
            if e.primitive.name == "scatter-add"
        )
    (found,) = in_numpy(equation, [x, where.astype(np.int32)[:, None], y])
    np.testing.assert_array_equal(found, added)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_in_numpy_is_jaxs(name, rng):
    assert compared(OPERATIONS[name], rng.normal(size=(3, 5, 4)))


def test_one_by_one_is_what_jax_does_eagerly(rng):
    x = jnp.array(rng.normal(size=(6, 5)), jnp.float32)

    def function(x):
        out, pull = jax.vjp(lambda x: jnp.tanh(x @ x.T)[1:].sum(0) * jnp.exp(x[:, 0]), x)
        return out, *pull(out)

    for a, b in zip(function(x), eager(function)(x), strict=True):
        np.testing.assert_array_equal(a, b)


SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.5]


@pytest.mark.parametrize(
    "small",
    [
        pytest.param([], id="normal"),
        pytest.param([1e-38, -1e-39, 1e-45], id="subnormal", marks=pytest.mark.full),
    ],
)
def test_what_is_rounded_once_has_the_same_bits(small, rng):
    """XLA takes subnormal numbers for zeros."""
    numbers = np.array([*SPECIAL, *small, *rng.normal(size=20)], np.float32)
    x, y = (jnp.array(z.ravel()) for z in np.meshgrid(numbers, numbers))

    def function(x, y):
        two = [lax.add, lax.sub, lax.mul, lax.div, lax.eq, lax.ne, lax.ge, lax.gt, lax.le, lax.lt]
        one = [lax.abs, lax.ceil, lax.floor, lax.is_finite, lax.neg, lax.sqrt, lax.square]
        powers = [lax.integer_pow(x, y) for y in (2, 3, -1)]
        return [f(x, y) for f in two], [f(x) for f in one], powers

    for a, b in zip(*map(jax.tree.leaves, (function(x, y), eager(function)(x, y))), strict=True):
        a, b = np.array(a), np.array(b)
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(np.signbit(a[a == a]), np.signbit(b[b == b]))


@pytest.mark.full
def test_operations_compiled_one_by_one_are_not_kept_for_ever(rng):
    """JAX itself keeps one for each shape that it ever met."""
    client = jax.devices()[0].client

    def alive():
        gc.collect()
        return len(client.live_executables())

    before = alive()
    run = eager(lambda x: jnp.exp(jnp.tanh(x) * 0.3))
    for size in range(1, KEPT):
        run(np.ones((size, 3), np.float32))
    assert alive() - before <= KEPT + 2
