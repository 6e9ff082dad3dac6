"""Numbers with the digits that a dtype has. What is equal is the array itself: held once."""

from __future__ import annotations

import numpy as np

from parity.judge.compare import FLOAT64


def cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return a float64 or complex128 array in ``dtype`` or its complex kind; others as they are."""
    if array.dtype.kind == "c":
        return array.astype(np.result_type(dtype, np.complex64))
    return array.astype(dtype) if array.dtype.kind == "f" else array


def held_by(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return what ``dtype`` holds of an array, in float64."""
    if array.dtype == dtype:
        return array
    return _the_same(array, cast(array, dtype).astype(array.dtype))


def in_precision(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return float64 numbers with no more digits than ``dtype`` has; its range is not imposed."""
    if array.dtype.kind == "c":
        return in_precision(array.real, dtype) + 1j * in_precision(array.imag, dtype)
    if array.dtype.kind != "f" or dtype == FLOAT64:
        return array
    digits = {"float32": 24, "float16": 11, "bfloat16": 8}[dtype.name]
    mantissa, exponent = np.frexp(array)
    return _the_same(array, np.ldexp(np.round(np.ldexp(mantissa, digits)), exponent - digits))


def _the_same(array: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return what was made of an array, and the array itself where that is equal."""
    return array if np.array_equal(array, made, equal_nan=array.dtype.kind in "fc") else made
