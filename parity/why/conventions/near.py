"""What of a search is near: at the lines where two functions part, by their values.

Of a whole model thousands of changes could be tried, each a run of all of it; those come first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Protocol, TypeVar

LINE = re.compile(r"[\w.]+:\d+")

Where = Callable[[str], bool]
"""Whether a change in such words is among those that are tried."""


class Said(Protocol):
    """A change in words."""

    @property
    def said(self) -> str:
        """The words, with the line that it is at."""


T = TypeVar("T", bound=Said)


def is_near(words: str, lines: Set[str]) -> bool:
    """Return whether words name one of the lines, or no line: that may be anywhere."""
    named = LINE.findall(words)
    return not lines or not named or not lines.isdisjoint(named)


def anywhere(words: str) -> bool:
    """Return True: every change is among those that are tried."""
    return True


def chosen(changes: Iterable[T], where: Where) -> Iterator[T]:
    """Yield the changes that are there."""
    return (change for change in changes if where(change.said))
