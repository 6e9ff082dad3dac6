"""Exercise 4 as a comparison: four sources of gradients train on the same minibatches.

Each walks from the same parameters; on the way, the losses and parameters of all four are judged
like any tensor, the yardstick being how far nudges of one ulp carry the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

from parity.judge.compare import FLOAT64
from parity.judge.judging import judge
from parity.judge.noise import SEEDS, U0
from parity.judge.verdict import Row, worst_of
from parity.makemore import recipe
from parity.makemore.data import Dataset
from parity.makemore.training import Arrays, Config, initial, rates, to_params

MARKS = 20
"""Places on the way, evenly spaced, where the parameters are compared."""

Walk = list[Arrays]
"""What one source has at each mark: the losses since the mark before, and the parameters."""


def compare_trajectories(
    config: Config,
    dataset: Dataset,
    dtypes: tuple[np.dtype, ...],
    done: Callable[[str], None] = lambda _: None,
) -> tuple[Row, ...]:
    """Return the worst row, over all marks, of the loss and of each parameter, in each dtype.

    ``done`` hears of each of the `turns` that is finished. A row's ``batch`` is its mark.
    """
    from parity.frameworks import jax_side, torch_side

    params, generator = initial(config, dataset)
    ix = generator.randint(len(dataset.train.Y), (config.steps, config.batch_size))
    ends = np.unique(np.linspace(0, config.steps, MARKS + 1).astype(int))
    chunks = [(ix[first:last], rates(config.lr, first, last)) for first, last in pairwise(ends)]
    walks: dict[np.dtype, dict[str, Walk]] = {dtype: {} for dtype in (*dtypes, FLOAT64)}
    for dtype, found in walks.items():
        for side in (jax_side, torch_side):
            loops = import_module(f"{side.TWIN}.train")
            autodiff = import_module(f"{side.TWIN}.autodiff").loss_and_grads
            for corner, steps in (
                (side.HAND, loops.train_steps),
                (side.AUTODIFF, side.descent(autodiff)),
            ):
                found[corner] = walk(side, dtype, steps, params, dataset, chunks)
                done(f"{corner} in {dtype}")
    noise = growth(params, dataset, chunks, done)
    return tuple(
        _along_the_way(
            judge(
                name,
                dtype,
                {corner: marks[mark][name] for corner, marks in walks[dtype].items()},
                {corner: marks[mark][name] for corner, marks in walks[FLOAT64].items()},
                walks[FLOAT64][jax_side.HAND][mark][name],
                noise[mark][name],
                batch=mark,
            )
            for mark in range(len(chunks))
        )
        for name in ("loss", *recipe.NAMES)
        for dtype in dtypes
    )


def _along_the_way(rows: Iterable[Row]) -> Row:
    """Return the worst row, with the largest difference of any mark between each two corners."""
    rows = list(rows)
    pairs = [
        max(same, key=lambda pair: pair.maxdiff)._replace(exact=all(pair.exact for pair in same))
        for same in zip(*(row.pairs for row in rows), strict=True)
    ]
    return replace(worst_of(rows), pairs=tuple(pairs))


def turns(dtypes: tuple[np.dtype, ...]) -> int:
    """Return how many runs a comparison takes."""
    return 4 * len({*dtypes, FLOAT64}) + SEEDS + 1


def walk(
    side: Any,
    dtype: np.dtype,
    steps: Callable[..., Any],
    params: Arrays,
    dataset: Dataset,
    chunks: list[tuple[np.ndarray, np.ndarray]],
    extra: Callable[[int], tuple[np.ndarray, ...]] = lambda steps: (),
) -> Walk:
    """Run ``steps`` over the chunks; ``extra(steps)`` gives further arguments for each."""
    marks = []
    with side.exactly(dtype):
        cast = {name: value.astype(dtype) for name, value in params.items()}
        current = to_params(side, cast)
        X, Y = side.from_numpy((dataset.train.X, dataset.train.Y))
        for ix, lr in chunks:
            arguments = side.from_numpy((ix, lr.astype(dtype), *extra(len(ix))))
            current, losses = steps(current, X, Y, *arguments)
            values = side.to_numpy((losses, *current))
            marks.append(dict(zip(("loss", *recipe.NAMES), values, strict=True)))
    return marks


def growth(
    params: Arrays,
    dataset: Dataset,
    chunks: list[tuple[np.ndarray, np.ndarray]],
    done: Callable[[str], None] = lambda _: None,
) -> Walk:
    """Return the rms distance of nudged runs from the run itself, in units of the roundoff."""
    from parity.frameworks import jax_growth, jax_side

    steps = jax_growth.nudged_descent(import_module("jax_impl.mlp").loss_and_grads)
    size = sum(value.size for value in params.values())
    runs = []
    for seed in range(SEEDS + 1):
        rng = np.random.default_rng(seed)
        pool = rng.standard_normal(4 * size) if seed else np.zeros(4 * size)

        def extra(
            steps: int, pool: np.ndarray = pool, rng: np.random.Generator = rng
        ) -> tuple[np.ndarray, ...]:
            return pool, rng.integers(0, 3 * size, steps, np.int32)

        runs.append(walk(jax_side, FLOAT64, steps, params, dataset, chunks, extra))
        done(f"nudged run {seed} of {SEEDS}" if seed else "the run itself")
    own, *nudged = runs
    return [
        {
            name: np.sqrt(np.mean([(run[mark][name] - value) ** 2 for run in nudged], 0)) / U0
            for name, value in at.items()
        }
        for mark, at in enumerate(own)
    ]
