"""Changes tried one after another: run forward, confirmed on every problem, counted, kept.

Knows not what is tried, nor in which order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.judge.noise import BOUND
from parity.pairs.legs import LARGE, Arrays
from parity.progress import QUIET
from parity.why.budget import Budget
from parity.why.conventions.change import Change
from parity.why.conventions.rerun import Rerun

MOST_RUNS = 6000
"""Runs of changed functions in one search."""

MOST_WORK = 2_000_000
"""Operations in all those runs, on LARGE numbers each."""

NAMED = 8
"""Changes that are named, where more restore parity."""


def convention(change: str, evidence: str) -> Cause:
    """Return a change in words as the cause of a difference."""
    hint = "Which of the two does your specification ask for?"
    return Cause(Kind.CONVENTION, change, f"Matches if {change}", hint, evidence)


class Tries:
    """What one search has tried, and what of that restores parity."""

    def __init__(self, rerun: Rerun, told: Callable[[str], None], budget: Budget) -> None:
        self.budget, self.stopped = budget, ""
        self.rerun, self.sides, self.told = rerun, rerun.sides, told
        self.since = time.monotonic()
        self.reference = {side: dict(rerun.problems[0].outcomes[side][0]) for side in self.sides}
        self.found: list[Cause] = []
        self.keys: set[Any] = set()
        """What is named already, in other words."""
        self.slots: set[tuple[str, int | None, int]] = set()
        """The constants whose change restores parity."""
        self.counts: dict[str, int] = {}
        self.base: Change | None = None
        """A first change, where a second one is looked for."""
        self.helped: list[tuple[float, Change]] = []
        """Single changes, and how far apart they leave the sides."""
        self.work = 0
        self.numbers = sum(x.size for x in rerun.problems[0].values)

    def tried(self) -> str:
        """Return what was tried and how often."""
        counted = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        if not self.stopped:
            return counted
        left = f"{self.stopped} and what comes after it were not all tried"
        return f"{counted}; {left}: {self.budget}" if counted else f"{left}: {self.budget}"

    def attempt(self, what: str, changes: Iterator[Change], helping: bool = True) -> None:
        """Try changes, on top of the first one if there is one; ``helping`` ones may be a base."""
        for change in changes:
            if self.spent():
                break
            whole = self.on_base(change)
            if whole is None or self._named_already(change):
                continue
            self.counts[what] = self.counts.get(what, 0) + 1
            out, other = self.forward(whole), self.reference[self.rerun.other(change.side)]
            if self.rerun.distance(0, out, other, 0) <= BOUND:
                self.confirm({change.side: whole})
            elif helping and self.base is None and out is not None:
                self.helped.append((apart(out, other), change))
        if self.budget.spent():
            self.stopped = self.stopped or what

    def on_base(self, change: Change) -> Change | None:
        """Return a change on top of the first one, if that is of the same side."""
        if self.base is None or self.base.side != change.side:
            return change
        return self.base + change

    def _named_already(self, change: Change) -> bool:
        return bool(change.key) and (change.key in self.keys or change.key[:-1] in self.keys)

    def confirm(self, changes: Mapping[str, Change]) -> None:
        """Name the changes if every output and gradient of every problem agrees with them."""
        key = tuple(change.key or change.said for change in changes.values())
        if key in self.keys or len(self.found) >= NAMED:
            return
        far = self.rerun.far(changes)
        if far > BOUND or not self.rerun.holds(changes):
            return
        self.keys.add(key)
        for change in changes.values():
            self.keys.add(change.key)
            if change.values:  # another value of the same constant says nothing new
                self.keys.add(change.key[:-1])
            self.slots |= {(change.side, change.program, slot) for slot in change.values}
        said = " and ".join(change.said for change in changes.values())
        self.found.append(convention(said, self._evidence(far)))

    def _evidence(self, far: float) -> str:
        what = "outputs and gradients" if self.rerun.legs.floating else "outputs"
        count = self.rerun.judged
        where = "on this seed" if count == 1 else f"on all {count} problems"
        where += " and on other numbers" if self.rerun.further else ""
        return f"then {what} are {far:.2g} of {BOUND:.0f} sigma apart in float64, {where}"

    def forward(self, change: Change) -> Arrays | None:
        """Return the outputs of the changed side; None where it cannot be run, or not in time."""
        self._tell()
        if self.budget.spent():  # what solves for numbers runs hundreds before it proposes one
            return None
        if change.program is not None:
            operations = self.rerun.programs(change.side)[change.program].operations
            self.work += len(operations) * (1 + self.numbers // LARGE)
        return self.rerun.forward(change.side, change)

    def _tell(self) -> None:
        if time.monotonic() - self.since > QUIET:
            self.since = time.monotonic()
            self.told(f"looking for what restores parity: {self.rerun.runs:,} runs so far")

    def spent(self) -> bool:
        """Return whether enough was tried."""
        spent = self.rerun.runs >= MOST_RUNS or self.work >= MOST_WORK
        return spent or self.budget.spent()


def apart(left: Arrays, right: Arrays) -> float:
    """Return how far apart outputs are: the logarithms of each one's relative distance, added."""
    total = 0.0
    for name, a in left.items():
        b = right[name]
        if a.shape != b.shape:
            return float("inf")
        size = float(np.sqrt(np.mean(np.abs(b.astype(complex)) ** 2))) or 1.0
        with np.errstate(all="ignore"):  # a change may leave memory that nothing has written
            off = float(np.sqrt(np.mean(np.abs(a.astype(complex) - b) ** 2))) / size
        total += np.log(max(off, 1e-16)) if np.isfinite(off) else 50.0
    return total
