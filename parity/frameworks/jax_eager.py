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

from parity.frameworks.jaxpr_numpy import MOVING, in_numpy
from parity.frameworks.jaxprs import binder, held_by, is_key, last_uses, number

KEPT = 128
"""Compiled operations that are kept for the next pair."""


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
        outputs = _moved(equation, inputs)
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


def _moved(equation: Any, inputs: Sequence[Any]) -> list[Any] | None:
    """Return what only moves or chooses numbers, by NumPy; it need not be compiled."""
    if equation.primitive.name not in MOVING or any(map(is_key, inputs)):
        return None
    return in_numpy(equation, [np.asarray(x) for x in inputs])


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
