"""Two models trained alike: the same batches, each side's own optimizer, compared step by step.

A parameter may differ by what rounding carries a run to: JAX's in float64, every operation of every
step nudged, the optimizer's too. Looks for no cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np

from parity.errors import ParityError, UsageError
from parity.judge.compare import FLOAT64
from parity.judge.judging import judge
from parity.judge.verdict import Row, worst_of
from parity.models.layout import Piece
from parity.models.match import Match
from parity.models.sides import Whole
from parity.pairs.corners import corners_of
from parity.pairs.digits import cast
from parity.pairs.legs import Arrays, Legs
from parity.pairs.pair import Pair
from parity.trial.exact import Exact

Walk = list[Arrays]
"""{leaf: its values} after each step."""


@dataclass(frozen=True)
class _Course:
    """What both sides are trained on."""

    batches: list[tuple[np.ndarray, ...]]
    """The models' own inputs of each step."""
    tensors: Arrays
    """torch's, at the start."""
    douts: Arrays


def trained(
    whole: Whole, legs: Legs, problem: Exact, dtypes: Sequence[str]
) -> tuple[tuple[Row, ...], Match]:
    """Return a row a parameter and dtype, the first to part first, and the leaf of the first.

    Rows are as JAX's leaves are laid out; one that fails is called after the step at which it does.
    Raises UsageError where an optimizer cannot step.
    """
    course = _course(whole, legs, problem)
    moving = _moving(whole)
    if not moving:
        raise UsageError("optimizer=: the two models have no parameter in common to be trained")
    jax = _JaxRun(whole, legs, course, moving)
    exact, noise = jax.measured()
    chosen = [np.dtype(name) for name in dtypes if name in ("float32", "float64")]
    walks = {
        dtype: {
            "jax": exact if dtype == FLOAT64 else jax.walk(dtype),
            "torch": _in_torch(whole, legs, course, moving, dtype),
        }
        for dtype in dict.fromkeys((FLOAT64, *chosen))
    }
    rows = [
        (*_along(whole, match, dtype, walks, noise), match) for match in moving for dtype in chosen
    ]
    rows.sort(key=lambda found: found[0])
    return tuple(row for _, row, _ in rows), rows[0][2]


def _along(
    whole: Whole,
    match: Match,
    dtype: np.dtype,
    walks: Mapping[np.dtype, Mapping[str, Walk]],
    noise: Walk,
) -> tuple[int, Row]:
    """Return the first row of a leaf that fails, with its step; the worst row if none does."""
    name, rows = label(whole, match), []
    for at, measured in enumerate(noise):
        corners, wide = (
            {side: walk[at][match.leaf] for side, walk in walks[kind].items()}
            for kind in (dtype, FLOAT64)
        )
        row = judge(name, dtype, corners, wide, wide["jax"], measured[match.leaf])
        if not row.verdict.passes:
            said = row.reason if row.odd else _numbers(wide["jax"], wide["torch"])
            return at, replace(row, name=f"{name} after step {at + 1}", reason=said)
        rows.append(row)
    return len(noise), worst_of(rows)


def _numbers(jax: np.ndarray, torch: np.ndarray) -> str:
    """Return both sides' numbers where they are farthest apart."""
    at = np.unravel_index(np.argmax(np.abs(jax - torch)), jax.shape)
    where = f" at {[int(i) for i in at]}" if at else ""
    return f"jax has {jax[at]:.7g}, torch {torch[at]:.7g}{where}, in float64"


def label(whole: Whole, match: Match) -> str:
    """Return what a leaf is called: torch's name, and its own where that is not one tensor."""
    names = [*dict.fromkeys(match.layout.sources())]
    alone = len(names) == 1 and len(whole.weights.of(names[0])) == 1
    if alone and isinstance(match.layout, Piece):
        return names[0]
    return f"{' and '.join(names)} in {match.leaf}"


def _moving(whole: Whole) -> list[Match]:
    """Return the leaves that are made of parameters alone, in the order of torch's modules."""
    order = {name: place for place, name in enumerate(whole.torch.tensors)}
    found = [
        match
        for match in whole.weights.matches.values()
        if not {*match.layout.sources()} & whole.torch.still
    ]
    return sorted(found, key=lambda match: order[match.layout.sources()[0]])


def _course(whole: Whole, legs: Legs, problem: Exact) -> _Course:
    names = legs.arguments.names
    values = dict(zip(names, problem.values, strict=False))
    own = [name for name in names if name not in whole.torch.tensors]
    douts = dict(zip(legs.cotangents(), problem.values[len(names) :], strict=True))
    if whole.given.loss is not None:  # descent, whatever factor the check gave the loss
        (name, factor), *_ = douts.items()
        douts = {name: np.ones_like(factor)}
    batches = [tuple(values[name] for name in own)]
    for step in range(1, whole.given.steps):
        drawn = whole.pair.arguments(np.random.default_rng([step, 7]))
        fresh = dict(zip(drawn.names, drawn.leaves, strict=True))
        batches.append(tuple(cast(fresh[name], np.dtype(np.float32)) for name in own))
    batches = [tuple(cast(x, FLOAT64) for x in batch) for batch in batches]
    return _Course(batches, {n: x for n, x in values.items() if n in whole.torch.tensors}, douts)


class _JaxRun:
    """The JAX model trained from its leaves on."""

    def __init__(self, whole: Whole, legs: Legs, course: _Course, moving: list[Match]) -> None:
        self.course = course
        found = {match.leaf for match in moving}
        every = {leaf: m.layout.of(course.tensors) for leaf, m in whole.weights.matches.items()}
        self.held = {leaf: x for leaf, x in every.items() if leaf not in found}
        self.leaves = {leaf: every[leaf] for leaf in whole.jax.tensors if leaf in found}
        own = [name for name in legs.arguments.names if name not in whole.torch.tensors]
        count, still = len(own), len(own) + len(self.held)

        def of_leaves(*args: Any) -> Any:
            names = (*self.held, *self.leaves)
            leaves = dict(zip(names, args[count:], strict=True))
            return whole.run(leaves, _built(whole, legs, args[:count]))

        values = (*course.batches[0], *self.held.values(), *self.leaves.values())
        given = {f"{place}": x for place, x in enumerate(values)}
        pair = Pair(jax=of_leaves, torch=of_leaves, inputs=given)
        arguments = pair.arguments(np.random.default_rng(0))
        arguments.held.update(arguments.names[:still])
        self.corner = corners_of(pair, arguments)["jax"]
        self.start, self.step = import_module("parity.frameworks.jax_training").training(
            whole.given.optimizer[0],
            whole.jax.tree,
            lambda batch, leaves, douts: self.corner.gradients((*batch, *leaves.values()), douts)[
                1
            ],
        )

    def walk(self, dtype: np.dtype) -> Walk:
        """Return the leaves after each step."""
        side, found = self.corner.side, []
        step = side.compiled(self.step)
        with side.exactly(dtype), _speaking("optax"):
            batches, douts, leaves = self._given(dtype)
            state = self.start(leaves)
            for batch in batches:
                leaves, state = step(leaves, state, batch, douts)
                found.append(side.to_numpy(leaves))
        return found

    def measured(self) -> tuple[Walk, Walk]:
        """Return the leaves after each step in float64, and how far rounding alone moves them.

        Every operation of every step is nudged, the optimizer's too. In units of the roundoff.
        """

        def run(batches: Any, douts: Any, leaves: Any) -> Any:
            state, found = self.start(leaves), []
            for batch in batches:
                leaves, state = self.step(leaves, state, batch, douts)
                found.append(leaves)
            return found

        with self.corner.side.exactly(FLOAT64), _speaking("optax"):
            yardstick = import_module("parity.frameworks.jaxpr_noise").yardstick(run)
            found: tuple[Walk, Walk] = yardstick(*self._given(FLOAT64))
        return found

    def _given(self, dtype: np.dtype) -> tuple[Any, Any, Any]:
        """Return all batches, cotangents and leaves as JAX has them."""

        def given(arrays: Sequence[np.ndarray]) -> Any:
            return self.corner.side.from_numpy(tuple(cast(x, dtype) for x in arrays))

        held = given([*self.held.values()])
        batches = [(*given(batch), *held) for batch in self.course.batches]
        douts, leaves = (
            dict(zip(named, given([*named.values()]), strict=True))
            for named in (self.course.douts, self.leaves)
        )
        return batches, douts, leaves


def _built(whole: Whole, legs: Legs, own: Sequence[Any]) -> list[Any]:
    """Return the models' own arguments made of their leaves."""
    tensors = whole.torch.tensors
    built = legs.arguments.build((*own, *legs.arguments.leaves[len(own) :]))
    names = legs.arguments.arguments
    return [x for name, x in zip(names, built, strict=True) if name not in tensors]


def _in_torch(
    whole: Whole, legs: Legs, course: _Course, moving: Sequence[Match], dtype: np.dtype
) -> Walk:
    """Return what JAX's leaves would be after each of torch's steps."""
    return [
        {m.leaf: np.asarray(m.layout.of(arrays)) for m in moving}
        for _, arrays in _steps_of_torch(whole, legs, course, dtype)
    ]


def gradients_of(whole: Whole, legs: Legs, problem: Exact, name: str) -> list[np.ndarray]:
    """Return a parameter's gradient at each of torch's steps, in float64."""
    steps = _steps_of_torch(whole, legs, _course(whole, legs, problem), FLOAT64)
    return [np.asarray(grads[name]) for grads, _ in steps]


def _steps_of_torch(
    whole: Whole, legs: Legs, course: _Course, dtype: np.dtype
) -> Iterator[tuple[Arrays, Arrays]]:
    """Yield the gradients of each of torch's steps, and all tensors after it."""
    corner = legs.corners["torch"]
    side = corner.side
    adapter = import_module("parity.frameworks.torch_training")
    names = legs.arguments.names

    def given(arrays: Sequence[np.ndarray]) -> Any:
        return side.from_numpy(tuple(cast(x, dtype) for x in arrays))

    with side.exactly(dtype), _speaking("torch"):
        douts = dict(zip(course.douts, given([*course.douts.values()]), strict=True))
        held = dict(zip(course.tensors, given([*course.tensors.values()]), strict=True))
        module, optimizer = whole.given.torch, whole.given.optimizer[1]
        training = adapter.Training(module, optimizer, held, dtype.name)
        for batch in course.batches:
            now = held | {n: x for n, x in training.tensors().items() if n in held}
            tensors = [now[name] for name in names if name in now]
            _, grads = corner.gradients((*given(batch), *tensors), douts)
            used = dict(zip(legs.floating, grads, strict=True))
            training.step(used)
            moved = {name: side.to_numpy(x) for name, x in training.tensors().items()}
            after = {name: moved.get(name, x) for name, x in course.tensors.items()}
            yield {n: side.to_numpy(x) for n, x in used.items()}, after


@contextmanager
def _speaking(whose: str) -> Iterator[None]:
    """Say whose optimizer could not step."""
    try:
        yield
    except (UsageError, ParityError):
        raise
    except Exception as error:
        raise UsageError(
            f"optimizer=: {whose}'s could not step: {type(error).__name__}: {error}"
        ) from error
