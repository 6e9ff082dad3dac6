"""How far rounding alone carries a training run: the run, nudged by one ulp before every step.

Frameworks part by a rounding at every step, not at the first alone, so the perturbation is renewed
at every step. It estimates, in float64 under JAX; it bounds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from parity.judge.noise import U0


def nudged_descent(loss_and_grads: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``(params, X, Y, ix, lr, pool, starts) -> (params, losses)``, compiled once a shape.

    Step i takes p to p (1 + u0 xi) and goes on from there by -lr[i] dp; its loss, too, is nudged.
    Each element's xi is a standard normal, read from ``pool`` from ``starts[i]`` on: one for each
    parameter and one more. A pool of zeros nudges nothing.
    """

    @jax.jit
    def descend(params: Any, X: Any, Y: Any, ix: Any, lr: Any, pool: Any, starts: Any) -> Any:
        def step(params: Any, chosen: Any) -> Any:
            batch, rate, start = chosen
            nudged = []
            for p in params:
                xi = lax.dynamic_slice(pool, (start,), (p.size,)).reshape(p.shape)
                nudged.append(p * (1 + U0 * xi))
                start += p.size
            params = type(params)(*nudged)
            loss, grads = loss_and_grads(params, X[batch], Y[batch])
            moved = jax.tree.map(lambda p, dp: p - rate * dp, params, grads)
            return moved, loss * (1 + U0 * lax.dynamic_index_in_dim(pool, start, keepdims=False))

        return lax.scan(step, params, (ix, lr, starts))

    return descend
