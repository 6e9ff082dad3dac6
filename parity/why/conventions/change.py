"""What is done otherwise on one side of a pair, and the problems that it is judged on. Values only.

Runs nothing; `rerun.py` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from parity.frameworks.programs import Edit
from parity.pairs.legs import Outcome
from parity.why.conventions.layouts import Layout


class Problem(Protocol):
    """One problem in float64: the values, every corner's answer, each framework's noise."""

    @property
    def values(self) -> tuple[np.ndarray, ...]:
        """Inputs, then cotangents."""

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """By corner."""

    @property
    def own(self) -> Mapping[str, Outcome]:
        """Each framework's own noise."""


@dataclass(frozen=True)
class Change:
    """What one side does otherwise."""

    side: str
    said: str = ""
    program: int | None = None
    """Which of the side's programs the slots and places belong to; None where there are none."""
    values: Mapping[int, Any] = field(default_factory=dict)
    edits: Mapping[int, Edit] = field(default_factory=dict)
    inputs: tuple[Layout, ...] = ()
    outputs: tuple[Layout, ...] = ()
    exchanged: tuple[str, ...] = ()
    """Two inputs, each given for the other."""
    mixed: tuple[tuple[str, str, float], ...] = ()
    """(input, another, factor): so many times the other is added to the one."""
    left_out: tuple[tuple[str, float], ...] = ()
    """(input, number): rows where it is that number are left out of every input with as many."""
    key: tuple[Any, ...] = ()
    """What is equal for changes that say the same in other words; of a constant, its value last."""

    @property
    def of_inputs(self) -> bool:
        """Whether the side is given other inputs."""
        return bool(self.inputs or self.exchanged or self.mixed or self.left_out)

    def __add__(self, other: Change) -> Change | None:
        """Return both changes as one, None where they are to different programs."""
        programs = {c.program for c in (self, other) if c.program is not None}
        if self.side != other.side or len(programs) > 1:
            return None
        outputs = self.outputs + other.outputs
        if other.of_inputs:  # what is done around the function stands inside what is done already
            outputs = other.outputs + self.outputs
        return Change(
            self.side,
            f"{self.said} and {other.said}",
            next(iter(programs), None),
            {**self.values, **other.values},
            {**self.edits, **other.edits},
            self.inputs + other.inputs,
            outputs,
            self.exchanged + other.exchanged,
            self.mixed + other.mixed,
            self.left_out + other.left_out,
            (self.key, other.key),
        )
