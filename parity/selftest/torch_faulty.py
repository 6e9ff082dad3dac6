"""Wrong functions in torch: each is a mistake that people make, planted in a healthy case.

Half spoil the forward, half the backward alone: a wrong gradient of a right function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from parity.pairs.pair import Rule
from parity.selftest import torch_healthy as right


class Fault(NamedTuple):
    """A mistake: the healthy case it spoils, and the torch side that makes it."""

    name: str
    case: str
    torch: Any


def _norm(x: Any, gain: Any, bias: Any, eps: float = 1e-5, **how: Any) -> Any:
    """Batch norm, with what may be wrong in it."""
    mean = x.mean(0, keepdim=True)
    centred = x - (mean.detach() if how.get("detach") == "mean" else mean)
    var = (centred**2).sum(0, keepdim=True) / (x.shape[0] - how.get("ddof", 1))
    var = var.detach() if how.get("detach") == "variance" else var
    return centred / torch.sqrt(var + eps) * gain + bias


def _backward(case: str, spoil: Callable[..., Any]) -> Any:
    """Return a rule whose forward is right and whose gradients ``spoil`` has changed."""
    function = getattr(right, case)

    def forward(*inputs: Any) -> Any:
        return function(*inputs), inputs

    def backward(inputs: Any, dout: Any) -> Any:
        leaves = [x.detach().requires_grad_() if x.is_floating_point() else x for x in inputs]
        floats = [x for x in leaves if x.is_floating_point()]
        with torch.enable_grad():
            grads = iter(torch.autograd.grad(function(*leaves), floats, dout))
        return spoil(*(next(grads) if x.is_floating_point() else None for x in leaves))

    return Rule(forward, backward)


def _element(factor: float) -> Callable[..., Any]:
    """Return a spoiler of one element of the first gradient."""

    def spoil(first: Any, *rest: Any) -> Any:
        first = first.clone()
        first.view(-1)[first.numel() // 2] *= factor
        return first, *rest

    return spoil


def _without_shift(x: Any) -> Any:
    """Softmax that is right, and overflows."""
    return torch.exp(x) / torch.exp(x).sum(-1, keepdim=True)


def _network(relu: Callable[[Any], Any]) -> Any:
    """Return the network with another way to write relu, right but for its derivative."""
    return lambda x, w1, b1, w2, b2: relu(x @ w1 + b1) @ w2 + b2


FAULTS = [
    Fault("1/n for 1/(n-1)", "batch_norm", lambda *x: _norm(*x, ddof=0)),
    Fault("mean detached", "batch_norm", lambda *x: _norm(*x, detach="mean")),
    Fault("variance detached", "batch_norm", lambda *x: _norm(*x, detach="variance")),
    Fault("eps 1e-6 for 1e-5", "batch_norm", lambda x, g, b: _norm(x, g, b, 1e-6)),
    Fault("eps forgotten", "layer_norm", lambda x, g, b: F.layer_norm(x, x.shape[-1:], g, b, 0.0)),
    Fault("1/n for 1/(n-1) in a variance", "variance", lambda x: x.var(0, correction=0)),
    Fault("loss times 1.0001", "cross_entropy", lambda *x: right.cross_entropy(*x) * 1.0001),
    Fault(
        "loss times 1 + 1e-10", "cross_entropy", lambda *x: right.cross_entropy(*x) * (1 + 1e-10)
    ),
    Fault("loss times 2", "cross_entropy", lambda *x: right.cross_entropy(*x) * 2),
    Fault("sum for mean", "cross_entropy", lambda x, y: F.cross_entropy(x, y, reduction="sum")),
    Fault("softmax over the other axis", "softmax", lambda x: F.softmax(x, 0)),
    Fault("softmax twice", "softmax", lambda x: F.softmax(F.softmax(x, -1), -1)),
    Fault("overflow", "softmax of large logits", _without_shift),
    Fault("flipped", "convolution", lambda x, w: F.conv2d(x, w.flip(-1), padding=1)),
    Fault("axes exchanged", "convolution", lambda x, w: F.conv2d(x, w.mT, padding=1)),
    Fault("query for key", "attention", lambda q, k, v: right.attention(k, q, v)),
    Fault("scale forgotten", "attention", lambda q, k, v: (q @ k.mT).softmax(-1) @ v),
    Fault("mask forgotten", "causal_attention", right.attention),
    Fault("gates exchanged", "lstm", lambda x, w, u, b: right.lstm(x, w, u, b.roll(6))),
    Fault("tanh for exact gelu", "gelu", lambda x: F.gelu(x, approximate="tanh")),
    Fault("conjugate forgotten", "rotation", lambda z, w: torch.abs(z * w + z * z).sum(0)),
    Fault("gradient transposed", "distances", _backward("distances", lambda x, y: (x.mT, y))),
    Fault("rows reversed", "distances", _backward("distances", lambda x, y: (x.flip(0), y))),
    Fault("gradients exchanged", "unit", _backward("unit", lambda x: (x.roll(1, 0),))),
    Fault("gradient of zeros", "matmul", _backward("matmul", lambda x, w: (x * 0, w))),
    Fault("gradient negated", "matmul", _backward("matmul", lambda x, w: (x, -w))),
    Fault("gradient times 1.0001", "gelu", _backward("gelu", lambda x: (x * 1.0001,))),
    Fault("one element times 1.001", "silu", _backward("silu", _element(1.001))),
    Fault("one element is NaN", "silu", _backward("silu", _element(float("nan")))),
    Fault("one element is infinite", "silu", _backward("silu", _element(float("inf")))),
    Fault(
        "gradient for each row",
        "batch_norm",
        _backward("batch_norm", lambda x, g, b: (x, g, b[None])),
    ),
    Fault("gradient missing", "matmul", _backward("matmul", lambda x, w: (x,))),
    Fault(
        "half of all that is tied",
        "difference of maxima, ties",
        _backward("difference_of_maxima", lambda x, y, z: (x / 2, y, z)),
    ),
    Fault(
        "set for add",
        "embedding",
        _backward("embedding", lambda table, ids: (table.clamp(-1, 1), None)),
    ),
    Fault(
        "NaN at a kink", "relu_network, dead units", _network(lambda h: (h + (h * h).sqrt()) / 2)
    ),
    Fault(
        "NaN from a branch not taken",
        "relu_network, dead units",
        _network(lambda h: torch.where(h > 0, h.log().exp(), 0.0)),
    ),
]
