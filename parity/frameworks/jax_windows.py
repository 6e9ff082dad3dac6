"""JAX's operations that slide a window along their input. `torch_windows.py` does the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from parity.frameworks.jax_arithmetic import Arithmetic
from parity.frameworks.programs import Window

POOLS = frozenset("reduce_window_max reduce_window_min reduce_window_sum".split())


def window_of(equation: Any) -> Window | None:
    """Return how an equation slides along its first input; None of one that does not."""
    name = equation.primitive.name
    if name == "conv_general_dilated":
        return _of_convolution(equation)
    if name in POOLS:
        return _of_pool(equation)
    return _of_padding(equation) if name == "pad" else None


def _of_convolution(equation: Any) -> Window | None:
    params, (x, kernel) = equation.params, (v.aval.shape for v in equation.invars)
    numbers = params["dimension_numbers"]
    axes, own = numbers.lhs_spec[2:], numbers.rhs_spec[2:]
    spread = params["lhs_dilation"]

    def apply(inputs: list[Any], new: Window) -> Any:
        left, right = inputs
        padding = new.padding
        if new.mode not in ("zeros", ""):
            left = Arithmetic.padded(left, _at(axes, padding, left.ndim), new.mode)
            padding = ((0, 0),) * len(padding)
        right = jnp.flip(right, own) if new.turned else right
        changed = {"padding": padding, "rhs_dilation": new.dilation}
        return equation.primitive.bind(left, right, **(params | changed))

    return Window(
        tuple((x[a] - 1) * d + 1 for a, d in zip(axes, spread, strict=True)),
        tuple(kernel[a] for a in own),
        tuple(params["window_strides"]),
        tuple(params["rhs_dilation"]),
        tuple((int(low), int(high)) for low, high in params["padding"]),
        apply,
        "zeros" if set(spread) == {1} else "",
        has_kernel=True,
    )


def _of_pool(equation: Any) -> Window | None:
    params = equation.params
    if set(params["base_dilation"]) != {1}:
        return None

    def apply(inputs: list[Any], new: Window) -> Any:
        changed = {"padding": new.padding, "window_dilation": new.dilation}
        return equation.primitive.bind(*inputs, **(params | changed))

    return Window(
        tuple(equation.invars[0].aval.shape),
        tuple(params["window_dimensions"]),
        tuple(params["window_strides"]),
        tuple(params["window_dilation"]),
        tuple((int(low), int(high)) for low, high in params["padding"]),
        apply,
        "",
    )


def _of_padding(equation: Any) -> Window | None:
    config, shape = equation.params["padding_config"], equation.invars[0].aval.shape
    if any(low < 0 or high < 0 or inner for low, high, inner in config):
        return None

    def apply(inputs: list[Any], new: Window) -> Any:
        x, value = inputs
        if new.mode != "zeros":
            return Arithmetic.padded(x, new.padding, new.mode)
        widths = tuple((low, high, 0) for low, high in new.padding)
        value = jnp.asarray(value, x.dtype)
        return equation.primitive.bind(x, value, padding_config=widths)

    ones = (1,) * len(shape)
    widths = tuple((low, high) for low, high, _ in config)
    plain = Window(tuple(shape), ones, ones, ones, widths, apply)
    return plain if any(map(any, widths)) else None


def _at(axes: Sequence[int], padding: Any, ndim: int) -> list[tuple[int, int]]:
    widths = [(0, 0)] * ndim
    for axis, pair in zip(axes, padding, strict=True):
        widths[axis] = pair
    return widths
