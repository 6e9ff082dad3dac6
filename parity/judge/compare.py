"""Two arrays that should agree: by how much they do not, and where. NumPy only, never broadcasts.

Measures; `verdict.py` judges.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Difference(NamedTuple):
    """How one corner's array differs from another's."""

    left: str
    right: str
    exact: bool
    """Every element equal; NaN equals nothing."""
    approximate: bool
    """numpy.allclose with its defaults, as the notebook shows it; nothing is judged by it."""
    maxdiff: float
    ulp: float
    """Representable numbers between the two, at the worst element."""
    worst: tuple[int, ...]
    """The coordinate of the largest difference."""


class Distance(NamedTuple):
    """How far an array is from its reference, in sigmas, at the worst coordinate."""

    sigmas: float
    worst: tuple[int, ...]


class Entry(NamedTuple):
    """One element that is far off."""

    at: tuple[int, ...]
    value: str
    """As it is written: real, complex or narrow."""
    reference: str
    sigmas: float


class Spread(NamedTuple):
    """How an array's elements lie about its reference: how many at which distance."""

    counts: tuple[int, ...]
    """Elements below 2**(FIRST + i) sigmas and not below half of it; all above in the last."""
    worst: tuple[Entry, ...]
    """The farthest few."""


FIRST, BINS = -6, 24
"""All below 2**FIRST sigmas are one bin, and so are those of 2**(FIRST + BINS - 2) and more."""
FARTHEST = 3
CHUNK = 2**20
"""Elements that are looked at together: what is made of them is not small either."""


def is_float(dtype: np.dtype) -> bool:
    """Return whether a dtype is floating point, real or complex; bfloat16 is unknown to NumPy."""
    return dtype.kind in "fc" or dtype.name == "bfloat16"


def alike(one: Iterable[np.ndarray], other: Iterable[np.ndarray]) -> bool:
    """Return whether arrays are the same, bit by bit; integers, which JAX narrows, as int64."""
    for pair in zip(one, other, strict=True):
        a, b = (x if is_float(x.dtype) else x.astype(np.int64) for x in pair)
        if (a.dtype, a.shape) != (b.dtype, b.shape) or not np.array_equal(_bits(a), _bits(b)):
            return False
    return True


def _bits(x: np.ndarray) -> np.ndarray:
    flat = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
    return flat if flat.size % 8 else flat.view(np.uint64)


def structure(corner: str, value: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> str:
    """Return what is wrong with an array's shape or dtype as a sentence, or an empty string."""
    if value.shape != shape:
        return f"{corner} returns shape {value.shape} for a tensor of shape {shape}"
    if value.dtype != dtype:
        return f"{corner} returns {value.dtype} in a {dtype} run"
    return ""


def compare(left: str, a: np.ndarray, right: str, b: np.ndarray) -> Difference:
    """Compare two arrays of one shape and dtype (else ValueError); NaN is infinitely far."""
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(f"{left} is {a.dtype}{a.shape}, {right} is {b.dtype}{b.shape}")
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(a == b, 0.0, np.abs(a - b)).astype(np.float64)
    difference = np.where(np.isnan(difference), np.inf, difference)
    worst = _worst(difference)
    return Difference(
        left,
        right,
        exact=bool(np.all(a == b)),
        approximate=bool(np.allclose(a, b)),
        maxdiff=float(difference.max(initial=0.0)),
        ulp=max(
            (float(ulps(x, y).max()) for x, y in zip(*map(_chunks, (a, b)), strict=True)),
            default=0.0,
        ),
        worst=worst,
    )


def ulps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return how many representable numbers lie between a and b, element by element (NaN: inf).

    Floats of one sign are ordered as their bits are, read as integers; +0 and -0 are one number.
    Of a complex number, the part that is farther off.
    """
    if a.dtype.kind == "c":
        return np.maximum(ulps(a.real, b.real), ulps(a.imag, b.imag))
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    sign = unsigned.type(1 << (8 * a.dtype.itemsize - 1))

    def place(x: np.ndarray) -> np.ndarray:
        bits = np.asarray(x + x.dtype.type(0)).view(unsigned)  # adding 0 turns -0 into +0
        with np.errstate(over="ignore"):  # NumPy says so of scalars, not of arrays
            return np.where(bits & sign, ~bits + unsigned.type(1), bits | sign)

    first, second = place(a), place(b)
    gap = np.maximum(first, second) - np.minimum(first, second)
    return np.where(np.isnan(a) | np.isnan(b), np.inf, gap.astype(np.float64))


def wide(array: np.ndarray) -> np.ndarray:
    """Return a floating array as float64, or complex128."""
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def rms(x: np.ndarray) -> float:
    """Return the root mean square of what is finite in an array; 0 where nothing is."""
    finite = np.abs(x[np.isfinite(x)])
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0


def distance(value: np.ndarray, reference: np.ndarray, sigma: np.ndarray) -> Distance:
    """Return the largest |value - reference| / sigma and where it is.

    Infinite where exactly one of the two is finite, or both are not and differ; an element that is
    the same infinity, or NaN, in both is skipped (the caller says so), and so is one whose sigma is
    not finite.
    """
    ratio = _ratio(value, reference, sigma)
    return Distance(float(ratio.max(initial=0.0)), _worst(ratio))


def spread(value: np.ndarray, reference: np.ndarray, sigma: np.ndarray) -> Spread:
    """Return at which distances the elements are, as `distance` has them, and the farthest few."""
    ratio = _ratio(value, reference, sigma)
    flat, counts, farthest = ratio.ravel(), np.zeros(BINS, int), list[int]()
    for number, part in enumerate(_chunks(ratio)):
        with np.errstate(divide="ignore"):
            powers = np.nan_to_num(np.floor(np.log2(part)) + 1 - FIRST, neginf=0, posinf=BINS)
        counts += np.bincount(np.clip(powers, 0, BINS - 1).astype(int), minlength=BINS)
        most = min(FARTHEST, part.size)
        farthest += (number * CHUNK + np.argpartition(-part, most - 1)[:most]).tolist()
    entries = []
    for place in sorted(farthest, key=lambda place: -flat[place])[:FARTHEST]:
        at = tuple(int(i) for i in np.unravel_index(place, ratio.shape))
        entries.append(Entry(at, f"{value[at]:.9g}", f"{reference[at]:.9g}", float(flat[place])))
    return Spread(tuple(counts.tolist()), tuple(entries))


def _chunks(array: np.ndarray) -> list[np.ndarray]:
    flat = array.reshape(-1)
    return [flat[start : start + CHUNK] for start in range(0, flat.size, CHUNK)]


def _ratio(value: np.ndarray, reference: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        ratio = np.asarray(np.abs(wide(value) - reference))
        ratio /= sigma
    if np.isfinite(ratio.max(initial=0.0)):  # no more to be asked, as nearly everywhere
        return ratio
    finite = np.isfinite(value) & np.isfinite(reference)
    same = (value == reference) | (np.isnan(value) & np.isnan(reference))
    found: np.ndarray = np.where(finite, np.nan_to_num(ratio, nan=0.0), np.where(same, 0.0, np.inf))
    return found


def _worst(array: np.ndarray) -> tuple[int, ...]:
    if not array.size:
        return ()
    return tuple(int(i) for i in np.unravel_index(np.argmax(array), array.shape))
