"""Exercises 2 and 3: the network as five layers, each a forward and its backward in closed form.

`x_forward(*inputs) -> (out, residual)`; `x_backward(residual, dout) -> one gradient an input`, None
for integer inputs. Residuals are plain tuples of tensors: they can be printed, compared and saved.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, log_softmax
from torch.nn.functional import nll_loss, one_hot

from torch_ref.params import EPS


class EmbeddingResidual(NamedTuple):
    """What `embedding_backward` needs: the table (for its shape) and the letters looked up."""

    C: Float[Tensor, "vocab embd"]
    Xb: Int[Tensor, "n block"]


def embedding_forward(
    C: Float[Tensor, "vocab embd"], Xb: Int[Tensor, "n block"]
) -> tuple[Float[Tensor, "n feat"], EmbeddingResidual]:
    """Look up every letter's row of ``C`` and lay the block of rows side by side."""
    embcat = C[Xb].reshape(Xb.shape[0], -1)
    return embcat, EmbeddingResidual(C, Xb)


def embedding_backward(
    residual: EmbeddingResidual, dembcat: Float[Tensor, "n feat"]
) -> tuple[Float[Tensor, "vocab embd"], None]:
    """Return (dC, None): row c of dC sums the gradients of every use of letter c."""
    C, Xb = residual
    # in the forward pass this was embcat[i] = C[Xb[i, 0]], C[Xb[i, 1]], ...; a row read k times
    # receives k gradients, so they are added, never set
    demb = dembcat.reshape(*Xb.shape, C.shape[1])
    dC = torch.zeros_like(C).index_put((Xb,), demb, accumulate=True)  # twin: no .at
    return dC, None


class LinearResidual(NamedTuple):
    """What `linear_backward` needs: both factors of the product."""

    x: Float[Tensor, "n fan_in"]
    W: Float[Tensor, "fan_in fan_out"]


def linear_forward(
    x: Float[Tensor, "n fan_in"], W: Float[Tensor, "fan_in fan_out"], b: Float[Tensor, "fan_out"]
) -> tuple[Float[Tensor, "n fan_out"], LinearResidual]:
    """Return x @ W + b."""
    out = x @ W + b
    return out, LinearResidual(x, W)


def linear_backward(
    residual: LinearResidual, dout: Float[Tensor, "n fan_out"]
) -> tuple[Float[Tensor, "n fan_in"], Float[Tensor, "fan_in fan_out"], Float[Tensor, "fan_out"]]:
    """Return (dx, dW, db) of out = x @ W + b."""
    x, W = residual
    # out[i, j] = sum_k x[i, k] W[k, j] + b[j]: sum dout against whatever else was multiplied
    dx = dout @ W.T
    dW = x.T @ dout
    db = dout.sum(0)
    return dx, dW, db


class BatchnormResidual(NamedTuple):
    """What `batchnorm_backward` needs: the normalised input, its scale, and the gain."""

    bnraw: Float[Tensor, "n hidden"]
    bnvar_inv: Float[Tensor, "1 hidden"]
    bngain: Float[Tensor, "1 hidden"]


def batchnorm_forward(
    hprebn: Float[Tensor, "n hidden"],
    bngain: Float[Tensor, "1 hidden"],
    bnbias: Float[Tensor, "1 hidden"],
    eps: float = EPS,
) -> tuple[Float[Tensor, "n hidden"], BatchnormResidual]:
    """Normalise every column by its batch mean and unbiased variance, then scale and shift."""
    bnmean = hprebn.mean(0, keepdims=True)
    bnvar = hprebn.var(0, keepdims=True, correction=1)
    bnvar_inv = (bnvar + eps) ** -0.5
    bnraw = (hprebn - bnmean) * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    return hpreact, BatchnormResidual(bnraw, bnvar_inv, bngain)


def batchnorm_backward(
    residual: BatchnormResidual, dhpreact: Float[Tensor, "n hidden"]
) -> tuple[Float[Tensor, "n hidden"], Float[Tensor, "1 hidden"], Float[Tensor, "1 hidden"]]:
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

    h: Float[Tensor, "n hidden"]


def tanh_forward(
    hpreact: Float[Tensor, "n hidden"],
) -> tuple[Float[Tensor, "n hidden"], TanhResidual]:
    """Return tanh(hpreact)."""
    h = torch.tanh(hpreact)
    return h, TanhResidual(h)


def tanh_backward(
    residual: TanhResidual, dh: Float[Tensor, "n hidden"]
) -> tuple[Float[Tensor, "n hidden"]]:
    """Return (dhpreact,) by d tanh(x) = 1 - tanh(x)^2."""
    (h,) = residual
    dhpreact = (1.0 - h**2) * dh
    return (dhpreact,)


class CrossEntropyResidual(NamedTuple):
    """What `cross_entropy_backward` needs: the log-probabilities and the right letters."""

    logprobs: Float[Tensor, "n vocab"]
    Yb: Int[Tensor, "n"]


def cross_entropy_forward(
    logits: Float[Tensor, "n vocab"], Yb: Int[Tensor, "n"]
) -> tuple[Float[Tensor, ""], CrossEntropyResidual]:
    """Return the mean over the batch of -log softmax(logits)[i, Yb[i]]."""
    logprobs = log_softmax(logits, 1)
    loss = nll_loss(logprobs, Yb)  # twin: adds up in the order of F.cross_entropy
    return loss, CrossEntropyResidual(logprobs, Yb)


def cross_entropy_backward(
    residual: CrossEntropyResidual, dloss: Float[Tensor, ""]
) -> tuple[Float[Tensor, "n vocab"], None]:
    """Return (dlogits, None) = ((softmax(logits) - onehot(Yb)) / n * dloss, None) (Exercise 2)."""
    logprobs, Yb = residual
    n, vocab = logprobs.shape
    # loss = mean_i (log sum_k exp z_ik - z_iy): the first term's derivative is the softmax, the
    # second takes 1 from the right letter, the mean divides by n; no sum over the batch is left
    target = one_hot(Yb, vocab).to(logprobs.dtype)  # twin: integer by default
    dlogits = (torch.exp(logprobs) - target) / n * dloss
    return dlogits, None
