"""The lines of a user's file around a place, where exactly one imported file has its name.

Reads what is imported already, and imports nothing; silent where it cannot be sure.
"""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PLACE = re.compile(r"([\w.\-]+\.py):(\d+)")
AROUND = 2
"""Lines shown before and behind."""
APART = 6
"""Lines between two places that are shown in one piece."""


class Piece(NamedTuple):
    """Some lines of a file; those that it is about are marked."""

    file: str
    lines: tuple[tuple[int, str, bool], ...]
    """(number, text, whether it is about this one)"""


def pieces(places: Iterable[str]) -> list[Piece]:
    """Return the source around places that are written "FILE.py:LINE ...", in order of lines."""
    numbers: dict[str, set[int]] = {}
    for place in places:
        for file, line in PLACE.findall(place):
            numbers.setdefault(file, set()).add(int(line))
    found = []
    for file, marked in numbers.items():
        path = _path(file)
        text = linecache.getlines(path) if path else []
        for group in _groups(sorted(n for n in marked if 0 < n <= len(text))):
            first, last = max(group[0] - AROUND, 1), min(group[-1] + AROUND, len(text))
            shown = range(first, last + 1)
            found.append(
                Piece(file, tuple((n, text[n - 1].rstrip("\n"), n in marked) for n in shown))
            )
    return found


def _path(file: str) -> str | None:
    """Return where the one imported file of this name is; None of none or several."""
    known = {getattr(module, "__file__", None) for module in [*sys.modules.values()]}
    same = {path for path in known if isinstance(path, str) and Path(path).name == file}
    return same.pop() if len(same) == 1 else None


def _groups(numbers: list[int]) -> list[list[int]]:
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number - groups[-1][-1] <= APART:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups
