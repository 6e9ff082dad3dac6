"""What the notebook's batch shows of each tensor: values, gradients, errors, and what mistakes do.

Everything is computed here and now: right values in float64, the four corners in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks import jax_side
from parity.judge.compare import FLOAT32, FLOAT64
from parity.judge.noise import BOUND, sigma
from parity.learn.anyway import Mistake, mistakes, rule
from parity.makemore import network_walk, notebook
from parity.makemore.data import load
from parity.makemore.exercises import CHUNKED, ROWS
from parity.progress import Advance
from parity.why.answers import cast
from parity.why.rule_walk import judge_rule
from parity.why.walk import Bench

CORNERS = {
    "torch": "torch, by hand",
    "autograd": "torch, autograd",
    "jax": "JAX, by hand",
    "jax.grad": "JAX, jax.grad",
}


UNSEEN = 1e-12
"""Less than that of a float64 gradient is rounding."""


class Effect(NamedTuple):
    """A mistake in one gradient, and what it does to it."""

    body: str
    apart: str
    """How far it is from right on the notebook's batch."""
    said: str
    """What the check says of it."""


class Facts(NamedTuple):
    """What is known of one tensor on the notebook's batch."""

    value: np.ndarray
    gradient: np.ndarray
    sigmas: dict[str, float]
    """{corner: how far its float32 gradient is from the right one}"""
    effects: tuple[Effect, ...]


def facts(done: Advance = lambda word, by=1: None) -> dict[str, Facts]:
    """Return the facts by tensor; ``done`` hears of each mistake that is tried."""
    batch = next(notebook.batches(notebook.Options(), load()))
    judged = notebook.Bench(CHUNKED).judge(batch, (FLOAT32,), 0)
    rows = {row.name: row for row in judged.gradients}
    given = {name: x for name, x in batch.items() if name != "dloss"}
    bench = network_walk.network().bench(cast(given, FLOAT64))
    effects: dict[str, list[Effect]] = {name: [] for name in ROWS}
    for mistake in mistakes().values():
        effects[mistake.step.gradient].append(_effect(mistake, bench))
        done(f"mistakes in d{mistake.step.gradient}")
    return {
        name: Facts(
            bench.tensors[name],
            bench.answers[name].right,
            {said: rows[name].distances[corner].sigmas for corner, said in CORNERS.items()},
            tuple(effects[name]),
        )
        for name in ROWS
    }


def _effect(mistake: Mistake, bench: Bench) -> Effect:
    """Return what a mistake does on the notebook's batch, and what it is called."""
    name = mistake.step.gradient
    wrong = rule(mistake.step, mistake.body)
    sizes = network_walk.sizes(bench.inputs)

    def with_sizes(values: Mapping[str, Any]) -> Any:
        known = network_walk.sizes(values) if "Xb" in values else sizes
        return wrong({**values, **known})

    line = judge_rule(name, with_sizes, jax_side, FLOAT64, bench, network_walk.probe())
    return Effect(mistake.body.strip(), _apart(name, with_sizes, bench), line.causes[0].sentence)


def _apart(name: str, wrong: Callable[[Mapping[str, Any]], Any], bench: Bench) -> str:
    given = {**bench.tensors, **{f"d{k}": x for k, x in bench.above.items()}}
    answer = bench.answers[name]
    with jax_side.exactly(FLOAT64):
        values = dict(zip(given, jax_side.from_numpy(tuple(given.values())), strict=True))
        found = jax_side.to_numpy(wrong(values))
    if found.shape != answer.right.shape:
        return "of another shape"
    noise = BOUND * sigma(answer.noise, FLOAT64)
    if np.all(np.abs(answer.right) <= noise):
        return "not to be seen: the gradient is 0 at this loss"
    apart = float(np.linalg.norm(found - answer.right) / np.linalg.norm(answer.right))
    if apart < UNSEEN:
        return "not to be seen at this loss"
    if apart < 1:
        return f"off by {100 * apart:.2g}%"
    return f"off by {apart:{'.2g' if apart < 100 else ',.0f'}} times its size"
