"""After training: batchnorm statistics over the whole training set, losses, and samples.

Chooses nothing at random itself: `sample` is given the rule that turns probabilities into a letter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from torch_ref.ops import cross_entropy_forward
from torch_ref.params import EPS, Params


class Statistics(NamedTuple):
    """What batchnorm subtracts and divides by once training is over."""

    bnmean: Float[Tensor, "1 hidden"]
    bnvar: Float[Tensor, "1 hidden"]


@torch.no_grad()
def calibrate(params: Params, X: Int[Tensor, "n block"]) -> Statistics:
    """Return the mean and unbiased variance of the hidden pre-activations over ``X``."""
    C, W1, b1 = params[:3]
    hpreact = C[X].reshape(X.shape[0], -1) @ W1 + b1
    bnmean = hpreact.mean(0, keepdims=True)
    bnvar = hpreact.var(0, keepdims=True, correction=1)
    return Statistics(bnmean, bnvar)


def inference_logits(
    params: Params, statistics: Statistics, X: Int[Tensor, "n block"], eps: float = EPS
) -> Float[Tensor, "n vocab"]:
    """Return the logits under fixed batchnorm statistics."""
    C, W1, b1, W2, b2, bngain, bnbias = params
    bnmean, bnvar = statistics
    hpreact = C[X].reshape(X.shape[0], -1) @ W1 + b1
    hpreact = bngain * (hpreact - bnmean) * (bnvar + eps) ** -0.5 + bnbias
    return torch.tanh(hpreact) @ W2 + b2


@torch.no_grad()
def split_loss(
    params: Params, statistics: Statistics, X: Int[Tensor, "n block"], Y: Int[Tensor, "n"]
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy over a whole split."""
    loss, _ = cross_entropy_forward(inference_logits(params, statistics, X), Y)
    return loss


def member_losses(
    params: Params, splits: tuple[tuple[Int[Tensor, "n block"], Int[Tensor, "n"]], ...]
) -> Float[Tensor, "members splits"]:
    """Return every member's mean cross-entropy over each split, calibrated on the first."""
    losses = []
    for member in range(len(params.C)):
        own = Params(*(p[member] for p in params))
        statistics = calibrate(own, splits[0][0])
        losses.append(torch.stack([split_loss(own, statistics, X, Y) for X, Y in splits]))
    return torch.stack(losses)


@torch.no_grad()
def next_letter(
    params: Params, statistics: Statistics, X: Int[Tensor, "n block"]
) -> Float[Tensor, "n vocab"]:
    """Return the probabilities of the letter that follows each context."""
    return torch.softmax(inference_logits(params, statistics, X), 1)


def sample(
    params: Params,
    statistics: Statistics,
    choose: Callable[[np.ndarray], int],
    count: int,
    block: int,
    longest: int = 1000,
) -> list[list[int]]:
    """Return ``count`` names as letter indices, each ended by 0 (or cut at ``longest`` letters).

    ``choose`` maps the probabilities (vocab,) of the next letter to its index.
    """
    probabilities = partial(next_letter, params, statistics)
    names = []
    for _ in range(count):
        letters = [0] * block
        while len(letters) < block + longest and (len(letters) == block or letters[-1] != 0):
            context = torch.tensor([letters[-block:]])
            letters.append(choose(probabilities(context)[0].numpy()))
        names.append(letters[block:])
    return names
