"""What a cause is: a sentence with its evidence. Values only; `why/` finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of causes: a closed set, in the order in which they are tried."""

    RAISES = "raises"
    NOT_TRACEABLE = "not traceable"
    IMPURE = "impure"
    NOT_LINEAR = "not linear"
    NOT_FINITE = "not finite"
    SHAPE = "shape"
    ZEROS = "zeros"
    CONJUGATED = "conjugated"
    FACTOR = "factor"
    PATHS = "paths"
    SAME = "another tensor"
    REDUCTION = "reduction"
    SELECTION = "selection"
    INDICES = "indices"
    ORDER = "order"
    PRODUCT = "product"
    POWER = "power"
    ELEMENTWISE = "elementwise"
    UPSTREAM = "upstream"
    SLICES = "slices"
    OFFSET = "offset"
    EDIT = "edit"
    CONSTANT = "constant"
    CONVERSION = "conversion"
    CONVENTION = "convention"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cause:
    """One explanation that restores parity, or, of kind unknown, what the difference looks like."""

    kind: Kind
    key: str
    """The finding without words, for programs: ``n``, ``variance 0``, ``(1, 0)``."""
    sentence: str
    """For an engineer: what was found."""
    hint: str
    """For a learner: a question."""
    evidence: str = ""
    """The numbers, and how closely they fit."""
    tensor: str = ""
    """Where it starts, if the caller said."""
    line: str = ""
    """file:line of the user's that it is about, where it is about one."""

    def __str__(self) -> str:
        place = f"{self.tensor}: " if self.tensor else ""
        return f"{place}{self.sentence}" + (f" ({self.evidence})" if self.evidence else "")


def enumerated(words: Sequence[str]) -> str:
    """Return words as a sentence has them: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
