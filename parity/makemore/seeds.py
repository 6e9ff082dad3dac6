"""torch's CPU generator in NumPy: the same seed gives the same parameters and the same minibatches.

MT19937 words, turned into integers and normals the way torch's CPU kernels do it. ``randint`` is
bit-exact. ``randn`` of 16 values or more is bit-exact (0 ulp over 419 million values, torch 2.13)
against the kernel of x86 machines with AVX2 or AVX-512, whose float32 polynomials are written out
here. Elsewhere torch rounds the angle differently: the same words give values within 4e-6 of
these. Below 16 values torch works in float64, rounded to float32 (0 ulp over 480,000 values).

This file refuses to be a general random library: no other distributions, no global state, no copy.
"""

from __future__ import annotations

import math
import operator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

RANDINT_LIMIT = 2**28  # from here on torch 2.13 spends two words on an integer
_BLOCK = 16  # torch's vectorised normal kernel: 8 radii, 8 angles
_SKIP_CHUNK = 2**20  # words; bounds the memory of a long skip


class Generator:
    """The twin of ``torch.Generator().manual_seed(seed)``, for -2**63 <= seed < 2**64."""

    def __init__(self, seed: int) -> None:
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"seed must lie in [-2**63, 2**64), as for torch, not {seed}")
        # torch, too, seeds its MT19937 with the low 32 bits alone.
        self._stream = np.random.RandomState(seed & 0xFFFF_FFFF)
        self._words_used = 0
        self._spare: float | None = None  # the second half of the last float64 Box-Muller pair

    @property
    def words_used(self) -> int:
        """Position in the stream, in 32-bit words."""
        return self._words_used

    def words(self, count: int) -> NDArray[np.uint32]:
        """The next ``count`` raw 32-bit words."""
        if count < 0:
            raise ValueError(f"cannot draw {count} words: the stream only runs forward")
        drawn = self._stream.randint(0, 2**32, count, dtype=np.uint32)
        self._words_used += count
        return drawn

    def skip(self, words: int) -> None:
        """Move ``words`` words forward (4 ns each); a normal kept for later stays kept.

        torch has no such call. Only the position in words moves, as if another draw of whole
        words had come between, and those leave the kept normal alone in torch as well.
        """
        if words < 0:
            raise ValueError(f"cannot skip {words} words: the stream only runs forward")
        for start in range(0, words, _SKIP_CHUNK):
            self.words(min(_SKIP_CHUNK, words - start))

    def randint(self, high: int, shape: int | tuple[int, ...]) -> NDArray[np.int64]:
        """``torch.randint(0, high, shape)``: one word an integer, modulo ``high`` < 2**28."""
        high = operator.index(high)
        if not 1 <= high < RANDINT_LIMIT:
            raise ValueError(f"high must lie in [1, 2**28), one word an integer, not {high}")
        shape = (shape,) if isinstance(shape, int) else shape
        drawn = self.words(_size(shape)) % np.uint32(high)
        return drawn.astype(np.int64).reshape(shape)

    def randn(self, *shape: int) -> Floats:
        """``torch.randn(shape)``: standard normals, by one of torch's two methods."""
        size = _size(shape)
        values = self._block_normals(size) if size >= _BLOCK else self._serial_normals(size)
        return values.reshape(shape)

    def _block_normals(self, size: int) -> Floats:
        """Size >= 16: blocks of 16 words."""
        return normals(self.words(spent(size)), size)

    def _serial_normals(self, size: int) -> Floats:
        """Size < 16: float64 pairs of four words; the odd one out is kept for the next call."""
        kept = [] if self._spare is None or size == 0 else [self._spare]
        pairs = (size - len(kept) + 1) // 2
        values = np.concatenate([kept, _box_muller_pairs(self.words(4 * pairs))])
        if size > 0:
            self._spare = float(values[size]) if len(values) > size else None
        return values[:size].astype(np.float32)


def spent(size: int) -> int:
    """How many words `Generator.randn` of ``size`` values spends, 16 or more."""
    return size if size % _BLOCK == 0 else size + _BLOCK


def normals(words: NDArray[np.uint32], size: int) -> Floats:
    """Return ``size`` normals (16 or more), [..., size], of `spent` words each, [..., words].

    A ragged tail redraws the last 16 places.
    """
    whole = size - size % _BLOCK
    values = np.empty((*words.shape[:-1], size), np.float32)
    values[..., :whole] = _box_muller(words[..., :whole])
    if size > whole:
        # torch fills every place before it transforms: the tail's first words are lost.
        values[..., -_BLOCK:] = _box_muller(words[..., size:])
    return values


def _size(shape: tuple[int, ...]) -> int:
    """How many elements ``shape`` holds; ValueError if a length is negative."""
    if any(length < 0 for length in shape):
        raise ValueError(f"lengths must not be negative, as in shape {shape}")
    return math.prod(shape)


def _box_muller_pairs(words: NDArray[np.uint32]) -> Doubles:
    """sqrt(-2 ln(1 - v)) (cos, sin)(2 pi u), float64; u, v of 53 bits each, high word first."""
    high, low = words.reshape(-1, 2).astype(np.uint64).T
    u, v = (((high << 32 | low) & (2**53 - 1)) * 2.0**-53).reshape(-1, 2).T
    radius, angle = np.sqrt(-2 * np.log1p(-v)), 2 * np.pi * u
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


def _box_muller(words: NDArray[np.uint32]) -> Floats:
    """sqrt(-2 ln(1 - u[:8])) (cos, sin)(2 pi u[8:]) for each block of 16 uniforms of 24 bits."""
    uniform = (words & np.uint32(2**24 - 1)).astype(np.float32) * np.float32(2**-24)
    u, v = uniform.reshape(-1, 2, 8).transpose(1, 0, 2)
    radius = np.sqrt(-2 * _log(1 - u))
    cos, sin = _cos_sin(np.float32(2 * np.pi) * v)
    # torch adds the mean, 0, which turns -0 into 0.
    return np.stack([radius * cos + 0, radius * sin + 0], axis=1).reshape(words.shape)


# What follows are the float32 logf, sinf and cosf of Stephen Moshier's Cephes library in the order
# of operations of torch's AVX2 kernel, down to which products are fused with the sum after them.


def _float32(*constants: float) -> tuple[np.float32, ...]:
    """Constants rounded to float32 before use, since ``_fma`` would see their float64 digits."""
    return tuple(np.float32(c) for c in constants)


_SQRT_HALF, _QUARTER_TURNS = _float32(0.5**0.5, 4 / math.pi)
_LN2_HIGH, _LN2_LOW = _float32(0.693359375, -2.12194440e-4)
_MINUS_QUARTER_PI = _float32(-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)
_LOG = _float32(
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
_COS = _float32(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SIN = _float32(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)


def _fma(a: Floats, b: Floats | np.float32, c: Floats | np.float32) -> Floats:
    """a b + c as the fused instruction has it: the product of two float32 is exact in float64."""
    return (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)


def _polynomial(coefficients: tuple[np.float32, ...], x: Floats) -> Floats:
    """Horner's rule, highest power first."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = _fma(value, x, coefficient)
    return value


def _log(x: Floats) -> Floats:
    """ln x = e ln 2 + ln(1 + y) for normal x > 0, where x = 2**e (1 + y), |y| < 0.42."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < _SQRT_HALF
    e = (exponent - small).astype(np.float32)
    y = np.where(small, 2 * mantissa, mantissa) - 1
    square = y * y
    tail = _fma(_polynomial(_LOG, y) * y, square, e * _LN2_LOW)
    return (y + _fma(square, np.float32(-0.5), tail)) + e * _LN2_HIGH


def _cos_sin(angle: Floats) -> tuple[Floats, Floats]:
    """(cos, sin) of an angle >= 0 in radians, from the two polynomials on [-pi/4, pi/4]."""
    quadrant = ((angle * _QUARTER_TURNS).astype(np.int32) + 1) // 2
    for part in _MINUS_QUARTER_PI:  # in three parts, so that nothing is lost in the subtraction
        angle = _fma((2 * quadrant).astype(np.float32), part, angle)
    square = angle * angle
    near_cos = _fma(_polynomial(_COS, square) * square, square, -(square * np.float32(0.5))) + 1
    near_sin = _fma(_polynomial(_SIN, square) * square, angle, angle)
    odd = quadrant % 2 == 1
    cos, sin = np.where(odd, near_sin, near_cos), np.where(odd, near_cos, near_sin)
    return (
        np.where((quadrant + 1) & 2, -cos, cos).astype(np.float32),
        np.where(quadrant & 2, -sin, sin).astype(np.float32),
    )
