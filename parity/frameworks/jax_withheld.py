"""What a JAX function keeps from its gradient. `torch_withheld.py` answers to the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from parity.frameworks.jaxprs import held_by
from parity.judge.purpose import Withheld


def withheld(function: Callable[..., Any], inputs: tuple[Any, ...]) -> Withheld:
    """Return whether ``function`` stops a gradient."""
    return Withheld(_stops(jax.make_jaxpr(function)(*inputs).jaxpr))


def _stops(jaxpr: Any) -> bool:
    return any(
        equation.primitive.name == "stop_gradient" or any(map(_stops, held_by(equation)))
        for equation in jaxpr.eqns
    )
