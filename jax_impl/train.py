"""Training with the hand-written backward pass: a chunk of steps as one compiled scan.

Draws nothing and decides nothing: minibatch indices and learning rates come in as arrays, so that
the same steps can be run again, in chunks of any size, and in either framework.
"""

from __future__ import annotations

import jax
from jax import Array
from jaxtyping import Float, Int

from jax_impl.mlp import loss_and_grads
from jax_impl.params import Params


@jax.jit
def train_steps(
    params: Params,
    X: Int[Array, "examples block"],
    Y: Int[Array, "examples"],
    ix: Int[Array, "steps n"],
    lr: Float[Array, "steps"],
) -> tuple[Params, Float[Array, "steps"]]:
    """Return the parameters after ``steps`` steps of p - lr * dp, and each step's loss before it.

    Step i trains on the examples ``ix[i]`` at the rate ``lr[i]``. Compiles once for each shape.
    """

    def step(params: Params, chosen: tuple[Array, Array]) -> tuple[Params, Array]:
        batch, rate = chosen
        loss, grads = loss_and_grads(params, X[batch], Y[batch])
        return Params(*(p - rate * dp for p, dp in zip(params, grads, strict=True))), loss

    params, losses = jax.lax.scan(step, params, (ix, lr))
    return params, losses
