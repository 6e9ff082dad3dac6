"""Training with the hand-written backward pass: a plain loop over steps.

Draws nothing and decides nothing: minibatch indices and learning rates come in as arrays, so that
the same steps can be run again, in chunks of any size, and in either framework.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from torch_ref.mlp import loss_and_grads
from torch_ref.params import Params


@torch.no_grad()
def train_steps(
    params: Params,
    X: Int[Tensor, "examples block"],
    Y: Int[Tensor, "examples"],
    ix: Int[Tensor, "steps n"],
    lr: Float[Tensor, "steps"],
) -> tuple[Params, Float[Tensor, "steps"]]:
    """Return the parameters after ``steps`` steps of p - lr * dp, and each step's loss before it.

    Step i trains on the examples ``ix[i]`` at the rate ``lr[i]``.
    """
    losses = torch.empty(len(ix), dtype=params.C.dtype, device=params.C.device)
    for i, (batch, rate) in enumerate(zip(ix, lr.tolist(), strict=True)):
        losses[i], grads = loss_and_grads(params, X[batch], Y[batch])
        params = Params(*(p - rate * dp for p, dp in zip(params, grads, strict=True)))
    return params, losses


@torch.no_grad()
def train_members(
    params: Params,
    X: Int[Tensor, "examples block"],
    Y: Int[Tensor, "examples"],
    ix: Int[Tensor, "members room n"],
    lr: Float[Tensor, "members room"],
    steps: int,
) -> tuple[Params, Float[Tensor, "members room"]]:
    """Train many members at once: what `train_steps` does for one, with an axis for them in front.

    Takes the first ``steps`` of the steps that ``ix`` and ``lr`` have room for.
    """
    step = torch.func.vmap(loss_and_grads)
    losses = torch.zeros_like(lr)
    for i in range(steps):
        losses[:, i], grads = step(params, X[ix[:, i]], Y[ix[:, i]])
        params = Params(
            *(
                p - lr[:, i].reshape(-1, *(1,) * (p.dim() - 1)) * dp
                for p, dp in zip(params, grads, strict=True)
            )
        )
    return params, losses
