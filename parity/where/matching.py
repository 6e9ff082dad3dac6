"""Which values of two recordings are the same numbers, however they are arranged or repeated.

A value is known by its sorted numbers, a sample of many; its size finds where to look. Two are the
same within what rounding does to each. Values that many others may equal (whole numbers, booleans)
do not identify, and match nothing unless nothing that was given is in them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from parity.frameworks.recordings import Recording
from parity.judge.noise import BOUND

NEAR = 1e-5
"""Relative distance of two means at which values are still compared."""
ODD = 64
"""Numbers that are whole multiples of one over this identify nothing."""
SAMPLE = 2**16
"""Numbers that a value is known by: of larger ones so many, evenly spread in order."""
CHUNK = 2**20
"""Numbers that are looked at together."""
SMALLEST = 1e-200
"""Sum of squares below which they may have vanished."""


class Print:
    """What a value is known by: its sorted numbers, and their size at ``scale`` times the value."""

    def __init__(self, value: np.ndarray, sigma: float, scale: float = 1.0) -> None:
        self.value, self.scale, self.sigma = value, scale, sigma * abs(scale)
        self.count = value.size * (2 if value.dtype.kind == "c" else 1)

    @cached_property
    def size(self) -> float:
        """Return the root of the mean square of what is finite."""
        return _rms(self.value) * abs(self.scale)

    @cached_property
    def telling(self) -> bool:
        """Return whether its numbers are such as nothing else has by accident."""
        return self.value.dtype.kind in "fc" and any(map(_is_odd, _chunks(self.value)))

    @cached_property
    def ordered(self) -> np.ndarray:
        """Return its numbers in order, SAMPLE of them where there are more."""
        numbers = self.numbers()
        return numbers if self.count <= SAMPLE else numbers[spread(self.count)]

    def numbers(self) -> np.ndarray:
        """Return all of its numbers in order."""
        parts = [*_chunks(self.value)]
        return np.sort(self.scale * (np.concatenate(parts) if len(parts) > 1 else parts[0]))


def spread(count: int) -> np.ndarray:
    """Return SAMPLE places among so many: those of what is repeated are a multiple of its own."""
    return (2 * np.arange(SAMPLE) + 1) * count // (2 * SAMPLE)


def _chunks(value: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the numbers of an array in float64, a part at a time; a complex one is two."""
    x = np.ascontiguousarray(value).reshape(-1)
    if x.dtype.kind == "c":
        x = x.view(x.real.dtype)
    for start in range(0, x.size, CHUNK):
        yield x[start : start + CHUNK].astype(np.float64, copy=False)


def _is_odd(x: np.ndarray) -> bool:
    finite = x[np.isfinite(x)]
    far = np.abs(finite * ODD - np.round(finite * ODD))
    return bool(np.any(far > 1e-9 * np.maximum(1, np.abs(finite))))


def print_of(value: Any, sigma: float) -> Print | None:
    """Return what a value is known by; None of what holds no numbers."""
    if value is None or getattr(value, "dtype", None) is None or not np.size(value):
        return None
    x = np.asarray(value)
    return Print(x, sigma) if x.dtype.kind in "fiubc" else None


def same(one: Print, other: Print) -> bool:
    """Return whether two values are the same numbers, one as often as it may be of the other."""
    small, large = sorted((one, other), key=lambda known: known.count)
    often, rest = divmod(large.count, small.count)
    if rest:
        return False
    bound = BOUND * float(np.hypot(one.sigma, other.sigma))
    if large.count > SAMPLE:  # of those between, the sizes tell
        few = small.count <= SAMPLE
        held = small.ordered[spread(large.count) // often] if few else small.ordered
        alike = not abs(one.size - other.size) > bound
        return alike and _within(held, large.ordered, bound)
    ends = {0, often - 1}
    return all(_within(small.ordered, large.ordered[end::often], bound) for end in ends)


def _within(one: np.ndarray, other: np.ndarray, bound: float) -> bool:
    with np.errstate(invalid="ignore"):
        far = np.abs(one - other)
    return bool(np.all((far <= bound) | (one == other) | (np.isnan(one) & np.isnan(other))))


def joined(prints: Sequence[Print]) -> Print:
    """Return what several values are known by together."""
    numbers = np.concatenate([known.value.reshape(-1) for known in prints])
    return Print(numbers, max(known.sigma for known in prints))


def unscaled(known: Print) -> tuple[Print, Print]:
    """Return what a value and its negative are known by at the scale at which its size is 1."""
    scale = known.scale / (known.size or 1.0)
    sigma = known.sigma / abs(known.scale)
    return Print(known.value, sigma, scale), Print(known.value, sigma, -scale)


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


def roundings(recording: Recording, jittered: Iterable[Recording], size: float) -> list[float]:
    """Return how far rounding may move each value, from runs disturbed by ``size``.

    Runs that went another way say nothing; no value is held better than its own last digit. One of
    the runs is held at a time.
    """
    unit = 2.0**-53
    values = [_floats(value) for value in recording.values]
    found = [0.0 if x is None else unit * _rms(x) for x in values]
    for other in jittered:
        if len(other.values) == len(values):  # Python may have looked at the numbers
            for number, x in enumerate(values):
                if x is not None:
                    moved = _moved(x, _floats(other.values[number])) * unit / size
                    found[number] = max(found[number], moved)
        del other
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
    with np.errstate(over="ignore", invalid="ignore"):
        whole = sum(float(np.einsum("i,i", part, part)) for part in _chunks(x))
    if SMALLEST < whole < np.inf:
        return float(np.sqrt(whole / x.size))
    size = np.abs(x[np.isfinite(x)]).astype(np.float64)
    top = float(size.max(initial=0.0, where=np.isfinite(size)))
    return top * float(np.sqrt(np.mean((size / top) ** 2))) if top else 0.0
