"""Every path by which a named tensor reaches what comes after it, and what each path sends back.

A function is traced to its jaxpr, and the tape of its equations is run backwards with cotangents
that keep their labels: where a value is used more than once, every use sends back a term of its
own. So the uses need no table, and a fused rule has terms as well. Differentiates each primitive by
JAX's own rule; refuses nothing and judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from parity.frameworks.jaxprs import CALLS, user_line
from parity.frameworks.tape import Pull, Step, Terms, Value, send_back

Function = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Tensors by name from inputs by name."""


def paths(
    function: Function, inputs: Mapping[str, Any], cotangents: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return {tensor: {path: term}} for every float input and output of ``function``.

    A tensor with a cotangent in ``cotangents`` is given it, whatever comes after; all that is
    before it goes by that. The terms of a tensor add up to its gradient. A path is called after the
    tensors (or the operations) at which it parts, and the tensor whose cotangent it brings:
    ``"bndiff > bnvar > hpreact"``.
    """

    def held(value: Value) -> Terms:
        if value.name in cotangents:
            return {(value.name,): _cast(cotangents[value.name], value.value)}
        return value.terms

    return {
        name: {" > ".join(label): term for label, term in value.terms.items()}
        for name, value in _backward(function, inputs, held).items()
    }


def compiled(function: Function) -> Callable[..., dict[str, dict[str, Any]]]:
    """Return ``(inputs, cotangents) -> paths``, compiled once a shape.

    The compiler's optimisations cost more than they save in what runs a few times.
    """
    options = {"xla_backend_optimization_level": 1}
    return jax.jit(partial(paths, function), compiler_options=options)


def totals(
    function: Function,
    inputs: Mapping[str, Any],
    cotangents: Mapping[str, Any],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Return {tensor: its gradient}, where ``given`` says which ``cotangents`` are used.

    ``given`` holds a truth value for each of ``cotangents``, so that one compiled program serves
    the whole pass and its single steps alike.
    """

    def held(value: Value) -> Terms:
        if value.name not in cotangents:
            return value.terms
        cotangent = _cast(cotangents[value.name], value.value)
        return {(): jnp.where(given[value.name], cotangent, _total(value))}

    return {n: _total(value) for n, value in _backward(function, inputs, held).items()}


def _backward(
    function: Function, inputs: Mapping[str, Any], held: Callable[[Value], Terms]
) -> dict[str, Value]:
    """Run a function, then send back through every step what ``held`` says its outputs hold."""
    traced, shape = jax.make_jaxpr(function, return_shape=True)(inputs)
    tape: list[Step] = []
    leaves = [_value(inputs[name], name) for name in sorted(inputs)]
    results = dict(zip(sorted(shape), _run(traced, leaves, tape), strict=True))
    for name, value in results.items():
        value.name = value.name or name
    send_back(tape, held)
    named = {value.name: value for value in (*leaves, *results.values())}
    return {name: value for name, value in named.items() if value.differentiable}


def _cast(cotangent: Any, like: Any) -> Any:
    return jnp.asarray(cotangent, jnp.result_type(like))


def _total(held: Value) -> Any:
    return sum(held.terms.values(), jnp.zeros(jnp.shape(held.value), jnp.result_type(held.value)))


def _value(value: Any, name: str = "") -> Value:
    return Value(value, bool(jnp.issubdtype(jnp.result_type(value), jnp.inexact)), name)


def _run(closed: Any, arguments: list[Value], tape: list[Step]) -> list[Value]:
    """Evaluate a closed jaxpr and write down every step; calls are opened."""
    jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
    consts = closed.consts if isinstance(closed, ClosedJaxpr) else ()
    values = dict(zip(jaxpr.constvars, map(_value, consts), strict=True))
    values |= dict(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Value:
        return _value(atom.val) if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        if equation.primitive.name in CALLS:
            inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
            outputs = _run(inner, inputs, tape)
        else:
            found = _bind(equation)(*(held.value for held in inputs))
            outputs = [_value(x) for x in found]
            pull = _pull(equation, inputs, outputs)
            name = str(equation.primitive.name)
            tape.append(Step(name, user_line(equation), inputs, outputs, pull))
        values |= dict(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _bind(equation: Any) -> Callable[..., list[Any]]:
    keywords = equation.primitive.get_bind_params(equation.params)

    def bind(*inputs: Any) -> list[Any]:
        outputs = equation.primitive.bind(*inputs, **keywords)
        return list(outputs) if equation.primitive.multiple_results else [outputs]

    return bind


def _pull(equation: Any, inputs: list[Value], outputs: list[Value]) -> Pull:
    """Return the step's derivative, by JAX's own rule for the primitive, made when first asked."""
    places = [i for i, value in enumerate(inputs) if value.differentiable]
    bind, made = _bind(equation), list[Any]()

    def of_floats(*floats: Any) -> list[Any]:
        values = dict(zip(places, floats, strict=True))
        return bind(*(values.get(i, x.value) for i, x in enumerate(inputs)))

    def pull(place: int, term: Any) -> Iterator[tuple[int, Any]]:
        if not made:
            made.append(jax.vjp(of_floats, *(inputs[i].value for i in places))[1])
        douts = [_zero(x.value) for x in outputs]
        douts[place] = term
        yield from zip(places, made[0](douts), strict=True)

    return pull


def _zero(value: Any) -> Any:
    dtype = jnp.result_type(value)
    if jnp.issubdtype(dtype, jnp.inexact):
        return jnp.zeros(jnp.shape(value), dtype)
    return np.zeros(jnp.shape(value), jax.dtypes.float0)
