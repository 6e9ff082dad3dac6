"""The search through the generator's states: block after block, kept on disk, resumed.

Every seed's loss is estimated; what may come close is computed, of approximate normals, and what
does once more, of exact ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import UsageError
from parity.files import write_json
from parity.judge.compare import FLOAT32
from parity.makemore.recover.target import CLOSE, EXACT, Target, bounds, fits
from parity.makemore.seeds import Generator, normals, spent
from parity.progress import Advance

FAR = 5
"""How many times its largest error seen an estimate may err: it errs as a cubic in normals does,
and what comes once in 2**32 lies 1.6 times as far out as once in 2**14; 4 when cubed."""

MANY = 2**20
"""States for which it pays to have an estimate: it takes seconds to be made."""

BLOCK, PART = 2**17, 2**11
"""Seeds of one device between two words on the progress, a second or less, and of those whose loss
is computed."""

LARGE_BLOCK, LARGE_PART = 2**22, 2**17
"""The same where a device is no processor's core."""

OFTEN = 10.0
"""Seconds between two writes: a killed search loses no more."""

ROOM = 256
"""Seeds evaluated at once from exact normals."""


State = tuple[int, int]
"""(global seed, words passed before the draws)."""


class Search:
    """A target's loss for any seeds, compiled for all devices; so many ``states`` are searched.

    The draws may have been made in vain before: so many ``times`` in all, each is tried.
    """

    def __init__(self, target: Target, devices: Any, states: int = 0, times: int = 1) -> None:
        from parity.frameworks import jax_estimates, jax_states
        from parity.frameworks.jax_side import exactly

        self.target, self.devices = target, devices
        where = target.skip, target.hidden, devices.mesh
        self._exact = jax_states.evaluated(target.loss())
        self._losses = jax_states.search(self._exact, *where, times=times)
        self._estimates, self.error = None, np.inf
        on_a_cpu = devices.kind == "cpu"
        self.part = (PART if on_a_cpu else LARGE_PART) * devices.count
        self.block = self.part
        if states >= MANY:
            with exactly(FLOAT32):
                quick, error = jax_estimates.estimated(target.loss(), target.hidden)
            self._estimates = jax_states.search(quick, *where, jax_states.quick_circle)
            self.error = FAR * error
            self.block = (BLOCK if on_a_cpu else LARGE_BLOCK) * devices.count

    def survivors(self, first: int, last: int) -> list[int]:
        """Return the seeds from ``first`` to ``last`` that print the loss; a block at most."""
        seeds = np.arange(first, last + 1, dtype=np.uint32)
        if self._estimates is not None:
            near, _ = self._near(self._estimates, seeds, self.block, self.error + CLOSE)
            seeds = seeds[near]
        return [seed for seed, _ in self.printing(seeds)]

    def printing(self, seeds: np.ndarray, done: Advance = lambda what, by=1: None) -> list[State]:
        """Return (seed, words passed) of those of ``seeds`` that print the loss.

        ``done`` hears of every part of them that was looked at.
        """
        kept: list[State] = []
        for start in range(0, len(seeds), self.part):
            some = seeds[start : start + self.part]
            kept += self._exactly(some, *self._near(self._losses, some, self.part, CLOSE))
            done(f"{len(kept):,} fit", len(some))
        return kept

    def _near(
        self, values: Any, seeds: np.ndarray, room: int, slack: float
    ) -> tuple[np.ndarray, ...]:
        """Return (which seed, which time) may print the loss, of at most ``room`` seeds."""
        from parity.frameworks.jax_side import exactly
        from parity.frameworks.jax_states import within

        mine = self.devices.mine(room)
        own = np.resize(seeds, room)[mine.start : mine.stop]
        with exactly(FLOAT32):
            found = values(self.devices.spread(own))
            near = within(found, *bounds(self.target.published, slack))
            return np.nonzero(self.devices.collected(near)[: len(seeds)])

    def _exactly(self, seeds: np.ndarray, which: np.ndarray, times: np.ndarray) -> list[State]:
        """Return those that print the loss, computed of exact normals."""
        from parity.frameworks.jax_side import exactly

        hidden = self.target.hidden
        passed = self.target.skip + times * 2 * spent(hidden)
        states = list(zip(seeds[which].tolist(), passed.tolist(), strict=True))
        kept: list[State] = []
        for start in range(0, len(states), ROOM):
            some = states[start : start + ROOM]
            words = np.zeros((ROOM, 2, spent(hidden)), np.uint32)
            for row, (seed, skip) in zip(words, some, strict=False):
                generator = Generator(seed)
                generator.skip(skip)
                row[:] = generator.words(row.size).reshape(row.shape)
            draws = normals(words, hidden)
            with exactly(FLOAT32):
                losses = np.asarray(self._exact(draws[:, 0], draws[:, 1]))
            fit = fits(self.target.published, losses[: len(some)], EXACT)
            kept += [state for state, fits_it in zip(some, fit, strict=True) if fits_it]
        return kept

    def pace(self) -> float:
        """Return the seeds a second that are searched here, measured on one block."""
        self.survivors(0, self.block - 1)  # compiles
        began = time.perf_counter()
        self.survivors(0, self.block - 1)
        return self.block / (time.perf_counter() - began)


class Kept:
    """The file of a search that is not finished: how far it is, and what it has found."""

    def __init__(self, path: Path, question: dict[str, Any]) -> None:
        self.path, self.question = path, question

    def read(self, first: int) -> tuple[int, list[int]]:
        """Return (next seed, survivors); UsageError if the file is of another search."""
        if not self.path.exists():
            return first, []
        try:
            found = json.loads(self.path.read_bytes())
            if found["question"] != self.question:
                raise UsageError(f"{self.path} is of another search; delete it to begin this one")
            return int(found["next"]), [int(seed) for seed in found["survivors"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{self.path} is damaged ({error}); delete it") from error

    def write(self, following: int, survivors: Sequence[int]) -> None:
        """Keep how far it is."""
        write_json(
            self.path,
            {"question": self.question, "next": following, "survivors": [*survivors]},
        )


def searched(search: Search, first: int, last: int, kept: Kept) -> Iterator[tuple[int, list[int]]]:
    """Yield (seeds done since the last, all survivors so far) after every block."""
    following, survivors = kept.read(first)
    yield following - first, survivors
    written = time.monotonic()
    while following <= last:
        end = min(following + search.block - 1, last)
        survivors = survivors + search.survivors(following, end)
        if end == last or time.monotonic() - written > OFTEN:
            kept.write(end + 1, survivors)
            written = time.monotonic()
        yield end + 1 - following, survivors
        following = end + 1
