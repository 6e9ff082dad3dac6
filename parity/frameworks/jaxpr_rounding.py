"""How much an operation of JAX rounds: its result, made again with random noise of that size.

The same rules serve NumPy's arrays and, inside a loop that is compiled, JAX's.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal

from parity.frameworks.jaxpr_numpy import evaluate
from parity.frameworks.jaxprs import is_float
from parity.judge.noise import SERIES, U0, matrix_growth

# Moving, choosing, comparing and changing the sign are exact in every floating-point format.
EXACT = frozenset(
    """and argmax argmin bitcast_convert_type broadcast_in_dim ceil clamp concatenate conj
    convert_element_type copy copy_p cummax cummin device_put dynamic_slice dynamic_update_slice eq
    expand_dims floor gather ge gt imag iota is_finite le lt max min name ne neg nextafter not
    optimization_barrier or pad real reduce_and reduce_max reduce_min reduce_or reduce_precision
    reduce_window_max reduce_window_min reshape rev round scatter scatter_max scatter_min
    select_and_gather_add select_n sharding_constraint slice sort split squeeze stop_gradient
    top_k transpose xor""".split()
)
# Many terms added up: the error grows with their number and with their size, not with the sum's.
ACCUMULATING = frozenset(
    """conv_general_dilated cumsum dot_general reduce_sum reduce_window_sum scatter-add
    select_and_scatter_add""".split()
)
# Those that first multiply, and those whose terms may be added one after another.
PRODUCTS = frozenset("conv_general_dilated dot_general".split())
ONE_BY_ONE = PRODUCTS | {"scatter-add"}
# Backward stable: the exact answer to a problem near the one asked, near by each matrix's norm ...
SPECTRAL = frozenset("eig eigh hessenberg schur svd tridiagonal".split())
NORMWISE = SPECTRAL | frozenset("cholesky geqrf geqp3 lu qr".split())
# ... or near element by element. The functions of SERIES are here for their zeros and poles.
COMPONENTWISE = SERIES.keys() | frozenset(
    """cumlogsumexp custom_linear_solve householder_product igamma igammac ormqr triangular_solve
    tridiagonal_solve""".split()
)


class Noise:
    """Noise of variance 1 for one seed: slices of a row, at another place for every operation."""

    kind: Any = True
    """What tells it from other noise: a loop that is compiled with it is compiled with its like."""

    def __init__(self, row: Any, size: int, turn: Any = None) -> None:
        self.row, self.size, self.turn, self.sites = row, size, turn, 0
        self.rounds = False
        """Whether what is made here is converted to a narrower float."""

    def toward(self, equation: Any) -> None:
        """Be told which operation is next: here all round alike."""

    def made(self, equation: Any, outputs: list[Any]) -> None:
        """Be told what an operation made: here nobody asks."""

    def draw(self, shape: tuple[int, ...]) -> Any:
        """Return noise of a shape, from another place at every call."""
        self.sites += 1
        start: Any = self.sites * 40503 % self.size
        count = math.prod(shape)
        if self.turn is not None:  # inside a loop every turn starts elsewhere
            start = (start + self.turn * 69069) % self.size
        if isinstance(self.row, np.ndarray):
            return self.row[start : start + count].reshape(shape)
        return lax.dynamic_slice(self.row, (start,), (count,)).reshape(shape)

    def number(self, value: float) -> Any:
        """Return one number of the noise, the same wherever the same value stands in the code."""
        place = hash(value) % self.size
        return self.row[place]

    def inside(self, turn: Any) -> Noise:
        """Return the noise of one turn of a loop."""
        self.sites += 1
        inner = self.anew(self.row, turn if self.turn is None else turn + 7919 * self.turn)
        inner.sites = self.sites * 101
        return inner

    def anew(self, row: Any, turn: Any = None) -> Noise:
        """Return such noise from a row, as it is in a turn of a loop."""
        return Noise(row, self.size, turn)

    def is_data(self, const: Any) -> bool:
        """Return whether an array that the function closes over needs no rounding."""
        return is_data(const)

    def is_plain(self, x: Any) -> bool:
        """Return whether a number in the code needs no rounding."""
        return is_plain(x)

    def is_whole(self, y: Any) -> Any:
        """Return where y is a whole number, which every format holds: a count, a place."""
        return False if y.dtype.kind == "c" else y == y.astype(np.int32)


def _module(x: Any) -> ModuleType:
    """Return what computes with x: NumPy or, among tracers, its twin in JAX."""
    return np if isinstance(x, np.ndarray | np.generic | float) else jnp


def disturbed(equation: Any, inputs: list[Any], noise: Noise) -> list[Any]:
    """Evaluate one operation with its rounding made random."""
    name = equation.primitive.name
    if name in NORMWISE:
        growths = [matrix_growth(x.shape, spectral=name in SPECTRAL) for x in inputs]
        inputs = [_normwise(x, noise, 2, g) for x, g in zip(inputs, growths, strict=True)]
    if name in COMPONENTWISE:
        inputs = [rounded(x, noise) for x in inputs]
    outputs = evaluate(equation, inputs)
    if _is_exact(equation) and not noise.rounds:
        return outputs
    if name == "fft":
        axes = len(equation.params["fft_lengths"])
        return [_normwise(y, noise, axes) for y in outputs]
    if name in ACCUMULATING:
        return _accumulated(equation, outputs, inputs, noise)
    if name in ("reduce_prod", "cumprod"):  # every factor adds its rounding
        growth = math.sqrt(terms_of(equation))
        return [_add(y, growth * abs(y), noise) for y in outputs]
    if name in SERIES:
        return [_add(y, 4 * _module(y).hypot(y, SERIES[name]), noise) for y in outputs]
    exact: Any = False
    if name in ("add", "sub", "add_any"):
        exact = (inputs[0] == 0) | (inputs[1] == 0)  # x + 0 rounds nothing
    return [rounded(y, noise, exact) for y in outputs]


def _is_exact(equation: Any) -> bool:
    """Return whether an operation rounds nothing: by its kind, or x * 2, x / 4."""
    name = equation.primitive.name
    if name in ("abs", "sign"):
        return not jnp.issubdtype(equation.invars[0].aval.dtype, jnp.complexfloating)
    if name in ("mul", "div"):
        factors = equation.invars[1:] if name == "div" else equation.invars
        return any(isinstance(x, Literal) and _power_of_two(x.val) for x in factors)
    return name in EXACT


def is_data(const: Any) -> bool:
    """Return whether an array that the function closes over holds numbers of float32 already."""
    if isinstance(const, jax.core.Tracer) or not is_float(const) or jnp.iscomplexobj(const):
        return False
    return bool(np.all(np.asarray(const, np.float32) == np.asarray(const)))


def is_plain(x: Any) -> bool:
    """Return whether a number needs no rounding: whole, of at most 8 bits, infinite."""
    if not is_float(x) or jnp.iscomplexobj(x) or not math.isfinite(x):
        return True
    return float(x).is_integer() or (math.frexp(x)[0] * 256).is_integer()


def _power_of_two(x: Any) -> bool:
    return not jnp.iscomplexobj(x) and abs(math.frexp(x)[0]) in (0.0, 0.5)


def _accumulated(equation: Any, outputs: list[Any], inputs: list[Any], noise: Noise) -> list[Any]:
    """y + u L xi sqrt(y^2 + op(inputs^2)), L = max(1, log2(k) / 2), and sqrt(k) / 16 one by one."""
    terms = terms_of(equation)
    growth = max(1.0, math.log2(terms) / 2)
    if equation.primitive.name in ONE_BY_ONE:
        growth = max(growth, math.sqrt(terms) / 16)
    disturbed = []
    squares = evaluate(equation, [_square(x) for x in inputs])
    for y, square in zip(outputs, map(abs, squares), strict=True):
        own, module = abs(y) ** 2, _module(y)
        size = growth * module.sqrt(own + square)
        if equation.primitive.name not in PRODUCTS:  # a single term adds up without rounding
            size = module.where((own == square) | noise.is_whole(y), 0.0, size)
        disturbed.append(_add(y, size, noise))
    return disturbed


def _square(x: Any) -> Any:
    return (abs(x) ** 2).astype(x.dtype) if is_float(x) else x


def _add(y: Any, size: Any, noise: Noise) -> Any:
    """Return y + u0 * size * noise (in both parts of a complex number); infinity stays so."""
    if not is_float(y) or y.dtype.itemsize < (16 if y.dtype.kind == "c" else 8):
        return y  # a narrow float here is a whole number
    xi, module = noise.draw(y.shape), _module(y)
    if y.dtype.kind == "c":
        xi = xi + 1j * noise.draw(y.shape)
    return y + U0 * module.where(module.isfinite(size), size, 0.0) * xi


def rounded(y: Any, noise: Noise, exact: Any = False) -> Any:
    """Return y (1 + u xi), and y itself where it is exact or whole: a count, a place."""
    if not is_float(y):
        return y
    return _add(y, _module(y).where(exact | noise.is_whole(y), 0.0, abs(y)), noise)


def _normwise(x: Any, noise: Noise, axes: int, growth: float = 1.0) -> Any:
    """Disturb every element by growth times the root mean square over the last axes."""
    if not is_float(x) or not x.size:
        return x
    last = tuple(range(max(0, x.ndim - axes), x.ndim))
    rms = _module(x).sqrt((abs(x) ** 2).mean(last, keepdims=True))
    return _add(x, growth * rms, noise)


def terms_of(equation: Any) -> int:
    """Return how many inputs, at most, go into one element of the result."""
    name, params = equation.primitive.name, equation.params
    shapes = [v.aval.shape for v in equation.invars]
    if name in ("reduce_sum", "reduce_prod"):
        return max(1, math.prod(shapes[0][axis] for axis in params["axes"]))
    if name == "dot_general":
        contracted = params["dimension_numbers"][0][0]
        return max(1, math.prod(shapes[0][axis] for axis in contracted))
    if name == "conv_general_dilated":
        features = shapes[1][params["dimension_numbers"].rhs_spec[0]]
        return max(1, math.prod(shapes[1]) // max(1, features))
    if name in ("cumsum", "cumprod"):
        return max(1, shapes[0][params["axis"]])
    if name == "scatter-add":
        return max(1, math.prod(shapes[1][:-1]) + 1)
    return max(1, math.prod(params["window_dimensions"]))
