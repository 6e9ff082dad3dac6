"""A quick stand-in for a value of two draws of normals, and how far it errs at most.

Of second order in all of them, of third in each pair that stands at one place: a network's units
meet in the products of two, and each alone bends further. It proves nothing: how far it errs is
seen on draws that it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from parity.frameworks.jax_states import evaluated

FITTED, TRIED = 8, 2**14
"""Draws that it is fitted to, for each coefficient, and those that it is tried on."""

Value = Callable[[Array, Array], Array]


def estimated(value: Value, size: int) -> tuple[Value, float]:
    """Return (the stand-in, for many draws at once, and its largest error) of ``value(a, b)``.

    Each draw has ``size`` normals; the stand-in takes [draws, size] twice and returns [draws].
    """
    both = jax.hessian(lambda z: value(z[:size], z[size:]))(jnp.zeros(2 * size)) / 2

    def bent(a: Array, b: Array) -> Array:
        z = jnp.concatenate([a.T, b.T])  # draws side by side, as they are made
        return ((both @ z) * z).sum(0)

    count = FITTED * (9 * size + 1)
    drawn = np.random.default_rng(0).standard_normal((2, count + TRIED, size))
    a, b = drawn.astype(np.float32)
    right = np.asarray(evaluated(value)(a, b), np.float64)
    ones = np.ones((count, 1))
    columns = np.concatenate([ones, *_powers(*drawn[:, :count])], 1)
    left = right[:count] - np.asarray(bent(a[:count], b[:count]), np.float64)
    found, *_ = np.linalg.lstsq(columns.T @ columns, columns.T @ left, rcond=None)
    start = float(found[0])
    weights = jnp.asarray(found[1:].reshape(-1, size), jnp.float32)

    def stand_in(a: Array, b: Array) -> Array:
        alone = sum(w @ x for x, w in zip(_powers(a.T, b.T), weights, strict=True))
        return start + bent(a, b) + alone

    seen = np.asarray(jax.jit(stand_in)(a[count:], b[count:]), np.float64)
    return stand_in, float(np.abs(seen - right[count:]).max())


def _powers(a: Any, b: Any) -> tuple[Any, ...]:
    return a, b, a * a, a * b, b * b, a * a * a, a * a * b, a * b * b, b * b * b
