"""What a comparison can end in: one closed set of verdicts, and one row a tensor and dtype.

Values only; `judging.py` judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from parity.judge.cause import Cause
from parity.judge.compare import Difference, Distance, Spread


class Verdict(StrEnum):
    """What a comparison can end in, mildest first."""

    IDENTICAL = "identical"
    ROUNDING = "rounding"
    KINK = "kink"
    LESS_ACCURATE = "less accurate"
    CONVENTION = "convention"
    NOT_COMPARABLE = "not comparable"
    DIFFERENT = "different"

    @property
    def severity(self) -> int:
        """0 for the mildest."""
        return list(Verdict).index(self)

    @property
    def passes(self) -> bool:
        """Whether a run that ends so exits with 0."""
        return self.severity <= Verdict.LESS_ACCURATE.severity


class Status(StrEnum):
    """Where a difference starts: what one step has to do with it."""

    RIGHT = "right"
    INHERITED = "inherited"
    INTRODUCED = "introduced"


@dataclass(frozen=True)
class Row:
    """One tensor in one dtype: every corner's distance from the reference, and the verdict."""

    name: str
    dtype: str
    verdict: Verdict
    reason: str = ""
    odd: tuple[str, ...] = ()
    """The corners that stand apart from the rest, empty where there are none or two against two."""
    distances: Mapping[str, Distance] = field(default_factory=dict)
    pairs: tuple[Difference, ...] = ()
    zero: bool = False
    """True where a tensor of zeros would pass too: this loss says nothing about it."""
    batch: int = 0
    power: float = 0.0
    """The smallest relative fault in the mathematics that would not be called rounding."""
    power_here: float = 0.0
    """The smallest if it were in this dtype alone."""
    causes: tuple[Cause, ...] = ()
    """What explains the difference, most telling first."""
    place: str = ""
    """A `Status`: where the difference starts; empty where that is not known."""
    meant: bool = False
    """True where the odd corners may be what was meant: they detach on purpose."""
    spreads: Mapping[str, Spread] = field(default_factory=dict)
    """How each corner's elements lie about the reference."""

    @property
    def vacuous(self) -> bool:
        """Whether even zeros would pass for this tensor: nothing was tested."""
        return self.power >= 1 and self.verdict.passes

    @property
    def sigmas(self) -> float:
        """The largest distance of any corner."""
        return max((d.sigmas for d in self.distances.values()), default=float("inf"))


def worst_of(rows: Iterable[Row]) -> Row:
    """Return the row to show for several batches: the most severe, then the farthest."""
    return max(rows, key=lambda row: (row.verdict.severity, row.sigmas))
