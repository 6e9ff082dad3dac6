"""What a jaxpr is made of: what only calls, what holds others, which line wrote an equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib

INLINED = frozenset("checkpoint closed_call core_call jit pjit remat remat2".split())
"""What only calls what it holds: seen through. jax.checkpoint is `remat2` in jax 0.10."""

CUSTOM = frozenset({"custom_jvp_call", "custom_vjp_call"})
"""A custom rule gives way to what its function itself says."""

CALLS = INLINED | CUSTOM

JAX = tuple(str(Path(m.__file__ or "").parent) for m in (jax, jaxlib))
HARNESS = str(Path(__file__).parents[1])


def user_line(equation: Any) -> str:
    """Return file:line of the user's innermost frame, or nothing where parity calls JAX itself."""
    for frame in getattr(equation.source_info.traceback, "frames", ()):
        name = frame.file_name
        if not name.startswith(JAX) and "contextlib" not in name:
            return "" if name.startswith(HARNESS) else f"{Path(name).name}:{frame.line_num}"
    return ""


def chosen(going_on: Any, new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
    """Return the new state of a while loop; under vmap, what has ended keeps the old one."""
    if not going_on.ndim:
        return [*new]
    axes = going_on.ndim
    return [
        jnp.where(going_on.reshape(going_on.shape + (1,) * (jnp.ndim(y) - axes)), y, x)
        for y, x in zip(new, old, strict=True)
    ]


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
    return bool(jnp.issubdtype(jnp.result_type(x), jnp.inexact))
