"""The same network differentiated by torch, and the door from a hand-written rule into autograd.

Nothing by hand here: this is what the hand-written backward passes are compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from torch_ref import chunked
from torch_ref.chunked import Activations
from torch_ref.ops import (
    batchnorm_forward,
    cross_entropy_forward,
    embedding_forward,
    linear_forward,
    tanh_forward,
)
from torch_ref.params import EPS, Params


def differentiable(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``x -> forward(x)[0]`` whose gradient under autograd is ``backward``.

    ``forward(*inputs) -> (out, residual)``; ``backward(residual, dout) -> one gradient an input``,
    None for integer inputs. The residual is a NamedTuple of tensors. First order only: a second
    derivative raises instead of being silently wrong.
    """

    class Once(torch.autograd.Function):
        """A gradient that still hangs on the inputs, so that nobody takes it for a constant.

        torch's own `once_differentiable` looks at dout alone: where dout is a constant, a second
        derivative would silently lose this function's share.
        """

        @staticmethod
        def forward(ctx: Any, gradient: Any, *_: Any) -> Any:
            return gradient.clone()

        @staticmethod
        def backward(ctx: Any, _: Any) -> Any:
            raise RuntimeError("a hand-written backward is differentiable once, not twice")

    class Lifted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            out, residual = forward(*inputs)
            ctx.save_for_backward(*residual, *inputs)
            ctx.residual_type, ctx.kept = type(residual), len(residual)
            return out

        @staticmethod
        def backward(ctx: Any, dout: Any) -> Any:
            saved = ctx.saved_tensors
            with torch.no_grad():
                grads = backward(ctx.residual_type(*saved[: ctx.kept]), dout)
            if not torch.is_grad_enabled():
                return grads
            inputs = saved[ctx.kept :]
            return tuple(g if g is None else Once.apply(g, dout, *inputs) for g in grads)

    def primal(*inputs: Any) -> Any:
        return Lifted.apply(*inputs)

    return primal


def chunked_grads(
    params: Params, Xb: Int[Tensor, "n block"], Yb: Int[Tensor, "n"], eps: float = EPS
) -> tuple[Float[Tensor, ""], Activations, Params, Activations]:
    """Return (loss, activations, dparams, dactivations) of `chunked.forward` by autograd.

    `torch.autograd.grad` takes intermediates as they are: nothing is retained on any tensor.
    """
    leaves = Params(*(p.detach().requires_grad_() for p in params))
    with torch.enable_grad():
        loss, activations = chunked.forward(leaves, Xb, Yb, eps)
        grads = torch.autograd.grad(loss, (*leaves, *activations))
    dparams, dactivations = Params(*grads[:7]), Activations(*grads[7:])
    return loss.detach(), Activations(*(a.detach() for a in activations)), dparams, dactivations


def loss_and_grads(
    params: Params, Xb: Int[Tensor, "n block"], Yb: Int[Tensor, "n"]
) -> tuple[Float[Tensor, ""], Params]:
    """Return what `mlp.loss_and_grads` returns, by autograd through the five forwards."""

    def loss(params: Params) -> Tensor:
        C, W1, b1, W2, b2, bngain, bnbias = params
        embcat, _ = embedding_forward(C, Xb)
        hprebn, _ = linear_forward(embcat, W1, b1)
        hpreact, _ = batchnorm_forward(hprebn, bngain, bnbias)
        h, _ = tanh_forward(hpreact)
        logits, _ = linear_forward(h, W2, b2)
        return cross_entropy_forward(logits, Yb)[0]

    leaves = Params(*(p.detach().requires_grad_() for p in params))
    with torch.enable_grad():
        value = loss(leaves)
        grads = Params(*torch.autograd.grad(value, leaves))
    return value.detach(), grads
