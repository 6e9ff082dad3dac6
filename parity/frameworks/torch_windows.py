"""torch's operations that slide a window along their input. `jax_windows.py` does the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from parity.frameworks.programs import Window
from parity.frameworks.torch_arithmetic import Arithmetic
from parity.frameworks.torch_operations import name_of, named

MODES = {"constant_pad_nd": "zeros", "reflection_pad": "reflect", "replication_pad": "edge"}


def window_of(func: Any, args: Any, kwargs: Any) -> Window | None:
    """Return how an operation slides along its first input; None of one that does not."""
    name = name_of(func)
    given = named(func, args, kwargs)
    if name == "convolution":
        return _of_convolution(func, given)
    if name == "avg_pool2d":
        return _of_pool(func, given, 0.0)
    if name == "max_pool2d_with_indices":
        return _of_pool(func, given, -float("inf"))
    kind = name if name == "constant_pad_nd" else name.rstrip("d123")
    return _of_padding(given, MODES[kind]) if kind in MODES else None


def _of_convolution(func: Any, given: Any) -> Window | None:
    if given["transposed"]:
        return None
    x, kernel = given["input"], given["weight"]
    axes = range(2, x.dim())
    rest = given["output_padding"], given["groups"]
    strides, dilation = list(given["stride"]), list(given["dilation"])
    biased = given["bias"] is not None  # no array is kept

    def apply(inputs: list[Any], new: Window) -> Any:
        left, right, *bias = inputs[:3] if biased else inputs[:2]
        left = Arithmetic.padded(left, [(0, 0), (0, 0), *new.padding], new.mode)
        right = right.flip(*axes) if new.turned else right
        none = [0] * len(strides)
        shift = bias[0] if bias else None
        return func(left, right, shift, strides, none, list(new.dilation), False, *rest)

    return Window(
        tuple(x.shape[2:]),
        tuple(kernel.shape[2:]),
        _each(strides, len(axes)),
        _each(dilation, len(axes)),
        tuple((n, n) for n in _each(given["padding"], len(axes))),
        apply,
        has_kernel=True,
    )


def _of_pool(func: Any, given: Any, value: float) -> Window | None:
    x, length = given["self"], _each(given["kernel_size"], 2)
    strides = _each(given.get("stride") or length, 2)
    dilation = _each(given.get("dilation", 1), 2)
    if given.get("ceil_mode"):
        return None
    divisor = given.get("divisor_override")

    def apply(inputs: list[Any], new: Window) -> Any:
        flat = [n for low, high in reversed(new.padding) for n in (low, high)]
        x, *switches = inputs
        whole, sizes = F.pad(x, flat, value=value), (list(length), list(strides), [0, 0])
        if value:
            return func(whole, *sizes, list(new.dilation))[0]
        mean = func(whole, *sizes, divisor_override=divisor)
        if divisor or switches[1]:  # what is padded is counted
            return mean
        return mean / func(F.pad(torch.ones_like(x), flat), *sizes)

    padding = tuple((n, n) for n in _each(given.get("padding", 0), 2))
    return Window(tuple(x.shape[-2:]), length, strides, dilation, padding, apply, "")


def _of_padding(given: Any, mode: str) -> Window | None:
    x, flat = given["self"], list(given.get("pad", given.get("padding")))
    if any(n < 0 for n in flat) or not any(flat):
        return None
    count = len(flat) // 2
    widths = tuple(reversed([(flat[2 * i], flat[2 * i + 1]) for i in range(count)]))
    ones = (1,) * count
    value = given.get("value", 0) or 0

    def apply(inputs: list[Any], new: Window) -> torch.Tensor:
        if new.mode == "zeros" and value:
            order = [n for low, high in reversed(new.padding) for n in (low, high)]
            return F.pad(inputs[0], order, value=value)
        whole = [(0, 0)] * (inputs[0].dim() - count) + [*new.padding]
        return Arithmetic.padded(inputs[0], whole, new.mode)

    return Window(tuple(x.shape[-count:]), ones, ones, ones, widths, apply, mode)


def _each(value: Any, count: int) -> tuple[int, ...]:
    values: Sequence[int] = [value] if isinstance(value, int) else list(value)
    return tuple(values) if len(values) == count else (values[0],) * count
