"""Lookups in NumPy: windows of an array at places that are values, and what is added there.

As `lax.GatherDimensionNumbers` and `lax.ScatterDimensionNumbers` define them. Says None of batches
of them, and of places outside, which JAX clips, fills or drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Params = dict[str, Any]


def gathered(params: Params, made: Any, x: np.ndarray, indices: np.ndarray) -> Any:
    """Return the windows of ``x`` at ``indices``."""
    how, sizes = params["dimension_numbers"], params["slice_sizes"]
    if how.operand_batching_dims:
        return None
    where = _places(x.shape, indices, how.start_index_map, sizes)
    if where is None:
        return None
    batch = indices.ndim - 1
    kept = [n for axis, n in enumerate(sizes) if axis not in how.collapsed_slice_dims]
    windows = x[where].reshape(*indices.shape[:-1], *kept)
    rest = iter(range(batch))
    within = dict(zip(how.offset_dims, range(batch, windows.ndim), strict=True))
    order = [within[a] if a in within else next(rest) for a in range(windows.ndim)]
    return windows.transpose(order)


def scattered(
    params: Params, made: Any, x: np.ndarray, indices: np.ndarray, updates: np.ndarray
) -> Any:
    """Return ``x`` with ``updates`` added to its windows at ``indices``, one after another."""
    how = params["dimension_numbers"]
    if how.operand_batching_dims:
        return None
    windows = iter(updates.shape[a] for a in how.update_window_dims)
    sizes = [1 if axis in how.inserted_window_dims else next(windows) for axis in range(x.ndim)]
    where = _places(x.shape, indices, how.scatter_dims_to_operand_dims, sizes)
    if where is None:
        return None
    batch = [a for a in range(updates.ndim) if a not in how.update_window_dims]
    own = updates.transpose([*batch, *how.update_window_dims])
    found = x.copy()
    np.add.at(found, where, own.reshape(*indices.shape[:-1], *sizes))
    return found


def _places(
    shape: Sequence[int], indices: np.ndarray, axes: Sequence[int], sizes: Sequence[int]
) -> tuple[np.ndarray, ...] | None:
    """Return an index an axis of all elements of all windows; None where one is outside."""
    found = []
    for axis, (whole, size) in enumerate(zip(shape, sizes, strict=True)):
        first = np.zeros(indices.shape[:-1], np.intp)
        if axis in axes:
            first = indices[..., axes.index(axis)].astype(np.intp)
        if first.size and (first.min() < 0 or first.max() + size > whole):
            return None
        inner = np.arange(size).reshape([-1 if k == axis else 1 for k in range(len(shape))])
        found.append(first.reshape(*first.shape, *[1] * len(shape)) + inner)
    return tuple(found)
