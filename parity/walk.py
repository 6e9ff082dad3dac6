"""Where a wrong backward pass goes wrong: every step judged on the right gradients from above.

Works for any JAX function that returns its tensors by name; the gradients to be judged come from
anywhere. A step is *right*, or wrong although what came from above was right (*introduced* here), or
as wrong as what came from above made it (*inherited*). Names no tensor of any network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from parity.causes.cause import Arrays, Cause, Context, Kind
from parity.compare import distance
from parity.diagnosis import diagnose
from parity.noise import BOUND, sigma
from parity.variants import Formula

FLOAT64 = np.dtype(np.float64)

Rule = Callable[[Mapping[str, Any]], Any]
"""One gradient as a function of the tensors by name and of their gradients as d + name."""


class Status(StrEnum):
    """What a step of the backward pass is."""

    RIGHT = "right"
    INHERITED = "inherited"
    INTRODUCED = "introduced"


@dataclass(frozen=True)
class Line:
    """One judged step of a backward pass."""

    tensor: str
    status: Status
    causes: tuple[Cause, ...] = ()
    """Why, where it is introduced here. For a step that is right: what only a probe can see."""
    sigmas: float = 0.0
    """How far the value is from what it should be, given what came from above."""


class Answer(NamedTuple):
    """What one gradient should be, its noise in units of the roundoff, and its paths' terms."""

    right: np.ndarray
    noise: np.ndarray
    paths: dict[str, np.ndarray]
    upstream: tuple[str, ...]
    """The tensors whose gradients it is made of."""


class Walk:
    """A function whose gradients are walked: traced once, compiled once a shape."""

    def __init__(
        self,
        function: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        *,
        assumed: Iterable[str] = (),
        sizes: Callable[[Arrays], dict[str, int]] = lambda inputs: {},
        formulas: Callable[[str, Arrays, Arrays], tuple[Formula, ...]] = lambda *_: (),
    ) -> None:
        """Take ``function``, from inputs by name to every tensor by name, in JAX.

        ``assumed`` names outputs whose gradient a rule may leave out, since it is 1. ``sizes`` and
        ``formulas`` are what `Context` holds: from the inputs, and for (tensor, tensors, gradients).
        """
        from parity.frameworks import jax_side, jaxpr_noise, jaxpr_paths

        def totals(inputs: Arrays, cotangents: Arrays) -> dict[str, Any]:
            sent = jaxpr_paths.paths(function, inputs, cotangents)
            return {name: total for name, (total, _) in sent.items()}

        self._jax: Any = jax_side
        self._forward = jax_side.compiled(function)
        self._noise = jaxpr_noise.yardstick(totals)
        self._paths = jax_side.compiled(lambda i, c: jaxpr_paths.paths(function, i, c))
        self._assumed, self._sizes, self._formulas = frozenset(assumed), sizes, formulas

    def with_formulas(self, formulas: Callable[[str, Arrays, Arrays], tuple[Formula, ...]]) -> Walk:
        """Return the same walk with other right formulas; nothing is compiled anew."""
        other = copy(self)
        other._formulas = formulas
        return other

    def forward(self, inputs: Arrays) -> Arrays:
        """Return every tensor by name, inputs included, in float64."""
        with self._jax.exactly(FLOAT64):
            return dict(inputs) | self._jax.to_numpy(self._forward(dict(inputs)))

    def answers(self, inputs: Arrays, cotangents: Arrays) -> dict[str, Answer]:
        """Return what each gradient should be, given these gradients of some of the tensors."""
        with self._jax.exactly(FLOAT64):
            noise = self._jax.to_numpy(self._noise(dict(inputs), dict(cotangents))[1])
            sent = self._jax.to_numpy(self._paths(dict(inputs), dict(cotangents)))
        return {
            name: Answer(total, noise[name], *_ends(terms)) for name, (total, terms) in sent.items()
        }

    def random(self, tensors: Arrays, seed: int = 0) -> Arrays:
        """Return random gradients for every float tensor but the assumed ones, which get 1."""
        rng = np.random.default_rng([seed, 1])
        return {
            name: np.ones(x.shape) if name in self._assumed else rng.standard_normal(x.shape)
            for name, x in tensors.items()
            if x.dtype.kind == "f"
        }

    def by_arrays(self, got: Arrays, inputs: Arrays, order: Iterable[str]) -> list[Line]:
        """Walk gradients that are finished, in ``order`` from the result backwards.

        A wrong tensor is inherited if the right step, given the wrong gradients from above, leads
        to it; else its cause is looked for in its difference from that.
        """
        tensors = self.forward(inputs)
        whole = self.answers(inputs, {name: np.ones(()) for name in self._assumed})
        above = {name: whole[name].right for name in whole} | {
            name: np.ones(()) for name in self._assumed
        }
        found = above | {
            name: np.asarray(value, np.float64)
            for name, value in got.items()
            if name in above and np.shape(value) == above[name].shape
        }
        steps = self.answers(inputs, found)
        lines = []
        for name in order:
            if name not in got:
                continue
            value, dtype = got[name], _dtype(got[name])
            far = _far(value, whole[name], dtype)
            if far <= BOUND:
                lines.append(Line(name, Status.RIGHT, sigmas=far))
                continue
            far = _far(value, steps[name], dtype)
            if far <= BOUND:
                lines.append(Line(name, Status.INHERITED, sigmas=far))
                continue
            context = self._context(name, steps[name], inputs, tensors, found)
            causes = diagnose(value, steps[name].right, context)
            lines.append(Line(name, Status.INTRODUCED, tuple(causes), far))
        return lines

    def by_rules(
        self,
        rules: Mapping[str, Rule],
        inputs: Arrays,
        side: ModuleType,
        dtype: np.dtype,
        probe: Arrays | None = None,
        given: Iterable[str] | None = None,
    ) -> list[Line]:
        """Walk rules, each given the right values: judged on ``inputs``, named on ``probe``.

        ``probe`` are inputs of the same names made for telling causes apart (random gradients, all
        sizes different, float64). Without it, causes are looked for on ``inputs`` alone. ``given``
        names the tensors whose gradients are held fixed: all by default, so that every rule is one
        step; fewer, for a rule that covers several.
        """
        tensors = self.forward(inputs)
        whole = self.answers(inputs, {name: np.ones(()) for name in self._assumed})
        above = {n: a.right for n, a in whole.items()} | {n: np.ones(()) for n in self._assumed}
        judged = self._given(rules, _Bench(self, inputs, tensors, above, given), side, dtype)
        if probe is None:
            return list(judged.values())
        tensors = self.forward(probe)
        bench = _Bench(self, probe, tensors, self.random(tensors), given)
        probed = self._given(rules, bench, side, FLOAT64)
        return [_joined(judged[name], probed[name]) for name in rules]

    def _given(
        self, rules: Mapping[str, Rule], bench: _Bench, side: ModuleType, dtype: np.dtype
    ) -> dict[str, Line]:
        lines = {}
        for name, rule in rules.items():
            answer = bench.answers[name]
            numeric = _numeric(rule, side, dtype)
            context = self._context(
                name,
                answer,
                bench.inputs,
                _cast(bench.tensors, dtype),
                _cast(bench.above, dtype),
                numeric,
            )
            try:
                value = numeric(
                    {k: v.copy() for k, v in context.tensors.items()},
                    {k: v.copy() for k, v in context.gradients.items()},
                )
                far = _far(value, answer, dtype)
            except Exception:
                value, far = np.full((), np.nan), np.inf  # `diagnose` says what it raises
            causes = diagnose(value, answer.right, context)
            if not causes and far <= BOUND:
                causes = list(_untraceable(rule, side, dtype, context))
            status = Status.RIGHT if far <= BOUND and not causes else Status.INTRODUCED
            lines[name] = Line(name, status, tuple(causes), far)
        return lines

    def _context(
        self,
        name: str,
        answer: Answer,
        inputs: Arrays,
        tensors: Arrays,
        above: Arrays,
        rule: Any = None,
    ) -> Context:
        gradients = {k: v for k, v in above.items() if k != name}
        return Context(
            noise=answer.noise,
            sizes=self._sizes(inputs),
            tensors=tensors,
            gradients=gradients,
            paths=answer.paths,
            formulas=self._formulas(name, tensors, gradients),
            rule=rule,
            upstream=tuple(n for n in answer.upstream if n not in self._assumed),
            tensor=name,
        )


class _Bench:
    """One set of inputs with everything that rules are given on it, and should return."""

    def __init__(
        self,
        walk: Walk,
        inputs: Arrays,
        tensors: Arrays,
        above: Arrays,
        given: Iterable[str] | None,
    ) -> None:
        self.inputs, self.tensors, self.above = inputs, tensors, above
        held = above if given is None else {name: above[name] for name in given}
        self.answers = walk.answers(inputs, held)


def _ends(terms: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the terms without the tensor at their end where it is the same for all; those tensors."""
    ends = tuple(dict.fromkeys(label.split(" > ")[-1] for label in terms))
    if len(ends) == 1:
        terms = {label.removesuffix(f" > {ends[0]}"): term for label, term in terms.items()}
    return dict(terms), ends


def _far(value: np.ndarray, answer: Answer, dtype: np.dtype) -> float:
    if value.shape != answer.right.shape or value.dtype.kind != "f":
        return np.inf
    return distance(value, answer.right, sigma(answer.noise, dtype)).sigmas


def _dtype(array: np.ndarray) -> np.dtype:
    return array.dtype if array.dtype.kind == "f" else FLOAT64


def _cast(arrays: Arrays, dtype: np.dtype) -> dict[str, np.ndarray]:
    return {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in arrays.items()}


def _numeric(rule: Rule, side: ModuleType, dtype: np.dtype) -> Callable[[Arrays, Arrays], Any]:
    """Return a rule of framework arrays as one of NumPy arrays, which it may change as well."""

    def run(tensors: Arrays, gradients: Arrays) -> np.ndarray:
        given = dict(tensors) | {f"d{name}": value for name, value in gradients.items()}
        with side.exactly(dtype):
            values = dict(zip(given, side.from_numpy(tuple(given.values())), strict=True))
            result = rule(values)
            found: np.ndarray = side.to_numpy(result)
            for name, held in given.items():
                np.copyto(held, side.to_numpy(values[name]))
        return found

    return run


def _untraceable(
    rule: Rule, side: ModuleType, dtype: np.dtype, context: Context
) -> Iterable[Cause]:
    """Yield the cause where a rule runs, but not when the framework compiles it."""
    values = dict(context.tensors) | {f"d{k}": v for k, v in context.gradients.items()}
    with side.exactly(dtype):
        given = dict(zip(values, side.from_numpy(tuple(values.values())), strict=True))
        try:
            side.compiled(rule)(given)
        except Exception as error:
            yield Cause(
                Kind.NOT_TRACEABLE,
                type(error).__name__,
                f"runs, but not compiled: {type(error).__name__}",
                "Which line needs a value before there is one? Shapes must be known first.",
                tensor=context.tensor,
            )


def _joined(judged: Line, probed: Line) -> Line:
    """Judge by the user's batch, name by the probe; what the probe does not confirm stands too."""
    same = {(cause.kind, cause.key) for cause in probed.causes}
    own = [c for c in judged.causes if (c.kind, c.key) in same]
    behaviour = [
        c for c in judged.causes if c.kind in (Kind.RAISES, Kind.IMPURE, Kind.NOT_TRACEABLE)
    ]
    others = [c for c in probed.causes if (c.kind, c.key) not in {(c.kind, c.key) for c in own}]
    causes = [*own, *others] if probed.causes else [*behaviour, *judged.causes]
    return Line(judged.tensor, judged.status, tuple(dict.fromkeys(causes)), judged.sigmas)
