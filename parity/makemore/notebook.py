"""`parity notebook`: the exercises on seeded batches, four ways, every tensor judged."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import require_at_least, require_batch, require_seed
from parity.judge.compare import FLOAT32, FLOAT64
from parity.judge.judging import judge
from parity.judge.noise import TINY
from parity.judge.verdict import Row, worst_of
from parity.makemore import recipe, trajectory
from parity.makemore.data import Dataset, load
from parity.makemore.exercises import CHUNKED, EXERCISES, Exercise, layer_inputs
from parity.makemore.seeds import Generator
from parity.makemore.training import Config
from parity.pairs.legs import Arrays, Outcome, call
from parity.progress import Advance
from parity.show.report import Report
from parity.show.section import Section
from parity.why.answers import Line

TRAINING = 4
"""The exercise that trains; the others compare gradients of one batch at a time."""

TIES = (
    "{} rows of logits have their maximum more than once: jax.grad shares the gradient among "
    "equals, the others give it to the first; both are subgradients, and the loss sees neither"
)


@dataclass(frozen=True)
class Options:
    """What to run; the defaults are the notebook's own batch. UsageError if impossible."""

    dtype: str = "both"
    n_hidden: int = 64
    batch_size: int = 32
    batches: int = 1
    seed: int = recipe.SEED
    global_seed: int = recipe.GLOBAL_SEED
    global_skip: int = 0
    names: Path | None = None
    exercises: tuple[int, ...] = (1, 2, 3)
    steps: int = 1000
    """Of Exercise 4, at a learning rate of 0.1."""

    def __post_init__(self) -> None:
        require_batch(self.batch_size)
        require_at_least(1, n_hidden=self.n_hidden, batches=self.batches, steps=self.steps)
        require_at_least(0, global_skip=self.global_skip)
        require_seed(seed=self.seed, global_seed=self.global_seed)

    @property
    def dtypes(self) -> tuple[np.dtype, ...]:
        """The dtypes to judge, float32 first."""
        return (FLOAT32, FLOAT64) if self.dtype == "both" else (np.dtype(self.dtype),)


class Bench:
    """One exercise set up in both frameworks: every corner compiled once, then run on any batch."""

    def __init__(self, exercise: Exercise) -> None:
        from parity.frameworks import jax_side, jaxpr_noise, torch_side

        self.exercise = exercise
        self.jax: Any = jax_side
        self.corners: dict[str, tuple[Any, Any, Any]] = {}
        for side in (jax_side, torch_side):
            for corner, function in (
                (side.HAND, exercise.by_hand(side)),
                (side.AUTODIFF, exercise.by_autodiff(side)),
            ):
                self.corners[corner] = side, side.eager(function), side.compiled(function)
        self.yardstick = jaxpr_noise.yardstick(exercise.by_autodiff(jax_side))

    def measure(
        self, batch: Arrays, dtypes: tuple[np.dtype, ...]
    ) -> tuple[dict[np.dtype, dict[str, Outcome]], Outcome, Outcome]:
        """Run every corner: ({dtype: {corner: outcome}}, the reference, its noise).

        JAX runs jitted and, in float32, eagerly as well. What takes long is compiling, so JAX's
        calls of one dtype share the processors; never of two dtypes at once, since JAX's switch
        between them is not safe among threads. torch's take turns: its thread count is for all.
        """
        outcomes: dict[np.dtype, dict[str, Outcome]] = {}
        for dtype in dtypes:
            values = self.exercise.take(batch, dtype)
            with ThreadPoolExecutor() as pool:
                if dtype == FLOAT64:
                    yardstick = pool.submit(call, self.jax, FLOAT64, self.yardstick, values)
                running = {
                    corner: pool.submit(call, self.jax, dtype, way, values)
                    for corner, way in self.ways(dtype).items()
                }
            outcomes[dtype] = {corner: future.result() for corner, future in running.items()}
            for corner, (side, _, compiled) in self.corners.items():
                if side is not self.jax:
                    outcomes[dtype][corner] = call(side, dtype, compiled, values)
        return outcomes, *yardstick.result()

    def ways(self, dtype: np.dtype) -> dict[str, Any]:
        """Return what JAX runs in ``dtype``: each of its corners, jitted and in float32 eagerly."""
        ways = {}
        for corner, (side, eager, compiled) in self.corners.items():
            if side is self.jax:
                ways[corner] = compiled
                if dtype == FLOAT32:
                    ways[f"{corner} eager"] = eager
        return ways

    def judge(self, batch: Arrays, dtypes: tuple[np.dtype, ...], index: int) -> Judged:
        """Judge every tensor of one batch in every dtype."""
        outcomes, reference, noise = self.measure(batch, tuple(dict.fromkeys((*dtypes, FLOAT64))))
        in_order = tuple(outcomes[FLOAT64]["torch"][0])  # JAX sorts the keys of a dictionary
        reference = {name: reference[0][name] for name in in_order}, reference[1]
        flushed = {dtype: _flushed(outcomes[dtype], reference[0]) for dtype in dtypes}

        def rows(part: int, names: tuple[str, ...]) -> list[Row]:
            return [
                judge(
                    name,
                    dtype,
                    {corner: outcome[part][name] for corner, outcome in outcomes[dtype].items()},
                    {corner: outcome[part][name] for corner, outcome in outcomes[FLOAT64].items()},
                    reference[part][name],
                    noise[part][name],
                    flushed=flushed[dtype],
                    batch=index,
                )
                for name in names
                for dtype in dtypes
            ]

        losses = {
            str(dtype): {corner: float(out[0]["loss"]) for corner, out in outcomes[dtype].items()}
            for dtype in dtypes
            if "loss" in reference[0]
        }
        return Judged(
            batch,
            rows(0, in_order),
            rows(1, self.exercise.rows),
            losses,
            _ties(reference[0]),
        )

    def explained(
        self, rows: tuple[Row, ...], batches: list[Arrays], done: Advance
    ) -> tuple[Row, ...]:
        """Return the rows with the place and the causes of what a pass by hand has wrong."""
        from parity.makemore.network_walk import walk_exercise

        for corner in dict.fromkeys(c.split()[0] for row in rows for c in row.odd):
            side = self.corners[corner][0]
            if corner == side.HAND:
                done(f"looking for why {corner} differs", by=0)
                first = next(row for row in rows if corner in row.odd)
                lines = walk_exercise(self.exercise, side, batches[first.batch])
                rows = tuple(_with_line(row, corner, lines) for row in rows)
        return rows


def _with_line(row: Row, corner: str, lines: list[Line]) -> Row:
    line = next(line for line in lines if line.tensor == row.name)
    if corner not in row.odd or row.verdict.passes:
        return row
    causes = (replace(c, tensor=f"{corner}'s gradient of {row.name}") for c in line.causes)
    return replace(row, place=str(line.status), causes=(*row.causes, *causes))


@dataclass(frozen=True)
class Judged:
    """One exercise on one batch: its judged tensors, losses by dtype and corner, tied maxima."""

    batch: Arrays
    forward: list[Row]
    gradients: list[Row]
    losses: dict[str, dict[str, float]]
    ties: int


def _flushed(outcomes: dict[str, Outcome], reference: Arrays) -> str:
    """Return the first forward tensor that one corner holds as subnormals and another as zeros."""
    for name, value in reference.items():
        below = (value != 0) & (np.abs(value) < TINY)
        kept = [bool(np.any(forward[name][below] != 0)) for forward, _ in outcomes.values()]
        if np.any(below) and any(kept) and not all(kept):
            return name
    return ""


def _ties(forward: Arrays) -> int:
    """Return how many rows of logits have their maximum more than once."""
    logits = forward.get("logits")
    if logits is None:
        return 0
    return int(np.sum((logits == logits.max(1, keepdims=True)).sum(1) > 1))


def batches(options: Options, dataset: Dataset) -> Iterator[Arrays]:
    """Yield the inputs of every batch: the same parameters, the generator's next minibatch."""
    generator, unseeded = Generator(options.seed), Generator(options.global_seed)
    unseeded.skip(options.global_skip)
    params = recipe.initial_params(
        generator,
        unseeded,
        vocab=dataset.vocab_size,
        block=dataset.block_size,
        hidden=options.n_hidden,
    )
    for _ in range(options.batches):
        Xb, Yb = recipe.minibatch(generator, dataset.train, options.batch_size)
        yield params | {"Xb": Xb, "Yb": Yb, "dloss": np.array(1.0, np.float32)}


def run(
    options: Options,
    dataset: Dataset | None = None,
    done: Advance = lambda what, by=1: None,
) -> Report:
    """Run the exercises and judge every tensor; ``done`` hears of each step that is finished.

    ``dataset`` is what ``options.names`` names, for those who have loaded it already.
    """
    if dataset is None:
        dataset = load(options.names)
    benches = [Bench(EXERCISES[number]) for number in options.exercises if number in EXERCISES]
    judged: list[list[Judged]] = [[] for _ in benches]
    layers = layer_inputs()
    for index, batch in enumerate(batches(options, dataset) if benches else ()):
        if any(bench.exercise is not CHUNKED for bench in benches):
            batch |= layers(batch)
        for bench, kept in zip(benches, judged, strict=True):
            kept.append(bench.judge(batch, options.dtypes, index))
            done(f"exercise {bench.exercise.number}, batch {index + 1}")
    ties = sum(found.ties for kept in judged for found in kept)
    sections = [_section(b, kept, done) for b, kept in zip(benches, judged, strict=True)]
    if TRAINING in options.exercises:
        sections.append(_training(options, dataset, done))
    return Report(options, tuple(sections), (TIES.format(ties),) if ties else ())


def turns(options: Options) -> int:
    """Return how often `run` calls ``done``."""
    compared = options.batches * sum(number in EXERCISES for number in options.exercises)
    walked = trajectory.turns(options.dtypes) if TRAINING in options.exercises else 0
    return compared + walked


def _training(options: Options, dataset: Dataset, done: Advance) -> Section:
    """Let the four sources train from the options' parameters."""
    config = Config(
        steps=options.steps,
        batch_size=options.batch_size,
        n_hidden=options.n_hidden,
        block_size=dataset.block_size,
        lr="0.1",
        seed=options.seed,
        global_seed=options.global_seed,
        global_skip=options.global_skip,
    )
    rows = trajectory.compare_trajectories(config, dataset, options.dtypes, done)
    title = f"Exercise {TRAINING}: {options.steps:,} steps of training on the same minibatches"
    return Section(title, forward=rows, gradients=(), exercise=TRAINING)


def _section(bench: Bench, judged: list[Judged], done: Advance) -> Section:
    """Keep the worst row of each tensor over all batches."""
    exercise = bench.exercise
    forward = zip(*(found.forward for found in judged), strict=True)
    gradients = zip(*(found.gradients for found in judged), strict=True)
    worst = tuple(worst_of(rows) for rows in gradients)
    return Section(
        f"Exercise {exercise.number}: {exercise.title}",
        forward=tuple(worst_of(rows) for rows in forward),
        gradients=bench.explained(worst, [found.batch for found in judged], done),
        exercise=exercise.number,
        losses=judged[0].losses,
    )
