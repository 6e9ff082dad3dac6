"""A JAX function as a recording: its jaxpr, run one equation at a time in NumPy.

`torch_recording.py` answers to the same name. Calls are opened, custom rules give way to what their
function says, loops are unrolled; what would be too long is one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from parity.frameworks.jaxpr_numpy import evaluate
from parity.frameworks.jaxpr_rounding import EXACT
from parity.frameworks.jaxprs import CALLS, is_backward, is_float, is_key, number, user_line
from parity.frameworks.recordings import Jitter, Recording

TURNS = 500
"""Turns of a loop up to which it is unrolled."""
SPELLED = {
    "select_n": "where",
    "integer_pow": "pow",
    "max": "maximum",
    "min": "minimum",
    "reduce_sum": "sum",
    "reduce_max": "amax",
    "reduce_min": "amin",
    "add_any": "add",
    "logistic": "sigmoid",
    "conv_general_dilated": "convolution",
}
"""What torch calls the same."""


def recorded(
    function: Callable[..., dict[str, Any]],
    values: Sequence[Any],
    names: Sequence[str],
    jitter: Jitter | None = None,
) -> Recording:
    """Run ``function``, of arrays and {name: array}, and return what it did.

    ``jitter`` disturbs what is given and what rounds. Raises RuntimeError where that is too long to
    be written down.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*values)
    run = _Run(jitter)
    given = [run.recording.hold(run.disturbed(_held(x))) for x in values]
    run.recording.inputs |= dict(zip(names, given, strict=False))
    found = run.jaxpr(closed, given, "")
    run.recording.outputs |= jax.tree.unflatten(jax.tree.structure(shape), found)
    return run.recording


def custom_calls(
    function: Callable[..., Any], values: Sequence[Any]
) -> list[tuple[Any, list[Any]]]:
    """Run ``function`` and return every call of a `custom_vjp` with what it was given."""
    run = _Run(None)
    given = [run.recording.hold(_held(x)) for x in values]
    run.jaxpr(jax.make_jaxpr(lambda *xs: function(*xs))(*values), given, "")
    return run.customs


class _Run:
    def __init__(self, jitter: Jitter | None) -> None:
        self.customs: list[tuple[Any, list[Any]]] = []
        self.recording, self.jitter = Recording(), jitter
        self.inside, self.called = "", ""
        """What the line calls whose operations are being run, and that line."""
        self.back = False

    def disturbed(self, x: Any) -> Any:
        if self.jitter is None or not is_float(x):
            return x
        return x * self.jitter(np.shape(x))

    def jaxpr(self, closed: Any, inputs: Sequence[int], line: str) -> list[int]:
        jaxpr = getattr(closed, "jaxpr", closed)
        consts = closed.consts if isinstance(closed, ClosedJaxpr) else ()
        numbers = {
            v: self.recording.hold(_held(x)) for v, x in zip(jaxpr.constvars, consts, strict=True)
        }
        numbers |= dict(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: Any) -> int:
            is_literal = isinstance(atom, Literal)
            return self.recording.hold(number(atom)) if is_literal else numbers[atom]

        for equation in jaxpr.eqns:
            made = self.step(equation, [read(atom) for atom in equation.invars], line)
            numbers |= dict(zip(equation.outvars, made, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def step(self, equation: Any, inputs: list[int], line: str) -> Sequence[int]:
        name, params = equation.primitive.name, equation.params
        line = user_line(equation) or line
        self.back = is_backward(equation) or self.back
        if name == "custom_vjp_call":
            self.customs.append((equation, [self.value(n) for n in inputs]))
        if name in CALLS:
            inner = params.get("jaxpr", params.get("call_jaxpr", params.get("fun_jaxpr")))
            debug = getattr(getattr(inner, "jaxpr", inner), "debug_info", None)
            called = params.get("name") or getattr(debug, "func_name", "")
            return self.call(called, inner, inputs, line)
        if name == "cond":
            taken = int(np.clip(self.value(inputs[0]), 0, len(params["branches"]) - 1))
            return self.jaxpr(params["branches"][taken], inputs[1:], line)
        if name == "scan" and params["length"] <= TURNS:
            return self.scan(params, inputs, line)
        if name == "while":
            return self.loop(params, inputs, line)

        def apply(given: Sequence[Any]) -> list[Any]:
            return evaluate(equation, given)

        found = apply([self.value(n) for n in inputs])
        if name not in EXACT:
            found = [self.disturbed(x) for x in found]
        return self.made(SPELLED.get(name, name), line, inputs, found, apply)

    def call(self, name: str, inner: Any, inputs: list[int], line: str) -> list[int]:
        before = self.inside, self.called
        if line != self.called or not self.inside:
            self.inside, self.called = name.strip("_"), line
        found = self.jaxpr(inner, inputs, line)
        self.inside, self.called = before
        return found

    def value(self, place: int) -> Any:
        return self.recording.values[place]

    def made(
        self,
        kind: str,
        line: str,
        inputs: Sequence[int],
        found: Sequence[Any],
        apply: Callable[[Sequence[Any]], list[Any]],
    ) -> tuple[int, ...]:
        kind, inside = kind.replace("-", "_"), self.inside if line == self.called else ""
        return self.recording.add(kind, line, inputs, found, inside, apply, self.back)

    def moved(self, apply: Callable[..., Any], inputs: Sequence[int], line: str) -> int:
        """Return the number of what a loop takes for a turn, or makes of all turns."""
        found = [apply(*(self.value(n) for n in inputs))]
        return self.made("turn", line, inputs, found, lambda given: [apply(*given)])[0]

    def scan(self, params: Any, inputs: list[int], line: str) -> list[int]:
        first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
        consts, carry, sequences = inputs[:first], inputs[first:last], inputs[last:]
        turns: list[list[int]] = []
        order = range(params["length"])
        for turn in reversed(order) if params["reverse"] else order:
            elements = [self.moved(lambda x, t=turn: x[t], [x], line) for x in sequences]
            found = self.jaxpr(params["jaxpr"], [*consts, *carry, *elements], line)
            carry = found[: len(carry)]
            turns.append(found[len(carry) :])
        if params["reverse"]:
            turns.reverse()
        stacked = [self.moved(_stacked, column, line) for column in zip(*turns, strict=True)]
        return [*carry, *stacked]

    def loop(self, params: Any, inputs: list[int], line: str) -> list[int]:
        first, last = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        conditions, consts, state = inputs[:first], inputs[first:last], inputs[last:]
        for _ in range(TURNS):
            going_on = self.jaxpr(params["cond_jaxpr"], [*conditions, *state], line)[0]
            if not np.all(self.value(going_on)):
                return state
            state = self.jaxpr(params["body_jaxpr"], [*consts, *state], line)
        raise RuntimeError(f"more than {TURNS} turns")


def _held(x: Any) -> Any:
    return x if is_key(x) else np.asarray(jnp.asarray(x))


def _stacked(*xs: Any) -> Any:
    return np.stack([*map(np.asarray, xs)])
