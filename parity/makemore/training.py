"""A training run: what determines it, and its chunks of steps, one after another, in memory.

Every random number comes from `seeds.py`, so both frameworks walk the same way. It writes nothing:
`checkpoint.py` keeps what it yields.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from parity.errors import DivergedError, UsageError, require_at_least, require_batch, require_seed
from parity.judge.compare import FLOAT32
from parity.makemore import recipe
from parity.makemore.data import Dataset
from parity.makemore.seeds import Generator

CHUNK = 5000
"""Steps between two checkpoints; changes no digit."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Config:
    """Everything that determines a run; the defaults are the notebook's. UsageError if impossible.

    bngain and bnbias are drawn from ``global_seed``'s stream after ``global_skip`` words of it have
    passed, or, where ``global_seed`` is None, from ``seed``'s stream after b2. The minibatches come
    from ``batch_seed``'s stream, or, where it is None, from ``seed``'s after the parameters.
    """

    framework: str = "jax"
    steps: int = 200_000
    batch_size: int = 32
    n_hidden: int = 200
    n_embd: int = 10
    block_size: int = 3
    lr: str = "0.1,0.01@100000"
    seed: int = recipe.SEED
    global_seed: int | None = recipe.GLOBAL_SEED
    global_skip: int = recipe.TRAINING_SKIP
    batch_seed: int | None = None
    matmul_precision: str = "highest"
    """Of float32 products: "highest", or "tf32" where the device has it."""

    def __post_init__(self) -> None:
        if self.framework not in ("jax", "torch"):
            raise UsageError(f"--framework is {self.framework}; give jax or torch")
        require_batch(self.batch_size)
        require_at_least(
            1,
            steps=self.steps,
            n_hidden=self.n_hidden,
            n_embd=self.n_embd,
            block_size=self.block_size,
        )
        require_at_least(0, global_skip=self.global_skip)
        require_seed(seed=self.seed, global_seed=self.global_seed or 0)
        require_seed(batch_seed=self.batch_seed or 0)
        schedule(self.lr)
        if self.matmul_precision not in ("highest", "tf32"):
            raise UsageError(f"--matmul-precision is {self.matmul_precision}; give highest or tf32")


class Chunk(NamedTuple):
    """Where a run stands after some more steps."""

    step: int
    """Steps done since the beginning."""
    params: Arrays
    """float32, under the notebook's names."""
    losses: np.ndarray
    """float32, one for each of the steps just done, before its update."""


def schedule(text: str) -> list[tuple[int, float]]:
    """Return [(first step, learning rate)] of "0.1,0.01@100000"; UsageError for anything else.

    The first rate holds from step 0, each other from the step after its @.
    """
    phases: list[tuple[int, float]] = []
    for number, phase in enumerate(text.split(",")):
        rate, at, first = phase.partition("@")
        try:
            phases.append((int(first) if at else 0, float(rate)))
        except ValueError:
            raise _bad_schedule(text, f"{phase!r} is no rate") from None
        if not 0 < phases[-1][1] < math.inf:
            raise _bad_schedule(text, f"{rate} is no positive rate")
        if bool(at) != (number > 0):
            raise _bad_schedule(text, "every rate but the first needs its first step")
    if phases != sorted(phases):
        raise _bad_schedule(text, "the steps must rise")
    return phases


def _bad_schedule(text: str, why: str) -> UsageError:
    return UsageError(f"--lr is {text!r}: {why}; write it as 0.1 or as 0.1,0.01@100000")


def rates(lr: str, first: int, last: int) -> np.ndarray:
    """Return the learning rate of each step from ``first`` to before ``last``, float32."""
    starts, values = zip(*schedule(lr), strict=True)
    phase = np.searchsorted(starts, np.arange(first, last), side="right") - 1
    return np.array(values, np.float32)[phase]


def side_of(framework: str) -> Any:
    """Return the framework's adapter, importing no other framework."""
    return import_module(f"parity.frameworks.{framework}_side")


def to_params(side: Any, params: Arrays) -> Any:
    """Return the framework's Params of NumPy arrays under the notebook's names."""
    params_type = import_module(f"{side.TWIN}.params").Params
    return params_type(*side.from_numpy(tuple(params[name] for name in recipe.NAMES)))


def initial(config: Config, dataset: Dataset) -> tuple[Arrays, Generator]:
    """Return the parameters at step 0 and the generator before the first minibatch."""
    generator = Generator(config.seed)
    if config.global_seed is None:
        unseeded = generator
    else:
        unseeded = Generator(config.global_seed)
        unseeded.skip(config.global_skip)
    params = recipe.initial_params(
        generator,
        unseeded,
        vocab=dataset.vocab_size,
        block=config.block_size,
        embd=config.n_embd,
        hidden=config.n_hidden,
    )
    return params, generator if config.batch_seed is None else Generator(config.batch_seed)


def train(
    config: Config,
    dataset: Dataset,
    chunk: int = CHUNK,
    start: tuple[int, Arrays] | None = None,
) -> Iterator[Chunk]:
    """Yield a `Chunk` every ``chunk`` steps, from ``start`` (step, parameters) or the beginning.

    Raises DivergedError, before yielding it, for a chunk that holds anything that is not finite.
    """
    params, generator = initial(config, dataset)
    step = 0
    if start is not None:
        step, params = start
        generator.skip(step * config.batch_size)
    side = side_of(config.framework)
    train_steps = import_module(f"{side.TWIN}.train").train_steps
    with side.exactly(FLOAT32):
        X, Y = side.from_numpy((dataset.train.X, dataset.train.Y))
        current = to_params(side, params)
    while step < config.steps:
        last = min(step + chunk, config.steps)
        ix = generator.randint(len(dataset.train.Y), (last - step, config.batch_size))
        with side.exactly(FLOAT32, config.matmul_precision):
            lr = rates(config.lr, step, last)
            current, losses = train_steps(current, X, Y, *side.from_numpy((ix, lr)))
            losses = side.to_numpy(losses)
            params = dict(zip(recipe.NAMES, side.to_numpy(tuple(current)), strict=True))
        _require_finite(step, losses, params)
        step = last
        yield Chunk(step, params, losses)


def _require_finite(first: int, losses: np.ndarray, params: Arrays) -> None:
    (ill,) = np.nonzero(~np.isfinite(losses))
    if ill.size:
        raise DivergedError(f"the loss is {losses[ill[0]]} at step {first + ill[0]:,}")
    for name, value in params.items():
        if not np.all(np.isfinite(value)):
            raise DivergedError(f"{name} is not finite after step {first + len(losses) - 1:,}")
