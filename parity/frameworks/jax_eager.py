"""A JAX function one operation at a time, as JAX runs it outside jit.

JAX keeps every operation that ever ran eagerly compiled, for every shape, as long as the process
lives: a megabyte each. Here a few are kept, those that were used last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from parity.frameworks.jaxpr_numpy import EXACT, MOVING, in_numpy
from parity.frameworks.jaxprs import binder, held_by, is_key, last_uses, number

KEPT = 128
"""Compiled operations that are kept for the next pair."""

SMALLEST = np.finfo(np.float32).smallest_normal


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` run operation by operation; what jit holds in it is one operation."""

    def run(*args: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        found = _evaluate(closed, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return run


def _evaluate(closed: Any, args: Sequence[Any]) -> list[Any]:
    jaxpr, own = closed.jaxpr, dict[Any, Any]()
    values = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values |= dict(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        if isinstance(atom, Literal):
            return number(atom)
        return values[atom]

    for equation, done in zip(jaxpr.eqns, last_uses(jaxpr), strict=True):
        inputs = [read(atom) for atom in equation.invars]
        outputs = _by_numpy(equation, inputs)
        if outputs is None:
            operation = _Operation(equation)
            if held_by(equation):  # of this function alone, and may hold its arrays
                kernel = own.setdefault(operation, jax.jit(operation.bind))
            else:
                kernel = _kernel(operation)
            outputs = kernel(inputs)
        values |= dict(zip(equation.outvars, outputs, strict=True))
        for variable in done:
            del values[variable]
    return [read(atom) for atom in jaxpr.outvars]


def _by_numpy(equation: Any, inputs: Sequence[Any]) -> list[Any] | None:
    """Return what NumPy gives to the bit, None of all else: what is not compiled takes no time."""
    name = equation.primitive.name
    if any(map(is_key, inputs)) or name not in MOVING | EXACT:
        return None
    arrays = [np.asarray(x) for x in inputs]
    if name in MOVING:
        return in_numpy(equation, arrays)
    if equation.params.get("y", 2) != 2 or not all(map(_is_single, arrays)):
        return None
    with np.errstate(all="ignore"):
        outputs = in_numpy(equation, arrays)
    if outputs is None or any(map(_has_subnormal, (*arrays, *outputs))):
        return None  # XLA takes them for zeros
    return outputs


def _is_single(x: np.ndarray) -> bool:
    return x.dtype == np.float32


def _has_subnormal(x: np.ndarray) -> bool:
    return x.dtype == np.float32 and bool(np.any((x != 0) & (np.abs(x) < SMALLEST)))


class _Operation:
    """An equation, equal to every other that does the same to inputs of the same shapes."""

    def __init__(self, equation: Any) -> None:
        self.bind = binder(equation)
        params = sorted(equation.params.items(), key=lambda item: item[0])
        shapes = [str(atom.aval) for atom in equation.invars]
        self.key: Any = (equation.primitive, *params, *shapes)
        try:
            hash(self.key)
        except TypeError:
            self.key = self

    def __hash__(self) -> int:
        return object.__hash__(self) if self.key is self else hash(self.key)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, _Operation) and self.key is not self and self.key == other.key
        )


@lru_cache(maxsize=KEPT)
def _kernel(operation: _Operation) -> Callable[..., list[Any]]:
    return jax.jit(operation.bind)
