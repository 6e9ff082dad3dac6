"""What the harness asks of torch. `jax_side.py` answers to the same names in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

TWIN = "torch_ref"
HAND, AUTODIFF = "torch", "autograd"


@contextmanager
def exactly(dtype: np.dtype) -> Iterator[None]:
    """Compute on one thread, whose sums have one order, then restore what was set."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` itself: torch runs eagerly here."""
    return function


def from_numpy(arrays: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
    """Return torch copies of NumPy arrays."""
    return tuple(torch.tensor(x) for x in arrays)


def to_numpy(value: Any) -> Any:
    """Return NumPy copies of every tensor in nested dictionaries and tuples."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, dict):
        return {key: to_numpy(item) for key, item in value.items()}
    return type(value)(to_numpy(item) for item in value)


def vjp(
    forward: Callable[..., Any], inputs: tuple[Any, ...], dout: Any
) -> tuple[Any, tuple[Any, ...]]:
    """Return (out, gradients of the float inputs) by autograd."""
    leaves = [x.detach().requires_grad_() if x.is_floating_point() else x for x in inputs]
    floats = [x for x in leaves if x.is_floating_point()]
    with torch.enable_grad():
        out = forward(*leaves)
        grads = torch.autograd.grad(out, floats, dout)
    return out.detach(), grads


def descent(loss_and_grads: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``(params, X, Y, ix, lr) -> (params, losses)``: descent on any source of gradients."""

    def descend(params: Any, X: Any, Y: Any, ix: Any, lr: Any) -> Any:
        losses = []
        for batch, rate in zip(ix, lr.tolist(), strict=True):
            loss, grads = loss_and_grads(params, X[batch], Y[batch])
            params = type(params)(*(p - rate * dp for p, dp in zip(params, grads, strict=True)))
            losses.append(loss)
        return params, torch.stack(losses)

    return descend
