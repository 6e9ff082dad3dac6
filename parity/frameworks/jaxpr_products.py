"""Products of matrices, and every convolution as one of them, in NumPy.

XLA compiles a float64 convolution into plain loops. This is the textbook's: all windows side by
side, times the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

ALONE = 2**18
"""Multiplications up to which NumPy's library keeps to one thread."""

_shared = jax.jit(jnp.matmul)


def matrix_product(a: Any, b: Any) -> Any:
    """Return a @ b, for stacks of matrices as well.

    Large products are JAX's: NumPy's threads wait for each other by spinning, which takes a hundred
    times as long where other programs run.
    """
    if a.shape[-2] * a.shape[-1] * b.shape[-1] <= ALONE:
        return np.matmul(a, b)
    return np.asarray(_shared(a, b))


def convolution(params: dict[str, Any], made: Any, x: Any, kernel: Any) -> Any:
    """Return what JAX's conv_general_dilated gives; None where no window fits."""
    numbers = params["dimension_numbers"]
    x = x.transpose(numbers.lhs_spec)  # batch, features, space
    kernel = kernel.transpose(numbers.rhs_spec)  # features, inner features, space
    batches, features = params["batch_group_count"], params["feature_group_count"]
    x = _moved(_spread(x, params["lhs_dilation"]), params["padding"])
    if batches > 1:
        pairs = zip(np.split(x, batches), np.split(kernel, batches), strict=True)
    else:
        pairs = zip(np.split(x, features, 1), np.split(kernel, features), strict=True)
    strides, dilation = params["window_strides"], params["rhs_dilation"]
    if not made.size or not x.size:
        return None
    parts = [_product(one, own, strides, dilation) for one, own in pairs]
    found = np.concatenate(parts, 1)
    return found.transpose(np.argsort(numbers.out_spec))


def _spread(x: Any, dilation: Sequence[int]) -> Any:
    """Return x with zeros between its elements."""
    if all(step == 1 for step in dilation):
        return x
    space = [max(0, (n - 1) * step + 1) for n, step in zip(x.shape[2:], dilation, strict=True)]
    found = np.zeros((*x.shape[:2], *space), x.dtype)
    places: list[Any] = [slice(None, None, step) for step in dilation]
    found[(..., *places)] = x
    return found


def _moved(x: Any, padding: Sequence[tuple[int, int]]) -> Any:
    """Return x with zeros around it, or cut where the padding is negative."""
    cut = [slice(max(0, -low), n + min(0, high)) for (low, high), n in _with(padding, x)]
    around = [(max(0, low), max(0, high)) for low, high in padding]
    return np.pad(x[(..., *cut)], [(0, 0), (0, 0), *around])


def _with(padding: Sequence[tuple[int, int]], x: Any) -> Any:
    return zip(padding, x.shape[2:], strict=True)


def _product(x: Any, kernel: Any, strides: Sequence[int], dilation: Sequence[int]) -> Any:
    """Return batch, features, space: every window of x times the kernel."""
    axes: Any = tuple(range(2, x.ndim))
    reach = [(n - 1) * step + 1 for n, step in zip(kernel.shape[2:], dilation, strict=True)]
    windows = sliding_window_view(x, reach, axes)
    chosen = [slice(None, None, step) for step in (*strides, *dilation)]
    windows = windows[(slice(None), slice(None), *chosen)]
    inside = [axis + len(reach) for axis in axes]
    windows = windows.transpose([0, *axes, 1, *inside])
    outer, terms = windows.shape[: 1 + len(reach)], math.prod(kernel.shape[1:])
    found = matrix_product(windows.reshape(-1, terms), kernel.reshape(-1, terms).T)
    return np.moveaxis(found.reshape(*outer, -1), -1, 1)
