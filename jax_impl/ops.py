"""Exercises 2 and 3: the network as five layers, each a forward and its backward in closed form.

`x_forward(*inputs) -> (out, residual)`; `x_backward(residual, dout) -> one gradient an input`, None
for integer inputs. Residuals are plain tuples of arrays: they can be printed, compared and jitted.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import log_softmax, one_hot
from jaxtyping import Float, Int

from jax_impl.params import EPS


class EmbeddingResidual(NamedTuple):
    """What `embedding_backward` needs: the table (for its shape) and the letters looked up."""

    C: Float[Array, "vocab embd"]
    Xb: Int[Array, "n block"]


def embedding_forward(
    C: Float[Array, "vocab embd"], Xb: Int[Array, "n block"]
) -> tuple[Float[Array, "n feat"], EmbeddingResidual]:
    """Look up every letter's row of ``C`` and lay the block of rows side by side."""
    embcat = C[Xb].reshape(Xb.shape[0], -1)
    return embcat, EmbeddingResidual(C, Xb)


def embedding_backward(
    residual: EmbeddingResidual, dembcat: Float[Array, "n feat"]
) -> tuple[Float[Array, "vocab embd"], None]:
    """Return (dC, None): row c of dC sums the gradients of every use of letter c."""
    C, Xb = residual
    # in the forward pass this was embcat[i] = C[Xb[i, 0]], C[Xb[i, 1]], ...; a row read k times
    # receives k gradients, so they are added, never set
    demb = dembcat.reshape(*Xb.shape, C.shape[1])
    dC = jnp.zeros_like(C).at[Xb].add(demb)  # twin: no index_put
    return dC, None


class LinearResidual(NamedTuple):
    """What `linear_backward` needs: both factors of the product."""

    x: Float[Array, "n fan_in"]
    W: Float[Array, "fan_in fan_out"]


def linear_forward(
    x: Float[Array, "n fan_in"], W: Float[Array, "fan_in fan_out"], b: Float[Array, "fan_out"]
) -> tuple[Float[Array, "n fan_out"], LinearResidual]:
    """Return x @ W + b."""
    out = x @ W + b
    return out, LinearResidual(x, W)


def linear_backward(
    residual: LinearResidual, dout: Float[Array, "n fan_out"]
) -> tuple[Float[Array, "n fan_in"], Float[Array, "fan_in fan_out"], Float[Array, "fan_out"]]:
    """Return (dx, dW, db) of out = x @ W + b."""
    x, W = residual
    # out[i, j] = sum_k x[i, k] W[k, j] + b[j]: sum dout against whatever else was multiplied
    dx = dout @ W.T
    dW = x.T @ dout
    db = dout.sum(0)
    return dx, dW, db


class BatchnormResidual(NamedTuple):
    """What `batchnorm_backward` needs: the normalised input, its scale, and the gain."""

    bnraw: Float[Array, "n hidden"]
    bnvar_inv: Float[Array, "1 hidden"]
    bngain: Float[Array, "1 hidden"]


def batchnorm_forward(
    hprebn: Float[Array, "n hidden"],
    bngain: Float[Array, "1 hidden"],
    bnbias: Float[Array, "1 hidden"],
    eps: float = EPS,
) -> tuple[Float[Array, "n hidden"], BatchnormResidual]:
    """Normalise every column by its batch mean and unbiased variance, then scale and shift."""
    bnmean = hprebn.mean(0, keepdims=True)
    bnvar = hprebn.var(0, keepdims=True, correction=1)
    bnvar_inv = (bnvar + eps) ** -0.5
    bnraw = (hprebn - bnmean) * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    return hpreact, BatchnormResidual(bnraw, bnvar_inv, bngain)


def batchnorm_backward(
    residual: BatchnormResidual, dhpreact: Float[Array, "n hidden"]
) -> tuple[Float[Array, "n hidden"], Float[Array, "1 hidden"], Float[Array, "1 hidden"]]:
    """Return (dhprebn, dbngain, dbnbias), dhprebn in one expression (Exercise 3)."""
    bnraw, bnvar_inv, bngain = residual
    n = bnraw.shape[0]
    # With x^ = bnraw and g = bngain * dhpreact, hprebn reaches the loss by three paths:
    #   itself        g_i s                              s = bnvar_inv
    #   its mean     -s/n sum_j g_j                      (sum_j x^_j = 0 kills the variance's share)
    #   its variance -s/(n-1) x^_i sum_j g_j x^_j        (d var/d x_i = 2 (x_i - mean)/(n-1))
    # Their sum, with bngain s/n taken out. eps needs no term: it only enters s.
    dhprebn = (
        bngain * bnvar_inv / n
        * (n * dhpreact - dhpreact.sum(0) - n / (n - 1) * bnraw * (dhpreact * bnraw).sum(0))
    )  # fmt: skip
    dbngain = (bnraw * dhpreact).sum(0, keepdims=True)
    dbnbias = dhpreact.sum(0, keepdims=True)
    return dhprebn, dbngain, dbnbias


class TanhResidual(NamedTuple):
    """What `tanh_backward` needs: its own output."""

    h: Float[Array, "n hidden"]


def tanh_forward(
    hpreact: Float[Array, "n hidden"],
) -> tuple[Float[Array, "n hidden"], TanhResidual]:
    """Return tanh(hpreact)."""
    h = jnp.tanh(hpreact)
    return h, TanhResidual(h)


def tanh_backward(
    residual: TanhResidual, dh: Float[Array, "n hidden"]
) -> tuple[Float[Array, "n hidden"]]:
    """Return (dhpreact,) by d tanh(x) = 1 - tanh(x)^2."""
    (h,) = residual
    dhpreact = (1.0 - h**2) * dh
    return (dhpreact,)


class CrossEntropyResidual(NamedTuple):
    """What `cross_entropy_backward` needs: the log-probabilities and the right letters."""

    logprobs: Float[Array, "n vocab"]
    Yb: Int[Array, "n"]


def cross_entropy_forward(
    logits: Float[Array, "n vocab"], Yb: Int[Array, "n"]
) -> tuple[Float[Array, ""], CrossEntropyResidual]:
    """Return the mean over the batch of -log softmax(logits)[i, Yb[i]]."""
    logprobs = log_softmax(logits, 1)
    loss = -logprobs[jnp.arange(Yb.shape[0]), Yb].mean()  # twin: no nll_loss
    return loss, CrossEntropyResidual(logprobs, Yb)


def cross_entropy_backward(
    residual: CrossEntropyResidual, dloss: Float[Array, ""]
) -> tuple[Float[Array, "n vocab"], None]:
    """Return (dlogits, None) = ((softmax(logits) - onehot(Yb)) / n * dloss, None) (Exercise 2)."""
    logprobs, Yb = residual
    n, vocab = logprobs.shape
    # loss = mean_i (log sum_k exp z_ik - z_iy): the first term's derivative is the softmax, the
    # second takes 1 from the right letter, the mean divides by n; no sum over the batch is left
    target = one_hot(Yb, vocab, dtype=logprobs.dtype)  # twin: float32 or float64 by default
    dlogits = (jnp.exp(logprobs) - target) / n * dloss
    return dlogits, None
