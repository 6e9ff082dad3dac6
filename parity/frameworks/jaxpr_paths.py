"""Every path by which a named tensor reaches what comes after it, and what each path sends back.

A function is traced to its jaxpr, and the tape of its equations is run backwards with cotangents
that keep their labels: where a value is used more than once, every use sends back a term of its
own. So the uses need no table, and a fused rule has terms as well. Differentiates each primitive by
JAX's own rule; refuses nothing and judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

import parity

INLINED = frozenset("checkpoint closed_call core_call jit pjit remat remat2".split())
"""What only calls what it holds: seen through. jax.checkpoint is `remat2` in jax 0.10."""

CUSTOM = frozenset({"custom_jvp_call", "custom_vjp_call"})
"""A custom rule gives way to what its function itself says."""

JAX = tuple(str(Path(m.__file__ or "").parent) for m in (jax, jaxlib))
HARNESS = str(Path(parity.__file__ or "").parent)

MOST = 24
"""Terms of one value at most; beyond, they are added up and the finer paths are lost."""

Label = tuple[str, ...]
Terms = dict[Label, Any]


@dataclass(eq=False)
class _Value:
    """One value of the run: what it is, what it is called, and the step of each of its uses."""

    value: Any
    name: str = ""
    uses: list[_Step] = field(default_factory=list)
    terms: Terms = field(default_factory=dict)

    @property
    def differentiable(self) -> bool:
        return bool(jnp.issubdtype(jnp.result_type(self.value), jnp.inexact))


@dataclass(eq=False)
class _Step:
    """One primitive's application."""

    equation: Any
    inputs: list[_Value]
    outputs: list[_Value]


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

    def held(value: _Value) -> Terms:
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
    options = {"xla_backend_optimization_level": 0}
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

    def held(value: _Value) -> Terms:
        if value.name not in cotangents:
            return value.terms
        cotangent = _cast(cotangents[value.name], value.value)
        return {(): jnp.where(given[value.name], cotangent, _total(value))}

    return {n: _total(value) for n, value in _backward(function, inputs, held).items()}


def _backward(
    function: Function, inputs: Mapping[str, Any], held: Callable[[_Value], Terms]
) -> dict[str, _Value]:
    """Run a function, then send back through every step what ``held`` says its outputs hold."""
    traced, shape = jax.make_jaxpr(function, return_shape=True)(inputs)
    tape: list[_Step] = []
    leaves = [_Value(inputs[name], name) for name in sorted(inputs)]
    results = dict(zip(sorted(shape), _run(traced, leaves, tape), strict=True))
    for name, value in results.items():
        value.name = value.name or name
    for step in tape:
        for value in step.inputs:
            value.uses.append(step)
    for step in reversed(tape):
        _send_back(step, held)
    named = {value.name: value for value in (*leaves, *results.values())}
    return {name: value for name, value in named.items() if value.differentiable}


def _cast(cotangent: Any, like: Any) -> Any:
    return jnp.asarray(cotangent, jnp.result_type(like))


def _total(held: _Value) -> Any:
    return sum(held.terms.values(), jnp.zeros(jnp.shape(held.value), jnp.result_type(held.value)))


def _run(closed: Any, arguments: list[_Value], tape: list[_Step]) -> list[_Value]:
    """Evaluate a closed jaxpr and write down every step; calls are opened."""
    jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
    consts = closed.consts if isinstance(closed, ClosedJaxpr) else ()
    values = dict(zip(jaxpr.constvars, map(_Value, consts), strict=True))
    values |= dict(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> _Value:
        return _Value(atom.val) if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        if equation.primitive.name in INLINED | CUSTOM:
            inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
            outputs = _run(inner, inputs, tape)
        else:
            found = _bind(equation)(*(held.value for held in inputs))
            outputs = [_Value(x) for x in found]
            tape.append(_Step(equation, inputs, outputs))
        values |= dict(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _bind(equation: Any) -> Callable[..., list[Any]]:
    keywords = equation.primitive.get_bind_params(equation.params)

    def bind(*inputs: Any) -> list[Any]:
        outputs = equation.primitive.bind(*inputs, **keywords)
        return list(outputs) if equation.primitive.multiple_results else [outputs]

    return bind


def _send_back(step: _Step, held: Callable[[_Value], Terms]) -> None:
    """Add, to every float input's terms, what each of the outputs' terms sends back to it."""
    places = [i for i, value in enumerate(step.inputs) if value.differentiable]
    bind = _bind(step.equation)

    def of_floats(*floats: Any) -> list[Any]:
        values = dict(zip(places, floats, strict=True))
        return bind(*(values.get(i, x.value) for i, x in enumerate(step.inputs)))

    pull = None
    for place, output in enumerate(step.outputs):
        for label, term in held(output).items() if output.differentiable else ():
            if pull is None:
                _, pull = jax.vjp(of_floats, *(step.inputs[i].value for i in places))
            douts = [_zero(x.value) for x in step.outputs]
            douts[place] = term
            for i, sent in zip(places, pull(douts), strict=True):
                _add(step.inputs[i], _label(step, i, output, label), sent)


def _zero(value: Any) -> Any:
    dtype = jnp.result_type(value)
    if jnp.issubdtype(dtype, jnp.inexact):
        return jnp.zeros(jnp.shape(value), dtype)
    return np.zeros(jnp.shape(value), jax.dtypes.float0)


def _label(step: _Step, place: int, output: _Value, label: Label) -> Label:
    """Return a term's label one step earlier: longer only where the input is used elsewhere too."""
    value = step.inputs[place]
    if len(value.uses) < 2:
        return label
    here = _toward(output)
    if not here or sum(_toward(use.outputs[0]) == here for use in value.uses) > 1:
        what, line = _operation(step), user_line(step.equation)
        alike = [*dict.fromkeys(use for use in value.uses if _alike(use, step))]
        here = what + (f" {1 + alike.index(step)}" if len(alike) > 1 else "")
        here += f" at {line}" if line else ""
        if step.inputs.count(value) > 1:  # x * x: both factors are uses
            here += f", factor {place + 1}"
    return label if label[:1] == (here,) else (here, *label)


def _alike(one: _Step, other: _Step) -> bool:
    lines = user_line(one.equation), user_line(other.equation)
    return _operation(one) == _operation(other) and lines[0] == lines[1]


def _operation(step: _Step) -> str:
    return str(step.equation.primitive.name)


def _toward(output: _Value) -> str:
    """Return the name of the first named tensor after a value, if one way alone leads on."""
    while not output.name and len(output.uses) == 1:
        output = output.uses[0].outputs[0]
    return output.name


def _add(held: _Value, label: Label, term: Any) -> None:
    held.terms[label] = held.terms[label] + term if label in held.terms else term
    if len(held.terms) > MOST:
        joined: Terms = {}
        for name, part in held.terms.items():
            joined[name[:1]] = joined[name[:1]] + part if name[:1] in joined else part
        held.terms = joined


def user_line(equation: Any) -> str:
    """Return file:line of the user's innermost frame, or nothing where parity calls JAX itself."""
    for frame in getattr(equation.source_info.traceback, "frames", ()):
        name = frame.file_name
        if not name.startswith(JAX) and "contextlib" not in name:
            return "" if name.startswith(HARNESS) else f"{Path(name).name}:{frame.line_num}"
    return ""
