"""Exercise 4: the whole network's loss and gradients, by chaining the five layers of `ops.py`.

The definition, written to be read. Training may arrange the same arithmetic differently; it must
agree with this.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from jax_impl.ops import (
    batchnorm_backward,
    batchnorm_forward,
    cross_entropy_backward,
    cross_entropy_forward,
    embedding_backward,
    embedding_forward,
    linear_backward,
    linear_forward,
    tanh_backward,
    tanh_forward,
)
from jax_impl.params import Params


def loss_and_grads(
    params: Params, Xb: Int[Array, "n block"], Yb: Int[Array, "n"]
) -> tuple[Float[Array, ""], Params]:
    """Return the loss of one batch and its gradient in every parameter; n >= 2."""
    C, W1, b1, W2, b2, bngain, bnbias = params
    embcat, embedding = embedding_forward(C, Xb)
    hprebn, linear1 = linear_forward(embcat, W1, b1)
    hpreact, batchnorm = batchnorm_forward(hprebn, bngain, bnbias)
    h, tanh = tanh_forward(hpreact)
    logits, linear2 = linear_forward(h, W2, b2)
    loss, cross_entropy = cross_entropy_forward(logits, Yb)

    dlogits, _ = cross_entropy_backward(cross_entropy, jnp.ones_like(loss))
    dh, dW2, db2 = linear_backward(linear2, dlogits)
    (dhpreact,) = tanh_backward(tanh, dh)
    dhprebn, dbngain, dbnbias = batchnorm_backward(batchnorm, dhpreact)
    dembcat, dW1, db1 = linear_backward(linear1, dhprebn)
    dC, _ = embedding_backward(embedding, dembcat)
    return loss, Params(dC, dW1, db1, dW2, db2, dbngain, dbnbias)
