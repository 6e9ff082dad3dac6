"""What a change of a JAX program may compute with. `torch_arithmetic.py` has the same names."""

from __future__ import annotations

from collections.abc import Sequence
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

    @staticmethod
    def padded(x: Any, widths: Sequence[tuple[int, int]], mode: str) -> Any:
        """Return an array with more at both ends of every axis: zeros, reflect, edge or wrap."""
        return jnp.pad(x, widths, mode="constant" if mode == "zeros" else mode)
