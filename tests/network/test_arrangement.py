"""The training step as `jax_impl.train` arranges it is the training step that `mlp.py` defines.

The other tests know it only by its results over many steps; here it is taken one step at a time.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_impl import mlp, train
from jax_impl.params import Params
from parity.frameworks.jaxpr_noise import yardstick
from tests.shared import cases
from tests.shared.cases import DTYPES, FLOAT32, FLOAT64, NOTEBOOK, ODD, ONE_LETTER, Sizes, call
from tests.shared.sampled import few

TRAINING = NOTEBOOK._replace(hidden=200)
PAIR = Sizes(n=2, block=1, embd=3, hidden=1, vocab=5)


def defined(*arrays: Any) -> tuple[Any, ...]:
    loss, grads = mlp.loss_and_grads(Params(*arrays[:7]), *arrays[7:])
    return loss, *grads


def arranged(*arrays: Any) -> tuple[Any, ...]:
    turned = train._with_turned_w2(Params(*arrays[:7]))
    loss, grads = train._loss_and_grads(turned, *arrays[7:])
    return loss, *train._with_turned_w2(grads)


@cache
def reference(sizes: Sizes) -> tuple[tuple[np.ndarray, ...], ...]:
    """Return what the definition gives in float64, and the noise of each value."""
    found: tuple[tuple[np.ndarray, ...], ...] = call(
        "jax_impl", yardstick(defined), cases.network(sizes), FLOAT64
    )
    return found


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sizes", few([PAIR, ONE_LETTER, ODD, TRAINING], ODD), ids=str)
def test_loss_and_gradients_are_the_defined_ones(sizes: Sizes, dtype: np.dtype) -> None:
    found = call("jax_impl", jax.jit(arranged), cases.network(sizes), dtype)
    wrong = {
        name: cases.disagreement(value, *expected, dtype)
        for name, value, *expected in zip(
            ("loss", *Params._fields), found, *reference(sizes), strict=True
        )
    }
    assert {name: sentence for name, sentence in wrong.items() if sentence} == {}


def test_a_logit_that_towers_over_the_rest_overflows_nothing() -> None:
    arrays = list(cases.network(ODD))
    arrays[4] = arrays[4] + np.float32(1e4) * (np.arange(ODD.vocab) == 3)  # b2
    arrays = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in arrays]
    for ours, theirs in zip(
        call("jax_impl", jax.jit(arranged), arrays, FLOAT32),
        call("jax_impl", jax.jit(defined), arrays, FLOAT32),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("add", [train._added, train._multiplied])
def test_rows_are_added_where_they_belong(add: Any) -> None:
    rng = np.random.default_rng(4)
    rows, values = rng.integers(0, 5, 40), rng.standard_normal((40, 3)).astype(np.float32)
    right = np.zeros((6, 3))
    np.add.at(right, rows, values)
    np.testing.assert_allclose(add(jnp.array(rows), jnp.array(values), 6), right, atol=1e-5)


def data(sizes: Sizes, dtype: np.dtype, steps: int) -> tuple[Params, tuple[Any, ...], Any]:
    """Return parameters of a healthy scale, (X, Y), and (ix, lr), as JAX arrays."""
    rng = np.random.default_rng(1)
    *params, X, Y = cases.network(sizes._replace(n=300))
    scales = (1, 0.3, 0.1, 0.1, 0.1, 1, 0.1)
    params = [(scale * p).astype(dtype) for scale, p in zip(scales, params, strict=True)]
    ix = rng.integers(0, 300, (steps, sizes.n))
    lr = np.where(np.arange(steps) < steps // 2, 0.1, 0.01).astype(dtype)
    return Params(*map(jnp.array, params)), (jnp.array(X), jnp.array(Y)), (ix, lr)


def in_chunks(sizes: Sizes, dtype: np.dtype, steps: int, chunk: int) -> list[np.ndarray]:
    with jax.enable_x64(dtype == FLOAT64):
        params, examples, (ix, lr) = data(sizes, dtype, steps)
        losses = []
        for first in range(0, steps, chunk):
            last = first + chunk
            params, found = train.train_steps(params, *examples, ix[first:last], lr[first:last])
            losses.append(np.array(found))
        return [*map(np.array, params), np.concatenate(losses)]


@pytest.mark.parametrize("dtype", few(DTYPES, FLOAT32), ids=str)
@pytest.mark.parametrize("sizes", few([PAIR, TRAINING], TRAINING), ids=str)
def test_no_chunk_size_changes_a_bit(sizes: Sizes, dtype: np.dtype) -> None:
    whole = in_chunks(sizes, dtype, 60, 60)
    assert all(value.dtype == dtype for value in whole)
    for chunk in (60, 1, 2, 7):
        same = in_chunks(sizes, dtype, 60, chunk)
        assert all(np.array_equal(a, b) for a, b in zip(whole, same, strict=True)), chunk


@pytest.mark.full
@pytest.mark.parametrize("chunk", [1000, 4095, 4097, 10_000])
def test_no_long_chunk_changes_a_bit(chunk: int) -> None:
    """One compiled loop has room for 4096 steps of 32 examples."""
    whole = in_chunks(TRAINING, FLOAT32, 10_000, 7)
    same = in_chunks(TRAINING, FLOAT32, 10_000, chunk)
    assert all(np.array_equal(a, b) for a, b in zip(whole, same, strict=True))


def test_a_batch_so_large_that_a_loop_has_room_for_one_step() -> None:
    sizes = PAIR._replace(n=140_000)
    whole, parts = (in_chunks(sizes, FLOAT32, 5, chunk) for chunk in (5, 1))
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_no_steps_change_nothing() -> None:
    params, examples, (ix, lr) = data(ODD, FLOAT32, 4)
    after, losses = train.train_steps(params, *examples, ix[:0], lr[:0])
    assert losses.shape == (0,)
    assert all(np.array_equal(a, b) for a, b in zip(params, after, strict=True))


@pytest.mark.parametrize("sizes", few([PAIR, ODD, TRAINING], ODD), ids=str)
def test_it_walks_with_a_scan_over_the_definition(sizes: Sizes) -> None:
    """In float64, where only other mathematics could part them; float32 is in test_trajectory."""
    *walked, losses = in_chunks(sizes, FLOAT64, 60, 60)
    with jax.enable_x64(True):
        params, (X, Y), steps = data(sizes, FLOAT64, 60)

        def step(params: Params, chosen: Any) -> tuple[Params, Any]:
            batch, rate = chosen
            loss, grads = mlp.loss_and_grads(params, X[batch], Y[batch])
            return Params(*(p - rate * dp for p, dp in zip(params, grads, strict=True))), loss

        after, expected = jax.lax.scan(step, params, steps)
        for ours, theirs in zip((*walked, losses), (*after, expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-13)  # measured: 1e-15


def test_a_compiler_option_that_xla_does_not_know_is_left_out() -> None:
    """Options come and go with XLA's versions; training must not."""
    known = {"xla_cpu_prefer_vector_width": "512"}
    assert train._if_known(known) == known
    assert train._if_known({"xla_cpu_no_such_option": "512"}) == {}
