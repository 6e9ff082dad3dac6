"""Where NaN and infinities come from in a JAX function: its jaxpr, run one equation at a time.

`torch_nonfinite.py` answers to the same name. Calls are opened, and so are loops that end with such
a value; a loop of many turns is taken as one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from parity.frameworks.jaxprs import CALLS, binder, is_backward, user_line
from parity.frameworks.nonfinite import Held, Marks, Step, Trace, kinds

SPELLED = {"select_n": "where", "integer_pow": "pow", "max": "maximum", "min": "minimum"}
TURNS = 2_000
"""Turns of a loop up to which it is opened."""
MOST = 50_000
"""Equations that are run at most."""


def traced(
    differentiated: Callable[..., Any],
    forward: Callable[..., Any] | None,
    values: Sequence[Any],
    names: Sequence[str],
) -> tuple[Trace, Any]:
    """Run a function that differentiates itself; return the trace, and marks for what it returns.

    ``forward`` takes the first of ``values``, and tells its own operations from those of the
    derivative; None where the derivative is the user's too. ``names`` are those of the first
    values.
    """
    closed, shape = jax.make_jaxpr(differentiated, return_shape=True)(*values)
    own = _Own()
    if forward is not None:
        own.add(jax.make_jaxpr(forward)(*values[: len(names)]).jaxpr, "")
    run = _Run(own if forward is not None else None)
    given = [
        Held(x, run.trace.given(_numpy(x), f"input {name}"))
        for x, name in zip(values, (*names, *([""] * len(values))), strict=False)
    ]
    found = run.jaxpr(closed, given, "", False)
    return run.trace, jax.tree.unflatten(
        jax.tree.structure(shape), [_Leaf(held.marks) for held in found]
    )


class _Leaf(dict[str, Any]):
    """Marks as a leaf of a tree."""


class _Own:
    """The function's own operations, in order: what is none of them belongs to the derivative."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, str]] = []
        """Primitive and line."""
        self.ends: dict[int, int] = {}
        """Of a scan: where what it holds ends."""
        self.place, self.last = 0, ""

    def add(self, jaxpr: Any, line: str) -> None:
        """Write down a jaxpr's operations."""
        for equation in jaxpr.eqns:
            here, name = user_line(equation) or line, equation.primitive.name
            if name in CALLS:
                self.add(_held(equation), here)
                continue
            place = len(self.operations)
            self.operations.append((name, here))
            if name == "scan":
                self.add(_held(equation), here)
                self.ends[place] = len(self.operations)

    def next(self, name: str, line: str) -> bool:
        """Return whether an operation is the function's next one, or on a line that comes next."""
        for place in range(self.place, len(self.operations)):
            if self.operations[place] == (name, line):
                self.place, self.last = place + 1, SPELLED.get(name, name)
                return True
            if self.operations[place][1] == line:  # this line's next one is another
                return False
        return False


def _held(equation: Any) -> Any:
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    return getattr(inner, "jaxpr", inner)


class _Run:
    """One run; with the function's own operations where others belong to a derivative."""

    def __init__(self, own: _Own | None) -> None:
        self.trace, self.own, self.count = Trace(), own, 0

    def jaxpr(self, closed: Any, inputs: Sequence[Held], line: str, back: bool) -> list[Held]:
        jaxpr = getattr(closed, "jaxpr", closed)
        consts = closed.consts if isinstance(closed, ClosedJaxpr) else ()
        values = {
            v: Held(x, self.trace.given(_numpy(x)))
            for v, x in zip(jaxpr.constvars, consts, strict=True)
        }
        values |= dict(zip(jaxpr.invars, inputs, strict=True))
        last = {v: i for i, e in enumerate(jaxpr.eqns) for v in e.invars if not _is_literal(v)}
        kept = {v for v in jaxpr.outvars if not _is_literal(v)}

        def read(atom: Any) -> Held:
            if _is_literal(atom):
                return Held(atom.val, self.trace.given(_numpy(atom.val)))
            return values[atom]

        for i, equation in enumerate(jaxpr.eqns):
            given = [read(atom) for atom in equation.invars]
            values |= dict(
                zip(equation.outvars, self.step(equation, given, line, back), strict=True)
            )
            for atom in equation.invars:
                if not _is_literal(atom) and last[atom] == i and atom not in kept:
                    values.pop(atom, None)
        return [read(atom) for atom in jaxpr.outvars]

    def step(self, equation: Any, inputs: list[Held], line: str, back: bool) -> list[Held]:
        name, params = equation.primitive.name, equation.params
        line = user_line(equation) or line
        back = back or is_backward(equation)
        if name in CALLS:
            inner = params.get("jaxpr", params.get("call_jaxpr"))
            return self.jaxpr(inner, inputs, line, back)
        if name == "cond":
            index, *operands = inputs
            chosen = int(np.clip(int(index.value), 0, len(params["branches"]) - 1))
            return self.jaxpr(params["branches"][chosen], operands, line, back)
        self.count += 1
        if self.count > MOST:
            raise RuntimeError("too many operations to look for the first that is not finite")
        outputs = binder(equation)([held.value for held in inputs])
        step = self.told(name, line, back, inputs)
        if name == "scan" and self.own is not None and not step.backward:
            self.own.place = self.own.ends[self.own.place - 1]
        if name == "scan" and params["length"] <= TURNS and any(kinds(_numpy(x)) for x in outputs):
            return self.scan(params, inputs, line, back)
        operands = [Held(_numpy(held.value), held.marks) for held in inputs]
        if name == "integer_pow":
            operands.append(Held(params["y"], {}))
        marks = self.trace.results(step, operands, [_numpy(x) for x in outputs])
        derivative = "" if back else step.derivative
        return [Held(x, m, derivative) for x, m in zip(outputs, marks, strict=True)]

    def told(self, name: str, line: str, back: bool, inputs: list[Held]) -> Step:
        """Return a step: the function's own, or one of its derivative, and of what."""
        spelled = SPELLED.get(name, name)
        if self.own is None:
            return Step(spelled, line, back)
        if not back and self.own.next(name, line):
            return Step(spelled, line)
        made = (held.derivative for held in inputs if held.derivative)
        return Step(spelled, line, True, next(made, "") if back else self.own.last)

    def scan(self, params: Any, inputs: list[Held], line: str, back: bool) -> list[Held]:
        first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
        consts, carry, sequences = inputs[:first], inputs[first:last], inputs[last:]
        turns: list[list[Held]] = []
        order = range(params["length"])
        own, self.own = self.own, None  # what it holds stands for itself
        for turn in reversed(order) if params["reverse"] else order:
            elements = [Held(x.value[turn], x.marks) for x in sequences]
            found = self.jaxpr(params["jaxpr"], [*consts, *carry, *elements], line, back)
            carry = found[: len(carry)]
            turns.append(found[len(carry) :])
        self.own = own
        if params["reverse"]:
            turns.reverse()
        stacked = [
            Held(jnp.stack([x.value for x in column]), _joined([x.marks for x in column]))
            for column in zip(*turns, strict=True)
        ]
        return [*carry, *stacked]


def _joined(marks: Sequence[Marks]) -> Marks:
    joined: Marks = {}
    for own in marks:
        joined = {**own, **joined}
    return joined


def _is_literal(atom: Any) -> bool:
    return isinstance(atom, Literal)


def _numpy(x: Any) -> Any:
    """Return a value as NumPy holds it; None of a key."""
    if isinstance(x, bool | int | float | complex):
        return x
    dtype = getattr(x, "dtype", None)
    if dtype is None or jnp.issubdtype(dtype, jax.dtypes.extended) or dtype == jax.dtypes.float0:
        return None
    return np.asarray(x)
