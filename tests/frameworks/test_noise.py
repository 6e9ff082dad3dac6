"""The yardstick: without noise it is the function itself, with noise it is as large as rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from parity.frameworks.jaxpr_noise import cost, yardstick
from parity.judge.noise import BOUND, SEEDS, Cost, plan, sigma
from tests.shared.sampled import few


@jax.custom_vjp
def doubled(x):
    return x * 2


doubled.defvjp(lambda x: (x * 2, None), lambda _, g: (g * 2,))


@jax.custom_jvp
def softplus(x):
    return jnp.log1p(jnp.exp(x))


softplus.defjvp(lambda p, t: (softplus(*p), jax.nn.sigmoid(p[0]) * t[0]))


def looped(x):
    return lax.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, jnp.sin(c[1]) * 1.5), (0, x))[1]


def rolled(x):
    def step(carry, row):
        carry = jnp.tanh(carry + row * 0.3)
        return carry, carry.sum()

    return lax.scan(step, x[0], x, reverse=True)


def positive(x):
    return x @ x.T + 10 * jnp.eye(len(x))


FUNCTIONS = {
    "matmul": lambda x: x @ x.T,
    "nested jit": lambda x: jax.jit(lambda y: jnp.exp(y) / 3)(x),
    "custom_vjp": lambda x: jax.grad(lambda y: jnp.sum(doubled(y) ** 2))(x),
    "custom_jvp": lambda x: jax.grad(lambda y: jnp.sum(softplus(y)))(x),
    "remat": lambda x: jax.grad(lambda y: jnp.sum(jax.checkpoint(lambda z: jnp.sin(z) ** 3)(y)))(x),
    "scan": rolled,
    "gradient of scan": lambda x: jax.grad(lambda y: rolled(y)[1].sum())(x),
    "while": looped,
    "while, each row its own turns": lambda x: jax.vmap(
        lambda r: lax.while_loop(lambda s: jnp.sum(s * s) > 1, lambda s: s * 0.7 + 0.01 * r, r)
    )(x),
    "cond": lambda x: lax.cond(x[0, 0] > 0, lambda y: y * 3, lambda y: jnp.cos(y), x),
    "switch": lambda x: lax.switch(1, [jnp.sin, jnp.cos, jnp.tan], x),
    "scatter": lambda x: jnp.zeros(8).at[jnp.array([1, 1, 2, 7, 0, 1])].add(x[:, 0]),
    "sort": lambda x: jnp.sort(x, 1),
    "cumsum": lambda x: jnp.cumsum(x, 0),
    "prod": lambda x: (x * 2).prod(1),
    "cumprod": lambda x: jnp.cumprod(x, 1),
    "logsumexp": lambda x: jax.nn.logsumexp(x, 1),
    "softmax": lambda x: jax.nn.softmax(x, 1),
    "cholesky": lambda x: jnp.linalg.cholesky(positive(x)),
    "solve": lambda x: jnp.linalg.solve(positive(x), x[:, 0]),
    "eigh": lambda x: jnp.linalg.eigh(positive(x))[0],
    "fft": lambda x: jnp.abs(jnp.fft.rfft(x)),
    "conv": lambda x: jnp.convolve(x[0], x[1]),
    "max pool": lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 2), "VALID"),
    "mean pool": lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (2, 2), "VALID"),
    "vmap": lambda x: jax.vmap(lambda row: row / jnp.linalg.norm(row))(x),
    "fori": lambda x: lax.fori_loop(0, 5, lambda i, y: y * 0.3 + i, x),
    "loops in loops": lambda x: lax.scan(
        lambda c, r: (lax.fori_loop(0, 3, lambda _, y: jnp.sin(y) + r, c), c.sum()), x[0], x
    ),
    "gradient through a loop in remat": lambda x: jax.grad(
        lambda y: jax.checkpoint(lambda z: rolled(z)[1])(y).sum()
    )(x),
    "hessian": lambda x: jax.hessian(jax.nn.logsumexp)(x[0]),
    "callback": lambda x: jax.pure_callback(
        lambda y: np.sin(np.asarray(y)), jax.ShapeDtypeStruct(x.shape, x.dtype), x
    ),
    "random keys": lambda x: x[jax.random.permutation(jax.random.key(3), 6)] * 0.3,
    "old random keys": lambda x: (
        x * jax.random.randint(jax.random.fold_in(jax.random.PRNGKey(0), 1), (6, 6), 1, 9, "int32")
    ),
    "weak types": lambda x: jnp.where(x > 0, 2, x) * jnp.arange(6) / 7,
    "segments": lambda x: jax.ops.segment_sum(x, jnp.array([0, 0, 3, 1, 1, 0]), 4),
    "erfinv": lambda x: lax.erf_inv(jnp.tanh(x)),
    "lgamma": lambda x: jax.scipy.special.gammaln(jnp.abs(x) + 0.5),
    "masked attention": lambda x: (
        jax.nn.softmax(jnp.where(jnp.tri(6, dtype=bool), x @ x.T, -jnp.inf)) @ x
    ),
    "layer norm": lambda x: jax.nn.standardize(x, 1),
    "convolution and pooling": lambda x: jax.grad(
        lambda y: lax.reduce_window(
            lax.conv_general_dilated(y[None, None], y[None, None, :3, :3], (1, 1), "SAME"),
            -jnp.inf,
            lax.max,
            (1, 1, 2, 2),
            (1, 1, 2, 2),
            "VALID",
        ).sum()
    )(x),
    "qr": lambda x: jnp.abs(jnp.linalg.qr(positive(x))[1]),
    "svd": lambda x: jnp.linalg.svd(x, compute_uv=False),
    "expm": lambda x: jax.scipy.linalg.expm(x / 4),
    "complex": lambda x: jnp.abs(lax.complex(x, x.T) ** 2 / (2 + 1j)),
    "constants": lambda x: jnp.clip(jnp.where(x > 0, x, 0.1), -0.3, 0.7),
    "integers": lambda x: (jnp.argmax(x, 1), x.astype(int)),
}


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(6, 6))


def test_what_is_rematerialised_has_the_noise_of_what_is_not(x):
    """jax.checkpoint is a call like jit: what it holds rounds, operation by operation."""

    def through(y):
        return jnp.exp(y) - jnp.exp(y - 1e-3) @ (y / 7)

    for function in (through, jax.grad(lambda y: through(y).sum())):
        kept, again = noise_of(function, x), noise_of(jax.checkpoint(function), x)
        np.testing.assert_array_equal(again, kept)


@pytest.mark.parametrize("name", few(FUNCTIONS, "gradient of scan", every=5))
def test_without_noise_it_is_the_function_and_with_noise_it_is_near(name, x):
    function = FUNCTIONS[name]

    def run(way, argument, x64):
        with jax.enable_x64(x64):
            return [np.asarray(leaf) for leaf in jax.tree.leaves(way(jnp.array(argument)))]

    narrow = x.astype(np.float32)
    plain = run(jax.jit(function), x, True)
    measured = run(yardstick(function), x, True)
    value, noise = measured[: len(plain)], measured[len(plain) :]
    single = run(jax.jit(function), narrow, False)
    exact = run(jax.jit(function), narrow.astype(np.float64), True)
    for a, b, s, c, e in zip(plain, value, noise, single, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)
        assert np.all(np.isfinite(s))
        far = np.abs(c.astype(np.float64) - e) / sigma(s, np.float32)
        assert far.max() < BOUND / 2  # measured: below 4


def noise_of(function, *args):
    with jax.enable_x64(True):
        return np.asarray(yardstick(function)(*(jnp.array(a) for a in args))[1])


def test_one_rounding_has_noise_of_the_value(x):
    big = np.random.default_rng(0).normal(size=4000)
    ratio = noise_of(lambda a, b: a * b, big, big[::-1].copy()) / np.abs(big * big[::-1])
    assert np.sqrt(np.mean(ratio**2)) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(
    "function",
    [
        jnp.transpose,
        jnp.negative,
        jnp.max,
        lambda x: x + 0.0,
        lambda x: x * 2,
        lambda x: x / 4,
        lambda x: jnp.zeros_like(x).at[jnp.arange(len(x))].add(x),
        lambda x: jnp.where(x > 0, x, -1e9),
        lambda x: jnp.cumsum(jnp.ones_like(x)) / 1,
    ],
)
def test_what_is_exact_has_no_noise(function, x):
    assert np.all(noise_of(function, x) == 0)


def test_noise_sees_cancellation():
    """(1e6 + x) - 1e6 loses six digits; x does not."""
    noise = noise_of(lambda x: (1e6 + x) - 1e6, np.linspace(1, 2, 500))
    assert 5e5 < np.sqrt(np.mean(noise**2)) < 2e6


def test_a_long_sum_has_the_noise_of_its_terms_not_of_its_value():
    terms = np.random.default_rng(0).normal(size=(200, 1024))
    terms -= terms.mean(1, keepdims=True)  # every sum is about 0
    assert np.median(noise_of(lambda x: x.sum(1), terms)) > 16


def test_every_turn_of_a_loop_has_noise_of_its_own():
    """400 products: the errors add up like a random walk (20), not in step (400)."""

    def product(x):
        return lax.scan(lambda c, _: (c * 1.0078125, None), x, None, length=400)[0]

    noise = noise_of(product, np.ones(500)) / 1.0078125**400
    assert 15 < np.sqrt(np.mean(noise**2)) < 27


def test_a_number_in_the_code_is_rounded_alike_everywhere():
    """0.1 is off by one rounding in 400 products: their error adds up in step."""

    def product(x):
        return lax.scan(lambda c, _: (c * 1.1, None), x, None, length=400)[0]

    noise = noise_of(product, np.ones(500)) / 1.1**400
    assert 200 < np.sqrt(np.mean(noise**2)) < 800


def test_noise_of_two_operations_is_independent(x):
    """The difference of two products of equal size has noise sqrt(2), not 0."""
    big = np.random.default_rng(0).uniform(1, 2, size=4000)
    noise = noise_of(lambda a: a * 3.0 - a * 2.5, big) / big
    expected = np.sqrt(3.0**2 + 2.5**2 + 0.5**2)
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(expected, rel=0.05)


def test_float32_inside_a_float64_run_is_refused(x):
    with jax.enable_x64(True), pytest.raises(TypeError, match="float32 value of shape"):
        yardstick(lambda x: x.astype(jnp.float32).sum())(jnp.array(x))
    with jax.enable_x64(True), pytest.raises(TypeError, match="float32 value"):
        yardstick(jax.jit(lambda x: x * jnp.full(6, 0.1, jnp.float32)))(jnp.array(x))


def test_a_mask_in_float32_is_exact(x):
    """optax's ctc_loss does so; what is whole is the same number in every float."""

    def masked(x, narrow):
        mask = 1 - (x[:, 0] > 0).astype(narrow)
        return x * mask[:, None] * jnp.sum(mask)

    with jax.enable_x64(True):
        value, noise = map(np.asarray, yardstick(lambda x: masked(x, jnp.float32))(jnp.array(x)))
    mask = 1.0 - (x[:, 0] > 0)
    assert np.array_equal(value, x * mask[:, None] * mask.sum())
    assert np.all(noise[value == 0] == 0)
    assert np.any(noise > 0)


def test_bfloat16_inside_a_float64_run_is_refused(x):
    with jax.enable_x64(True), pytest.raises(TypeError, match="bfloat16 value of shape"):
        yardstick(lambda x: x.astype(jnp.bfloat16).astype(x.dtype))(jnp.array(x))


def test_a_long_product_has_the_noise_of_every_factor():
    factors = np.random.default_rng(0).uniform(0.99, 1.01, size=(500, 400))
    noise = noise_of(lambda x: x.prod(1), factors) / factors.prod(1)
    assert 15 < np.sqrt(np.mean(noise**2)) < 27


def test_one_yardstick_serves_many_shapes():
    measure = yardstick(lambda x: (x * 3).sum())
    with jax.enable_x64(True):
        for size in (3, 70_000):
            value, noise = measure(jnp.full(size, 0.3))
            assert float(value) == pytest.approx(0.9 * size)
            assert float(noise) > 0


def test_every_seed_count_gives_the_same_size():
    x = np.random.default_rng(0).normal(size=4000)
    with jax.enable_x64(True):
        noise = [np.asarray(yardstick(lambda x: x * 0.3, n)(jnp.array(x))[1]) for n in (2, 64)]
    ratios = [n / np.abs(x * 0.3) for n in noise]
    assert np.sqrt(np.mean(ratios[0] ** 2)) == pytest.approx(1.3, rel=0.5)
    assert ratios[0].std() > 2 * ratios[1].std()


def test_two_measurements_are_one(x):
    first, second = (noise_of(lambda x: jnp.tanh(x @ x), x) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_branch_not_taken_is_not_run(x):
    """Were both branches run, the callback in the other would be called."""
    called = []

    def told(y):
        called.append(1)
        return y

    def other(y):
        return jax.pure_callback(told, jax.ShapeDtypeStruct(y.shape, y.dtype), y)

    noise_of(lambda x: lax.cond(x[0, 0] > 9, other, jnp.sin, x), x)
    assert not called


def test_what_is_printed_is_printed_once(x, capfd):
    def talking(x):
        jax.debug.print("hello")
        return jnp.sin(x)

    noise_of(talking, x)
    jax.effects_barrier()
    assert capfd.readouterr().out.count("hello") == 1


def test_a_factorisation_moves_each_matrix_of_a_batch_by_its_own_size():
    batch = np.stack([np.eye(3) * 2.5, np.eye(3) * 2.5e6])
    noise = noise_of(lambda x: jnp.linalg.cholesky(x), batch)
    assert noise[1].max() / noise[0].max() == pytest.approx(1000, rel=0.9)


def test_the_cost_counts_what_runs():
    with jax.enable_x64(True):
        x = jnp.ones((5, 5))
        once = cost(lambda x: jnp.sin(x) * 3, x)
        often = cost(lambda x: lax.scan(lambda c, _: (jnp.sin(c) * 3, None), x, None, 100)[0], x)
        product = cost(lambda x: x @ x, x)
    assert (once.operations, once.elements) == (2, 50)
    assert often.elements == 100 * 50
    assert often.operations == 3  # compiled once, however often it turns
    assert product.elements == 5**3


def test_a_long_measurement_takes_fewer_seeds_and_pools_them():
    quick, slow = plan(Cost(10, 100, 1.0, 0.1)), plan(Cost(10, 10**9, 1.0, 30.0))
    assert (quick.seeds, quick.pooled) == (SEEDS, False)
    assert quick.seconds == pytest.approx(2.6)
    assert slow.pooled
    assert slow.seeds < SEEDS
    assert slow.seconds == 1 + 30 * slow.seeds


def test_a_pooled_sigma_forgives_an_unlucky_element():
    """Of 4 seeds' rms one in thousands is 10 times too small by chance; of 16 none is."""
    draws = np.abs(np.random.default_rng(0).normal(size=(4, 100_000)))
    noise = np.sqrt((draws**2).mean(0))
    assert noise.min() < 0.1
    assert sigma(noise, np.float32, seeds=4).min() > 0.8 * 2.0**-24
