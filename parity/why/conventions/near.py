"""What of a search is near: at the lines where two functions part, by their values.

Of a whole model thousands of changes could be tried, each a run of all of it; those come first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from typing import Protocol, TypeVar

LINE = re.compile(r"[\w.]+:\d+")


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


def near(changes: Iterable[T], lines: Set[str]) -> Iterator[T]:
    """Yield the changes that are at one of the lines."""
    return (change for change in changes if is_near(change.said, lines))
