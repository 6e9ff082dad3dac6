"""Numbers as a person would write them: another constant, something of a size, a short decimal.

A fitted number is worth naming only if it can be written in few words; it is tried as written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

UNIVERSAL = {
    "1": 1.0,
    "0": 0.0,
    "-1": -1.0,
    "2": 2.0,
    "1/2": 0.5,
    "3": 3.0,
    "1/3": 1 / 3,
    "4": 4.0,
    "1/4": 0.25,
    "ln 2": math.log(2),
    "1/ln 2": 1 / math.log(2),
    "ln 10": math.log(10),
    "1/ln 10": 1 / math.log(10),
    "pi": math.pi,
    "2 pi": 2 * math.pi,
    "180/pi": 180 / math.pi,
    "pi/180": math.pi / 180,
    "sqrt 2": math.sqrt(2),
    "1/sqrt 2": 1 / math.sqrt(2),
    "sqrt(2 pi)": math.sqrt(2 * math.pi),
    "sqrt(2/pi)": math.sqrt(2 / math.pi),
    "float64's eps": float(np.finfo(np.float64).eps),
    "float32's eps": float(np.finfo(np.float32).eps),
}

DIGITS = 2
"""A decimal of up to so many digits is short."""


class Spelled(NamedTuple):
    """A number and how it is written; without words where it is a plain decimal."""

    value: float
    words: str


def spellings(
    value: float,
    sizes: Iterable[int],
    known: Iterable[float],
    within: float = 1e-3,
    decimals: bool = True,
) -> Iterator[Spelled]:
    """Yield what ``value`` may be meant to be, plainest first, up to a relative ``within``.

    ``known`` are the other side's constants. Without ``decimals``, only what has a reason.
    """
    tried, sizes = set[float](), [*sizes]
    for number, words in chain(_named(sizes, known), _decimals(value) if decimals else ()):
        near = abs(number - value) <= within * max(abs(value), abs(number)) or (
            number == 0 and abs(value) < 1e-12
        )
        if near and number not in tried:
            tried.add(number)
            yield Spelled(number, words or of_sizes(number, sizes))


def _named(sizes: Iterable[int], known: Iterable[float]) -> Iterator[tuple[float, str]]:
    for constant in known:
        yield float(constant), ""
    sizes = [n for n in dict.fromkeys(sizes) if n > 1]
    for n in sizes:
        yield from _of_size(n)
    for words, number in UNIVERSAL.items():
        yield number, "" if words.lstrip("-").isdigit() else words
    for constant in known:
        yield from _of_constant(float(constant))
    for n in sizes:
        for other in sizes:
            if other != n:
                yield other / n, f"{other}/{n}"


def _decimals(value: float) -> Iterator[tuple[float, str]]:
    for digits in range(1, DIGITS + 1):
        yield float(f"{value:.{digits - 1}e}"), ""


def _of_size(n: int) -> Iterator[tuple[float, str]]:
    yield float(n), ""
    yield 1 / n, f"1/{n}"
    yield float(n - 1), f"{n} - 1"
    yield float(n + 1), f"{n} + 1"
    yield (n - 1) / n, f"{n - 1}/{n}, (n - 1)/n for n = {n}"
    yield n / (n - 1), f"{n}/{n - 1}, n/(n - 1) for n = {n}, as Bessel's correction is"
    if n > 2:
        yield 1 / (n - 1), f"1/({n} - 1)"
    if math.isqrt(n) ** 2 != n:
        yield math.sqrt(n), f"sqrt({n})"
        yield 1 / math.sqrt(n), f"1/sqrt({n})"


def _of_constant(c: float) -> Iterator[tuple[float, str]]:
    written = f"{c:.6g}"
    yield -c, ""
    yield 1 - c, f"1 - {written}"
    if c:
        yield 1 / c, f"1/{written}"
    square, short = c * c, float(f"{c * c:.0e}")
    yield (short, "") if math.isclose(square, short) else (square, f"{written} squared")
    if c > 0:
        yield math.sqrt(c), f"sqrt({written})"
    yield 2 * c, f"2 * {written}"
    yield c / 2, f"{written}/2"


def of_sizes(value: object, sizes: Iterable[int]) -> str:
    """Return how a number is made of a size or is well known, if it is and is no plain decimal."""
    if isinstance(value, bool) or not isinstance(value, float) or float(f"{value:.3g}") == value:
        return ""
    return next((s.words for s in spellings(value, sizes, (), 1e-14)), "")


def written(value: object) -> str:
    """Return a constant as it is shown: six digits, words in quotes."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return repr(value)
    if isinstance(value, int) or (
        math.isfinite(value) and value == int(value) and abs(value) < 1e6
    ):
        return str(int(value))
    return f"{value:.6g}".replace("e-0", "e-")
