"""The user's functions as the harness runs them: every corner in every dtype on the same bytes.

Finds what keeps two sides from being compared at all (structure, shapes, dtypes, changed inputs)
before any number is looked at. Judges no number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from parity import tree
from parity.compare import fingerprint
from parity.errors import ParityError, UsageError
from parity.noise import SEEDS, Plan, plan, pooled
from parity.pair import Arguments, Pair, Rule

FLOAT64 = np.dtype(np.float64)

Arrays = dict[str, np.ndarray]
Outcome = tuple[Arrays, Arrays]
"""What every corner returns: forward tensors and gradients, by name."""

LARGE = 10_000
"""Numbers given from which on the cost of a yardstick is estimated first."""

YARDSTICKS = {"jax": "jaxpr_noise", "torch": "torch_noise"}


class MisfitError(Exception):
    """Two sides cannot be compared; the message says which, where and what to do.

    ``corner`` is the one that breaks a contract, if it is one's fault alone.
    """

    def __init__(self, tensor: str, message: str, corner: str = "") -> None:
        super().__init__(message)
        self.tensor, self.corner = tensor, corner


def call(side: Any, dtype: np.dtype, function: Any, values: tuple[np.ndarray, ...]) -> Any:
    """Call ``function`` on framework copies of ``values`` in ``dtype``; return NumPy arrays.

    Raises ParityError where the framework holds other bytes than it was given, before or after.
    """
    given = fingerprint(values)
    with side.exactly(dtype):
        inputs = side.from_numpy(values)
        if fingerprint(side.to_numpy(inputs)) != given:
            raise ParityError(f"{side.HAND} does not hold the {dtype} inputs that it was given")
        outcome = side.to_numpy(function(*inputs))
        if fingerprint(side.to_numpy(inputs)) != given:
            raise ParityError(f"{side.HAND} changed its own inputs; return new arrays instead")
        return outcome


def cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return a float64 or complex128 array in ``dtype`` or its complex kind; others as they are."""
    if array.dtype.kind == "c":
        return array.astype(np.result_type(dtype, np.complex64))
    return array.astype(dtype) if array.dtype.kind == "f" else array


def in_precision(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return float64 numbers with no more digits than ``dtype`` has; its range is not imposed."""
    if array.dtype.kind == "c":
        return in_precision(array.real, dtype) + 1j * in_precision(array.imag, dtype)
    if array.dtype.kind != "f" or dtype == FLOAT64:
        return array
    digits = {"float32": 24, "float16": 11, "bfloat16": 8}[dtype.name]
    mantissa, exponent = np.frexp(array)
    return np.ldexp(np.round(np.ldexp(mantissa, digits)), exponent - digits)


@dataclass(frozen=True)
class Corner:
    """One way to compute the pair in one framework; functions of flat arrays."""

    name: str
    side: Any
    forward: Callable[..., dict[str, Any]]
    """(*leaves) -> {output: array}"""
    gradients: Callable[..., tuple[Any, tuple[Any, ...]]]
    """(leaves, {output: cotangent}) -> (outputs, one gradient a floating leaf, or None)"""


def corners_of(pair: Pair, arguments: Arguments) -> dict[str, Corner]:
    """Return {name: corner}: each side's function, and its rule by hand where it has one."""
    corners = {}
    for framework, given in pair.sides.items():
        side = import_module(f"parity.frameworks.{framework}_side")
        primal = given
        if isinstance(given, Rule):
            name = f"{framework}.rule"
            corners[name] = _by_rule(name, side, given, arguments)

            def primal(*inputs: Any, forward: Any = given.forward) -> Any:
                return forward(*inputs)[0]

        corners[framework] = _by_autodiff(framework, side, primal, arguments)
    return corners


def _outputs(side: Any, out: Any) -> dict[str, Any]:
    return {name: side.asarray(x) for name, x in tree.positions(out, "out")}


def _by_autodiff(name: str, side: Any, function: Any, arguments: Arguments) -> Corner:
    def forward(*leaves: Any) -> dict[str, Any]:
        return _outputs(side, function(*arguments.build(leaves)))

    def gradients(leaves: tuple[Any, ...], douts: dict[str, Any]) -> Any:
        return side.vjp(forward, leaves, douts)

    return Corner(name, side, forward, gradients)


def _by_rule(name: str, side: Any, rule: Rule, arguments: Arguments) -> Corner:
    def forward(*leaves: Any) -> dict[str, Any]:
        return _outputs(side, rule.forward(*arguments.build(leaves))[0])

    def gradients(leaves: tuple[Any, ...], douts: dict[str, Any]) -> Any:
        out, residual = rule.forward(*arguments.build(leaves))
        cotangents = (
            side.conj(douts[name]) if name in douts else None
            for name, _ in tree.positions(out, "out")
        )
        found = rule.backward(residual, tree.rebuild(out, cotangents))
        grads = _entries(name, side, found, arguments)
        return _outputs(side, out), tuple(side.conj(grad) for grad in grads)

    return Corner(name, side, forward, gradients)


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
    got: dict[str, Any] = {}
    for name, value, entry in zip(names, arguments.structure, found, strict=True):
        wanted = [leaf for leaf, _ in tree.flatten(value, name) if leaf in floating]
        given = [x for _, x in tree.positions(entry)]
        if len(given) != len(wanted):
            raise MisfitError(
                name,
                f"{corner}'s backward returns {len(given)} arrays for input {name}; "
                f"return {_listed(wanted)}",
                corner,
            )
        got |= {leaf: side.asarray(x) for leaf, x in zip(wanted, given, strict=True)}
    return [got[name] for name in floating]


def _listed(names: Any) -> str:
    return ", ".join(f"the gradient of {name}" for name in names) or "None"


@contextmanager
def speaking_for(corner: str, leaves: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Turn what a user's function raises into a UsageError of one sentence."""
    try:
        yield
    except (MisfitError, UsageError, ParityError):
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        shapes = ", ".join(f"{name} {list(x.shape)}" for name, x in leaves.items())
        raise UsageError(
            f"{corner} raised {type(error).__name__}: {first} (inputs: {shapes}); "
            "both functions must take these inputs in this order"
        ) from error


class Legs:
    """A pair set up in its frameworks: every corner compiled once, then run on any values."""

    def __init__(self, pair: Pair, arguments: Arguments) -> None:
        self.pair, self.arguments = pair, arguments
        self.corners = corners_of(pair, arguments)
        self.outputs: dict[str, Any] = {}
        """{name: something with a shape and a dtype} of every output, in float64."""
        self.unused: set[tuple[str, str]] = set()
        """(corner, input) where autograd found no path."""
        self.plans: dict[str, Plan] = {}
        """How each framework's yardstick is to be measured, where that may take long."""
        self._ready: dict[str, Any] = {}

    @property
    def floating(self) -> tuple[str, ...]:
        """Names of the inputs whose gradients are compared."""
        douts = self.cotangents()
        return self.arguments.floating if douts and not self.pair.forward_only else ()

    def cotangents(self) -> dict[str, Any]:
        """Return the outputs that get a cotangent: the floating ones."""
        return {name: x for name, x in self.outputs.items() if np.dtype(x.dtype).kind in "fc"}

    def check_structure(self, leaves: tuple[np.ndarray, ...]) -> None:
        """Run or trace every forward in float64; MisfitError where they cannot be compared."""
        outlines = {}
        for name, corner in self.corners.items():
            with speaking_for(name, self._named(leaves)), corner.side.exactly(FLOAT64):
                inputs = corner.side.from_numpy(leaves)
                outlines[name] = corner.side.outline(corner.forward, inputs)
                if fingerprint(corner.side.to_numpy(inputs)) != fingerprint(leaves):
                    raise MisfitError("inputs", f"{name} changed its own inputs; return new arrays")
        (first, outline), *others = outlines.items()
        if not outline:
            raise MisfitError("out", f"{first} returns no array; return what is to be compared")
        for name, other in others:
            _same_structure(first, outline, name, other)
        for name, other in outlines.items():
            _right_dtypes(name, other)
        self.outputs = outline

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
                inputs = [x for x in leaves if corner.side.is_float(x)]
                grads = tuple(x * 0 if g is None else g for g, x in zip(grads, inputs, strict=True))
            return out, dict(zip(floating, grads, strict=True))

        return run

    def function(self, way: str, corner: Corner) -> Any:
        """Return what runs a corner: "eager", "compiled", "forward" or "yardstick"; built once."""
        key = f"{way} {corner.name}"
        if key not in self._ready:
            if way == "yardstick":
                seeds = self.plans[corner.name].seeds if corner.name in self.plans else SEEDS
                measured = self.differentiated(corner, zeros=True)
                self._ready[key] = _noise_of(corner).yardstick(measured, seeds=seeds)
            elif way == "forward":
                self._ready[key] = corner.side.compiled(corner.forward)
            else:
                plain = self.differentiated(corner)
                self._ready[key] = plain if way == "eager" else corner.side.compiled(plain)
        return self._ready[key]

    def run(self, way: str, corner: Corner, dtype: np.dtype, values: Any) -> Any:
        """Call a corner on ``values`` (leaves, then cotangents), all of ``dtype``.

        A gradient that autograd does not have, None, is zeros from here on, and said in a note.
        """
        named = self._named(values)
        with speaking_for(corner.name, named):
            outcome = call(corner.side, dtype, self.function(way, corner), values)
        if way not in ("compiled", "eager"):
            return outcome
        out, grads = outcome
        self.unused |= {(corner.name, name) for name, grad in grads.items() if grad is None}
        return out, {
            name: _fitting(corner.name, name, grads[name], named[name]) for name in self.floating
        }

    def outcomes(self, dtype: np.dtype, values: Any) -> dict[str, Outcome]:
        """Run every corner in ``dtype``; JAX eagerly as well where that may round differently."""
        return self._together(dtype, values, self._ways(dtype))

    def exact(self, values: Any) -> tuple[dict[str, Outcome], dict[str, tuple[Outcome, Outcome]]]:
        """Return ({corner: outcome}, {framework: (value, noise)}) in float64.

        Each framework's own differentiation is measured; MisfitError where it narrows its numbers.
        """
        ways = self._ways(FLOAT64)
        yardsticks = {f"{name} noise": ("yardstick", name) for name in self.pair.sides}
        try:
            found = self._together(FLOAT64, values, ways | yardsticks)
        except UsageError as error:
            if isinstance(error.__cause__, TypeError) and "float64 run" in str(error):
                corner = str(error).split()[0]
                raise MisfitError("inputs", f"{corner}: {error.__cause__}") from error
            raise
        measured = {name: self._pooled(name, found[f"{name} noise"]) for name in self.pair.sides}
        return {name: found[name] for name in ways}, measured

    def plan(self, values: Any) -> dict[str, Plan]:
        """Estimate what each yardstick takes, where the inputs are large; done once."""
        if not self.plans and sum(x.size for x in values) > LARGE:
            for name in self.pair.sides:
                corner = self.corners[name]
                measured = self.differentiated(corner, zeros=True)
                with speaking_for(name, self._named(values)), corner.side.exactly(FLOAT64):
                    inputs = corner.side.from_numpy(values)
                    self.plans[name] = plan(_noise_of(corner).cost(measured, *inputs))
        return self.plans

    def _pooled(self, name: str, measured: tuple[Outcome, Outcome]) -> tuple[Outcome, Outcome]:
        """Return (value, noise); of few noisy runs, each element shares its tensor's noise."""
        if name not in self.plans or not self.plans[name].pooled:
            return measured
        value, noise = measured
        seeds = self.plans[name].seeds
        out, grads = ({key: pooled(x, seeds) for key, x in part.items()} for part in noise)
        return value, (out, grads)

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
        """Run {key: (way, corner)}: JAX's, which spend their time compiling, side by side.

        Only ever one dtype at a time: JAX's switch between them is not safe among threads.
        """
        jobs = {}
        with ThreadPoolExecutor() as pool:
            for key, (way, name) in ways.items():
                corner = self.corners[name]
                if corner.side.HAND == "jax":
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


def _fitting(corner: str, name: str, grad: np.ndarray | None, x: np.ndarray) -> np.ndarray:
    """Return a gradient, zeros for None; MisfitError unless it is shaped like its input."""
    if grad is None:
        return np.zeros_like(x)
    if grad.shape != x.shape:
        raise MisfitError(
            name,
            f"{corner}'s gradient of {name} has shape {list(grad.shape)}, {name} has "
            f"{list(x.shape)}; {_reshaping(grad.shape, x.shape)}",
            corner,
        )
    if grad.dtype != x.dtype:
        raise MisfitError(
            name,
            f"{corner}'s gradient of {name} is {grad.dtype} in a {x.dtype} run; compute in the "
            "inputs' dtype",
            corner,
        )
    return grad


def _same_structure(left: str, a: dict[str, Any], right: str, b: dict[str, Any]) -> None:
    """Raise MisfitError unless both return the same names, shapes and kinds of number."""
    for name in [*a, *b]:
        if name not in a or name not in b:
            has, lacks = (left, right) if name in a else (right, left)
            raise MisfitError(
                name,
                f"{has} returns {name} and {lacks} does not ({left}: {', '.join(a)}; "
                f"{right}: {', '.join(b)}); return the same structure from both",
            )
    for name, x in a.items():
        y = b[name]
        if tuple(x.shape) != tuple(y.shape):
            raise MisfitError(
                name,
                f"{left} returns shape {list(x.shape)}, {right} {list(y.shape)}; "
                f"{_reshaping(tuple(x.shape), tuple(y.shape))}",
            )
    for name, x in a.items():
        kinds = [_kind(np.dtype(z.dtype)) for z in (x, b[name])]
        if kinds[0] != kinds[1]:
            raise MisfitError(
                name,
                f"{left} returns {x.dtype}, {right} {b[name].dtype}; return the same kind of "
                "number from both",
            )


def _reshaping(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    if a[::-1] == b:
        return "one is the other's transpose"
    if sorted(a) == sorted(b):
        return "the axes are in another order; transpose one"
    if np.prod(a) == np.prod(b):
        return "the same number of elements; reshape one"
    return "shapes are never broadcast here; return the same shape from both"


def _kind(dtype: np.dtype) -> str:
    if dtype.kind in "iu":
        return "integer"
    return {"b": "boolean", "c": "complex"}.get(dtype.kind, "real")


def _right_dtypes(corner: str, outline: dict[str, Any]) -> None:
    for name, x in outline.items():
        dtype = np.dtype(x.dtype)
        if _kind(dtype) in ("real", "complex") and dtype not in (FLOAT64, np.complex128):
            raise MisfitError(
                name,
                f"{corner} returns {dtype} in a float64 run; compute in the inputs' dtype: no "
                "cast, no constant of a fixed dtype",
            )
