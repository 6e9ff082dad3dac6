"""A JAX function with every float in it a float64. `torch_wide.py` does the same below autograd.

Real code writes float32 into its middle. Its mathematics is what it computes if it did not: in a
float64 run the function is traced, and where its jaxpr makes a narrower float it is interpreted
with wide ones. Rounds nothing and judges nothing; outside a float64 run it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun
from jax.extend.source_info_util import user_context

from parity.errors import UsageError
from parity.frameworks.jaxprs import CALLS, chosen, held_by, is_backward, label, user_line
from parity.frameworks.narrowing import TABLE, Narrowing, is_table, meant

SCATTERS = frozenset("scatter scatter-add scatter_max scatter_min scatter_mul scatter-sub".split())
"""What holds a jaxpr of the dtype that it was traced in, and is called anew."""

OUTSIDE = frozenset("ffi_call io_callback pure_callback".split())
"""What is computed elsewhere, in the float that was asked for."""

BITS = frozenset("bitcast_convert_type nextafter".split())
"""What is about a format and no number: done in the format that was written."""


def widened(
    function: Callable[..., Any], seen: dict[Narrowing, None] | None = None
) -> Callable[..., Any]:
    """Return ``function`` so that a float64 run (x64 enabled) computes in float64 throughout.

    Arrays that the function closes over are data, and stay the numbers that they are; a number
    written in the code, `jnp.float32(0.1)`, is what was written. Differentiate inside ``function``:
    what is interpreted keeps no custom rule. ``seen`` is given every place where it narrows. Raises
    UsageError where an operation cannot be widened.
    """

    def run(*args: Any) -> Any:
        if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
            return function(*args)
        # traced anew each time: what a function does but once would be the same for ever
        traced, shape = jax.make_jaxpr(lambda *xs: function(*xs), return_shape=True)(*args)
        leaves = jax.tree.leaves(args)
        if not _narrows(traced):
            outputs = jaxpr_as_fun(traced)(*leaves)
        else:
            if seen is not None:
                seen.update(dict.fromkeys((*_narrowings(traced.jaxpr), *_tables(traced))))
            outputs = wide(traced, leaves)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return run


def wide_dtype(dtype: Any) -> Any:
    """Return the dtype in which a float64 run holds what was written in ``dtype``."""
    if not _is_narrow(dtype):
        return dtype
    complex_ = jnp.issubdtype(dtype, jnp.complexfloating)
    return np.dtype(np.complex128 if complex_ else np.float64)


def wide(closed: Any, inputs: Sequence[Any]) -> list[Any]:
    """Evaluate a jaxpr with every narrow float widened."""
    jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
    consts = closed.consts if isinstance(closed, ClosedJaxpr) else ()
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, map(_as_written, consts), strict=True))
    values |= dict(zip(jaxpr.invars, map(_widen, inputs), strict=True))

    def read(atom: Any) -> Any:
        return _as_written(atom.val) if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        # the user's line, not this one; and the float that is no more to be seen
        with user_context(equation.source_info.traceback), jax.named_scope(label(equation)):
            outputs = _step(equation, [read(atom) for atom in equation.invars])
        values |= dict(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _step(equation: Any, inputs: list[Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    inside = INSIDE.get(name)
    if not _touches(equation):
        return _bound(equation, inputs, params)
    if inside is not None:
        return inside(params, inputs)
    if name in CALLS:
        return wide(params.get("jaxpr", params.get("call_jaxpr")), inputs)
    if name in SCATTERS:
        return [_scattered(name, params, inputs)]
    if name == "reduce_precision":
        return inputs
    if name == "convert_element_type" and _between_floats(equation):
        return [jnp.copy(_widen(inputs[0]))]  # stays, and says where digits come and go
    if name in BITS:
        given = [jnp.asarray(x, v.aval.dtype) for x, v in zip(inputs, equation.invars, strict=True)]
        return [*map(_widen, _bound(equation, given, params))]
    if name in OUTSIDE or any(map(_narrows_inside, held_by(equation))):
        raise UsageError(_refused(equation))
    return [*map(_widen, _bound(equation, inputs, {k: _wide_param(v) for k, v in params.items()}))]


def _between_floats(equation: Any) -> bool:
    """Return whether a conversion is one of a float to another."""
    kinds = (v.aval.dtype for v in (equation.invars[0], equation.outvars[0]))
    return all(jnp.issubdtype(kind, jnp.floating) for kind in kinds)


def _bound(equation: Any, inputs: list[Any], params: dict[str, Any]) -> list[Any]:
    kinds = [getattr(v.aval, "dtype", None) for v in equation.invars]
    given = [  # a number that was read has no dtype of its own
        jnp.asarray(x, wide_dtype(kind)) if isinstance(x, float | complex) else x
        for x, kind in zip(inputs, kinds, strict=True)
    ]
    found = equation.primitive.bind(*given, **equation.primitive.get_bind_params(params))
    return list(found) if equation.primitive.multiple_results else [found]


def _scattered(name: str, params: dict[str, Any], inputs: list[Any]) -> Any:
    kept = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
    scatter = getattr(lax, name.replace("-", "_"))
    return scatter(*inputs, **{key: params[key] for key in kept})


def _scan(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, start, sequences = inputs[:first], inputs[first:last], inputs[last:]

    def body(carry: Any, elements: Any) -> Any:
        outputs = wide(params["jaxpr"], [*consts, *carry, *elements])
        return outputs[: len(carry)], outputs[len(carry) :]

    carry, stacked = lax.scan(
        body, [*map(_array, start)], sequences, length=params["length"], reverse=params["reverse"]
    )
    return [*carry, *stacked]


def _while(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    first, last = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]

    def going_on(state: Any) -> Any:
        return wide(params["cond_jaxpr"], [*inputs[:first], *state])[0]

    def body(state: Any) -> Any:
        new = wide(params["body_jaxpr"], [*inputs[first:last], *state])
        return chosen(going_on(state), new, state)

    start = [*map(_array, inputs[last:])]
    return list(lax.while_loop(lambda state: jnp.any(going_on(state)), body, start))


def _cond(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    index, *operands = inputs
    return list(lax.switch(index, [partial(_branch, b) for b in params["branches"]], *operands))


def _solve(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    """A solve with a gradient of its own: what it does, for all is differentiated already."""
    lengths, jaxprs = params["const_lengths"], params["jaxprs"]
    before = lengths.matvec + lengths.vecmat
    own = inputs[before : before + lengths.solve]
    return wide(jaxprs.solve, [*own, *inputs[sum(lengths) :]])


INSIDE = {"scan": _scan, "while": _while, "cond": _cond, "custom_linear_solve": _solve}
"""What holds others, and is made anew of them."""


def _branch(closed: Any, *operands: Any) -> list[Any]:
    return [*map(_array, wide(closed, operands))]


def _array(x: Any) -> Any:
    return jnp.asarray(x, np.float64) if isinstance(x, float) else jnp.asarray(x)


def _widen(x: Any) -> Any:
    return x.astype(wide_dtype(x.dtype)) if _is_narrow(getattr(x, "dtype", None)) else x


def _as_written(value: Any) -> Any:
    """Return a number in the code as it was meant, an array as it is, both wide."""
    dtype = getattr(value, "dtype", None)
    if np.ndim(value) == 0 and _is_real(value):
        return meant(float(value))
    if not _is_narrow(dtype):
        return value
    if not isinstance(value, jax.core.Tracer):  # in NumPy: a trace would see a narrow array
        value = np.asarray(value).astype(wide_dtype(dtype))
    return jnp.asarray(value, wide_dtype(dtype))


def _is_real(value: Any) -> bool:
    if isinstance(value, jax.core.Tracer):
        return False
    return isinstance(value, float) or bool(jnp.issubdtype(jnp.result_type(value), jnp.floating))


def _is_rounded(value: Any) -> bool:
    """Return whether a number in the code is another one, rounded to float32."""
    return np.ndim(value) == 0 and _is_real(value) and meant(float(value)) != float(value)


def _wide_param(value: Any) -> Any:
    """Return a parameter of an operation with the dtype in it, if it is one, wide."""
    try:
        return wide_dtype(value) if isinstance(value, np.dtype | type) else value
    except TypeError:
        return value


def _is_narrow(dtype: Any) -> bool:
    if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
        return False
    wanted = 16 if jnp.issubdtype(dtype, jnp.complexfloating) else 8
    return bool(np.dtype(dtype).itemsize < wanted)


def _narrows(closed: Any) -> bool:
    consts = any(_is_narrow(getattr(value, "dtype", None)) for value in closed.consts)
    return consts or _narrows_inside(closed.jaxpr)


def _narrows_inside(jaxpr: Any) -> bool:
    return any(map(_touches, jaxpr.eqns))


def _touches(equation: Any) -> bool:
    """Return whether an equation reads, makes or holds a narrow float."""
    atoms = (*equation.invars, *equation.outvars)
    own = any(_is_narrow(getattr(atom.aval, "dtype", None)) for atom in atoms)
    own = own or any(_is_rounded(atom.val) for atom in atoms if isinstance(atom, Literal))
    return own or any(map(_narrows_inside, held_by(equation)))


def _narrowings(jaxpr: Any) -> Iterator[Narrowing]:
    """Yield where a jaxpr leaves float64: conversions, what is made narrow, rounded numbers."""
    for equation in jaxpr.eqns:
        for inner in held_by(equation):
            yield from _narrowings(inner)
        if held_by(equation) and equation.primitive.name not in SCATTERS:
            continue
        line = user_line(equation)
        kinds = [getattr(v.aval, "dtype", None) for v in equation.invars]
        for variable in equation.outvars:
            dtype = getattr(variable.aval, "dtype", None)
            if _is_narrow(dtype) and not any(map(_is_narrow, kinds)):
                wider = [str(k) for k in kinds if k is not None and jnp.issubdtype(k, jnp.inexact)]
                back = is_backward(equation)
                source = next(iter(wider), "")
                yield Narrowing(equation.primitive.name, line, str(dtype), source, back)
        for atom in equation.invars:
            if isinstance(atom, Literal) and _is_rounded(atom.val):
                yield Narrowing(f"the number {np.float32(atom.val)}", line, "float32")


def _tables(closed: Any) -> Iterator[Narrowing]:
    """Yield the arrays that a function holds in a narrower float."""
    for variable, value in zip(closed.jaxpr.constvars, closed.consts, strict=True):
        if _is_narrow(getattr(value, "dtype", None)) and is_table(np.asarray(value).real):
            users = (e for e in closed.jaxpr.eqns if any(x is variable for x in e.invars))
            line = next(map(user_line, users), "")
            yield Narrowing(TABLE, line, str(value.dtype))


def _refused(equation: Any) -> str:
    line = user_line(equation)
    place = f"{equation.primitive.name}{' at ' + line if line else ''}"
    return (
        f"jax: {place} computes in a narrower float whatever it is given, and cannot be judged in "
        "float64; give it the inputs' dtype there"
    )
