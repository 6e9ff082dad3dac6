"""What the harness asks of torch. `jax_side.py` answers to the same names in the same order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from parity.frameworks import torch_wide
from parity.frameworks.narrowing import Narrowing
from parity.frameworks.torch_ungraded import Ungraded

TWIN = "torch_ref"
HAND, AUTODIFF = "torch", "autograd"


PRODUCTS = {"highest": "highest", "tf32": "high"}
"""What torch calls the precisions of a matrix product of float32."""


@contextmanager
def exactly(dtype: np.dtype, products: str = "highest") -> Iterator[None]:
    """Compute on one thread, whose sums have one order, then restore what was set.

    ``products`` of "tf32" round the factors of float32 products to 11 digits, where a device can.
    """
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(PRODUCTS[products])
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` itself: torch runs eagerly here."""
    return function


def quickly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` itself."""
    return function


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` itself."""
    return function


def widened(
    function: Callable[..., Any], seen: dict[Narrowing, None] | None = None
) -> Callable[..., Any]:
    """Return ``function`` computing in float64 throughout in a float64 run; ``seen`` says where."""
    return torch_wide.widened(function, seen)


def dtype_named(name: str) -> np.dtype:
    """Return the NumPy dtype of a name; bfloat16 where ml_dtypes, which JAX brings, is there."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def from_numpy(arrays: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
    """Return torch copies of NumPy arrays."""
    return tuple(
        torch.tensor(x.view(np.int16)).view(torch.bfloat16)
        if x.dtype.name == "bfloat16"
        else torch.tensor(x)
        for x in arrays
    )


def to_numpy(value: Any) -> Any:
    """Return NumPy copies of every tensor in nested dictionaries and tuples."""
    if isinstance(value, torch.Tensor):
        return seen(value).copy()
    if isinstance(value, dict):
        return {key: to_numpy(item) for key, item in value.items()}
    return None if value is None else type(value)(to_numpy(item) for item in value)


def seen(x: torch.Tensor) -> np.ndarray:
    """Return a tensor as NumPy sees it: no copy, where that can be."""
    x = x.detach().cpu().resolve_conj().resolve_neg()
    if x.dtype == torch.bfloat16:
        found: np.ndarray = x.view(torch.int16).numpy().view(dtype_named("bfloat16"))
        return found
    return x.numpy()


def asarray(x: Any) -> Any:
    """Return a number or an array as a tensor."""
    return torch.as_tensor(x)


def outline(
    function: Callable[..., Any], inputs: tuple[Any, ...]
) -> tuple[dict[str, Any], list[str]]:
    """Return {name: something with a shape and a dtype} for a function that returns {name: x}.

    And the names of those that are made with gradients switched off. Raises NotImplementedError
    where an operation turns out on the way back to have no derivative.
    """
    watch = Ungraded()
    with torch.enable_grad(), watch:
        out = function(*inputs)
    _walk_back(out, inputs)
    return dict(to_numpy(out)), [n for n, x in out.items() if is_float(x) and watch.made(x, inputs)]


def _walk_back(out: dict[str, Any], inputs: tuple[Any, ...]) -> None:
    """Raise what has no derivative; what else goes wrong on the way back is said later."""
    ends = [x for x in out.values() if x.requires_grad]
    leaves = [x for x in inputs if x.requires_grad]
    try:
        if ends and leaves:
            torch.autograd.grad(ends, leaves, [*map(torch.ones_like, ends)], allow_unused=True)
    except NotImplementedError:
        raise
    except Exception:
        return


def differentiable(inputs: tuple[Any, ...], still: Collection[int]) -> tuple[Any, ...]:
    """Return the inputs as a function takes them that differentiates inside: all are leaves.

    Only where gradients are switched on and nobody outside differentiates.
    """
    if torch.is_grad_enabled() and not any(x.requires_grad for x in inputs):
        for place, x in enumerate(inputs):
            if is_float(x) and place not in still:
                x.requires_grad_()
    return inputs


def is_float(x: Any) -> bool:
    """Return whether a tensor has a gradient: real or complex floating point."""
    return bool(x.is_floating_point() or x.is_complex())


def zeros_like(x: Any) -> Any:
    """Return zeros shaped like an array, whatever it holds."""
    return torch.zeros_like(x)


def permuted(x: Any, order: tuple[int, ...]) -> Any:
    """Return a tensor with its axes in another order."""
    return x.permute(order)


def conj(x: Any) -> Any:
    """Return the tensor itself: gradients are compared as torch defines them."""
    return x


def vjp(
    forward: Callable[..., Any],
    inputs: tuple[Any, ...],
    dout: dict[str, Any],
    still: Collection[int] = (),
) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Return (out, gradients of the float inputs) by autograd; None where it finds no path.

    ``forward`` returns {name: tensor}; ``dout`` has the names of the floating ones that count.
    ``still`` are the places of inputs whose gradient is not asked for.
    """
    places = [i for i, x in enumerate(inputs) if is_float(x) and i not in still]
    leaves = [x.detach().requires_grad_() if i in places else x for i, x in enumerate(inputs)]
    floats = [leaves[i] for i in places]
    with torch.enable_grad():
        out = forward(*leaves)
        names = [name for name in dout if out[name].requires_grad]
        grads = (
            torch.autograd.grad(
                [out[name] for name in names],
                floats,
                [dout[name] for name in names],
                allow_unused=True,
            )
            if names
            else (None,) * len(floats)
        )
    return {name: x.detach() for name, x in out.items()}, grads


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
