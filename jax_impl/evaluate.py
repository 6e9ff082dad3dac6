"""After training: batchnorm statistics over the whole training set, losses, and samples.

Chooses nothing at random itself: `sample` is given the rule that turns probabilities into a letter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Float, Int

from jax_impl.ops import cross_entropy_forward
from jax_impl.params import EPS, Params


class Statistics(NamedTuple):
    """What batchnorm subtracts and divides by once training is over."""

    bnmean: Float[Array, "1 hidden"]
    bnvar: Float[Array, "1 hidden"]


@jax.jit
def calibrate(params: Params, X: Int[Array, "n block"]) -> Statistics:
    """Return the mean and unbiased variance of the hidden pre-activations over ``X``."""
    C, W1, b1 = params[:3]
    hpreact = C[X].reshape(X.shape[0], -1) @ W1 + b1
    bnmean = hpreact.mean(0, keepdims=True)
    bnvar = hpreact.var(0, keepdims=True, correction=1)
    return Statistics(bnmean, bnvar)


def inference_logits(
    params: Params, statistics: Statistics, X: Int[Array, "n block"], eps: float = EPS
) -> Float[Array, "n vocab"]:
    """Return the logits under fixed batchnorm statistics."""
    C, W1, b1, W2, b2, bngain, bnbias = params
    bnmean, bnvar = statistics
    hpreact = C[X].reshape(X.shape[0], -1) @ W1 + b1
    hpreact = bngain * (hpreact - bnmean) * (bnvar + eps) ** -0.5 + bnbias
    return jnp.tanh(hpreact) @ W2 + b2


@jax.jit
def split_loss(
    params: Params, statistics: Statistics, X: Int[Array, "n block"], Y: Int[Array, "n"]
) -> Float[Array, ""]:
    """Return the mean cross-entropy over a whole split."""
    loss, _ = cross_entropy_forward(inference_logits(params, statistics, X), Y)
    return loss


def member_losses(
    params: Params, splits: tuple[tuple[Int[Array, "n block"], Int[Array, "n"]], ...]
) -> Float[Array, "members splits"]:
    """Return every member's mean cross-entropy over each split, calibrated on the first.

    Where the parameters are spread over a mesh of one axis, each device evaluates its own.
    """
    mesh = getattr(params.C.sharding, "mesh", None) or Mesh([*params.C.devices()], ("members",))
    return _compiled_members(mesh)(params, splits)


@cache
def _compiled_members(mesh: Mesh) -> Callable[..., Array]:
    """Return the losses of every device's members, one after another: a split is large enough."""

    def run(params: Params, splits: Any) -> Array:
        def one(params: Params) -> Array:
            statistics = calibrate(params, splits[0][0])
            return jnp.stack([split_loss(params, statistics, X, Y) for X, Y in splits])

        return lax.map(one, params)

    own = P(*mesh.axis_names)
    return jax.jit(
        jax.shard_map(run, mesh=mesh, in_specs=(own, P()), out_specs=own, check_vma=False)
    )


@jax.jit
def next_letter(
    params: Params, statistics: Statistics, X: Int[Array, "n block"]
) -> Float[Array, "n vocab"]:
    """Return the probabilities of the letter that follows each context."""
    return jax.nn.softmax(inference_logits(params, statistics, X), 1)


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
            context = jnp.array([letters[-block:]])
            letters.append(choose(np.asarray(probabilities(context)[0])))
        names.append(letters[block:])
    return names
