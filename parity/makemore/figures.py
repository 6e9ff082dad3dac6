"""Published figures beside ours: the gradients, the training, the losses and names after it.

`published.py` says what was published. Nothing here is compared by a tolerance: a figure printed
with four decimals must print the same, one in full precision lies within 2 units in the last place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from parity.judge.compare import FLOAT32, ulps
from parity.makemore.data import Dataset
from parity.makemore.evaluation import sample, split_losses, statistics
from parity.makemore.exercises import CHUNKED
from parity.makemore.notebook import batches
from parity.makemore.published import Published, Run, decimals
from parity.makemore.sampling import rule
from parity.makemore.training import Arrays, Config, side_of, train
from parity.pairs.legs import call

ULPS = 2
"""A figure published in full holds within this many float32 units in the last place."""

CHUNK = 2000
"""Steps between two words on the progress."""


@dataclass(frozen=True)
class Figure:
    """One published figure and ours, as text; ``ulp`` where it was published in full."""

    name: str
    framework: str
    published: str
    ours: str
    ulp: int | None = None

    @property
    def holds(self) -> bool:
        """Whether ours is the published one."""
        return self.published == self.ours if self.ulp is None else self.ulp <= ULPS


def figure(name: str, framework: str, published: Published, ours: float) -> Figure:
    """Return a number beside the published one, in the precision in which that was published."""
    if isinstance(published, str):
        return Figure(name, framework, published, f"{ours:.{decimals(published)}f}")
    gap = ulps(np.array([published], FLOAT32), np.array([ours], FLOAT32))[0]
    return Figure(name, framework, repr(published), repr(ours), int(min(gap, 2**32)))


@dataclass(frozen=True)
class Outcome:
    """What one framework made of a run."""

    framework: str
    figures: tuple[Figure, ...]
    losses: np.ndarray
    """Every step's loss."""
    final: dict[str, float]
    names: tuple[str, ...]


def reproduce(
    run: Run, framework: str, dataset: Dataset, done: Callable[..., None] = lambda *_: None
) -> Outcome:
    """Run everything that has a published figure; ``done(word, steps)`` hears of each chunk."""
    side = side_of(framework)
    figures = exercise_1(run, framework, dataset)
    losses, params = _trained(run, framework, dataset, done)
    figures += [
        figure(f"loss at step {step:,}", framework, published, float(losses[step]))
        for step, published in run.losses.items()
    ]
    final: dict[str, float] = {}
    names: tuple[str, ...] = ()
    if run.final or run.samples:
        fixed = statistics(side, params, dataset)
        final = split_losses(side, params, fixed, dataset)
        figures += [
            figure(f"{split} loss", framework, published, final[split])
            for split, published in run.final.items()
        ]
    if run.samples:
        choose = rule(run.samples.sampler, run.samples.seed)
        block = run.training.block_size
        letters = sample(side, params, fixed, choose, len(run.samples.names), block)
        names = tuple(dataset.decode(name[:-1]) for name in letters)
        figures += [
            Figure(f"name {number}", framework, published, ours)
            for number, (published, ours) in enumerate(
                zip(run.samples.names, names, strict=True), 1
            )
        ]
    return Outcome(framework, tuple(figures), losses, final, names)


def exercise_1(run: Run, framework: str, dataset: Dataset) -> list[Figure]:
    """Return the losses of Exercise 1's batch: cross-entropy in one go, and step by step."""
    if run.exercise_1 is None:
        return []
    side = side_of(framework)
    params, chunked, ops = (
        import_module(f"{side.TWIN}.{name}") for name in ("params", "chunked", "ops")
    )

    def both(*inputs: Any) -> dict[str, Any]:
        loss, activations = chunked.forward(params.Params(*inputs[:7]), *inputs[7:])
        fused, _ = ops.cross_entropy_forward(activations.logits, inputs[8])
        return {"loss": fused, "printed": loss}

    batch = next(batches(run.exercise_1, dataset))
    ours = call(side, FLOAT32, side.compiled(both), CHUNKED.take(batch, FLOAT32))
    return [
        figure(name, framework, published, float(ours[key]))
        for name, key, published in (
            ("Exercise 1 loss", "loss", run.exercise_1_loss),
            ("Exercise 1 step by step", "printed", run.exercise_1_printed),
        )
        if published is not None
    ]


def _trained(
    run: Run, framework: str, dataset: Dataset, done: Callable[..., None]
) -> tuple[np.ndarray, Arrays]:
    """Train if any figure needs it; return (every step's loss, the trained parameters)."""
    config = Config(**(vars(run.training) | {"framework": framework}))
    if not (run.losses or run.final or run.samples):
        return np.empty(0, FLOAT32), {}
    losses = []
    for chunk in train(config, dataset, CHUNK):
        losses.append(chunk.losses)
        done(f"{framework}, loss {chunk.losses[-1]:.4f}", len(chunk.losses))
    return np.concatenate(losses), chunk.params
