"""JAX functions as programs that can be changed. `torch_program.py` answers to the same names.

A jaxpr is flattened: what is under jit or remat stands beside the rest, its literals are constants.
Loops and branches hold programs of their own; a while loop ends after so many turns, for a change
could keep it from ending. A custom rule is kept while nothing inside it is changed; else its body
is differentiated, so that the gradient follows the change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal

from parity.frameworks.jax_arithmetic import Arithmetic
from parity.frameworks.jax_windows import window_of
from parity.frameworks.jaxpr_numpy import evaluate
from parity.frameworks.jaxprs import CUSTOM, INLINED, binder, chosen, is_key, user_line
from parity.frameworks.programs import Changes, Constant, Operation, Program

SPELLED = {
    "integer_pow": "pow",
    "max": "maximum",
    "min": "minimum",
    "reduce_sum": "sum",
    "add_any": "add",
    "rem": "fmod",
}
"""What torch calls the same."""
SWITCHES = {"integer_pow": "y", "round": "rounding_method"}
"""Parameters, no operands, that are constants all the same."""
TRACED = True
"""A program is the same for all numbers of one shape: it was recorded without any."""
TURNS = 10_000
"""Turns after which a while loop is ended, and gives NaN."""


__all__ = ["TRACED", "Arithmetic", "compiled", "ending", "record"]


def record(function: Callable[..., Any], inputs: Sequence[Any]) -> list[Program]:
    """Return ``function``, of these arrays and {name: array}, as a program: a list of one."""
    traced = jax.make_jaxpr(lambda *args: [*function(*args).values()])(*inputs)
    return [_Recorder().program(traced)]


def ending(forward: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return ``forward`` with while loops that end whatever they are given."""

    def run(*inputs: Any) -> dict[str, Any]:
        traced, shape = jax.make_jaxpr(forward, return_shape=True)(*inputs)
        outputs = _Recorder().program(traced).run(inputs)
        return dict(jax.tree.unflatten(jax.tree.structure(shape), outputs))

    return run


def compiled(run: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``run`` compiled in little time: what it is given are arguments, constants too."""
    return jax.jit(run, compiler_options={"xla_backend_optimization_level": 1})


class _Recorder:
    """Numbers slots and places while jaxprs are flattened into programs."""

    def __init__(self) -> None:
        self.slots, self.places = count(), count()

    def program(self, closed: Any) -> Program:
        jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
        flat = _Flat(self)
        inputs = [next(self.slots) for _ in jaxpr.invars]
        where = dict(zip(jaxpr.invars, inputs, strict=True))
        for variable, value in zip(jaxpr.constvars, getattr(closed, "consts", ()), strict=True):
            where[variable] = flat.captured_or_constant(value)
        outputs = flat.add(jaxpr, where)
        return Program(
            tuple(inputs),
            tuple(outputs),
            tuple(flat.operations),
            tuple(flat.constants),
            flat.captured,
        )


class _Flat:
    """One program being written."""

    def __init__(self, recorder: _Recorder) -> None:
        self.recorder = recorder
        self.operations: list[Operation] = []
        self.constants: list[Constant] = []
        self.captured: dict[int, Any] = {}

    def constant(self, value: Any, name: str = "", **how: Any) -> int:
        slot = next(self.recorder.slots)
        self.constants.append(Constant(slot, value, name, **how))
        return slot

    def captured_or_constant(self, value: Any) -> int:
        if np.ndim(value) == 0 and np.asarray(value).dtype.kind in "fiu":
            return self.constant(np.asarray(value).item())
        slot = next(self.recorder.slots)
        self.captured[slot] = value
        return slot

    def add(self, jaxpr: Any, where: dict[Any, int]) -> list[int]:
        """Append a jaxpr's equations; return the slots of its outputs."""

        def slot(atom: Any) -> int:
            return self._literal(atom) if isinstance(atom, Literal) else where[atom]

        for equation in jaxpr.eqns:
            name, params = equation.primitive.name, equation.params
            inputs = [slot(atom) for atom in equation.invars]
            if name in INLINED:
                inner = params.get("jaxpr", params.get("call_jaxpr"))
                outputs = self._inline(inner, inputs)
            else:
                outputs = self._operation(equation, inputs)
            where |= dict(zip(equation.outvars, outputs, strict=True))
        return [slot(atom) for atom in jaxpr.outvars]

    def _literal(self, atom: Any) -> int:
        if np.ndim(atom.val) == 0 and np.asarray(atom.val).dtype.kind in "fiu":
            return self.constant(np.asarray(atom.val).item())
        return self.captured_or_constant(atom.val)

    def _inline(self, closed: Any, inputs: list[int]) -> list[int]:
        jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
        inner = dict(zip(jaxpr.invars, inputs, strict=True))
        for variable, value in zip(jaxpr.constvars, getattr(closed, "consts", ()), strict=True):
            inner[variable] = self.captured_or_constant(value)
        return self.add(jaxpr, inner)

    def _operation(self, equation: Any, inputs: list[int]) -> list[int]:
        name = equation.primitive.name
        held = self._held(equation)
        outputs = [next(self.recorder.slots) for _ in equation.outvars]
        factor = shift = -1
        if outputs and jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.inexact):
            factor = self.constant(1.0, inserted="factor")
            shift = self.constant(0.0, inserted="shift")
        apply = _applied(equation, held)
        if name in SWITCHES and equation.outvars[0].aval.dtype.kind == "f":
            parameter = SWITCHES[name]
            value = equation.params[parameter]
            inputs = [
                *inputs,
                self.constant(
                    value, "exponent" if name == "integer_pow" else parameter, static=True
                ),
            ]
            apply = _switched(equation, parameter)
        for program in held:
            self.constants += program.constants
        self.operations.append(
            Operation(
                next(self.recorder.places),
                SPELLED.get(name, name).replace("-", "_"),
                tuple(inputs),
                tuple(outputs),
                apply,
                user_line(equation),
                factor,
                shift,
                held,
                window=window_of(equation),
            )
        )
        return outputs

    def _held(self, equation: Any) -> tuple[Program, ...]:
        name, params = equation.primitive.name, equation.params
        if name in CUSTOM:
            return (self.recorder.program(params.get("call_jaxpr", params.get("fun_jaxpr"))),)
        if name == "scan":
            return (self.recorder.program(params["jaxpr"]),)
        if name == "while":
            return tuple(self.recorder.program(params[key]) for key in ("cond_jaxpr", "body_jaxpr"))
        if name == "cond":
            return tuple(self.recorder.program(branch) for branch in params["branches"])
        return ()


Applied = Callable[[list[Any], Changes], list[Any]]


def _applied(equation: Any, held: tuple[Program, ...]) -> Applied:
    """Return what runs an equation; through the programs that it holds where they are changed."""
    kinds = [getattr(atom.aval, "dtype", None) for atom in equation.invars]

    def plain(inputs: list[Any]) -> list[Any]:
        given = [
            _in_dtype(x, kind) if kind is not None and np.ndim(x) == 0 and not is_key(x) else x
            for x, kind in zip(inputs, kinds, strict=True)
        ]
        if any(isinstance(x, jax.core.Tracer) for x in given):
            return binder(equation)(given)
        with np.errstate(all="ignore"):
            return evaluate(equation, [x if is_key(x) else np.asarray(x) for x in given])

    name = equation.primitive.name
    inside = {"scan": _scan, "cond": _cond, "while": _while}.get(name, _call)

    def run(inputs: list[Any], changes: Changes) -> list[Any]:
        if name == "while" or (held and changes.touch(held)):
            given = [
                jnp.asarray(x, k) if jnp.ndim(x) == 0 else x
                for x, k in zip(inputs, kinds, strict=True)
            ]
            return inside(equation.params, held, given, changes)
        return plain(inputs)

    return run


def _in_dtype(x: Any, kind: Any) -> Any:
    return jnp.asarray(x, kind) if isinstance(x, jax.core.Tracer) else np.asarray(x, kind)


def _switched(equation: Any, parameter: str) -> Applied:
    """Return what runs an equation with its last input for one of its parameters."""

    def run(inputs: list[Any], changes: Changes) -> list[Any]:
        *given, value = inputs
        return [equation.primitive.bind(*given, **{**equation.params, parameter: value})]

    return run


def _call(params: Any, held: Any, inputs: list[Any], changes: Changes) -> list[Any]:
    return held[0].run(inputs, changes)


def _scan(params: Any, held: Any, inputs: list[Any], changes: Changes) -> list[Any]:
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, start, sequences = inputs[:first], inputs[first:last], inputs[last:]

    def body(carry: Any, elements: Any) -> Any:
        outputs = held[0].run([*consts, *carry, *elements], changes)
        return _as_before(outputs[: len(carry)], carry), outputs[len(carry) :]

    carry, stacked = lax.scan(
        body,
        [*map(jnp.asarray, start)],
        sequences,
        length=params["length"],
        reverse=params["reverse"],
    )
    return [*carry, *stacked]


def _while(params: Any, held: Any, inputs: list[Any], changes: Changes) -> list[Any]:
    condition, body = held
    first, last = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]

    def going_on(state: Sequence[Any]) -> Any:
        return jnp.asarray(condition.run([*inputs[:first], *state], changes)[0])

    def turn(state: Any) -> Any:
        count, *old = state
        new = body.run([*inputs[first:last], *old], changes)
        return (count + 1, *_as_before(chosen(going_on(old), new, old), old))

    def unended(state: Any) -> Any:
        return (state[0] < TURNS) & jnp.any(going_on(state[1:]))

    start = (0, *map(jnp.asarray, inputs[last:]))
    end: Any = lax.while_loop(unended, turn, start)
    return [
        jnp.where(end[0] < TURNS, x, jnp.nan).astype(x.dtype) if _is_float(x) else x
        for x in end[1:]
    ]


def _is_float(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.inexact))


def _as_before(new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
    """Return a loop's new state in the dtypes of the old one: numbers in the code have none."""
    return [jnp.asarray(y, x.dtype) for y, x in zip(new, old, strict=True)]


def _cond(params: Any, held: Any, inputs: list[Any], changes: Changes) -> list[Any]:
    index, *operands = inputs
    branches = [lambda *xs, branch=branch: branch.run(xs, changes) for branch in held]
    return list(lax.switch(jnp.asarray(index, jnp.int32), branches, *operands))
