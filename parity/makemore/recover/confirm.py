"""Survivors of a search held against every other loss that was printed, the cheapest first.

Between the figure that was searched for and training other draws may have come: runs of the cell
that initialises, thrown away. How many is tried, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from parity.makemore import recipe
from parity.makemore.data import Dataset
from parity.makemore.published import Run
from parity.makemore.recover.states import Search, State
from parity.makemore.recover.target import fits, of_step_0
from parity.makemore.seeds import spent
from parity.makemore.sweep.waves import steps_at_once, train_wave
from parity.makemore.training import Arrays, Config
from parity.progress import progress

RERUNS = 20
"""As often the initialising cell may have been run in vain."""

CHUNK = 2000
GROWN = 1e-5
"""Error of a printed loss after training: a float32's last digit, grown (docs/reproduction.md)."""


def beginnings(run: Run, known: int | None) -> list[int]:
    """Return where training may begin to draw: ``known``, or after Exercise 1 and reruns.

    Where there is no Exercise 1, what is searched for says it already, and by default it is 0.
    """
    if known is not None or run.exercise_1 is None:
        return [known or 0]
    before = run.exercise_1.global_skip + 2 * spent(run.exercise_1.n_hidden)
    cell = 2 * spent(run.training.n_hidden)
    return [before + cell * runs for runs in range(RERUNS + 1)]


def at_step_0(
    run: Run, dataset: Dataset, devices: Any, seeds: Sequence[int], begins: Sequence[int]
) -> list[State]:
    """Return the states that print the loss of step 0, which is published."""
    target = of_step_0(run, dataset, begins[0])
    assert target is not None
    search = Search(target, devices, times=len(begins))
    with progress("held against step 0", len(seeds)) as advance:
        return search.printing(np.array(seeds, np.uint32), advance)


def in_training(
    run: Run, dataset: Dataset, devices: Any, states: Sequence[State]
) -> Iterator[tuple[int, list[State]]]:
    """Yield (step, states left) after each printed loss, training those that are left together."""
    left = [*states]
    start: tuple[int, Arrays] | None = None
    for step in sorted(set(run.losses) - {0}):
        if not left:
            return
        members = [_config(run.training, state, step + 1) for state in left]
        chunk = steps_at_once(devices, len(members), CHUNK, 1)
        begun = start[0] if start else 0
        with progress(f"training {len(left):,} to step {step:,}", step + 1 - begun) as advance:
            for part in train_wave(devices, members, dataset, chunk, start):
                advance(f"step {part.step:,}", part.losses.shape[1])
        rows = np.flatnonzero(fits(run.losses[step], part.losses[:, -1], GROWN))
        left = [left[row] for row in rows]
        start = part.step, {name: part.params[name][rows] for name in recipe.NAMES}
        yield step, left


def _config(config: Config, state: State, steps: int) -> Config:
    seed, skip = state
    return replace(config, framework="jax", global_seed=seed, global_skip=skip, steps=steps)
