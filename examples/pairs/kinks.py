"""Where there is no derivative, the frameworks choose: both are right, and parity says `kink`.

The median of an even number of elements is no kink: there the two functions differ.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from parity import Pair

SHAPES = [(7, 6), (1, 64), (12, 10)]


def pairs(jax, torch, inputs):
    """Return the pair at each shape, on inputs made for it."""
    return [Pair(jax=jax, torch=torch, inputs=inputs(*shape)) for shape in SHAPES]


def zeros(rows, columns):
    """Random numbers, a third of them zero."""

    def inputs(rng):
        x = rng.normal(size=(rows, columns))
        return {"x": np.where(np.arange(x.size).reshape(x.shape) % 3 == 0, 0.0, x)}

    return inputs


def bounds(rows, columns):
    """Random numbers, some of them exactly 0 or 1."""

    def inputs(rng):
        x = rng.normal(size=(rows, columns))
        x[:, 0], x[0, 1::2] = 0.0, 1.0
        return {"x": x}

    return inputs


def ties(rows, columns):
    """Random numbers, every row's maximum twice."""

    def inputs(rng):
        x = rng.normal(size=(rows, columns))
        x[:, 1] = x[:, 4] = x.max(1) + 0.5
        return {"x": x}

    return inputs


def distinct(rows, columns):
    """Random numbers."""
    return {"x": (rows, columns)}


leaky_relu = pairs(jax.nn.leaky_relu, F.leaky_relu, zeros)
absolute = pairs(jnp.abs, torch.abs, zeros)
clamp = pairs(lambda x: jnp.clip(x, 0, 1), lambda x: torch.clamp(x, 0, 1), bounds)
maximum = pairs(lambda x: jnp.max(x, axis=1), lambda x: x.max(dim=1).values, ties)

# torch takes the lower of the two middle elements, JAX their mean: convention
median = pairs(lambda x: jnp.median(x, axis=1), lambda x: torch.median(x, dim=1).values, distinct)
