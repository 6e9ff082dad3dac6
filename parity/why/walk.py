"""Where a wrong backward pass goes wrong: every step judged on the right gradients from above.

Works for any JAX function that returns its tensors by name; the gradients to be judged come from
anywhere. A step is *right*, or wrong although what came from above was right (*introduced* here),
or as wrong as what came from above made it (*inherited*). Names no tensor of any network.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from parity.judge.cause import Kind
from parity.judge.compare import FLOAT64
from parity.judge.noise import BOUND
from parity.judge.verdict import Status
from parity.why.answers import Answer, Line, cast, far_of
from parity.why.causes.context import Arrays, Context
from parity.why.diagnosis import diagnose
from parity.why.variants import Formula

DRAWS = 2
"""How often the rounding from above is drawn."""


class Walk:
    """A function whose gradients are walked: traced once a shape, and never compiled."""

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
        ``formulas`` are what `Context` holds: of the inputs; of (tensor, tensors, gradients).
        """
        from parity.frameworks import jax_side, jaxpr_noise, jaxpr_paths

        self._jax: Any = jax_side
        self._forward = jaxpr_noise.interpreted(function)
        self._totals = jaxpr_noise.yardstick(partial(jaxpr_paths.totals, function))
        self._moved = jaxpr_noise.interpreted(partial(jaxpr_paths.totals, function))
        self._paths = jaxpr_noise.interpreted(partial(jaxpr_paths.paths, function))
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
        found = self._jax.to_numpy(self._total(self._totals, inputs, cotangents))
        return {name: Answer(right, found[1][name]) for name, right in found[0].items()}

    def _total(self, totals: Callable[..., Any], inputs: Arrays, cotangents: Arrays) -> Any:
        tensors = {k: v for k, v in self.forward(inputs).items() if v.dtype.kind == "f"}
        held = {name: cotangents.get(name, np.zeros(x.shape)) for name, x in tensors.items()}
        given = {name: np.array(name in cotangents) for name in tensors}
        with self._jax.exactly(FLOAT64):
            return totals(dict(inputs), held, given)

    def paths(self, inputs: Arrays, cotangents: Arrays) -> dict[str, dict[str, np.ndarray]]:
        """Return the terms of each gradient by path, given these gradients of some tensors."""
        with self._jax.exactly(FLOAT64):
            return self._jax.to_numpy(self._paths(dict(inputs), dict(cotangents)))

    def bench(
        self, inputs: Arrays, *, random: bool = False, given: Iterable[str] | None = None
    ) -> Bench:
        """Return the right values of ``inputs``, to judge rules on.

        Gradients from above are the result's own, or ``random``: under those, mistakes show that
        the result cannot see. ``given`` names the tensors whose gradients are held fixed: all by
        default, so that every rule is one step; fewer, for a rule that covers several.
        """
        tensors, whole = self.forward(inputs), {}
        if random:
            above = _random(tensors, self._assumed)
        else:
            whole, ones = self.whole(inputs), {name: np.ones(()) for name in self._assumed}
            above = {name: answer.right for name, answer in whole.items()} | ones
        held = above if given is None else {name: above[name] for name in given}
        steps = _noisy(self.answers(inputs, held), whole)
        for name, answer in whole.items():
            steps[name] = answer._replace(noise=steps[name].noise)
        return Bench(self, inputs, tensors, above, held, steps)

    def whole(self, inputs: Arrays) -> dict[str, Answer]:
        """Return what each gradient of the result should be.

        Its noise is also what a step makes of the rounding of those above it: written in one go, a
        layer rounds otherwise than step by step, and what cancels in the one need not in the other.
        """
        found = self.answers(inputs, {name: np.ones(()) for name in self._assumed})
        rng, noise = np.random.default_rng(2), {name: x.noise**2 for name, x in found.items()}
        for _ in range(DRAWS):  # a step is linear in what comes from above
            above = {n: x.noise * rng.choice((-1.0, 1.0), x.noise.shape) for n, x in found.items()}
            above |= {name: np.zeros(()) for name in self._assumed}
            moved = self._jax.to_numpy(self._total(self._moved, inputs, above))
            noise = {name: x + moved[name] ** 2 / DRAWS for name, x in noise.items()}
        return {name: Answer(x.right, np.sqrt(noise[name])) for name, x in found.items()}

    def by_arrays(
        self,
        got: Arrays,
        inputs: Arrays,
        order: Iterable[str],
        *,
        only: Container[str] | None = None,
        whole: Mapping[str, Answer] | None = None,
    ) -> list[Line]:
        """Walk gradients that are finished, in ``order`` from the result backwards.

        A wrong tensor is inherited if the right step, given the wrong gradients from above, leads
        to it; else its cause is looked for in its difference from that. Of ``only`` some if they
        are named; ``whole`` is `whole(inputs)`, where it is known already.
        """
        whole = whole or self.whole(inputs)
        order = [name for name in order if name in got]
        asked = [name for name in order if only is None or name in only]
        fine = {n: far for n in asked if (far := far_of(got[n], whole[n])) <= BOUND}
        if len(fine) == len(asked):
            return [Line(name, Status.RIGHT, sigmas=far) for name, far in fine.items()]
        tensors = self.forward(inputs)
        ones = {name: np.ones(()) for name in self._assumed}
        right = {name: answer.right for name, answer in whole.items()} | ones
        held = {
            name: np.asarray(got[name], np.float64)
            if name in got and np.shape(got[name]) == value.shape
            else value
            for name, value in right.items()
        }
        steps = self.answers(inputs, held)
        allowed = _noisy(steps, whole)
        misshaped = {n for n in order if np.shape(got[n]) != right[n].shape}
        follows = self._readers(inputs, held, steps, misshaped - {*asked[-1:]})
        lines, above = [], dict(right)  # what comes after a tensor says nothing about it
        for name in order:
            if name in fine:
                lines.append(Line(name, Status.RIGHT, sigmas=fine[name]))
            elif name in asked and name in follows:  # of a shape that broadcasts, or raises
                lines.append(Line(name, Status.INHERITED, sigmas=np.inf))
            elif name in asked:
                bench = Bench(self, inputs, tensors, dict(above), held, steps)
                lines.append(bench.judge_array(name, np.asarray(got[name]), allowed[name]))
            above[name] = held[name]
        return lines

    def _readers(
        self, inputs: Arrays, held: Arrays, steps: Mapping[str, Answer], of: Iterable[str]
    ) -> set[str]:
        """Return the gradients whose own step reads one of those."""
        found = set()
        for name in of:
            moved = self.answers(inputs, {**held, name: held[name] + 1})
            found |= {n for n in steps if not np.array_equal(moved[n].right, steps[n].right)}
        return found

    def context(self, name: str, bench: Bench, dtype: np.dtype, rule: Any = None) -> Context:
        """Return all that is known about one tensor's step, in ``dtype``."""
        answer = bench.answers[name]
        tensors = cast(bench.tensors, dtype)
        gradients = cast({k: v for k, v in bench.above.items() if k != name}, dtype)
        paths, ends = without_end(bench.paths[name])
        free = ends <= self._assumed  # nothing comes from above but a 1
        return Context(
            noise=answer.noise,
            sizes=self._sizes(bench.inputs),
            tensors=tensors,
            gradients=gradients,
            paths=paths,
            formulas=Later(partial(self._formulas, name, tensors, gradients)),
            rule=rule,
            upstream=() if free else tuple(n for n in gradients if n not in self._assumed),
            tensor=name,
        )


class Later(Iterable[Formula]):
    """Right formulas, made when they are first looked at: a right rule needs none."""

    def __init__(self, make: Callable[[], tuple[Formula, ...]]) -> None:
        self._make = cache(make)

    def __iter__(self) -> Iterator[Formula]:
        return iter(self._make())


@dataclass(frozen=True)
class Bench:
    """One set of inputs with everything that a step is given on it, and should return."""

    walk: Walk
    inputs: Arrays
    tensors: Arrays
    above: Arrays
    """Every tensor's gradient, to read."""
    held: Arrays
    """Those among them that do not follow from others."""
    answers: Mapping[str, Answer]

    @cached_property
    def paths(self) -> dict[str, dict[str, np.ndarray]]:
        """The answers by path."""
        return self.walk.paths(self.inputs, self.held)

    def judge_array(self, name: str, value: np.ndarray, allowed: Answer) -> Line:
        """Judge a finished gradient that is not right in the whole pass by its own step.

        It may round as ``allowed``; why it is wrong is told by how the step itself rounds, and
        where that names nothing as ``allowed``: what it reads may have been rounded otherwise.
        """
        far = far_of(value, allowed)
        if far <= BOUND:
            return Line(name, Status.INHERITED, sigmas=far)
        context = self.walk.context(name, self, FLOAT64)
        right = self.answers[name].right
        causes = diagnose(value, right, context)
        if all(cause.kind is Kind.UNKNOWN for cause in causes):
            causes = diagnose(value, right, replace(context, noise=allowed.noise))
        return Line(name, Status.INTRODUCED, tuple(causes), far)


def _noisy(steps: Mapping[str, Answer], whole: Mapping[str, Answer]) -> dict[str, Answer]:
    """Return steps that may round as the whole pass does: what came from above was rounded, too."""
    return {
        name: step._replace(noise=np.maximum(step.noise, whole[name].noise))
        if name in whole
        else step
        for name, step in steps.items()
    }


def _random(tensors: Arrays, assumed: Iterable[str]) -> dict[str, np.ndarray]:
    """Return random gradients for every float tensor but the assumed ones, which get 1."""
    rng = np.random.default_rng(1)
    return {
        name: np.ones(x.shape) if name in assumed else rng.standard_normal(x.shape)
        for name, x in tensors.items()
        if x.dtype.kind == "f"
    }


def without_end(
    terms: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], frozenset[str]]:
    """Return the terms without the tensor at their end if it is the same for all, and the ends."""
    ends = frozenset(label.split(" > ")[-1] for label in terms)
    if len(ends) > 1 or len(terms) < 2:
        return dict(terms), ends
    (end,) = ends
    straight = {end: f"{end} (straight)"}
    cut = {label.removesuffix(f" > {end}"): term for label, term in terms.items()}
    return {straight.get(label, label): term for label, term in cut.items()}, ends
