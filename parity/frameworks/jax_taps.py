"""Named intermediates of JAX functions, seen and replaced. `torch_taps.py` has the same names.

A jaxpr is interpreted: names are seen through jit, remat and scan, where a name stands for all its
turns, stacked. Custom rules are kept whole, and so are branches and while loops: nothing is seen in
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal

from parity.frameworks.jaxprs import INLINED


def visited(
    forward: Callable[..., dict[str, Any]], given: Mapping[str, Any], adding: bool
) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """Return ``(*inputs) -> (outputs, {name: value})``; named values go on replaced by ``given``.

    With ``adding``, ``given`` is added to them instead. A name that comes again is stacked.
    """

    def run(*inputs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        closed, shape = jax.make_jaxpr(forward, return_shape=True)(*inputs)
        taps = _Taps(given, adding)
        outputs = _interpret(closed, inputs, taps)
        out = jax.tree.unflatten(jax.tree.structure(shape), outputs)
        return out, {label: _together(values) for label, values in taps.found.items()}

    return run


def labelled(forward: Callable[..., dict[str, Any]], *inputs: Any) -> dict[str, Any]:
    """Return {name: value} of what a function names; one that names nothing is only traced."""
    if not _labels(jax.make_jaxpr(forward)(*inputs)):
        return {}
    return visited(forward, {}, False)(*inputs)[1]


class _Taps:
    """What is put in place of named values, and what they were."""

    def __init__(self, given: Mapping[str, Any], adding: bool) -> None:
        self.given, self.adding = given, adding
        self.found: dict[str, list[Any]] = {}

    def put(self, label: str, x: Any) -> Any:
        turn = len(self.found.setdefault(label, []))
        self.found[label].append(x)
        if label not in self.given:
            return x
        instead = self._part(label, turn, x.shape)
        return x + instead if self.adding else instead

    def _part(self, label: str, turn: int, shape: tuple[int, ...]) -> Any:
        """Return what is given for one coming of a name: all of it where it comes only once."""
        whole = self.given[label]
        return whole if whole.shape == shape else whole[turn]

    def sequences(self, jaxpr: Any, length: int) -> dict[str, Any]:
        """Return {name: values, one a turn} of what is given for the names in a loop's body."""
        return {
            label: self._part(label, len(self.found.get(label, [])), (length, *shape))
            for label, shape in _labels(jaxpr).items()
            if label in self.given
        }


def _interpret(closed: Any, args: Sequence[Any], taps: _Taps) -> list[Any]:
    jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, getattr(closed, "consts", ()), strict=True))
    values |= dict(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        values |= dict(zip(equation.outvars, _step(equation, inputs, taps), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _step(equation: Any, inputs: list[Any], taps: _Taps) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if name == "name":
        return [taps.put(params["name"], inputs[0])]
    if name in INLINED:
        return _interpret(params.get("jaxpr", params.get("call_jaxpr")), inputs, taps)
    if name == "scan" and _labels(params["jaxpr"]):
        return _scan(params, inputs, taps)
    found = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(params))
    return list(found) if equation.primitive.multiple_results else [found]


def _scan(params: Any, inputs: list[Any], taps: _Taps) -> list[Any]:
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, start, sequences = inputs[:first], inputs[first:last], inputs[last:]
    given = taps.sequences(params["jaxpr"], params["length"])

    def body(carry: Any, elements: Any) -> Any:
        rest, parts = elements
        inside = _Taps(parts, taps.adding)
        outputs = _interpret(params["jaxpr"], [*consts, *carry, *rest], inside)
        seen = {label: _together(values) for label, values in inside.found.items()}
        return outputs[: len(carry)], (outputs[len(carry) :], seen)

    carry, (stacked, seen) = lax.scan(
        body, start, (sequences, given), length=params["length"], reverse=params["reverse"]
    )
    for label, values in seen.items():
        taps.found.setdefault(label, []).append(values)
    return [*carry, *stacked]


def _labels(closed: Any) -> dict[str, tuple[int, ...]]:
    """Return {name: shape} of the names that can be seen in a jaxpr; in loops with their length."""
    jaxpr = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
    found: dict[str, list[tuple[int, ...]]] = {}
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "name":
            found.setdefault(params["name"], []).append(equation.invars[0].aval.shape)
        elif name in INLINED:
            for label, shape in _labels(params.get("jaxpr", params.get("call_jaxpr"))).items():
                found.setdefault(label, []).append(shape)
        elif name == "scan":
            for label, shape in _labels(params["jaxpr"]).items():
                found.setdefault(label, []).append((params["length"], *shape))
    return {
        label: shapes[0] if len(shapes) == 1 else (len(shapes), *shapes[0])
        for label, shapes in found.items()
    }


def _together(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else jnp.stack(values)
