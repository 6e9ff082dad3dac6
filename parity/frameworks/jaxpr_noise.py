"""How far rounding alone can move each output of a JAX function: the function, rerun with noise.

A function is traced to its jaxpr and interpreted in float64; every operation that rounds gets
random noise of the size that rounding to float32 would have. The rms over several seeds of the
distance to the noiseless run is the yardstick.

It estimates; it bounds nothing. It refuses a jaxpr that hides a narrower float inside float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal

from parity.frameworks.jaxpr_narrow import refuse_narrow
from parity.frameworks.jaxpr_numpy import evaluate
from parity.frameworks.jaxpr_rounding import (
    ACCUMULATING,
    Noise,
    disturbed,
    rounded,
    terms_of,
)
from parity.frameworks.jaxprs import (
    CALLS,
    binder,
    chosen,
    held_by,
    is_float,
    is_key,
    last_uses,
    number,
)
from parity.judge.noise import SEEDS, U0, Cost
from parity.memory import give_back, is_heavy


def yardstick(function: Callable[..., Any], seeds: int = SEEDS) -> Callable[..., tuple[Any, Any]]:
    """Return ``(*args) -> (value, noise)``, both shaped like ``function(*args)``.

    ``function`` differentiates itself where gradients are wanted. ``value`` is the noiseless
    float64 run; ``noise`` is the rms error of each element in units of the roundoff u (multiply by
    2**-24 for float32), 0 for integers. Give float64 arguments, with x64 enabled. The returned
    function is traced once a shape: keep it to use it again.

    Raises TypeError where the function computes in a narrower float although its arguments are
    float64.
    """
    traces: dict[Any, Trace] = {}

    def measured(*args: Any) -> tuple[Any, Any]:
        trace, leaves = _traced(function, args, traces)
        clean, rms = trace.measured(leaves, map(trace.noise, range(seeds)))
        return jax.tree.unflatten(trace.shape, clean), jax.tree.unflatten(trace.shape, rms)

    return measured


class Trace:
    """A function as a jaxpr, and the loops in it compiled."""

    def __init__(self, function: Callable[..., Any], args: Any, narrow: bool = False) -> None:
        self.closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        if not narrow:
            refuse_narrow(self.closed)
        self.shape = jax.tree.structure(shape)
        # a row of noise a seed, long enough for a slice to start anywhere in its first half
        self.size = _largest(self.closed) + 16384
        self.loops: dict[Any, Callable[..., list[Any]]] = {}

    def noise(self, seed: int) -> Noise:
        """Return the noise of one seed."""
        reach = math.sqrt(3)
        return Noise(np.random.default_rng(seed).uniform(-reach, reach, 2 * self.size), self.size)

    def measured(self, leaves: Sequence[Any], noises: Iterable[Noise]) -> tuple[Any, Any]:
        """Return the outputs, and the rms over the noises of how far they are moved, in u0."""
        with np.errstate(all="ignore"):
            clean = self.run(leaves, None)
            total = [np.zeros(np.shape(x)) for x in clean]
            count = 0
            for noise in noises:
                noisy = self.run(leaves, noise)
                for number, one in enumerate(clean):
                    far = _difference(noisy[number], one)
                    noisy[number] = None  # large ones are not held twice
                    total[number] += np.square(far, out=far)
                    del far
                count += 1
                del noise, noisy  # before the next is drawn
                if is_heavy(x.size for x in total):
                    give_back()
            for number, t in enumerate(total):
                total[number] = np.sqrt(t / count) / U0
            return clean, total

    def run(self, leaves: Sequence[Any], noise: Noise | None) -> list[Any]:
        """Return the outputs; what runs once is evaluated, what turns is compiled."""
        return _interpret(self.closed, leaves, noise, self.loop)

    def loop(self, equation: Any, inputs: list[Any], noise: Noise | None) -> list[Any]:
        """Run a loop compiled, with the noise that it would have here."""
        sites = 0 if noise is None else noise.sites
        key = id(equation), sites, None if noise is None else noise.kind
        if key not in self.loops:

            def turned(inputs: list[Any], row: Any) -> list[Any]:
                if row is None:
                    return binder(equation)(inputs)
                assert noise is not None
                own = noise.anew(row)
                own.sites = sites
                return _turned(equation, inputs, own)

            # optimising costs more than it saves in what runs a few times
            options = {"xla_backend_optimization_level": 1}
            self.loops[key] = jax.jit(turned, compiler_options=options)
        found = self.loops[key](inputs, None if noise is None else noise.row)
        if noise is not None:
            noise.sites += 1
        return [y if is_key(y) else np.asarray(y) for y in found]


def interpreted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` evaluated as it is written, in whatever floats; loops alone compiled.

    The returned function is traced once a shape: keep it to use it again.
    """
    traces: dict[Any, Trace] = {}

    def run(*args: Any) -> Any:
        trace, leaves = _traced(function, args, traces, narrow=True)
        with np.errstate(all="ignore"):
            return jax.tree.unflatten(trace.shape, trace.run(leaves, None))

    return run


def _traced(
    function: Callable[..., Any], args: Any, traces: dict[Any, Trace], narrow: bool = False
) -> tuple[Trace, list[Any]]:
    """Return the trace of a function for such arguments, made once, and the arguments' arrays."""
    leaves, given = jax.tree.flatten(args)
    leaves = [x if is_key(x) else np.asarray(x) for x in leaves]
    key = (given, jnp.result_type(float), *((x.shape, x.dtype) for x in leaves))
    if key not in traces:
        traces[key] = Trace(function, args, narrow)
    return traces[key], leaves


def cost(function: Callable[..., Any], *args: Any) -> Cost:
    """Return the estimated cost of ``yardstick(function)(*args)``: traced, not run."""
    traced = jax.make_jaxpr(function)(*args)
    equations, elements = _count(traced.jaxpr)
    return Cost(equations, elements, 0.3 + 3e-3 * equations, 1e-4 * equations + 1e-8 * elements)


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


def _difference(noisy: Any, clean: Any) -> Any:
    """Return noisy - clean as float64, 0 for integers and where both are the same infinity."""
    if not is_float(clean):
        return np.zeros(clean.shape)
    return np.where(noisy == clean, 0.0, abs(noisy - clean))


Loop = Callable[[Any, list[Any], Noise | None], list[Any]]
"""(equation, inputs, noise) -> outputs of what turns."""


def _interpret(closed: Any, args: Sequence[Any], noise: Noise | None, loop: Loop) -> list[Any]:
    """Evaluate a closed jaxpr; with ``noise``, disturb the result of every rounding operation."""
    jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
    consts = closed.consts if isinstance(closed, ClosedJaxpr) else ()
    values: dict[Any, Any] = {}
    for variable, const in zip(jaxpr.constvars, consts, strict=True):
        held = const if is_key(const) or isinstance(const, jax.core.Tracer) else np.asarray(const)
        values[variable] = held if noise is None or noise.is_data(const) else rounded(held, noise)
    values |= dict(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        if not isinstance(atom, Literal):
            return values[atom]
        value = number(atom)
        if noise is None or noise.is_plain(value):
            return value
        return value * (1 + U0 * noise.number(float(value)))  # as another format rounds it

    for equation, done in zip(jaxpr.eqns, last_uses(jaxpr), strict=True):
        if noise is not None:
            noise.toward(equation)
        inputs = [read(atom) for atom in equation.invars]
        outputs = _step(equation, inputs, noise, loop)
        if noise is not None and not held_by(equation):
            noise.made(equation, outputs)
        values |= dict(zip(equation.outvars, outputs, strict=True))
        for variable in done:
            del values[variable]
    return [read(atom) for atom in jaxpr.outvars]


def _step(equation: Any, inputs: list[Any], noise: Noise | None, loop: Loop) -> list[Any]:
    """Evaluate one equation, going into what it calls."""
    name, params = equation.primitive.name, equation.params
    if name in ("scan", "while"):
        return loop(equation, inputs, noise)
    if name == "cond":
        return _branch(params["branches"], inputs, noise, loop)
    if name in CALLS:
        return _interpret(params.get("jaxpr", params.get("call_jaxpr")), inputs, noise, loop)
    if noise is None:
        return evaluate(equation, inputs)
    if name in ("debug_callback", "debug_print"):  # said once, by the run without noise
        return []
    return disturbed(equation, inputs, noise)


def _branch(
    branches: Sequence[Any], inputs: list[Any], noise: Noise | None, loop: Loop
) -> list[Any]:
    """Run the branch that is taken; inside a compiled loop, compile all."""
    index, *operands = inputs
    if not isinstance(index, jax.core.Tracer):
        taken = branches[min(max(int(index), 0), len(branches) - 1)]
        return _interpret(taken, operands, noise, loop)
    runs = [
        lambda *operands, branch=branch: _interpret(branch, operands, noise, loop)
        for branch in branches
    ]
    return list(lax.switch(index, runs, *operands))


def _turned(equation: Any, inputs: list[Any], noise: Noise | None) -> list[Any]:
    """Run a loop, in what is being compiled."""
    if noise is None:
        return binder(equation)(inputs)
    run = _scan if equation.primitive.name == "scan" else _while
    return run(equation.params, inputs, noise)


def _scan(params: dict[str, Any], inputs: list[Any], noise: Noise) -> list[Any]:
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, start, sequences = inputs[:first], inputs[first:last], inputs[last:]

    def body(carry: Any, elements: Any) -> Any:
        turn, *state = carry
        outputs = _interpret(
            params["jaxpr"], [*consts, *state, *elements], noise.inside(turn), _turned
        )
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
        return _interpret(params["cond_jaxpr"], [*condition_consts, *state], None, _turned)[0]

    def body(carry: Any) -> Any:
        turn, *state = carry
        new = _interpret(params["body_jaxpr"], [*body_consts, *state], noise.inside(turn), _turned)
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
