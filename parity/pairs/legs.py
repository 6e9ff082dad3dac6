"""The user's functions as the harness runs them: every corner in every dtype on the same bytes.

Finds what keeps two sides from being compared at all (structure, shapes, dtypes, changed inputs)
before any number is looked at. Judges no number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np

from parity.errors import ParityError, UsageError
from parity.judge.compare import FLOAT64, alike, is_float, rms, wide
from parity.judge.noise import SEEDS, Plan, plan, pooled
from parity.memory import give_back, is_heavy
from parity.pairs.corners import Corner, corners_of
from parity.pairs.outlining import changed, outlined
from parity.pairs.pair import Arguments, Pair
from parity.pairs.speaking import speaking_for
from parity.pairs.structure import MisfitError, fitting, right_dtypes, same_structure

Arrays = dict[str, np.ndarray]
Outcome = tuple[Arrays, Arrays]
"""What every corner returns: forward tensors and gradients, by name."""

LARGE = 10_000
"""Numbers given from which on the cost of a yardstick is estimated first."""

YARDSTICKS = {"jax": "jaxpr_noise", "torch": "torch_noise"}


def call(
    side: Any,
    dtype: np.dtype,
    function: Any,
    values: tuple[np.ndarray, ...],
    names: Sequence[str] = (),
) -> Any:
    """Call ``function`` on framework copies of ``values`` in ``dtype``; return NumPy arrays.

    Raises ParityError where the framework holds other bytes than it was given, before or after;
    ``names`` are those of the first values.
    """
    with side.exactly(dtype):
        inputs = side.from_numpy(values)
        if not alike(values, map(side.seen, inputs)):
            raise ParityError(f"{side.HAND} does not hold the {dtype} inputs that it was given")
        outcome = side.to_numpy(function(*inputs))
        if not alike(values, map(side.seen, inputs)):
            raise ParityError(changed(side.HAND, names, values, side.to_numpy(inputs)))
        return outcome


def _wide(arrays: Arrays) -> Arrays:
    """Return floats of any kind as float64 or complex128; others as they are."""
    return {name: wide(x) if is_float(x.dtype) else x for name, x in arrays.items()}


class Legs:
    """A pair set up in its frameworks: every corner compiled once, then run on any values."""

    def __init__(self, pair: Pair, arguments: Arguments) -> None:
        self.pair, self.arguments = pair, arguments
        self.corners = corners_of(pair, arguments)
        self.outputs: dict[str, Any] = {}
        """{name: something with a shape and a dtype} of every output, in float64."""
        self.unused: set[tuple[str, str]] = set()
        """(corner, input) where autograd found no path."""
        self.without: set[tuple[str, str, str]] = set()
        """(corner, input, output): of which of the two the framework has no gradient."""
        self.plans: dict[str, Plan] = {}
        """How each framework's yardstick is to be measured, where that may take long."""
        self.mixed: dict[tuple[str, str], Any] = {}
        """A function as it runs, by framework and dtype: kept where it was traced."""
        self._ready: dict[str, Any] = {}

    @property
    def heavy(self) -> bool:
        """Whether the numbers given are so many that memory is what counts."""
        return is_heavy(x.size for x in self.arguments.leaves)

    @property
    def floating(self) -> tuple[str, ...]:
        """Names of the inputs whose gradients are compared."""
        douts = self.cotangents()
        return self.arguments.floating if douts and not self.pair.forward_only else ()

    def cotangents(self) -> dict[str, Any]:
        """Return the outputs that get a cotangent: the floating ones that have a gradient."""
        cut = {output for _, _, output in self.without}
        return {
            name: x
            for name, x in self.outputs.items()
            if np.dtype(x.dtype).kind in "fc" and name not in cut
        }

    def ungraded(self) -> list[str]:
        """Say of which inputs and outputs a framework has no gradient, and that it is let be."""
        return [
            f"{corner} has no derivative with respect to {name}: its gradient is not compared"
            if name
            else f"{corner} makes {output} with gradients switched off: its value is compared, "
            "and no gradient through it"
            for corner, name, output in sorted(self.without)
        ]

    def check_structure(self, leaves: tuple[np.ndarray, ...]) -> None:
        """Run or trace every forward in float64; MisfitError where they cannot be compared."""
        outlines = {}
        for name, corner in self.corners.items():
            with speaking_for(name, self._named(leaves)), corner.side.exactly(FLOAT64):
                outlines[name], inputs, cut = outlined(corner, leaves)
            self.without |= {(name, x, "") for x in inputs} | {(name, "", out) for out in cut}
        (first, outline), *others = outlines.items()
        if not outline:
            raise MisfitError("out", f"{first} returns no array; return what is to be compared")
        for name, other in others:
            same_structure(first, outline, name, other)
        for name, other in outlines.items():
            right_dtypes(name, other)
        self.outputs = outline
        self.tidy()

    def _named(self, values: tuple[np.ndarray, ...]) -> Arrays:
        """Return {name: leaf}; what follows the leaves, cotangents, is left out."""
        names = self.arguments.names
        return dict(zip(names, values[: len(names)], strict=True))

    def differentiated(self, corner: Corner, zeros: bool = False) -> Callable[..., Any]:
        """Return a function of (*leaves, *cotangents): ({output: array}, {input: gradient}).

        ``zeros`` puts zeros for None, the gradient of what autograd finds unused.
        """
        floating, names = self.floating, [*self.cotangents()]
        count = len(self.arguments.names)

        def run(*args: Any) -> Any:
            leaves = args[:count]
            if not floating:
                return corner.forward(*leaves), {}
            out, grads = corner.gradients(leaves, dict(zip(names, args[count:], strict=True)))
            if zeros:
                named = dict(zip(self.arguments.names, leaves, strict=True))
                inputs = [named[name] for name in floating]
                nothing = corner.side.zeros_like
                grads = tuple(
                    nothing(x) if g is None else g for g, x in zip(grads, inputs, strict=True)
                )
            return out, dict(zip(floating, grads, strict=True))

        return run

    def function(self, way: str, corner: Corner) -> Any:
        """Return what runs a corner: compiled, eager, forward, yardstick or written; built once."""
        key = f"{way} {corner.name}"
        if key not in self._ready:
            if way == "yardstick":
                seeds = self.plans[corner.name].seeds if corner.name in self.plans else SEEDS
                measured = self.differentiated(corner, zeros=True)
                self._ready[key] = _noise_of(corner).yardstick(measured, seeds=seeds)
            elif way == "forward":
                self._ready[key] = corner.side.compiled(corner.forward)
            elif way == "written":
                run = self.differentiated(corner.written or corner)
                self._ready[key] = corner.side.quickly(run)
            else:
                make = corner.side.eager if way == "eager" else corner.side.compiled
                self._ready[key] = make(self.differentiated(corner))
        return self._ready[key]

    def run(self, way: str, corner: Corner, dtype: np.dtype, values: Any) -> Any:
        """Call a corner on ``values`` (leaves, then cotangents), all of ``dtype``.

        A gradient that autograd does not have, None, is zeros from here on, and said in a note.
        """
        named = self._named(values)
        with speaking_for(corner.name, named, measuring=way == "yardstick"):
            function, names = self.function(way, corner), self.arguments.names
            outcome = call(corner.side, dtype, function, values, names)
        if self.heavy or way == "yardstick":  # others are run thousands of times, and quickly
            self.tidy()
        if way not in ("compiled", "eager", "written"):
            return outcome
        out, grads = outcome
        self.unused |= {(corner.name, name) for name, grad in grads.items() if grad is None}
        return out, {
            name: fitting(corner.name, name, grads[name], named[name]) for name in self.floating
        }

    def tidy(self) -> None:
        """Give back what a large run has left behind: it is as much as what is kept."""
        if self.plans or self.heavy:
            give_back()

    def withheld(self, name: str, leaves: tuple[np.ndarray, ...]) -> Any:
        """Return what a corner's forward keeps from its gradient by its own words, in float64."""
        corner = self.corners[name]
        with speaking_for(name, self._named(leaves)), corner.side.exactly(FLOAT64):
            found = import_module(f"parity.frameworks.{corner.side.HAND}_withheld")
            return found.withheld(corner.forward, corner.side.from_numpy(leaves))

    def outcomes(self, dtype: np.dtype, values: Any) -> dict[str, Outcome]:
        """Run every corner in ``dtype``; JAX eagerly as well where that may round differently."""
        return self._together(dtype, values, self._ways(dtype))

    def exact(self, values: Any) -> Iterator[tuple[str, dict[str, Outcome], Outcome, Outcome]]:
        """Yield each framework's (name, {corner: outcome}, value, noise) in float64.

        Its own differentiation is measured; MisfitError where it narrows its numbers. Of heavy
        values each is yielded before the next is run, torch's, whose yardstick holds more, first;
        and JAX's is measured before it runs: no array that it has kept can have changed.
        """
        sides = [*self.pair.sides]
        for group in [[name] for name in reversed(sides)] if self.heavy else [sides]:
            ways = {k: w for k, w in self._ways(FLOAT64).items() if k.split(".")[0] in group}
            noises = {f"{name} noise": ("yardstick", name) for name in group}
            ways = noises | ways if group == ["jax"] else ways | noises
            try:
                found = self._together(FLOAT64, values, ways)
            except UsageError as error:
                if isinstance(error.__cause__, TypeError) and "float64 run" in str(error):
                    corner = str(error).split()[0]
                    raise MisfitError("inputs", f"{corner}: {error.__cause__}") from error
                raise
            for name in group:
                value, noise = self._pooled(name, found.pop(f"{name} noise"))
                own = {key: x for key, x in found.items() if key.split(".")[0] == name}
                yield name, own, value, noise
                del own, value, noise  # before the next is run
            del found
            self.tidy()

    def as_written(self, values: Any) -> dict[str, Outcome]:
        """Return {corner: outcome} in float64 of the corners that narrow, floats as written."""
        narrow = {
            name: ("written", name)
            for name, corner in self.corners.items()
            if not all(place.table for place in corner.narrowed)
        }
        found = self._together(FLOAT64, values, narrow)
        return {name: (_wide(out), _wide(grads)) for name, (out, grads) in found.items()}

    def plan(self, values: Any) -> dict[str, Plan]:
        """Estimate what each yardstick takes, where the inputs are large; done once."""
        if not self.plans and sum(x.size for x in values) > LARGE:
            for name in self.pair.sides:
                corner = self.corners[name]
                measured = self.differentiated(corner, zeros=True)
                with speaking_for(name, self._named(values)), corner.side.exactly(FLOAT64):
                    inputs = corner.side.from_numpy(values)
                    self.plans[name] = plan(_noise_of(corner).cost(measured, *inputs))
                    del inputs
                self.tidy()
        return self.plans

    def _pooled(self, name: str, measured: tuple[Outcome, Outcome]) -> tuple[Outcome, Outcome]:
        """Return (value, noise); of few noisy runs, each element shares its tensor's noise."""
        if name not in self.plans or not self.plans[name].pooled:
            return measured
        value, noise = measured
        seeds = self.plans[name].seeds
        out, grads = (
            {key: self._kept(pooled(x, seeds)) for key, x in part.items()} for part in noise
        )
        return value, (out, grads)

    def _kept(self, noise: np.ndarray) -> np.ndarray:
        """Return heavy noise in float32: of a few runs hardly a digit is known."""
        near_one = 1e-15 < rms(noise) < 1e15  # pooled, none is much less; squares have to fit
        return noise.astype(np.float32) if self.heavy and near_one else noise

    def _ways(self, dtype: np.dtype) -> dict[str, tuple[str, str]]:
        ways = {}
        for name, corner in self.corners.items():
            ways[name] = "compiled", name
            if corner.side.HAND == "jax" and dtype != FLOAT64:
                ways[f"{name} eager"] = "eager", name
        return ways

    def _together(
        self, dtype: np.dtype, values: Any, ways: Mapping[str, tuple[str, str]]
    ) -> dict[str, Any]:
        """Run {key: (way, corner)}: JAX's, that spend their time compiling, beside torch's.

        Large ones of JAX's one after the other, for their memory, and all that are heavy. Only
        ever one dtype at a time: JAX's switch between them is not safe among threads.
        """
        if self.heavy:
            return {
                k: self.run(way, self.corners[c], dtype, values) for k, (way, c) in ways.items()
            }
        for way, name in ways.values():  # what they import is imported here, not side by side
            self.function(way, self.corners[name])
        jobs = {}
        with ThreadPoolExecutor(1 if self.plans else None) as pool:
            for key, (way, name) in ways.items():
                corner = self.corners[name]
                if corner.side.HAND == "jax" and way != "yardstick":
                    jobs[key] = pool.submit(self.run, way, corner, dtype, values)
            found = {
                key: self.run(way, self.corners[name], dtype, values)
                for key, (way, name) in ways.items()
                if key not in jobs
            }
            found |= {key: job.result() for key, job in jobs.items()}
        return {key: found[key] for key in ways}


def _noise_of(corner: Corner) -> Any:
    return import_module(f"parity.frameworks.{YARDSTICKS[corner.name]}")
