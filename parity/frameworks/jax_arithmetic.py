"""What a change of a JAX program may compute with. `torch_arithmetic.py` has the same names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp


class Arithmetic:
    """What an edit may compute with. torch_arithmetic.py has the same names."""

    exp, log = jnp.exp, jnp.log
    sqrt, tanh = jnp.sqrt, jnp.tanh
    sinh, asinh = jnp.sinh, jnp.arcsinh
    erf = staticmethod(jax.lax.erf)
    where, abs, sign = jnp.where, jnp.abs, jnp.sign
    floor, ceil, trunc = jnp.floor, jnp.ceil, jnp.trunc
    round = staticmethod(jnp.round)
    maximum = jnp.maximum
    inv = staticmethod(jnp.linalg.inv)
    gt, ge, lt, le = jnp.greater, jnp.greater_equal, jnp.less, jnp.less_equal

    @staticmethod
    def middle(x: Any, axis: int) -> tuple[Any, Any]:
        """Return the two middle elements along an axis, in order."""
        ordered, size = jnp.sort(x, axis), x.shape[axis]
        return jnp.take(ordered, (size - 1) // 2, axis), jnp.take(ordered, size // 2, axis)

    activations: Mapping[str, Callable[[Any], Any]] = {
        "relu": jax.nn.relu,
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "silu": jax.nn.silu,
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        "gelu, its tanh approximation": lambda x: jax.nn.gelu(x, approximate=True),
        "x sigmoid(1.702 x)": lambda x: x * jax.nn.sigmoid(1.702 * x),
        "elu": jax.nn.elu,
        "selu": jax.nn.selu,
        "leaky_relu of slope 0.01": lambda x: jnp.where(x >= 0, x, 0.01 * x),
        "leaky_relu of slope 0.2": lambda x: jnp.where(x >= 0, x, 0.2 * x),
        "softplus": jax.nn.softplus,
        "softsign": jax.nn.soft_sign,
        "mish": lambda x: x * jnp.tanh(jax.nn.softplus(x)),
        "hardtanh": jax.nn.hard_tanh,
        "hardswish": jax.nn.hard_swish,
        "hardsigmoid": jax.nn.hard_sigmoid,
        "relu6": jax.nn.relu6,
        "the square of relu": lambda x: jnp.square(jax.nn.relu(x)),
        "log sigmoid": jax.nn.log_sigmoid,
    }
    """What is often put for one another, of one number each."""

    @staticmethod
    def padded(x: Any, widths: Sequence[tuple[int, int]], mode: str) -> Any:
        """Return an array with more at both ends of every axis: zeros, reflect, edge or wrap."""
        return jnp.pad(x, widths, mode="constant" if mode == "zeros" else mode)
