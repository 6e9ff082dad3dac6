"""What another float in the code is: where it was written, and what number was meant.

Knows no framework.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from parity.judge.noise import roundoff

TABLE = "a table"
"""What an array that is held in a narrower float is called among operations."""


def is_table(values: np.ndarray) -> bool:
    """Return whether numbers that are held in float32 may be others, rounded: 8 bits do not do."""
    values = np.asarray(values, np.float64)
    mantissa = np.frexp(values[np.isfinite(values)])[0] * 256
    return values.size > 1 and bool(np.any(mantissa != np.round(mantissa)))


class Narrowing(NamedTuple):
    """A place where a function given float64 goes on in a narrower float."""

    operation: str
    line: str
    """file:line, empty where it is not known."""
    to: str
    """The dtype."""
    source: str = ""
    """The dtype before; empty where it is made so."""
    backward: bool = False
    """Whether it is autodiff's, which undoes a conversion of the forward pass."""

    @property
    def table(self) -> bool:
        """Whether it is numbers that were rounded before the run, and stay what they are."""
        return self.operation == TABLE

    def __str__(self) -> str:
        return f"{self.operation}{' at ' + self.line if self.line else ''}"


class Conversion(NamedTuple):
    """A place where a function goes on in another float than the one that it has."""

    operation: str
    line: str
    """file:line, empty where it is not known."""
    source: str
    """The dtype before."""
    to: str
    """The dtype after."""


class Converted(NamedTuple):
    """A conversion as it is told: in a run of which dtype, on which side, and whether on both."""

    dtype: str
    side: str
    place: Conversion
    both: bool | None
    """Whether the other side does so with the same numbers; None where that is not known."""


class Place(NamedTuple):
    """An operation in the code, and the float in which it ran."""

    operation: str
    line: str
    """file:line, empty in a backward pass of torch's."""
    dtype: str


class Made(NamedTuple):
    """Numbers that an operation made: how many, and two sums that no order of them changes."""

    place: Place
    size: int
    total: float
    squares: float
    adds: bool
    """Whether each is made of many, with a rounding each."""


def made(place: Place, numbers: np.ndarray, adds: bool) -> Made:
    """Return what tells an operation's numbers from others."""
    with np.errstate(all="ignore"):  # a mask's -3e38, added up
        return Made(place, numbers.size, float(numbers.sum()), float((numbers**2).sum()), adds)


HALVES = ("bfloat16", "float16")


ROUNDOFFS = {
    "bfloat16": 2.0**-8,
    "complex64": roundoff(np.float32),
    "complex128": roundoff(np.float64),
    "float8_e4m3fn": 2.0**-4,
    "float8_e4m3fnuz": 2.0**-4,
    "float8_e5m2": 2.0**-3,
    "float8_e5m2fnuz": 2.0**-3,
}
"""The unit roundoffs of what NumPy does not know, and of the parts of complex numbers."""


def roundoff_of(name: str) -> float:
    """Return the unit roundoff of a float by its name."""
    return ROUNDOFFS[name] if name in ROUNDOFFS else roundoff(np.dtype(name))


SHORT = 8
"""Characters of a decimal that somebody wrote: 0.044715 has them, float32's 1/3 has not."""

SIMPLE = 128
"""The largest denominator of a simple fraction: few enough that none is met by chance."""

FORMS: tuple[tuple[Callable[[float], float], Callable[[float], float]], ...] = (
    (abs, float),
    (lambda x: x * x, math.sqrt),
    (lambda x: abs(x) / math.pi, lambda q: q * math.pi),
    (lambda x: x * x * math.pi, lambda q: math.sqrt(q / math.pi)),
    (lambda x: x * x / math.pi, lambda q: math.sqrt(q * math.pi)),
    (lambda x: math.exp(-abs(x)), lambda q: -math.log(q) if q > 0 else 0.0),
)
"""What a number may be made of a simple fraction by: how to get the fraction, and back."""


def meant(value: float) -> float:
    """Return the float64 whose rounding to float32 a number is, where that can be read off.

    That is the short decimal that stands for it; or a simple fraction, or one under a root or with
    pi in it, as 1 / sqrt(64) and sqrt(2 / pi). A number that no float32 holds is what it is.
    """
    with np.errstate(over="ignore"):
        short = np.float32(value)
    if float(short) != value or not math.isfinite(value):
        return value
    if len(decimal := str(short)) <= SHORT or value.is_integer():
        return float(decimal)
    for onto, back in FORMS:
        fraction = Fraction(onto(value)).limit_denominator(SIMPLE)
        found = back(float(fraction)) * math.copysign(1.0, value)
        if fraction and np.float32(found) == short:
            return found
    return value
