"""How far rounding alone can move each output of a JAX function: the function, rerun with noise.

A function is traced to its jaxpr and interpreted in float64; every operation that rounds gets
random noise of the size that rounding to float32 would have. The rms over several seeds of the
distance to the noiseless run is the yardstick. With `jaxpr_paths.py`, `jax_program.py` and
`jax_taps.py` the only file of the harness that knows what a jaxpr is made of.

It estimates; it bounds nothing. It refuses a jaxpr that hides a narrower float inside float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Literal

from parity.frameworks.jaxpr_paths import CALLS
from parity.judge.noise import SEEDS, SERIES, U0, Cost, matrix_growth

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
# Whole numbers stay whole, and exact in any float, through moving, choosing and these.
WHOLE = EXACT | frozenset("add add_any cumsum dot_general mul reduce_sum scatter-add sub".split())


def yardstick(function: Callable[..., Any], seeds: int = SEEDS) -> Callable[..., tuple[Any, Any]]:
    """Return ``(*args) -> (value, noise)``, both shaped like ``function(*args)``.

    ``function`` differentiates itself where gradients are wanted. ``value`` is the noiseless
    float64 run; ``noise`` is the rms error of each element in units of the roundoff u (multiply by
    2**-24 for float32), 0 for integers. Give float64 arguments, with x64 enabled. The returned
    function compiles once a shape: keep it to use it again.

    Raises TypeError where the function computes in a narrower float although its arguments are
    float64.
    """

    # the compiler's optimisations cost more than they save in a function that runs a few times
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def measured(*args: Any) -> tuple[Any, Any]:
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        _refuse_narrow(traced)
        # a row of noise a seed, long enough for a slice to start anywhere in its first half
        size = _largest(traced) + 16384
        leaves = jax.tree.leaves(args)
        clean = _interpret(traced, leaves, None)

        def distance(seed: Array) -> list[Array]:
            key = jax.random.key(seed, impl="threefry2x32")
            row = jax.random.uniform(key, (2 * size,), minval=-math.sqrt(3), maxval=math.sqrt(3))
            noisy = _interpret(traced, leaves, _Noise(row, size))
            return [_difference(a, b) for a, b in zip(noisy, clean, strict=True)]

        # one seed after another: a branch stays a branch, and memory holds one run
        distances = lax.map(distance, jnp.arange(seeds))
        rms = [jnp.sqrt((d**2).mean(0)) / U0 for d in distances]
        structure = jax.tree.structure(shape)
        return jax.tree.unflatten(structure, clean), jax.tree.unflatten(structure, rms)

    return measured


def cost(function: Callable[..., Any], *args: Any) -> Cost:
    """Return the estimated cost of ``yardstick(function)(*args)``: traced, not run."""
    traced = jax.make_jaxpr(function)(*args)
    equations, elements = _count(traced.jaxpr)
    return Cost(equations, elements, 0.3 + 0.01 * equations, 1e-3 + 1e-8 * elements)


def _count(jaxpr: Any) -> tuple[int, int]:
    """Return (equations, elements made in a run); a loop whose length is unknown turns once."""
    equations = elements = 0
    for equation in jaxpr.eqns:
        inner = [_count(held) for held in _held(equation)]
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        terms = _terms(equation) if equation.primitive.name in ACCUMULATING else 1
        made = sum(math.prod(getattr(v.aval, "shape", ())) for v in equation.outvars)
        equations += 1 + sum(n for n, _ in inner)
        elements += turns * sum(n for _, n in inner) if inner else terms * made
    return equations, elements


def _difference(noisy: Array, clean: Array) -> Array:
    """Return noisy - clean as float64, 0 for integers and where both are the same infinity."""
    if not jnp.issubdtype(clean.dtype, jnp.inexact):
        return jnp.zeros(clean.shape)
    return jnp.where(noisy == clean, 0.0, jnp.abs(noisy - clean))


class _Noise:
    """Noise of variance 1 for one seed: slices of a row, at another place for every operation."""

    def __init__(self, row: Array, size: int, turn: Any = None) -> None:
        self.row, self.size, self.turn, self.sites = row, size, turn, 0

    def draw(self, shape: tuple[int, ...]) -> Array:
        self.sites += 1
        start: Any = self.sites * 40503 % self.size
        count = math.prod(shape)
        if self.turn is not None:  # inside a loop every turn starts elsewhere
            start = (start + self.turn * 69069) % self.size
        return lax.dynamic_slice(self.row, (start,), (count,)).reshape(shape)

    def number(self, value: float) -> Any:
        """Return one number of the noise, the same wherever the same value stands in the code."""
        place = hash(value) % self.size
        return self.row[place]

    def inside(self, turn: Any) -> _Noise:
        self.sites += 1
        inner = _Noise(self.row, self.size, turn if self.turn is None else turn + 7919 * self.turn)
        inner.sites = self.sites * 101
        return inner


def _interpret(closed: Any, args: Sequence[Any], noise: _Noise | None) -> list[Any]:
    """Evaluate a closed jaxpr; with ``noise``, disturb the result of every rounding operation."""
    jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
    consts = closed.consts if isinstance(closed, ClosedJaxpr) else ()
    values: dict[Any, Any] = {}
    for variable, const in zip(jaxpr.constvars, consts, strict=True):
        values[variable] = const if noise is None or _is_data(const) else _rounded(const, noise)
    values |= dict(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        if not isinstance(atom, Literal):
            return values[atom]
        if noise is None or _is_plain(atom.val):
            return atom.val
        return atom.val * (1 + U0 * noise.number(float(atom.val)))  # as another format rounds it

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        outputs = _step(equation, inputs, noise)
        values |= dict(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _step(equation: Any, inputs: list[Any], noise: _Noise | None) -> list[Any]:
    """Evaluate one equation, going into what it calls where there is noise to add there."""
    name, params = equation.primitive.name, equation.params
    if noise is None:
        return _binder(equation)(inputs)
    if name == "scan":
        return _scan(params, inputs, noise)
    if name == "while":
        return _while(params, inputs, noise)
    if name == "cond":
        index, *operands = inputs
        branches = [
            lambda *operands, branch=branch: _interpret(branch, operands, noise)
            for branch in params["branches"]
        ]
        return list(lax.switch(index, branches, *operands))
    if name in CALLS:
        return _interpret(params.get("jaxpr", params.get("call_jaxpr")), inputs, noise)
    if name in ("debug_callback", "debug_print"):  # said once, by the run without noise
        return []
    return _disturbed(equation, inputs, noise)


def _disturbed(equation: Any, inputs: list[Any], noise: _Noise) -> list[Any]:
    """Evaluate one operation with its rounding made random."""
    name, bind = equation.primitive.name, _binder(equation)
    if name in NORMWISE:
        growths = [matrix_growth(x.shape, spectral=name in SPECTRAL) for x in inputs]
        inputs = [_normwise(x, noise, 2, g) for x, g in zip(inputs, growths, strict=True)]
    if name in COMPONENTWISE:
        inputs = [_rounded(x, noise) for x in inputs]
    outputs = bind(inputs)
    if _is_exact(equation):
        return outputs
    if name == "fft":
        axes = len(equation.params["fft_lengths"])
        return [_normwise(y, noise, axes) for y in outputs]
    if name in ACCUMULATING:
        return _accumulated(equation, outputs, bind([_square(x) for x in inputs]), noise)
    if name in ("reduce_prod", "cumprod"):  # every factor adds its rounding
        growth = math.sqrt(_terms(equation))
        return [_add(y, growth * jnp.abs(y), noise) for y in outputs]
    if name in SERIES:
        return [_add(y, 4 * jnp.hypot(y, SERIES[name]), noise) for y in outputs]
    exact: Any = False
    if name in ("add", "sub", "add_any"):
        exact = (inputs[0] == 0) | (inputs[1] == 0)  # x + 0 rounds nothing
    return [_rounded(y, noise, exact) for y in outputs]


def _is_exact(equation: Any) -> bool:
    """Return whether an operation rounds nothing: by its kind, or x * 2, x / 4."""
    name = equation.primitive.name
    if name in ("abs", "sign"):
        return not jnp.issubdtype(equation.invars[0].aval.dtype, jnp.complexfloating)
    if name in ("mul", "div"):
        factors = equation.invars[1:] if name == "div" else equation.invars
        return any(isinstance(x, Literal) and _power_of_two(x.val) for x in factors)
    return name in EXACT


def _is_data(const: Any) -> bool:
    """Return whether an array that the function closes over holds numbers of float32 already."""
    if isinstance(const, jax.core.Tracer) or not _is_float(const) or jnp.iscomplexobj(const):
        return False
    return bool(np.all(np.asarray(const, np.float32) == np.asarray(const)))


def _is_plain(x: Any) -> bool:
    """Return whether a number needs no rounding: whole, of at most 8 bits, infinite."""
    if not _is_float(x) or jnp.iscomplexobj(x) or not math.isfinite(x):
        return True
    return float(x).is_integer() or (math.frexp(x)[0] * 256).is_integer()


def _power_of_two(x: Any) -> bool:
    return not jnp.iscomplexobj(x) and abs(math.frexp(x)[0]) in (0.0, 0.5)


def _accumulated(equation: Any, outputs: list[Any], squares: list[Any], noise: _Noise) -> list[Any]:
    """y + u L xi sqrt(y^2 + op(inputs^2)), L = max(1, log2(k) / 2), and sqrt(k) / 16 one by one."""
    terms = _terms(equation)
    growth = max(1.0, math.log2(terms) / 2)
    if equation.primitive.name in ONE_BY_ONE:
        growth = max(growth, math.sqrt(terms) / 16)
    disturbed = []
    for y, square in zip(outputs, map(jnp.abs, squares), strict=True):
        own = jnp.abs(y) ** 2
        size = growth * jnp.sqrt(own + square)
        if equation.primitive.name not in PRODUCTS:  # a single term adds up without rounding
            size = jnp.where((own == square) | _is_whole(y), 0.0, size)
        disturbed.append(_add(y, size, noise))
    return disturbed


def _binder(equation: Any) -> Callable[[Sequence[Any]], list[Any]]:
    params = equation.primitive.get_bind_params(equation.params)

    def bind(inputs: Sequence[Any]) -> list[Any]:
        outputs = equation.primitive.bind(*inputs, **params)
        return list(outputs) if equation.primitive.multiple_results else [outputs]

    return bind


def _is_float(x: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(x), jnp.inexact))


def _square(x: Any) -> Any:
    return (jnp.abs(x) ** 2).astype(x.dtype) if _is_float(x) else x


def _add(y: Any, size: Any, noise: _Noise) -> Any:
    """Return y + u0 * size * noise (in both parts of a complex number); infinity stays so."""
    if not _is_float(y) or y.dtype.itemsize < (16 if jnp.iscomplexobj(y) else 8):
        return y  # a narrow float here is a whole number
    xi = noise.draw(y.shape)
    if jnp.iscomplexobj(y):
        xi = lax.complex(xi, noise.draw(y.shape))
    return y + U0 * jnp.where(jnp.isfinite(size), size, 0.0) * xi


def _rounded(y: Any, noise: _Noise, exact: Any = False) -> Any:
    """Return y (1 + u xi), and y itself where it is exact or whole: a count, a place."""
    if not _is_float(y):
        return y
    return _add(y, jnp.where(exact | _is_whole(y), 0.0, jnp.abs(y)), noise)


def _is_whole(y: Any) -> Any:
    """Return where y is a whole number, which every format holds: a count, a place."""
    return False if jnp.iscomplexobj(y) else y == y.astype(jnp.int32)


def _normwise(x: Any, noise: _Noise, axes: int, growth: float = 1.0) -> Any:
    """Disturb every element by growth times the root mean square over the last axes."""
    if not _is_float(x) or not x.size:
        return x
    last = tuple(range(max(0, x.ndim - axes), x.ndim))
    rms = jnp.sqrt((jnp.abs(x) ** 2).mean(last, keepdims=True))
    return _add(x, growth * rms, noise)


def _terms(equation: Any) -> int:
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


def _scan(params: dict[str, Any], inputs: list[Any], noise: _Noise) -> list[Any]:
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, start, sequences = inputs[:first], inputs[first:last], inputs[last:]

    def body(carry: Any, elements: Any) -> Any:
        turn, *state = carry
        outputs = _interpret(params["jaxpr"], [*consts, *state, *elements], noise.inside(turn))
        return (turn + 1, *outputs[: len(state)]), outputs[len(state) :]

    (_, *state), stacked = lax.scan(
        body,
        (jnp.uint32(1), *start),
        sequences,
        length=params["length"],
        reverse=params["reverse"],
    )
    return [*state, *stacked]


def _while(params: dict[str, Any], inputs: list[Any], noise: _Noise) -> list[Any]:
    first, last = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    condition_consts, body_consts, start = inputs[:first], inputs[first:last], inputs[last:]

    def going_on(state: Sequence[Any]) -> Any:
        return _interpret(params["cond_jaxpr"], [*condition_consts, *state], None)[0]

    def body(carry: Any) -> Any:
        turn, *state = carry
        new = _interpret(params["body_jaxpr"], [*body_consts, *state], noise.inside(turn))
        return (turn + 1, *chosen(going_on(state), new, state))

    def condition(carry: Any) -> Any:
        return jnp.any(going_on(carry[1:]))

    return list(lax.while_loop(condition, body, (jnp.uint32(1), *start))[1:])


def chosen(going_on: Any, new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
    """Return the new state of a while loop; under vmap, what has ended keeps the old one."""
    if not going_on.ndim:
        return [*new]
    axes = going_on.ndim
    return [
        jnp.where(going_on.reshape(going_on.shape + (1,) * (jnp.ndim(y) - axes)), y, x)
        for y, x in zip(new, old, strict=True)
    ]


def _held(equation: Any) -> list[Any]:
    """Return the jaxprs that an equation holds."""
    values = [
        x for v in equation.params.values() for x in (v if isinstance(v, tuple | list) else (v,))
    ]
    inner = [getattr(x, "jaxpr", x) for x in values]
    return [x for x in inner if hasattr(x, "eqns")]


def _variables(jaxpr: Any) -> list[Any]:
    own = [v for equation in jaxpr.eqns for v in (*equation.invars, *equation.outvars)]
    held = [inner for equation in jaxpr.eqns for inner in _held(equation)]
    return [*jaxpr.invars, *own, *(v for inner in held for v in _variables(inner))]


def _largest(traced: Any) -> int:
    return max(
        (math.prod(getattr(v.aval, "shape", ())) for v in _variables(traced.jaxpr)), default=1
    )


def _refuse_narrow(traced: Any) -> None:
    """Raise TypeError where a float narrower than float64 may hold a rounded number.

    Masks and counts are exact in any float; they come from integers, by what keeps them whole.
    """
    jaxpr = traced.jaxpr
    for variable in jaxpr.invars:
        _refuse(variable, not _is_narrow(variable))
    for variable, value in zip(jaxpr.constvars, traced.consts, strict=True):
        _refuse(variable, not _is_narrow(variable) or _holds_whole_numbers(value))
    _refuse_narrowing(jaxpr)


def _refuse_narrowing(jaxpr: Any) -> None:
    for equation in jaxpr.eqns:
        inner = _held(equation)
        whole = equation.primitive.name in WHOLE and all(
            _holds_whole_numbers(atom.val) if isinstance(atom, Literal) else not _is_wide(atom)
            for atom in equation.invars
        )
        for variable in equation.outvars:
            _refuse(variable, not _is_narrow(variable) or whole or bool(inner))
        for held in inner:
            _refuse_narrowing(held)


def _refuse(variable: Any, fine: bool) -> None:
    if not fine:
        raise TypeError(
            f"a {variable.aval.dtype} value of shape {variable.aval.shape} inside a float64 run: "
            "the function narrows its inputs; give every constant and cast the inputs' dtype"
        )


def _is_wide(variable: Any) -> bool:
    dtype = getattr(variable.aval, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact) and not _is_narrow(variable)


def _is_narrow(variable: Any) -> bool:
    dtype = getattr(variable.aval, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
        return False
    return bool(dtype.itemsize < (16 if jnp.issubdtype(dtype, jnp.complexfloating) else 8))


def _holds_whole_numbers(value: Any) -> bool:
    return not _is_float(value) or bool(np.all(np.asarray(value) == np.round(np.asarray(value))))
