"""How far rounding alone can move each output of a JAX function: the function, rerun with noise.

A function is traced to its jaxpr and interpreted in float64; every operation that rounds gets
random noise of the size that rounding to float32 would have. The rms over several seeds of the
distance to the noiseless run is the yardstick.

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

from parity.frameworks.jaxpr_narrow import refuse_narrow
from parity.frameworks.jaxpr_rounding import (
    ACCUMULATING,
    Noise,
    disturbed,
    is_data,
    is_plain,
    rounded,
    terms_of,
)
from parity.frameworks.jaxprs import CALLS, binder, chosen, held_by
from parity.judge.noise import SEEDS, U0, Cost


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
        refuse_narrow(traced)
        # a row of noise a seed, long enough for a slice to start anywhere in its first half
        size = _largest(traced) + 16384
        leaves = jax.tree.leaves(args)
        clean = _interpret(traced, leaves, None)

        def distance(seed: Array) -> list[Array]:
            key = jax.random.key(seed, impl="threefry2x32")
            row = jax.random.uniform(key, (2 * size,), minval=-math.sqrt(3), maxval=math.sqrt(3))
            noisy = _interpret(traced, leaves, Noise(row, size))
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
        inner = [_count(held) for held in held_by(equation)]
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        terms = terms_of(equation) if equation.primitive.name in ACCUMULATING else 1
        made = sum(math.prod(getattr(v.aval, "shape", ())) for v in equation.outvars)
        equations += 1 + sum(n for n, _ in inner)
        elements += turns * sum(n for _, n in inner) if inner else terms * made
    return equations, elements


def _difference(noisy: Array, clean: Array) -> Array:
    """Return noisy - clean as float64, 0 for integers and where both are the same infinity."""
    if not jnp.issubdtype(clean.dtype, jnp.inexact):
        return jnp.zeros(clean.shape)
    return jnp.where(noisy == clean, 0.0, jnp.abs(noisy - clean))


def _interpret(closed: Any, args: Sequence[Any], noise: Noise | None) -> list[Any]:
    """Evaluate a closed jaxpr; with ``noise``, disturb the result of every rounding operation."""
    jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
    consts = closed.consts if isinstance(closed, ClosedJaxpr) else ()
    values: dict[Any, Any] = {}
    for variable, const in zip(jaxpr.constvars, consts, strict=True):
        values[variable] = const if noise is None or is_data(const) else rounded(const, noise)
    values |= dict(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        if not isinstance(atom, Literal):
            return values[atom]
        if noise is None or is_plain(atom.val):
            return atom.val
        return atom.val * (1 + U0 * noise.number(float(atom.val)))  # as another format rounds it

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        outputs = _step(equation, inputs, noise)
        values |= dict(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _step(equation: Any, inputs: list[Any], noise: Noise | None) -> list[Any]:
    """Evaluate one equation, going into what it calls where there is noise to add there."""
    name, params = equation.primitive.name, equation.params
    if noise is None:
        return binder(equation)(inputs)
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
    return disturbed(equation, inputs, noise)


def _scan(params: dict[str, Any], inputs: list[Any], noise: Noise) -> list[Any]:
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


def _while(params: dict[str, Any], inputs: list[Any], noise: Noise) -> list[Any]:
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


def _variables(jaxpr: Any) -> list[Any]:
    own = [v for equation in jaxpr.eqns for v in (*equation.invars, *equation.outvars)]
    held = [inner for equation in jaxpr.eqns for inner in held_by(equation)]
    return [*jaxpr.invars, *own, *(v for inner in held for v in _variables(inner))]


def _largest(traced: Any) -> int:
    return max(
        (math.prod(getattr(v.aval, "shape", ())) for v in _variables(traced.jaxpr)), default=1
    )
