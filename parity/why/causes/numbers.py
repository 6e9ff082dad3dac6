"""Names for the numbers that factors turn out to be: n, 1/n, (n-1)/n, a half."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import permutations

SIMPLE = tuple(
    Fraction(text) for text in "1 2 1/2 3 1/3 4 1/4 3/2 2/3 5 1/5 6 1/6 8 1/8 10 1/10".split()
)


def named(sizes: Mapping[str, int]) -> Iterator[list[tuple[str, float]]]:
    """Yield (name, number) in tiers, the plainest names first; positive numbers only."""
    yield [(str(f), float(f)) for f in SIMPLE[:3]] + list(_single(sizes))
    yield list(_around_one(sizes))
    yield [(str(f), float(f)) for f in SIMPLE[3:]] + list(_pairs(sizes))


def names_of(value: float, tolerance: float, sizes: Mapping[str, int]) -> list[tuple[str, float]]:
    """Return every plainest (name, number) within ``tolerance`` of ``value``; 0 is named too."""
    if abs(value) <= tolerance:
        return [("0", 0.0)]
    sign, size = ("-", abs(value)) if value < 0 else ("", value)
    for tier in named(sizes):
        found = [(f"{sign}{name}", math.copysign(n, value)) for name, n in tier
                 if abs(n - size) <= tolerance]  # fmt: skip
        if found:
            return found
    return []


def count(sizes: Mapping[str, int]) -> int:
    """Return how many numbers have a name."""
    return 2 * sum(map(len, named(sizes)))


def _single(sizes: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    for name, size in sizes.items():
        if size > 2:
            yield name, float(size)
            yield f"1/{name}", 1 / size


def _around_one(sizes: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    for name, size in sizes.items():
        if size > 2:
            yield f"({name}-1)", size - 1.0
            yield f"1/({name}-1)", 1 / (size - 1)
            yield f"({name}-1)/{name}", (size - 1) / size
            yield f"{name}/({name}-1)", size / (size - 1)


def _pairs(sizes: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    for name, size in sizes.items():
        if size > 2:
            yield f"{name}^2", float(size**2)
            yield f"1/{name}^2", 1 / size**2
            yield f"sqrt({name})", math.sqrt(size)
            yield f"1/sqrt({name})", 1 / math.sqrt(size)
            yield f"2/{name}", 2 / size
            yield f"2*{name}", 2.0 * size
            yield f"2/({name}-1)", 2 / (size - 1)
            yield f"({name}+1)/{name}", (size + 1) / size
            yield f"({name}-2)/({name}-1)", (size - 2) / (size - 1)
    for (one, a), (two, b) in permutations(sizes.items(), 2):
        if a > 2 and b > 2:
            yield f"{one}/{two}", a / b
            if one < two:
                yield f"{one}*{two}", float(a * b)
                yield f"1/({one}*{two})", 1 / (a * b)
