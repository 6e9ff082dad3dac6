"""What a change of a torch program may compute with. `jax_arithmetic.py` has the same names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F


class Arithmetic:
    """What an edit may compute with. jax_arithmetic.py has the same names."""

    exp, log = torch.exp, torch.log
    sqrt, tanh = torch.sqrt, torch.tanh
    sinh, asinh = torch.sinh, torch.asinh
    erf = torch.special.erf
    where, abs, sign = torch.where, torch.abs, torch.sign
    floor, ceil, trunc = torch.floor, torch.ceil, torch.trunc
    round = torch.round
    inv = torch.linalg.inv
    gt, ge, lt, le = torch.gt, torch.ge, torch.lt, torch.le

    @staticmethod
    def maximum(x: Any, y: Any) -> Any:
        """Return the larger of a tensor and a number."""
        return torch.maximum(x, torch.as_tensor(y, dtype=x.dtype))

    @staticmethod
    def middle(x: Any, axis: int) -> tuple[Any, Any]:
        """Return the two middle elements along an axis, in order."""
        ordered, size = torch.sort(x, axis).values, x.shape[axis]
        return ordered.select(axis, (size - 1) // 2), ordered.select(axis, size // 2)

    @staticmethod
    def padded(x: Any, widths: Sequence[tuple[int, int]], mode: str) -> Any:
        """Return a tensor with more at both ends of every axis: zeros, reflect, edge or wrap."""
        flat = [n for low, high in reversed(widths) for n in (low, high)]
        while len(flat) > 2 and flat[-2:] == [0, 0]:
            flat = flat[:-2]
        known = {"zeros": "constant", "edge": "replicate", "wrap": "circular"}
        return F.pad(x, flat, mode=known.get(mode, mode))

    @staticmethod
    def grouped(inputs: Sequence[Any], groups: int) -> Any:
        """Return a group norm of x, perhaps a weight and a bias, and eps, in so many groups."""
        x, *affine, eps = inputs
        weight, bias, *_ = *affine, None, None
        return F.group_norm(x, groups, weight, bias, float(eps))

    @staticmethod
    def resized(x: Any, size: Sequence[int], rule: str, filtered: bool) -> Any:
        """Return an image in another size, filtered against aliasing or not."""
        return F.interpolate(x, tuple(size), mode=rule, antialias=filtered)
