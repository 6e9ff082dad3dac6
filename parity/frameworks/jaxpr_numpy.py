"""What the operations of a jaxpr are in NumPy: a function that runs a few times is not compiled.

XLA compiles for longer than most functions run. What is not known here, JAX itself evaluates, one
operation at a time. Adds no noise and knows no reason for any.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from parity.frameworks.jaxpr_indexed import gathered, scattered
from parity.frameworks.jaxpr_products import convolution, matrix_product
from parity.frameworks.jaxprs import binder, is_key

# Without tanh, expm1, acosh, log1p, atanh, exp2, sinh and cosh: in float64 JAX's are 3 to 80 units
# in the last place from NumPy's, and a function must be seen to give the same when it runs again.
ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "add": np.add,
    "add_any": np.add,
    "and": np.bitwise_and,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "ceil": np.ceil,
    "conj": np.conj,
    "cos": np.cos,
    "div": np.true_divide,
    "eq": np.equal,
    "exp": np.exp,
    "floor": np.floor,
    "ge": np.greater_equal,
    "gt": np.greater,
    "imag": np.imag,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "log": np.log,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.invert,
    "or": np.bitwise_or,
    "pow": np.power,
    "real": np.real,
    "rem": np.fmod,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sign": np.sign,
    "sin": np.sin,
    "sqrt": np.sqrt,
    "square": np.square,
    "sub": np.subtract,
    "tan": np.tan,
    "xor": np.bitwise_xor,
}
OF_FLOATS = frozenset("div pow rem".split())
"""What divides by zero, or truncates, in another way where numbers are whole."""
ORDERED = frozenset("clamp ge gt le lt max min reduce_max reduce_min sign".split())
"""What NumPy and JAX order differently where numbers are complex."""

MOVING = frozenset(
    """and broadcast_in_dim concatenate copy dynamic_slice dynamic_update_slice expand_dims gather
    iota not or pad reshape rev select_n slice split squeeze stop_gradient tile transpose xor
    """.split()
)
"""What moves and chooses: the same bits in NumPy, in every dtype."""
EXACT = frozenset(
    """abs add add_any ceil div eq floor ge gt integer_pow is_finite le lt mul ne neg sqrt square
    sub""".split()
)
"""What IEEE 754 rounds in one way: the same bits in NumPy, of floats that are not subnormal."""

REDUCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "reduce_sum": np.sum,
}
CUMULATIVE: dict[str, Callable[..., Any]] = {
    "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate,
    "cumprod": np.cumprod,
    "cumsum": np.cumsum,
}

Params = dict[str, Any]


def evaluate(equation: Any, inputs: Sequence[Any]) -> list[Any]:
    """Return the outputs of one equation: NumPy arrays where inputs are, tracers among tracers."""
    if all(isinstance(x, np.ndarray | np.generic) for x in inputs):
        found = in_numpy(equation, inputs)
        if found is not None:
            return found
    return [_held(y) for y in binder(equation)(inputs)]


def _held(y: Any) -> Any:
    """Return a JAX array as NumPy's; tracers and random keys as they are."""
    return y if isinstance(y, jax.core.Tracer) or is_key(y) else np.asarray(y)


def in_numpy(equation: Any, inputs: Sequence[Any]) -> list[Any] | None:
    """Return the outputs of one equation on NumPy arrays; None where only JAX knows them."""
    name = equation.primitive.name
    made = [v.aval for v in equation.outvars]
    kinds = "".join(getattr(x.dtype, "kind", "?") for x in (*inputs, *made))
    if name not in KNOWN or not set(kinds) <= set("fiubcV" if name in MOVING else "fiubc"):
        return None
    if (name in OF_FLOATS and kinds[0] in "iub") or (name in ORDERED and "c" in kinds):
        return None
    if name in ELEMENTWISE:
        found: Any = ELEMENTWISE[name](*inputs)
    elif name in REDUCTIONS:
        found = _reduced(name, equation.params, inputs[0], made[0].dtype)
    elif name in CUMULATIVE:
        found = _accumulated(name, equation.params, *inputs)
    else:
        found = KNOWN[name](equation.params, made[0], *inputs)
    if found is None:
        return None
    outputs = found if isinstance(found, list) else [found]
    return [np.asarray(y, v.dtype) for y, v in zip(outputs, made, strict=True)]


def _reduced(name: str, params: Params, x: Any, dtype: Any) -> Any:
    axes = tuple(params["axes"])
    if name in ("reduce_max", "reduce_min"):
        return REDUCTIONS[name](x, axes) if x.size else None
    return REDUCTIONS[name](x, axes, dtype=dtype)


def _accumulated(name: str, params: Params, x: Any) -> Any:
    axis = params["axis"]
    if not params["reverse"]:
        return CUMULATIVE[name](x, axis)
    return np.flip(CUMULATIVE[name](np.flip(x, axis), axis), axis)


def _broadcast(params: Params, made: Any, x: Any, *sizes: Any) -> Any:
    if sizes:
        return None
    inner = [1] * len(made.shape)
    for place, size in zip(params["broadcast_dimensions"], x.shape, strict=True):
        inner[place] = size
    return np.broadcast_to(x.reshape(inner), made.shape)


def _converted(params: Params, made: Any, x: Any) -> Any:
    """Floats turned into whole numbers saturate in JAX alone, where they are too large."""
    if x.dtype.kind in "fc" and made.dtype.kind in "iu":
        most = np.iinfo(made.dtype)
        fits = x.dtype.kind == "f" and bool(np.all((x > most.min) & (x < most.max)))
        return x.astype(made.dtype) if fits else None
    if x.dtype.kind == "c" and made.dtype.kind == "f":
        return x.real.astype(made.dtype)
    return x.astype(made.dtype)


def _chosen(params: Params, made: Any, which: Any, *cases: Any) -> Any:
    if len(cases) != 2 or which.dtype.kind != "b":
        return None
    return np.where(which, cases[1], cases[0])


def _padded(params: Params, made: Any, x: Any, value: Any) -> Any:
    config = params["padding_config"]
    if any(low < 0 or high < 0 for low, high, _ in config) or not x.size:
        return None
    found = np.full(made.shape, value, made.dtype)
    places = [
        slice(low, low + (size - 1) * (between + 1) + 1, between + 1)
        for (low, _, between), size in zip(config, x.shape, strict=True)
    ]
    found[tuple(places)] = x
    return found


def _sliced(params: Params, made: Any, x: Any) -> Any:
    strides = params["strides"] or (1,) * x.ndim
    bounds = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return x[tuple(slice(*each) for each in bounds)]


def _window(sizes: Sequence[int], x: Any, starts: Sequence[Any]) -> tuple[slice, ...]:
    """Return where a slice lies whose start is a value: moved until it is inside."""
    places = []
    for size, whole, start in zip(sizes, x.shape, starts, strict=True):
        first = min(max(int(start), 0), whole - size)
        places.append(slice(first, first + size))
    return tuple(places)


def _window_of(params: Params, made: Any, x: Any, *starts: Any) -> Any:
    return x[_window(params["slice_sizes"], x, starts)]


def _window_put(params: Params, made: Any, x: Any, part: Any, *starts: Any) -> Any:
    found = x.copy()
    found[_window(part.shape, x, starts)] = part
    return found


def _numbered(params: Params, made: Any, *sizes: Any) -> Any:
    if sizes:
        return None
    axis = params["dimension"]
    inner = [-1 if i == axis else 1 for i in range(len(made.shape))]
    return np.broadcast_to(np.arange(made.shape[axis], dtype=made.dtype).reshape(inner), made.shape)


def _product(params: Params, made: Any, left: Any, right: Any) -> Any:
    """Return batches of matrix products."""
    (left_sums, right_sums), (left_batch, right_batch) = params["dimension_numbers"]
    left_rest = [i for i in range(left.ndim) if i not in (*left_sums, *left_batch)]
    right_rest = [i for i in range(right.ndim) if i not in (*right_sums, *right_batch)]
    batch = [left.shape[i] for i in left_batch]
    terms = math.prod(left.shape[i] for i in left_sums)
    rows = math.prod(left.shape[i] for i in left_rest)
    columns = math.prod(right.shape[i] for i in right_rest)
    a = left.transpose([*left_batch, *left_rest, *left_sums]).reshape([*batch, rows, terms])
    b = right.transpose([*right_batch, *right_sums, *right_rest]).reshape([*batch, terms, columns])
    return matrix_product(a, b).reshape(made.shape)


def _parted(params: Params, made: Any, x: Any) -> Any:
    return np.split(x, np.cumsum(params["sizes"])[:-1], params["axis"])


def _reshaped(params: Params, made: Any, x: Any, *sizes: Any) -> Any:
    return None if sizes or params.get("dimensions") else x.reshape(made.shape)


KNOWN: dict[str, Callable[..., Any]] = {
    **ELEMENTWISE,
    **REDUCTIONS,
    **CUMULATIVE,
    "broadcast_in_dim": _broadcast,
    "clamp": lambda params, made, low, x, high: np.minimum(np.maximum(x, low), high),
    "concatenate": lambda params, made, *parts: np.concatenate(parts, params["dimension"]),
    "conv_general_dilated": convolution,
    "convert_element_type": _converted,
    "copy": lambda params, made, x: x,
    "dot_general": _product,
    "dynamic_slice": _window_of,
    "dynamic_update_slice": _window_put,
    "expand_dims": _reshaped,
    "gather": gathered,
    "integer_pow": lambda params, made, x: x ** params["y"] if x.dtype.kind in "fc" else None,
    "iota": _numbered,
    "pad": _padded,
    "reshape": _reshaped,
    "rev": lambda params, made, x: np.flip(x, params["dimensions"]),
    "select_n": _chosen,
    "slice": _sliced,
    "split": _parted,
    "squeeze": lambda params, made, x: x.reshape(made.shape),
    "scatter-add": scattered,
    "stop_gradient": lambda params, made, x: x,
    "tile": lambda params, made, x: np.tile(x, params["reps"]),
    "transpose": lambda params, made, x: x.transpose(params["permutation"]),
}
