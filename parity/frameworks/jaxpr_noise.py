"""How far rounding alone can move each output of a JAX function: the function, rerun with noise.

A function is traced to its jaxpr and interpreted in float64; every operation that rounds gets
random noise of the size that rounding to float32 would have. The rms over several seeds of the
distance to the noiseless run is the yardstick. With `jaxpr_paths.py` the only file of the harness
that knows what a jaxpr is made of.

It estimates; it bounds nothing. It refuses a jaxpr that hides a narrower float inside float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Literal

from parity.noise import SEEDS, U0

# Moving, choosing, comparing and changing the sign are exact in every floating-point format.
EXACT = frozenset(
    """abs and argmax argmin bitcast_convert_type broadcast_in_dim ceil clamp concatenate conj
    convert_element_type copy copy_p cummax cummin device_put dynamic_slice dynamic_update_slice eq
    expand_dims floor gather ge gt imag iota is_finite le lt max min name ne neg nextafter not
    optimization_barrier or pad real reduce_and reduce_max reduce_min reduce_or reduce_precision
    reduce_window_max reduce_window_min reshape rev round scatter scatter_max scatter_min
    select_and_gather_add select_n sharding_constraint sign slice sort split squeeze stop_gradient
    top_k transpose xor""".split()
)
# Many terms added up: the error grows with their number and with their size, not with the sum's.
ACCUMULATING = frozenset(
    """conv_general_dilated cumsum dot_general reduce_sum reduce_window_sum scatter-add
    select_and_scatter_add""".split()
)
# Backward stable algorithms: the exact answer to a problem near the one that was asked.
LINEAR_ALGEBRA = frozenset(
    """cholesky custom_linear_solve eig eigh geqrf geqp3 hessenberg householder_product lu ormqr qr
    schur svd triangular_solve tridiagonal tridiagonal_solve""".split()
)
CALLS = frozenset(
    """checkpoint closed_call core_call custom_jvp_call custom_vjp_call jit pjit remat""".split()
)


def yardstick(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``(*args) -> (value, noise)``, both shaped like ``function(*args)``.

    ``value`` is the noiseless float64 run; ``noise`` is the rms error of each element in units of
    the roundoff u (multiply by 2**-24 for float32). Give float64 arguments, with x64 enabled. The
    returned function compiles once a shape: keep it to use it again.

    Raises TypeError where the function computes in float32 although its arguments are float64.
    """

    # the compiler's optimisations cost more than they save in a function that runs a few times
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def measured(*args: Any) -> tuple[Any, Any]:
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        _refuse_narrow(traced)
        # a row of noise a seed, long enough for a slice to start anywhere in its first half
        size = _largest(traced) + 4096
        pool = jax.random.normal(jax.random.key(0), (SEEDS, 2 * size))
        leaves = jax.tree.leaves(args)
        clean = _interpret(traced, leaves, None)

        def distance(row: Array) -> list[Array]:
            noisy = _interpret(traced, leaves, _Noise(row, size))
            return [_difference(a, b) for a, b in zip(noisy, clean, strict=True)]

        rms = [jnp.sqrt((d**2).mean(0)) / U0 for d in jax.vmap(distance)(pool)]
        structure = jax.tree.structure(shape)
        return jax.tree.unflatten(structure, clean), jax.tree.unflatten(structure, rms)

    return measured


def _difference(noisy: Array, clean: Array) -> Array:
    """Return noisy - clean as float64, 0 for integers and where both are the same infinity."""
    if not jnp.issubdtype(clean.dtype, jnp.inexact):
        return jnp.zeros(clean.shape)
    return jnp.where(noisy == clean, 0.0, jnp.abs(noisy - clean))


class _Noise:
    """Standard normals for one seed: slices of a row, at another place for every operation."""

    def __init__(self, row: Array, size: int, turn: Any = None) -> None:
        self.row, self.size, self.turn, self.sites = row, size, turn, 0

    def normal(self, shape: tuple[int, ...]) -> Array:
        self.sites += 1
        start: Any = self.sites * 40503 % self.size
        count = math.prod(shape)
        if self.turn is not None:  # inside a loop every turn starts elsewhere
            start = (start + self.turn * 69069) % self.size
        return lax.dynamic_slice(self.row, (start,), (count,)).reshape(shape)

    def inside(self, turn: Any) -> _Noise:
        self.sites += 1
        inner = _Noise(self.row, self.size, turn if self.turn is None else turn + 7919 * self.turn)
        inner.sites = self.sites * 101
        return inner


def _interpret(closed: Any, args: Sequence[Any], noise: _Noise | None) -> list[Any]:
    """Evaluate a closed jaxpr; with ``noise``, disturb the result of every rounding operation."""
    jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
    consts = closed.consts if isinstance(closed, ClosedJaxpr) else ()
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values |= dict(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        outputs = _step(equation, inputs, noise)
        values |= dict(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _step(equation: Any, inputs: list[Any], noise: _Noise | None) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if noise is not None:  # without noise the operation itself is as good
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
        if name in LINEAR_ALGEBRA:
            inputs = [_normwise(x, noise) for x in inputs]
    bind = _binder(equation)
    outputs = bind(inputs)
    if noise is None or name in EXACT or name in LINEAR_ALGEBRA:
        return outputs
    if name == "fft":
        return [_normwise(y, noise) for y in outputs]
    if name in ACCUMULATING:
        terms = _terms(name, equation)
        growth = max(1.0, math.log2(terms) / 2)
        if name in ("dot_general", "conv_general_dilated"):
            growth = max(growth, math.sqrt(terms) / 16)
        squares = bind([_square(x) for x in inputs])
        return [
            _add(y, growth * jnp.sqrt(_square(y) + jnp.abs(s)), noise)
            for y, s in zip(outputs, squares, strict=True)
        ]
    if name in ("reduce_prod", "cumprod"):  # every factor adds its rounding
        growth = math.sqrt(_terms(name, equation))
        return [_add(y, growth * jnp.abs(y), noise) for y in outputs]
    if name in ("add", "sub", "add_any"):
        exact = (inputs[0] == 0) | (inputs[1] == 0)  # x + 0 rounds nothing
        return [_add(y, jnp.where(exact, 0.0, jnp.abs(y)), noise) for y in outputs]
    return [_add(y, jnp.abs(y), noise) for y in outputs]


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
    """Return y + u0 * size * standard normal (in both parts of a complex number)."""
    if not _is_float(y):
        return y
    if jnp.iscomplexobj(y):
        return y + U0 * size * lax.complex(noise.normal(y.shape), noise.normal(y.shape))
    return y + U0 * size * noise.normal(y.shape)


def _normwise(x: Any, noise: _Noise) -> Any:
    """Disturb every element by the tensor's own root mean square."""
    return _add(x, jnp.sqrt((jnp.abs(x) ** 2).mean()), noise) if _is_float(x) else x


def _terms(name: str, equation: Any) -> int:
    """Return how many inputs, at most, go into one element of the result."""
    params, shapes = equation.params, [v.aval.shape for v in equation.invars]
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

    def condition(carry: Any) -> Any:
        return _interpret(params["cond_jaxpr"], [*condition_consts, *carry[1:]], None)[0]

    def body(carry: Any) -> Any:
        turn, *state = carry
        inner = noise.inside(turn)
        return (turn + 1, *_interpret(params["body_jaxpr"], [*body_consts, *state], inner))

    return list(lax.while_loop(condition, body, (jnp.uint32(1), *start))[1:])


def _inner(jaxpr: Any) -> list[Any]:
    """Return the jaxprs that the equations of this one hold."""
    held = []
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            for item in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(item, "jaxpr", item)
                if hasattr(inner, "eqns"):
                    held.append(inner)
    return held


def _variables(jaxpr: Any) -> list[Any]:
    own = [v for equation in jaxpr.eqns for v in (*equation.invars, *equation.outvars)]
    return [*jaxpr.invars, *own, *(v for inner in _inner(jaxpr) for v in _variables(inner))]


def _largest(traced: Any) -> int:
    return max(
        (math.prod(getattr(v.aval, "shape", ())) for v in _variables(traced.jaxpr)), default=1
    )


def _refuse_narrow(traced: Any) -> None:
    for variable in _variables(traced.jaxpr):
        dtype = getattr(variable.aval, "dtype", None)
        if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
            continue
        if dtype.itemsize < (16 if jnp.issubdtype(dtype, jnp.complexfloating) else 8):
            raise TypeError(
                f"a {dtype} value of shape {variable.aval.shape} inside a float64 run: "
                "the function narrows its inputs; give every constant and cast the inputs' dtype"
            )
