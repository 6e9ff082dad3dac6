"""Which values of two recordings are the same numbers, however they are arranged or repeated.

A value is known by its sorted numbers; a mean and a size find where to look. Two are the same
within what rounding does to each. Values that many others may equal (whole numbers, booleans) do
not identify, and match nothing unless nothing that was given is in them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.recordings import Recording
from parity.judge.noise import BOUND

NEAR = 1e-5
"""Relative distance of two means at which values are still compared."""
ODD = 64
"""Numbers that are whole multiples of one over this identify nothing."""


class Print(NamedTuple):
    """What a value is known by."""

    ordered: np.ndarray
    size: float
    """Root of the mean square of what is finite."""
    sigma: float
    telling: bool
    """Whether its numbers are such as nothing else has by accident."""


def print_of(value: Any, sigma: float) -> Print | None:
    """Return what a value is known by; None of what holds no numbers."""
    if value is None or getattr(value, "dtype", None) is None or not np.size(value):
        return None
    x = np.asarray(value)
    if x.dtype.kind == "c":
        x = np.stack([x.real, x.imag])
    if x.dtype.kind not in "fiub":
        return None
    numbers = np.sort(x.astype(np.float64).ravel())
    finite = numbers[np.isfinite(numbers)]
    size = _rms(numbers)
    odd = np.abs(finite * ODD - np.round(finite * ODD)) > 1e-9 * np.maximum(1, np.abs(finite))
    return Print(numbers, size, sigma, x.dtype.kind in "fc" and bool(odd.any()))


def same(one: Print, other: Print) -> bool:
    """Return whether two values are the same numbers, one as often as it may be of the other."""
    small, large = sorted((one.ordered, other.ordered), key=len)
    often, rest = divmod(len(large), len(small))
    if rest:
        return False
    bound = BOUND * np.hypot(one.sigma, other.sigma)
    ends = (large,) if often == 1 else (large[::often], large[often - 1 :: often])
    return all(_within(small, end, bound) for end in ends)


def _within(one: np.ndarray, other: np.ndarray, bound: float) -> bool:
    with np.errstate(invalid="ignore"):
        far = np.abs(one - other)
    return bool(np.all((far <= bound) | (one == other) | (np.isnan(one) & np.isnan(other))))


def unscaled(known: Print) -> tuple[Print, Print]:
    """Return what a value and its negative are known by at the scale at which its size is 1."""
    size = known.size or 1.0
    sigma = known.sigma / size
    ordered = known.ordered / size
    return (
        Print(ordered, 1.0, sigma, known.telling),
        Print(-ordered[::-1], 1.0, sigma, known.telling),
    )


class Index:
    """Values of one recording, to be found by their numbers."""

    def __init__(self, prints: Sequence[Print | None]) -> None:
        known = [(p.size, number) for number, p in enumerate(prints) if p is not None]
        self.prints = prints
        self.sizes, self.numbers = [], []
        for size, number in sorted(known):
            self.sizes.append(size)
            self.numbers.append(number)

    def find(self, wanted: Print | None) -> list[int]:
        """Return the numbers of all values that are the same, in the order in which made."""
        if wanted is None:
            return []
        slack = NEAR * wanted.size + BOUND * wanted.sigma
        start = bisect_left(self.sizes, wanted.size - slack)
        found = []
        for place in range(start, len(self.sizes)):
            if self.sizes[place] > wanted.size + slack:
                break
            held = self.prints[self.numbers[place]]
            if held is not None and same(wanted, held):
                found.append(self.numbers[place])
        return sorted(found)


def roundings(recording: Recording, jittered: Sequence[Recording], size: float) -> list[float]:
    """Return how far rounding may move each value, from runs disturbed by ``size``.

    Runs that went another way say nothing; no value is held better than its own last digit.
    """
    alike = [
        other for other in jittered if len(other.values) == len(recording.values)
    ]  # Python may have looked at the numbers
    unit = 2.0**-53
    found = []
    for number, value in enumerate(recording.values):
        x = _floats(value)
        if x is None:
            found.append(0.0)
            continue
        least = unit * _rms(x)
        moved = [_moved(x, _floats(other.values[number])) * unit / size for other in alike]
        found.append(max(least, *moved) if moved else least)
    return found


def _floats(value: Any) -> np.ndarray | None:
    kind = getattr(getattr(value, "dtype", None), "kind", "V")
    return np.asarray(value) if kind in "fc" and np.size(value) else None


def _moved(x: np.ndarray, noisy: np.ndarray | None) -> float:
    if noisy is None or noisy.shape != x.shape:
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        return _rms(noisy - x)


def _rms(x: np.ndarray) -> float:
    """Return the root mean square of what is finite, however large."""
    with np.errstate(over="ignore"):
        size = np.abs(x[np.isfinite(x)])
    top = float(size.max(initial=0.0, where=np.isfinite(size)))
    return top * float(np.sqrt(np.mean((size / top) ** 2))) if 0 < top < np.inf else 0.0
