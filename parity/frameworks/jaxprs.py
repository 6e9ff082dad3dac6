"""What a jaxpr is made of: what only calls, what holds others, which line wrote an equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax.extend.core import Literal

INLINED = frozenset("checkpoint closed_call core_call jit pjit remat remat2".split())
"""What only calls what it holds: seen through. jax.checkpoint is `remat2` in jax 0.10."""

CUSTOM = frozenset({"custom_jvp_call", "custom_vjp_call"})
"""A custom rule gives way to what its function itself says."""

CALLS = INLINED | CUSTOM

JAX = tuple(str(Path(m.__file__ or "").parent) for m in (jax, jaxlib))
INSTALLED = "site-packages"
CALL = ".__call__"
HARNESS = str(Path(__file__).parents[1])


def user_line(equation: Any) -> str:
    """Return file:line of the user's innermost frame, or nothing where parity calls JAX itself.

    Beside it what it calls of an installed library, with the line there; that alone where parity
    calls the library itself.
    """
    library = []
    for frame in getattr(equation.source_info.traceback, "frames", ()):
        name = frame.file_name
        if name.startswith(JAX) or "contextlib" in name:
            continue
        if INSTALLED in name:
            library.append(frame)
            continue
        inner = _line(library[0]) if library else ""
        if name.startswith(HARNESS):
            return inner
        return f"{_line(frame)} ({_called(library)} at {inner})" if library else _line(frame)
    return _line(library[0]) if library else ""


def _called(library: Sequence[Any]) -> str:
    """Return what is called of a library: the outermost module, else the outermost function."""
    names = [str(frame.function_name) for frame in library[::-1]]
    module = next((name for name in names if name.endswith(CALL)), names[0])
    return module.removesuffix(CALL).split("<locals>.")[-1]


def _line(frame: Any) -> str:
    return f"{Path(frame.file_name).name}:{frame.line_num}"


def outermost(equation: Any) -> str:
    """Return the name of the user's function that JAX or parity called, and that led to this."""
    found = ""
    for frame in getattr(equation.source_info.traceback, "frames", ()):
        if frame.file_name.startswith(HARNESS):
            break
        if not frame.file_name.startswith(JAX) and "contextlib" not in frame.file_name:
            found = frame.function_name
    return str(found)


RAN, ROUNDED = "ran-in-", "rounded-to-"
"""Under what name an operation that is widened says in which float it was written."""


def label(equation: Any) -> str:
    """Return the scope that says in which float an equation runs, and whether it converts to it."""
    kinds = [getattr(v.aval, "dtype", None) for v in (*equation.invars[:1], *equation.outvars)]
    floats = [k for k in kinds if k is not None and jnp.issubdtype(k, jnp.inexact)]
    if not floats:
        return RAN
    if equation.primitive.name != "convert_element_type" or kinds[-1] is not floats[-1]:
        return f"{RAN}{floats[-1]}"
    narrows = len(floats) < 2 or _digits(floats[0]) > _digits(floats[1])
    return f"{ROUNDED if narrows else RAN}{floats[-1]}"


def _digits(dtype: Any) -> int:
    return int(jnp.finfo(dtype).nmant)  # type: ignore[no-untyped-call]


def ran_in(equation: Any) -> tuple[str, bool]:
    """Return the float in which an equation was written (nothing: none), whether it rounds to it.

    Of an equation that `label` has marked.
    """
    scope = str(equation.source_info.name_stack).rsplit("/", 1)[-1]
    rounds = scope.startswith(ROUNDED)
    return scope.removeprefix(ROUNDED).removeprefix(RAN), rounds


def chosen(going_on: Any, new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
    """Return the new state of a while loop; under vmap, what has ended keeps the old one."""
    if not going_on.ndim:
        return [*new]
    axes = going_on.ndim
    return [
        jnp.where(going_on.reshape(going_on.shape + (1,) * (jnp.ndim(y) - axes)), y, x)
        for y, x in zip(new, old, strict=True)
    ]


def is_backward(equation: Any) -> bool:
    """Return whether autodiff made an equation for a backward pass."""
    return "transpose(" in str(equation.source_info.name_stack)


def held_by(equation: Any) -> list[Any]:
    """Return the jaxprs that an equation holds."""
    values = [
        x for v in equation.params.values() for x in (v if isinstance(v, tuple | list) else (v,))
    ]
    inner = [getattr(x, "jaxpr", x) for x in values]
    return [x for x in inner if hasattr(x, "eqns")]


def binder(equation: Any) -> Callable[[Sequence[Any]], list[Any]]:
    """Return what evaluates one equation: inputs in, the list of its outputs out."""
    params = equation.primitive.get_bind_params(equation.params)

    def bind(inputs: Sequence[Any]) -> list[Any]:
        outputs = equation.primitive.bind(*inputs, **params)
        return list(outputs) if equation.primitive.multiple_results else [outputs]

    return bind


def is_float(x: Any) -> bool:
    """Return whether x holds floats, real or complex."""
    dtype = x.dtype if hasattr(x, "dtype") else jnp.result_type(x)
    kind = getattr(dtype, "kind", "V")
    return kind in "fc" if kind != "V" else bool(jnp.issubdtype(dtype, jnp.inexact))


def is_key(x: Any) -> bool:
    """Return whether x holds random keys, which NumPy does not know."""
    return bool(jnp.issubdtype(getattr(x, "dtype", np.float64), jax.dtypes.extended))


def last_uses(jaxpr: Any) -> list[list[Any]]:
    """Return, for each equation, the variables that nothing uses after it."""
    seen = {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    found = []
    for equation in reversed(jaxpr.eqns):
        own = {v for v in (*equation.invars, *equation.outvars) if not isinstance(v, Literal)}
        found.append([*(own - seen)])
        seen |= own
    return found[::-1]


def number(literal: Any) -> np.ndarray:
    """Return a number in the code as an array of the dtype that it has there."""
    return np.asarray(literal.val, literal.aval.dtype)
