"""The same network differentiated by JAX, and the door from a hand-written rule into `jax.grad`.

Nothing by hand here: this is what the hand-written backward passes are compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import Literal
from jaxtyping import Float, Int

from jax_impl import chunked
from jax_impl.chunked import Activations
from jax_impl.ops import (
    batchnorm_forward,
    cross_entropy_forward,
    embedding_forward,
    linear_forward,
    tanh_forward,
)
from jax_impl.params import EPS, Params


def differentiable(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``x -> forward(x)[0]`` whose gradient under `jax.grad` is ``backward``.

    ``forward(*inputs) -> (out, residual)``; ``backward(residual, dout) -> one gradient an input``,
    None for integer inputs. Reverse mode alone, as for any `jax.custom_vjp`; it may be repeated.
    """

    @jax.custom_vjp
    def primal(*inputs: Any) -> Any:
        return forward(*inputs)[0]

    primal.defvjp(forward, backward)
    return primal


def chunked_grads(
    params: Params, Xb: Int[Array, "n block"], Yb: Int[Array, "n"], eps: float = EPS
) -> tuple[Float[Array, ""], Activations, Params, Activations]:
    """Return (loss, activations, dparams, dactivations) of `chunked.forward` by `jax.grad`.

    The forward pass is traced once; a zero is added to each named output where it is computed, and
    the gradient in that zero is the gradient in the intermediate.
    """
    traced = jax.make_jaxpr(partial(chunked.forward, eps=eps))(params, Xb, Yb)
    named = traced.jaxpr.outvars[1:]

    def tapped(params: Params, taps: Activations) -> tuple[Array, Activations]:
        tap = dict(zip(named, taps, strict=True))
        values = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
        values |= dict(zip(traced.jaxpr.invars, (*params, Xb, Yb), strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else values[atom]

        for equation in traced.jaxpr.eqns:
            keywords = equation.primitive.get_bind_params(equation.params)
            outputs = equation.primitive.bind(*map(read, equation.invars), **keywords)
            if not equation.primitive.multiple_results:
                outputs = [outputs]
            for variable, value in zip(equation.outvars, outputs, strict=True):
                values[variable] = value + tap[variable] if variable in tap else value
        loss, *activations = map(read, traced.jaxpr.outvars)
        return loss, Activations(*activations)

    zeros = Activations(*(jnp.zeros(v.aval.shape, v.aval.dtype) for v in named))
    (loss, activations), (dparams, dactivations) = jax.value_and_grad(tapped, (0, 1), has_aux=True)(
        params, zeros
    )
    return loss, activations, dparams, dactivations


def loss_and_grads(
    params: Params, Xb: Int[Array, "n block"], Yb: Int[Array, "n"]
) -> tuple[Float[Array, ""], Params]:
    """Return what `mlp.loss_and_grads` returns, by `jax.grad` through the five forwards."""

    def loss(params: Params) -> Array:
        C, W1, b1, W2, b2, bngain, bnbias = params
        embcat, _ = embedding_forward(C, Xb)
        hprebn, _ = linear_forward(embcat, W1, b1)
        hpreact, _ = batchnorm_forward(hprebn, bngain, bnbias)
        h, _ = tanh_forward(hpreact)
        logits, _ = linear_forward(h, W2, b2)
        return cross_entropy_forward(logits, Yb)[0]

    value, grads = jax.value_and_grad(loss)(params)
    return value, grads
