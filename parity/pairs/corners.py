"""The ways to compute a pair: each side's function by autodiff, and its rule by hand if it has one.

Everything of a framework comes from its side; runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from parity.frameworks.supported import require_supported
from parity.pairs import tree
from parity.pairs.pair import Arguments, Pair, Rule
from parity.pairs.structure import MisfitError


@dataclass(frozen=True)
class Corner:
    """One way to compute the pair in one framework; functions of flat arrays."""

    name: str
    side: Any
    forward: Callable[..., dict[str, Any]]
    """(*leaves) -> {output: array}"""
    gradients: Callable[..., tuple[Any, tuple[Any, ...]]]
    """(leaves, {output: cotangent}) -> (outputs, one gradient a floating leaf, or None)"""
    arguments: Arguments


def corners_of(pair: Pair, arguments: Arguments) -> dict[str, Corner]:
    """Return {name: corner}: each side's function, and its rule by hand where it has one."""
    corners = {}
    for framework, given in pair.sides.items():
        require_supported(framework)
        side = import_module(f"parity.frameworks.{framework}_side")
        primal = given
        if isinstance(given, Rule):
            name = f"{framework}.rule"
            corners[name] = by_rule(name, side, given, arguments)

            def primal(*inputs: Any, forward: Any = given.forward) -> Any:
                return forward(*inputs)[0]

        corners[framework] = _by_autodiff(framework, side, primal, arguments)
    return corners


def _outputs(side: Any, out: Any) -> dict[str, Any]:
    return {name: side.asarray(x) for name, x in tree.positions(out, "out")}


def _by_autodiff(name: str, side: Any, function: Any, arguments: Arguments) -> Corner:
    def forward(*leaves: Any) -> dict[str, Any]:
        given = side.differentiable(leaves, arguments.still)
        return _outputs(side, function(*arguments.build(given)))

    def gradients(leaves: tuple[Any, ...], douts: dict[str, Any]) -> Any:
        return side.vjp(forward, leaves, douts, arguments.still)

    return Corner(name, side, forward, gradients, arguments)


def by_rule(name: str, side: Any, rule: Rule, arguments: Arguments) -> Corner:
    """Return the corner that differentiates by hand."""

    def forward(*leaves: Any) -> dict[str, Any]:
        given = side.differentiable(leaves, arguments.still)
        return _outputs(side, rule.forward(*arguments.build(given))[0])

    def gradients(leaves: tuple[Any, ...], douts: dict[str, Any]) -> Any:
        out, residual = rule.forward(*arguments.build(leaves))
        cotangents = (
            side.conj(douts[name]) if name in douts else _nothing(side, side.asarray(x))
            for name, x in tree.positions(out, "out")
        )
        found = rule.backward(residual, tree.rebuild(out, cotangents))
        grads = _entries(name, side, found, arguments)
        return _outputs(side, out), tuple(side.conj(grad) for grad in grads)

    return Corner(name, side, forward, gradients, arguments)


def _entries(corner: str, side: Any, found: Any, arguments: Arguments) -> list[Any]:
    """Return a rule's gradients, one a floating leaf; MisfitError where the contract is broken."""
    contract = "return a tuple with one entry an input, None for integers"
    names = arguments.arguments
    if not isinstance(found, tuple | list):
        kind = type(found).__name__
        raise MisfitError("gradients", f"{corner}'s backward returns {kind}; {contract}", corner)
    if len(found) != len(names):
        raise MisfitError(
            "gradients",
            f"{corner}'s backward returns {len(found)} gradients for {len(names)} inputs "
            f"({', '.join(names)}); {contract}",
            corner,
        )
    floating = [*arguments.floating]
    kinds = zip(arguments.names, arguments.leaves, strict=True)
    floats = {leaf for leaf, x in kinds if x.dtype.kind in "fc"}
    got: dict[str, Any] = {}
    for name, value, entry in zip(names, arguments.structure, found, strict=True):
        wanted = [leaf for leaf, _ in tree.flatten(value, name) if leaf in floating]
        given = [x for _, x in tree.positions(entry)]
        every = [leaf for leaf, _ in tree.flatten(value, name) if leaf in floats]
        if len(given) == len(every):  # a gradient of a constant is not looked at
            wanted = every
        if len(given) != len(wanted):
            raise MisfitError(
                name,
                f"{corner}'s backward returns {len(given)} arrays for input {name}; "
                f"return {_listed(wanted)}",
                corner,
            )
        got |= {leaf: side.asarray(x) for leaf, x in zip(wanted, given, strict=True)}
    return [got[name] for name in floating]


def _nothing(side: Any, x: Any) -> Any:
    """Return the cotangent of an output that has none: zeros, and None of integers."""
    return side.zeros_like(x) if side.is_float(x) else None


def _listed(names: Any) -> str:
    return ", ".join(f"the gradient of {name}" for name in names) or "None"
