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
from parity.makemore.recover.target import CLOSE, EXACT, Target
from parity.makemore.seeds import Generator

FAR = 5
"""How many times its largest error seen an estimate may err: it errs as a cubic in normals does,
and what comes once in 2**32 lies 1.6 times as far out as once in 2**14; 4 when cubed."""

MANY = 2**20
"""States for which it pays to have an estimate: it takes seconds to be made."""

BLOCK, PART = 2**17, 2**11
"""Seeds of one device between two words on the progress, a second or less, and of those whose loss
is computed."""

OFTEN = 10.0
"""Seconds between two writes: a killed search loses no more."""

ROOM = 256
"""Seeds evaluated at once from exact normals."""


class Search:
    """A target's loss for any seeds, compiled for all devices; so many ``states`` are searched."""

    def __init__(self, target: Target, devices: Any, states: int = 0) -> None:
        from parity.frameworks import jax_estimates, jax_states
        from parity.frameworks.jax_side import exactly

        self.target, self.devices = target, devices
        where = target.skip, target.hidden, devices.mesh
        self._exact = jax_states.evaluated(target.loss())
        self._losses = jax_states.search(self._exact, *where)
        self._estimates, self.error = None, np.inf
        self.block = PART * devices.count
        if states >= MANY:
            with exactly(FLOAT32):
                quick, error = jax_estimates.estimated(target.loss(), target.hidden)
            self._estimates = jax_states.search(quick, *where, jax_states.quick_circle)
            self.error, self.block = FAR * error, BLOCK * devices.count

    def survivors(self, first: int, last: int) -> list[int]:
        """Return the seeds from ``first`` to ``last`` that may print the loss; a block at most."""
        kept: list[int] = []
        seeds = first + np.arange(last - first + 1)
        if self._estimates is not None:
            seeds = self._near(self._estimates, seeds, self.block, self.error + CLOSE)
        part = PART * self.devices.count
        for start in range(0, len(seeds), part):
            near = self._near(self._losses, seeds[start : start + part], part, CLOSE)
            kept += self.exactly(near, self.target.skip)
        return kept

    def _near(self, values: Any, seeds: np.ndarray, room: int, slack: float) -> np.ndarray:
        """Return those of ``seeds``, at most ``room``, whose value may be the published loss."""
        from parity.frameworks.jax_side import exactly

        mine = self.devices.mine(room)
        own = np.resize(seeds, room)[mine.start : mine.stop].astype(np.uint32)
        with exactly(FLOAT32):
            found = self.devices.collected(values(self.devices.spread(own)))
        return seeds[self.target.fits(found[: len(seeds)], slack)]

    def exactly(self, seeds: Sequence[int] | np.ndarray, skip: int) -> list[int]:
        """Return those of ``seeds`` that print the loss if the draws begin at word ``skip``."""
        from parity.frameworks.jax_side import exactly

        kept: list[int] = []
        for start in range(0, len(seeds), ROOM):
            some = [int(seed) for seed in seeds[start : start + ROOM]]
            draws = np.zeros((2, ROOM, self.target.hidden), np.float32)
            for place, seed in enumerate(some):
                generator = Generator(seed)
                generator.skip(skip)
                for draw in draws:
                    draw[place] = generator.randn(self.target.hidden)
            with exactly(FLOAT32):
                losses = np.asarray(self._exact(*draws))[: len(some)]
            fit = self.target.fits(losses, EXACT)
            kept += [seed for seed, fits in zip(some, fit, strict=True) if fits]
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
