"""What the harness asks of JAX. `torch_side.py` answers to the same names in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

TWIN = "jax_impl"
HAND, AUTODIFF = "jax", "jax.grad"


@contextmanager
def exactly(dtype: np.dtype) -> Iterator[None]:
    """Compute in ``dtype``, with matrix products at full precision, then restore what was set."""
    with jax.enable_x64(dtype == np.float64), jax.default_matmul_precision("highest"):
        yield


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` jitted; keep it to compile once a shape."""
    return jax.jit(function)


def from_numpy(arrays: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
    """Return JAX copies of NumPy arrays."""
    return tuple(jnp.array(x) for x in arrays)


def to_numpy(value: Any) -> Any:
    """Return NumPy copies of every array in nested dictionaries and tuples."""
    return jax.tree.map(np.array, value)


def vjp(
    forward: Callable[..., Any], inputs: tuple[Any, ...], dout: Any
) -> tuple[Any, tuple[Any, ...]]:
    """Return (out, gradients of the float inputs) by JAX's own differentiation."""
    places = [i for i, x in enumerate(inputs) if jnp.issubdtype(x.dtype, jnp.inexact)]

    def of_floats(*floats: Any) -> Any:
        values = dict(zip(places, floats, strict=True))
        return forward(*(values.get(i, x) for i, x in enumerate(inputs)))

    out, pull = jax.vjp(of_floats, *(inputs[i] for i in places))
    return out, pull(dout)


def descent(loss_and_grads: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``(params, X, Y, ix, lr) -> (params, losses)``: descent on any source of gradients."""

    @jax.jit
    def descend(params: Any, X: Any, Y: Any, ix: Any, lr: Any) -> Any:
        def step(params: Any, chosen: Any) -> Any:
            batch, rate = chosen
            loss, grads = loss_and_grads(params, X[batch], Y[batch])
            return jax.tree.map(lambda p, dp: p - rate * dp, params, grads), loss

        return jax.lax.scan(step, params, (ix, lr))

    return descend
