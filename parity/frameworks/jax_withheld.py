"""What a JAX function keeps from its gradient. `torch_withheld.py` answers to the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax

from parity.frameworks.jaxprs import held_by
from parity.judge.purpose import Withheld

ONE_TRIANGLE = {"cholesky", "eigh"}
"""Operations that read one triangle of a matrix, and differentiate it as a symmetric one."""


def withheld(function: Callable[..., Any], inputs: tuple[Any, ...]) -> Withheld:
    """Return whether ``function`` stops a gradient, factorises, or has a rule of its own."""
    names = {*_names(jax.make_jaxpr(function)(*inputs).jaxpr)}
    own = any(name.startswith("custom_vjp_call") for name in names)
    return Withheld("stop_gradient" in names, frozenset(), bool(names & ONE_TRIANGLE), own)


def _names(jaxpr: Any) -> Iterator[str]:
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for held in held_by(equation):
            yield from _names(held)
