"""`differentiable`: a hand-written rule becomes what `jax.grad` and autograd use."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jax_impl import autodiff as jax_autodiff
from jax_impl import ops as jax_ops
from tests.shared import cases
from tests.shared.cases import FLOAT64, ODD, twin
from tests.shared.sampled import few
from torch_ref import autodiff as torch_autodiff
from torch_ref import ops as torch_ops

OPS = ("embedding", "linear", "batchnorm", "tanh", "cross_entropy")


def pair(ops: Any, op: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return getattr(ops, f"{op}_forward"), getattr(ops, f"{op}_backward")


def by_hand(package: str, op: str, inputs: cases.Arrays, dout: np.ndarray) -> Any:
    """Return the float inputs' gradients as the backward itself gives them, in float64."""
    forward, backward = pair(twin(package, "ops"), op)

    def run(*arrays: Any) -> Any:
        grads = backward(forward(*arrays[:-1])[1], arrays[-1])
        return tuple(g for g in grads if g is not None)

    return cases.call(package, run, (*inputs, dout), FLOAT64)


def marked(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the backward with every gradient tripled: nothing else could give these numbers."""
    return lambda residual, dout: tuple(g if g is None else 3 * g for g in backward(residual, dout))


@pytest.mark.parametrize("op", few(OPS, "embedding", "batchnorm"))
def test_jax_uses_the_rule_under_grad_and_jit(op: str) -> None:
    layer = cases.layers(ODD)[op]
    forward, backward = pair(jax_ops, op)
    lifted = jax_autodiff.differentiable(forward, marked(backward))
    with jax.enable_x64(True):
        *inputs, dout = cases.fed("jax_impl", cases.cast((*layer.inputs, layer.dout), FLOAT64))
        floats = tuple(i for i, x in enumerate(inputs) if jnp.issubdtype(x.dtype, jnp.floating))

        def loss(*inputs: Any) -> Any:
            return (lifted(*inputs) * dout).sum()

        np.testing.assert_array_equal(lifted(*inputs), forward(*inputs)[0])
        grads = cases.taken(jax.jit(jax.grad(loss, floats))(*inputs))
    for grad, expected in zip(grads, by_hand("jax_impl", op, *layer), strict=True):
        np.testing.assert_allclose(grad, 3 * expected, rtol=1e-12, atol=1e-14, strict=True)


def test_jax_uses_the_rule_under_grad_alone() -> None:
    lifted = jax_autodiff.differentiable(jax_ops.tanh_forward, marked(jax_ops.tanh_backward))
    x = jnp.array([[0.0, 0.5]])
    right = 1 - np.tanh([[0.0, 0.5]]) ** 2
    np.testing.assert_allclose(jax.grad(lambda x: lifted(x).sum())(x), 3 * right, rtol=1e-6)


@pytest.mark.parametrize("op", few(["embedding", "batchnorm", "cross_entropy"], "embedding"))
def test_jax_uses_the_rule_under_vmap(op: str) -> None:
    """Three batches at once are each batch alone; the integers and a shared input take part."""
    stacked = [cases.layers(ODD, seed)[op] for seed in range(3)]
    forward, backward = pair(jax_ops, op)
    lifted = jax_autodiff.differentiable(forward, marked(backward))

    def grad(*arrays: Any) -> Any:
        *inputs, dout = arrays
        return jax.grad(lambda x: (lifted(x, *inputs[1:]) * dout).sum())(inputs[0])

    with jax.enable_x64(True):
        batches = [cases.cast((*layer.inputs, layer.dout), FLOAT64) for layer in stacked]
        arrays = [jnp.stack(column) for column in zip(*batches, strict=True)]
        grads = np.array(jax.jit(jax.vmap(grad))(*arrays))
    assert len(grads) == 3
    for layer, found in zip(stacked, grads, strict=True):
        expected = by_hand("jax_impl", op, *layer)[0]
        np.testing.assert_allclose(found, 3 * expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("op", OPS)
def test_torch_uses_the_rule_under_autograd(op: str) -> None:
    layer = cases.layers(ODD)[op]
    forward, backward = pair(torch_ops, op)
    lifted = torch_autodiff.differentiable(forward, marked(backward))
    *inputs, dout = cases.fed("torch_ref", cases.cast((*layer.inputs, layer.dout), FLOAT64))
    floats = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    out = lifted(*inputs)
    assert torch.equal(out, forward(*inputs)[0])
    grads = cases.taken(torch.autograd.grad(out, floats, dout))
    for grad, expected in zip(grads, by_hand("torch_ref", op, *layer), strict=True):
        np.testing.assert_array_equal(grad, 3 * expected, strict=True)


@pytest.mark.parametrize("op", OPS)
def test_torch_gradcheck(op: str) -> None:
    """Finite differences know no derivative at all; and they refuse the tripled rule."""
    inputs = cases.fed("torch_ref", cases.cast(cases.layers(ODD)[op].inputs, FLOAT64))
    inputs = tuple(x.requires_grad_() if x.is_floating_point() else x for x in inputs)
    forward, backward = pair(torch_ops, op)
    assert torch.autograd.gradcheck(torch_autodiff.differentiable(forward, backward), inputs)
    wrong = torch_autodiff.differentiable(forward, marked(backward))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(wrong, inputs)


@pytest.mark.parametrize(
    "loss",
    [
        lambda h, x: h.sum(),
        lambda h, x: (h**2).sum(),
        lambda h, x: h.sum() + (x**2).sum(),
        lambda h, x: (h**2).sum() + (x**2).sum(),
    ],
    ids=["h", "h^2", "h + x^2", "h^2 + x^2"],
)
def test_torch_refuses_a_second_derivative(loss: Callable[[Any, Any], Any]) -> None:
    """Also where another path from x to the loss would leave a number to return."""
    lifted = torch_autodiff.differentiable(*pair(torch_ops, "tanh"))
    x = torch.tensor([[0.5]], requires_grad=True)

    (grad,) = torch.autograd.grad(loss(lifted(x), x), x, create_graph=True)
    (right,) = torch.autograd.grad(loss(torch.tanh(x), x), x)
    torch.testing.assert_close(grad.detach(), right)
    with pytest.raises(RuntimeError, match="differentiable once, not twice"):
        torch.autograd.grad(grad.sum(), x)


def test_jax_has_a_second_derivative_in_reverse() -> None:
    """The backward is itself differentiated, and the residual with it."""
    layer = cases.layers(ODD)["batchnorm"]
    lifted = jax_autodiff.differentiable(*pair(jax_ops, "batchnorm"))

    def second(function: Callable[..., Any], *arrays: Any) -> Any:
        x, gain, bias, dout = arrays
        first = jax.grad(lambda x: (function(x, gain, bias) * dout).sum())
        return jax.grad(lambda x: (first(x) ** 2).sum())(x)

    found, expected = (
        cases.call(
            "jax_impl", jax.jit(partial(second, function)), (*layer.inputs, layer.dout), FLOAT64
        )
        for function in (lifted, lambda *inputs: jax_ops.batchnorm_forward(*inputs)[0])
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_jax_refuses_forward_mode() -> None:
    lifted = jax_autodiff.differentiable(*pair(jax_ops, "tanh"))
    x = jnp.array([[0.5]])
    with pytest.raises(TypeError, match="can't apply forward-mode"):
        jax.jvp(lifted, (x,), (x,))


@pytest.mark.parametrize("package", cases.PACKAGES)
def test_the_lifted_layers_make_the_network(package: str) -> None:
    """The five rules, chained by the framework, give the gradients that `mlp.py` chains by hand."""
    ops, params, autodiff, mlp = (twin(package, m) for m in ("ops", "params", "autodiff", "mlp"))
    embedding, linear, batchnorm, tanh, cross_entropy = (
        autodiff.differentiable(*pair(ops, op)) for op in OPS
    )

    def loss(Xb: Any, Yb: Any, *values: Any) -> Any:
        C, W1, b1, W2, b2, bngain, bnbias = values
        h = tanh(batchnorm(linear(embedding(C, Xb), W1, b1), bngain, bnbias))
        return cross_entropy(linear(h, W2, b2), Yb)

    def chained(*arrays: Any) -> Any:
        *values, Xb, Yb = arrays
        if package == "jax_impl":
            return jax.jit(jax.value_and_grad(partial(loss, Xb, Yb), range(7)))(*values)
        leaves = [x.requires_grad_() for x in values]
        value = loss(Xb, Yb, *leaves)
        return value, torch.autograd.grad(value, leaves)

    def direct(*arrays: Any) -> Any:
        value, grads = mlp.loss_and_grads(params.Params(*arrays[:7]), *arrays[7:])
        return value, tuple(grads)

    arrays = cases.network(ODD)
    value, grads = cases.call(package, chained, arrays, FLOAT64)
    expected, right = cases.call(package, direct, arrays, FLOAT64)
    assert value == pytest.approx(expected, rel=1e-13)
    for grad, other in zip(grads, right, strict=True):
        np.testing.assert_allclose(grad, other, rtol=1e-10, atol=1e-13, strict=True)
