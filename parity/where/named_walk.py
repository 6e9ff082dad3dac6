"""Where a difference starts: a walk over the intermediates that both functions name.

Forward, each side's step to the next name is run on the other's values; backward, with the other's
upstream gradient at every named step. What still differs is introduced there; the rest is
inherited. In float64. Judges no side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from parity.judge.compare import FLOAT64, Distance, distance
from parity.judge.noise import BOUND, sigma
from parity.judge.verdict import Status
from parity.pairs.legs import Arrays, Legs, call


class Step(NamedTuple):
    """One tensor of the walk."""

    name: str
    gradient: bool
    """Whether this is the gradient of the tensor, and not its value."""
    apart: Distance
    """How far the two sides are apart, in sigmas."""
    alone: Distance
    """How far they are when this step starts from the same numbers on both sides."""
    place: str = ""
    """"introduced" or "inherited"; empty where there is no difference."""
    into: str = ""
    """Of a gradient that introduces one: the tensor whose backward step does it."""

    def __str__(self) -> str:
        tensor = f"the gradient of {self.name}" if self.gradient else self.name
        return f"{tensor} (the step back from {self.into})" if self.into else tensor


class Walk(NamedTuple):
    """Every named tensor, output and gradient: forwards in order, then gradients from the end."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...]

    def place(self, name: str, gradient: bool) -> str:
        """Return where the difference of one tensor comes from; empty where nothing is known."""
        return next((s.place for s in self.steps if (s.name, s.gradient) == (name, gradient)), "")


def walk(legs: Legs, values: Sequence[np.ndarray]) -> Walk | None:
    """Return the walk over what both sides name, on float64 values; None if that is nothing."""
    sides = tuple(legs.pair.sides)
    if len(sides) < 2:
        return None
    walker = _Walker(legs, tuple(values))
    labels = {side: walker.labels(side) for side in sides}
    common = [name for name in labels[sides[0]] if name in labels[sides[1]]]
    notes = [
        f"{name} is named on the {side} side alone"
        for side in sides
        for name in labels[side]
        if name not in common
    ]
    for name in [*common]:
        shapes = [labels[side][name].shape for side in sides]
        if shapes[0] != shapes[1]:
            notes.append(f"{name} has shape {list(shapes[0])} and {list(shapes[1])}")
            common.remove(name)
    if not common:
        return Walk((), tuple(notes)) if notes else None
    return Walk(tuple(walker.steps(common, labels[sides[0]])), tuple(notes))


class _Walker:
    def __init__(self, legs: Legs, values: tuple[np.ndarray, ...]) -> None:
        self.legs, self.count = legs, len(legs.arguments.names)
        self.leaves, self.douts = values[: self.count], values[self.count :]
        self.sides = tuple(legs.pair.sides)
        self.taps = {s: import_module(f"parity.frameworks.{s}_taps") for s in self.sides}
        self.yardsticks = {
            s: import_module(f"parity.frameworks.{m}")
            for s, m in (("jax", "jaxpr_noise"), ("torch", "torch_noise"))
            if s in self.sides
        }

    def labels(self, side: str) -> Arrays:
        """Return {name: value} of what a side names, in the order in which it is computed."""
        corner = self.legs.corners[side]
        order: list[str] = []

        def run(*leaves: Any) -> dict[str, Any]:
            found: dict[str, Any] = self.taps[side].labelled(corner.forward, *leaves)
            order.extend(found)
            return found

        found = call(corner.side, FLOAT64, run, self.leaves)  # JAX sorts what it returns
        return {name: found[name] for name in order if found[name].dtype.kind in "fc"}

    def run(
        self,
        side: str,
        given: Arrays,
        upstream: Arrays,
        adding: bool,
        noise: bool = False,
        douts: tuple[np.ndarray, ...] | None = None,
    ) -> Any:
        """Return (values, gradients) of outputs, names and leaves with ``given`` at the names.

        ``upstream`` are cotangents of the named values as they are computed, before ``given`` takes
        their place. With ``noise``, the pair (that, its noise).
        """
        corner, labels = self.legs.corners[side], [*given]
        api, names = corner.side, [*self.legs.cotangents()]

        def both(*args: Any) -> dict[str, Any]:
            leaves, puts = args[: self.count], args[self.count :]
            visited = self.taps[side].visited(
                corner.forward, dict(zip(labels, puts, strict=True)), adding
            )
            out, found = visited(*leaves)
            return {**out, **{_value(name): found[name] for name in labels}}

        def differentiated(*args: Any) -> Any:
            inputs = args[: self.count + len(labels)]
            cotangents = args[len(inputs) :]
            keys = [*names, *(_value(name) for name in upstream)]
            still = self.legs.arguments.still
            out, grads = api.vjp(both, inputs, dict(zip(keys, cotangents, strict=True)), still)
            floats = [x for i, x in enumerate(inputs) if api.is_float(x) and i not in still]
            grads = [
                api.zeros_like(x) if g is None else g for g, x in zip(grads, floats, strict=True)
            ]
            return out, dict(zip([*self.legs.arguments.floating, *labels], grads, strict=True))

        douts = self.douts if douts is None else douts
        numbers = (*self.leaves, *given.values(), *douts, *upstream.values())
        if not self.legs.floating:
            numbers = numbers[: self.count + len(given)]

            def differentiated(*args: Any) -> Any:
                return both(*args), {}

        function = self.yardsticks[side].yardstick(differentiated) if noise else differentiated
        return call(api, FLOAT64, function, numbers)

    def steps(self, common: list[str], like: Arrays) -> list[Step]:
        """Return every step, the second side's on the first one's numbers."""
        zeros = {name: np.zeros_like(like[name]) for name in common}
        whole, own = {}, []
        for side in self.sides:
            whole[side], noise = self.run(side, zeros, zeros, adding=True, noise=True)
            own.append(noise)
        first, second = self.sides
        values, gradients = whole[first]
        named = {name: values[_value(name)] for name in common}
        upstream = {name: gradients[name] for name in common} if gradients else zeros
        alone = self.run(second, named, upstream, adding=False)
        order = [*(_value(name) for name in common), *self.legs.outputs]
        floats = [key for key in order if np.asarray(values[key]).dtype.kind in "fc"]
        forward = [self._step(0, key, whole, alone, own) for key in floats]
        behind = [*reversed(common), *self.legs.floating] if gradients else []
        backward = [self._step(1, key, whole, alone, own) for key in behind]
        if any(step.place == Status.INTRODUCED for step in backward):
            backward = self._by_origin(forward, backward, named, upstream, own)
        return forward + backward

    def _step(
        self, part: int, key: str, whole: Mapping[str, Any], alone: Any, own: list[Any]
    ) -> Step:
        first, second = (whole[side][part][key] for side in self.sides)
        yard = _yard(part, key, own)
        apart, left = distance(second, first, yard), distance(alone[part][key], first, yard)
        place = Status.INHERITED if apart.sigmas > BOUND else ""
        place = Status.INTRODUCED if left.sigmas > BOUND else place
        return Step(key.removeprefix(PREFIX), part == 1, apart, left, place)

    def _by_origin(
        self,
        forward: list[Step],
        backward: list[Step],
        named: Arrays,
        upstream: Arrays,
        own: list[Any],
    ) -> list[Step]:
        """Return the gradients with those called inherited that follow from another one.

        One wrong step spoils the gradient of all that goes into it: the first of them introduces
        the fault. Where the step's forward differs already, none does.
        """
        suspects = [step for step in backward if step.place == Status.INTRODUCED]
        origins: dict[str, str] = {}
        followers: set[str] = set()
        for target in reversed(forward):
            spoiled = self._spoiled(target.name, suspects, named, upstream, own)
            if spoiled and target.place != Status.INTRODUCED:
                origins.setdefault(spoiled[0], target.name)
            followers |= set(spoiled)
        return [
            step._replace(into=origins[step.name])
            if step.name in origins and step.place == Status.INTRODUCED
            else step._replace(place=Status.INHERITED)
            if step.name in followers and step.place == Status.INTRODUCED
            else step
            for step in backward
        ]

    def _spoiled(
        self,
        target: str,
        suspects: list[Step],
        named: Arrays,
        upstream: Arrays,
        own: list[Any],
    ) -> list[str]:
        """Return which gradients differ when only what goes through one tensor flows back."""
        alone = {name: x if name == target else x * 0 for name, x in upstream.items()}
        douts = tuple(
            dout if name == target else dout * 0
            for name, dout in zip(self.legs.cotangents(), self.douts, strict=True)
        )
        one, other = (self.run(s, named, alone, adding=False, douts=douts)[1] for s in self.sides)
        return [
            step.name
            for step in suspects
            if distance(other[step.name], one[step.name], _yard(1, step.name, own)).sigmas > BOUND
        ]


def _yard(part: int, key: str, own: list[Any]) -> np.ndarray:
    return sigma(np.hypot(*(noise[part][key] for noise in own)), np.float64)


PREFIX = "value of "


def _value(name: str) -> str:
    """Return the key of a named value among the outputs, which may have the same name."""
    return PREFIX + name
