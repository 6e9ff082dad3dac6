"""The network's parameters as one immutable value, and the only door between NumPy and JAX.

No initialisation here: random numbers are inputs, drawn once outside and given to both frameworks.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

EPS = 1e-5
"""The notebook's batchnorm epsilon, added to the variance."""


class Params(NamedTuple):
    """The seven parameters under the notebook's names; holds their gradients too."""

    C: Float[Array, "vocab embd"]
    W1: Float[Array, "feat hidden"]
    b1: Float[Array, "hidden"]
    W2: Float[Array, "hidden vocab"]
    b2: Float[Array, "vocab"]
    bngain: Float[Array, "1 hidden"]
    bnbias: Float[Array, "1 hidden"]


def from_numpy(array: np.ndarray) -> Array:  # twin: JAX narrows while x64 is off
    """Return a copy of ``array`` in JAX, dtype unchanged (float64 needs x64 enabled)."""
    result = jnp.array(array)
    if array.dtype == np.float64 and result.dtype != array.dtype:
        raise TypeError(
            f"a float64 array became {result.dtype}: JAX narrows silently while x64 is off; "
            "run inside jax.enable_x64(True)"
        )
    return result


def to_numpy(array: Array) -> np.ndarray:
    """Return ``array`` as a NumPy array, dtype unchanged."""
    return np.array(array)  # twin: NumPy copies JAX arrays itself
