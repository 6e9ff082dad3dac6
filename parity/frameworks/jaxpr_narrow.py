"""A float narrower than float64 inside a float64 run: seen in the jaxpr, and refused."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from parity.frameworks.jaxpr_rounding import EXACT
from parity.frameworks.jaxprs import held_by, is_float

# Whole numbers stay whole, and exact in any float, through moving, choosing and these.
WHOLE = EXACT | frozenset("add add_any cumsum dot_general mul reduce_sum scatter-add sub".split())


def refuse_narrow(traced: Any) -> None:
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
        inner = held_by(equation)
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
    return not is_float(value) or bool(np.all(np.asarray(value) == np.round(np.asarray(value))))
