"""What the harness asks of JAX. `torch_side.py` answers to the same names in the same order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity.frameworks import jax_wide
from parity.frameworks.jax_eager import eager as one_by_one
from parity.frameworks.narrowing import Narrowing

TWIN = "jax_impl"
HAND, AUTODIFF = "jax", "jax.grad"


PRODUCTS = {"highest": "highest", "tf32": "tensorfloat32"}
"""What JAX calls the precisions of a matrix product of float32."""


@contextmanager
def exactly(dtype: np.dtype, products: str = "highest") -> Iterator[None]:
    """Compute in ``dtype``, with matrix products at full precision, then restore what was set.

    ``products`` of "tf32" round the factors of float32 products to 11 digits, where a device can.
    """
    with jax.enable_x64(dtype == np.float64), jax.default_matmul_precision(PRODUCTS[products]):
        yield


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` jitted; keep it to compile once a shape."""
    return jax.jit(function)


def quickly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` evaluated without being compiled, for what is run once and looked at."""
    from parity.frameworks.jaxpr_noise import interpreted

    return interpreted(function)


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` run one operation at a time, each compiled alone."""
    return one_by_one(function)


def widened(
    function: Callable[..., Any], seen: dict[Narrowing, None] | None = None
) -> Callable[..., Any]:
    """Return ``function`` computing in float64 throughout in a float64 run; ``seen`` says where."""
    return jax_wide.widened(function, seen)


def dtype_named(name: str) -> np.dtype:
    """Return the NumPy dtype of a name; JAX brings bfloat16."""
    return jnp.dtype(name)


def from_numpy(arrays: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
    """Return JAX copies of NumPy arrays."""
    return tuple(jax.device_put(x.copy()) for x in arrays)


def to_numpy(value: Any) -> Any:
    """Return NumPy copies of every array in nested dictionaries and tuples."""
    return jax.tree.map(np.array, value)


def seen(x: Any) -> np.ndarray:
    """Return an array as NumPy sees it: no copy, where that can be."""
    return np.asarray(x)


def asarray(x: Any) -> Any:
    """Return a number or an array as JAX's."""
    return jnp.asarray(x)


def outline(
    function: Callable[..., Any], inputs: tuple[Any, ...]
) -> tuple[dict[str, Any], list[str]]:
    """Return {name: something with a shape and a dtype} for a function that returns {name: x}.

    And the names of those that are made with gradients switched off: in JAX there is no switch.
    """
    return dict(jax.eval_shape(function, *inputs)), []


def differentiable(inputs: tuple[Any, ...], still: Collection[int]) -> tuple[Any, ...]:
    """Return the inputs as a function takes them that differentiates inside: here, themselves."""
    return inputs


def is_float(x: Any) -> bool:
    """Return whether an array has a gradient: real or complex floating point."""
    return bool(jnp.issubdtype(x.dtype, jnp.inexact))


def zeros_like(x: Any) -> Any:
    """Return zeros shaped like an array, whatever it holds."""
    return jnp.zeros_like(x)


def permuted(x: Any, order: tuple[int, ...]) -> Any:
    """Return an array with its axes in another order."""
    return jnp.transpose(x, order)


def conj(x: Any) -> Any:
    """Return the conjugate: JAX's gradient of a real loss is the conjugate of torch's."""
    return jnp.conj(x)


def vjp(
    forward: Callable[..., Any],
    inputs: tuple[Any, ...],
    dout: dict[str, Any],
    still: Collection[int] = (),
) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Return (out, gradients of the float inputs) by JAX's own differentiation.

    ``forward`` returns {name: array}; ``dout`` has the names of the floating ones that count.
    ``still`` are the places of inputs whose gradient is not asked for. Complex gradients are
    torch's: of a real loss, with respect to the real and i times the imaginary part.
    """
    places = [i for i, x in enumerate(inputs) if is_float(x) and i not in still]

    def of_floats(*floats: Any) -> Any:
        values = dict(zip(places, floats, strict=True))
        out = forward(*(values.get(i, x) for i, x in enumerate(inputs)))
        return {name: out[name] for name in dout}, out

    _, pull, out = jax.vjp(of_floats, *(inputs[i] for i in places), has_aux=True)
    grads = pull({name: conj(x).astype(out[name].dtype) for name, x in dout.items()})
    return out, tuple(conj(grad) for grad in grads)


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
