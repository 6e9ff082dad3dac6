"""What came of one gradient that a learner wrote: values only, which others find."""

from __future__ import annotations

from typing import NamedTuple

from parity.judge.cause import Cause
from parity.learn.course import Step


class Judged(NamedTuple):
    """One gradient, or one parameter, of an exercise, and what there is to say of it."""

    step: Step
    status: str
    """right, wrong, unwritten, or follows: from what is wrong above it"""
    said: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    name: str = ""
    """The tensor, where the step's function gives many; else it is the step's own."""
    printed: str = ""
    """What the learner's function printed on the way."""

    @property
    def label(self) -> str:
        """What it is called: `dlogits`; a new parameter, or a function, by its own name."""
        own = self.name or self.step.function
        return f"d{own}" if self.name and self.step.gives == "gradients" else own
