"""Two weights that are one, and how all weights of two models go together. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from parity.models.layout import Layout


class Decided(StrEnum):
    """What decided that two weights are one."""

    VALUE = "value"
    STRUCTURE = "structure"
    USE = "use"
    NAME = "name"
    ORDER = "order"
    GIVEN = "given"

    @property
    def guess(self) -> bool:
        """Whether it may be another: neither numbers nor places tell."""
        return self in (Decided.NAME, Decided.ORDER)


DOUBT = [Decided.GIVEN, Decided.VALUE, Decided.STRUCTURE, Decided.NAME, Decided.ORDER]
"""How a match is decided, the surest first."""


@dataclass(frozen=True)
class Match:
    """One leaf of the JAX model as it stands in torch's tensors."""

    leaf: str
    layout: Layout
    decided: Decided
    others: tuple[Layout, ...] = ()
    """What it might be as well, as far as numbers tell."""


@dataclass(frozen=True)
class Weights:
    """How two models' weights go together."""

    matches: dict[str, Match]
    unfed: dict[str, str]
    """{leaf of JAX's that no tensor of torch's is: a sentence about it}"""
    unread: dict[str, str]
    """{tensor of torch's that is in no leaf, or not wholly: a sentence about it}"""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Of torch's tensors."""

    def of(self, name: str) -> list[Match]:
        """Return the matches that read a tensor of torch's."""
        return [match for match in self.matches.values() if name in match.layout.sources()]

    @property
    def guessed(self) -> list[Match]:
        """The matches that neither numbers nor places decided."""
        return [match for match in self.matches.values() if match.decided.guess]
