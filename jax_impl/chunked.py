"""Exercise 1: the forward pass cut into small steps, and its backward pass by hand, step by step.

Straight-line on purpose: the notebook's names in the notebook's order, one line a gradient. Nothing
here is fused, cached or clever; `ops.py` holds the short forms.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import one_hot
from jaxtyping import Float, Int

from jax_impl.params import EPS, Params


class Activations(NamedTuple):
    """Every named intermediate of the forward pass; holds their gradients too."""

    emb: Float[Array, "n block embd"]
    embcat: Float[Array, "n feat"]
    hprebn: Float[Array, "n hidden"]
    bnmeani: Float[Array, "1 hidden"]
    bndiff: Float[Array, "n hidden"]
    bndiff2: Float[Array, "n hidden"]
    bnvar: Float[Array, "1 hidden"]
    bnvar_inv: Float[Array, "1 hidden"]
    bnraw: Float[Array, "n hidden"]
    hpreact: Float[Array, "n hidden"]
    h: Float[Array, "n hidden"]
    logits: Float[Array, "n vocab"]
    logit_maxes: Float[Array, "n 1"]
    norm_logits: Float[Array, "n vocab"]
    counts: Float[Array, "n vocab"]
    counts_sum: Float[Array, "n 1"]
    counts_sum_inv: Float[Array, "n 1"]
    probs: Float[Array, "n vocab"]
    logprobs: Float[Array, "n vocab"]


def forward(
    params: Params, Xb: Int[Array, "n block"], Yb: Int[Array, "n"], eps: float = EPS
) -> tuple[Float[Array, ""], Activations]:
    """Return the mean negative log-likelihood of ``Yb`` and every intermediate; n >= 2."""
    C, W1, b1, W2, b2, bngain, bnbias = params
    n = Xb.shape[0]
    # embedding and first linear layer
    emb = C[Xb]
    embcat = emb.reshape(n, -1)
    hprebn = embcat @ W1 + b1
    # batchnorm, with Bessel's correction
    bnmeani = 1 / n * hprebn.sum(0, keepdims=True)
    bndiff = hprebn - bnmeani
    bndiff2 = bndiff**2
    bnvar = 1 / (n - 1) * bndiff2.sum(0, keepdims=True)
    bnvar_inv = (bnvar + eps) ** -0.5
    bnraw = bndiff * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    # non-linearity and second linear layer
    h = jnp.tanh(hpreact)
    logits = h @ W2 + b2
    # cross-entropy
    logit_maxes = logits.max(1, keepdims=True)  # twin: JAX returns the values alone
    norm_logits = logits - logit_maxes
    counts = jnp.exp(norm_logits)
    counts_sum = counts.sum(1, keepdims=True)
    counts_sum_inv = counts_sum**-1
    probs = counts * counts_sum_inv
    logprobs = jnp.log(probs)
    loss = -logprobs[jnp.arange(n), Yb].mean()
    return loss, Activations(
        emb, embcat, hprebn, bnmeani, bndiff, bndiff2, bnvar, bnvar_inv, bnraw, hpreact,
        h, logits, logit_maxes, norm_logits, counts, counts_sum, counts_sum_inv, probs, logprobs,
    )  # fmt: skip


def backward(
    params: Params,
    activations: Activations,
    Xb: Int[Array, "n block"],
    Yb: Int[Array, "n"],
    eps: float = EPS,
) -> tuple[Params, Activations]:
    """Return d loss / d tensor for all 7 parameters and all 19 intermediates of `forward`."""
    C, W1, _b1, W2, _b2, bngain, _bnbias = params
    emb, embcat, _hprebn, _bnmeani, bndiff, bndiff2, bnvar, bnvar_inv, bnraw = activations[:9]
    _hpreact, h, logits, _logit_maxes, _norm_logits, counts, counts_sum = activations[9:16]
    counts_sum_inv, probs, logprobs = activations[16:]
    n, vocab = logits.shape
    # cross-entropy: only the n chosen log-probabilities reach the loss, each with weight -1/n
    dlogprobs = jnp.zeros_like(logprobs).at[jnp.arange(n), Yb].set(-1.0 / n)  # twin: no scatter
    dprobs = dlogprobs / probs
    dcounts_sum_inv = (counts * dprobs).sum(1, keepdims=True)
    dcounts_sum = -(counts_sum**-2) * dcounts_sum_inv
    dcounts = counts_sum_inv * dprobs + dcounts_sum
    dnorm_logits = counts * dcounts
    dlogit_maxes = -dnorm_logits.sum(1, keepdims=True)
    argmax = one_hot(logits.argmax(1), vocab, dtype=logits.dtype)  # twin: float by default
    dlogits = dnorm_logits + argmax * dlogit_maxes
    # second linear layer and non-linearity
    dh = dlogits @ W2.T
    dW2 = h.T @ dlogits
    db2 = dlogits.sum(0)
    dhpreact = (1.0 - h**2) * dh
    # batchnorm: bndiff is read twice (by bnraw and by bndiff2), and so is hprebn (by its mean)
    dbngain = (bnraw * dhpreact).sum(0, keepdims=True)
    dbnbias = dhpreact.sum(0, keepdims=True)
    dbnraw = bngain * dhpreact
    dbnvar_inv = (bndiff * dbnraw).sum(0, keepdims=True)
    dbnvar = -0.5 * (bnvar + eps) ** -1.5 * dbnvar_inv
    dbndiff2 = 1 / (n - 1) * jnp.ones_like(bndiff2) * dbnvar
    dbndiff = bnvar_inv * dbnraw + 2 * bndiff * dbndiff2
    dbnmeani = -dbndiff.sum(0, keepdims=True)
    dhprebn = dbndiff + 1 / n * dbnmeani
    # first linear layer and embedding: a letter used k times receives k gradients
    dembcat = dhprebn @ W1.T
    dW1 = embcat.T @ dhprebn
    db1 = dhprebn.sum(0)
    demb = dembcat.reshape(emb.shape)
    dC = jnp.zeros_like(C).at[Xb].add(demb)  # twin: no index_put
    return Params(dC, dW1, db1, dW2, db2, dbngain, dbnbias), Activations(
        demb, dembcat, dhprebn, dbnmeani, dbndiff, dbndiff2, dbnvar, dbnvar_inv, dbnraw, dhpreact,
        dh, dlogits, dlogit_maxes, dnorm_logits, dcounts, dcounts_sum, dcounts_sum_inv, dprobs,
        dlogprobs,
    )  # fmt: skip
