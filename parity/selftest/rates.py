"""`parity selftest`: healthy functions must pass, planted faults must not; how often each fails.

The same runs are judged by the fixed tolerances of torch and of chex, for comparison. Judges with
nothing but `parity.trial`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parity.errors import ParityError
from parity.judge.compare import wide
from parity.judge.verdict import Verdict
from parity.pairs.pair import Pair
from parity.pairs.structure import MisfitError
from parity.selftest.cases import CASES, healthy
from parity.trial.trial import Trial

SEEDS = 20

TOLERANCES: dict[str, dict[str, tuple[float, float]]] = {
    "torch assert_close": {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)},
    "rtol 1e-6, as chex": {"float32": (1e-6, 0.0), "float64": (1e-6, 0.0)},
}
"""{whose: {dtype: (rtol, atol)}}"""

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Judged:
    """One seed of one pair: the harness's verdict, and what fixed tolerances say."""

    verdict: Verdict
    close: dict[str, bool]
    reason: str = ""


@dataclass
class Rate:
    """How many of how many, and what that says of the rest."""

    count: int = 0
    runs: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str, failed: bool) -> None:
        """Count one run."""
        self.runs += 1
        self.count += failed
        if failed and name not in self.names:
            self.names.append(name)

    @property
    def bound(self) -> float:
        """The rate that is exceeded with 95% confidence by none: Clopper and Pearson's."""
        return upper_bound(self.count, self.runs)

    def __str__(self) -> str:
        return f"{self.count} of {self.runs} (at most {self.bound:.1%})"


def upper_bound(count: int, runs: int, confidence: float = 0.95) -> float:
    """Return the upper confidence bound on a rate seen ``count`` times in ``runs``; 1 of none."""
    if count >= runs:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        fewer = sum(
            math.comb(runs, k) * middle**k * (1 - middle) ** (runs - k) for k in range(count + 1)
        )
        low, high = (middle, high) if fewer > 1 - confidence else (low, middle)
    return high


def trials(pair: Pair, seeds: int) -> list[Judged]:
    """Judge a pair on each seed; it is compiled once."""
    judged, legs = [], None
    for seed in range(seeds):
        try:
            trial = Trial(pair, seed, DTYPES, legs)
            rows = [*trial.forward(), *trial.gradients()]
        except (MisfitError, ParityError) as error:
            none = dict.fromkeys(TOLERANCES, False)
            judged.append(Judged(Verdict.NOT_COMPARABLE, none, str(error)))
            continue
        legs = trial.legs
        worst = max(rows, key=lambda row: row.verdict.severity)
        close = {whose: _close(trial, TOLERANCES[whose]) for whose in TOLERANCES}
        judged.append(Judged(worst.verdict, close, f"{worst.name}: {worst.reason}"))
    return judged


def _close(trial: Trial, tolerances: dict[str, tuple[float, float]]) -> bool:
    """Return whether torch's outputs and gradients are all within a tolerance of JAX's."""
    for dtype, (rtol, atol) in tolerances.items():
        corners = trial.outcomes[dtype]
        left, right = corners["jax"], corners.get("torch.rule", corners["torch"])
        for part in (0, 1):
            for name, expected in left[part].items():
                error = np.abs(wide(right[part][name]) - wide(expected))
                if not np.all(error <= atol + rtol * np.abs(wide(expected))):
                    return False
    return True


@dataclass(frozen=True)
class Rates:
    """What a self-test found."""

    alarms: Rate
    """Healthy runs that failed."""
    less_accurate: Rate
    """Healthy runs that passed as lost accuracy."""
    misses: Rate
    """Faulty runs that passed."""
    tolerances: dict[str, tuple[Rate, Rate]]
    """{whose: (healthy runs failed, faulty runs passed)}"""


def measure(seeds: int = SEEDS, done: Callable[[str], None] = lambda what: None) -> Rates:
    """Run every healthy case and every fault on ``seeds`` seeds; ``done`` hears of each."""
    from parity.selftest.torch_faulty import FAULTS

    rates = Rates(Rate(), Rate(), Rate(), {whose: (Rate(), Rate()) for whose in TOLERANCES})
    for name in CASES:
        for found in trials(healthy(name), seeds):
            rates.alarms.add(f"{name} ({found.reason})", not found.verdict.passes)
            rates.less_accurate.add(name, found.verdict is Verdict.LESS_ACCURATE)
            for whose, (failed, _) in rates.tolerances.items():
                failed.add(name, not found.close[whose])
        done(name)
    for fault in FAULTS:
        for found in trials(healthy(fault.case, fault.torch), seeds):
            rates.misses.add(fault.name, found.verdict.passes)
            for whose, (_, passed) in rates.tolerances.items():
                passed.add(fault.name, found.close[whose])
        done(fault.name)
    return rates


def count() -> int:
    """Return how many cases and faults there are."""
    from parity.selftest.torch_faulty import FAULTS

    return len(CASES) + len(FAULTS)


def show(rates: Rates, console: Any) -> int:
    """Print the rates; return the exit code, 1 where a false alarm or a miss was seen."""
    console.print(f"false alarms: {rates.alarms} of healthy runs, {len(CASES)} functions")
    console.print(f"  of these passed as less accurate: {rates.less_accurate}")
    console.print(f"misses: {rates.misses} of faulty runs")
    for kind, rate in (("false alarm", rates.alarms), ("miss", rates.misses)):
        for name in rate.names:
            console.print(f"  {kind}: {name}", markup=False)
    for name in rates.less_accurate.names:
        console.print(f"  less accurate: {name}", markup=False)
    console.print("the same runs, by fixed tolerances:")
    for whose, (failed, passed) in rates.tolerances.items():
        console.print(f"  {whose}: false alarms {failed}; misses {passed}")
    return int(bool(rates.alarms.count or rates.misses.count))
