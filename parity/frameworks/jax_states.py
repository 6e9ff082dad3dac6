"""torch's CPU generator in JAX, for many seeds at once: the words, and the normals made of them.

The twin for a search of `makemore/seeds.py`, which is exact. The words are the same; the normals
take JAX's own logarithm, sine and cosine, and lie within 1e-6 of torch's, or within 3e-5 where a
short polynomial takes the place of sine and cosine, which cost more than all else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

WORDS, BACK, BLOCK = 624, 397, 16


def lanes() -> int:
    """Return how many seeds' words are made side by side.

    On a processor their states just fit into a core's cache; elsewhere there must be enough to be
    worth the 624 kernels that seed them.
    """
    return 1024 if jax.default_backend() == "cpu" else 2**20


def together() -> int:
    """Return how many seeds' networks are evaluated side by side."""
    return 32 if jax.default_backend() == "cpu" else 4096


def words(seeds: Array, first: int, count: int) -> Array:
    """Return the 32-bit words ``first`` to before ``first + count``, [count, seeds]."""
    state = _seeded(seeds)
    blocks = []
    for number in range((first + count - 1) // WORDS + 1):
        state = _twisted(state)
        if (number + 1) * WORDS > first:
            blocks.append(_tempered(state))
    passed = first % WORDS
    return jnp.concatenate(blocks)[passed : passed + count]


def _seeded(seeds: Array) -> Array:
    """Return MT19937's state, [624, seeds]: each word a multiple of the one before, stirred."""

    def following(word: Array, place: Array) -> tuple[Array, Array]:
        word = jnp.uint32(1812433253) * (word ^ (word >> 30)) + place
        return word, word

    places = jnp.arange(1, WORDS, dtype=jnp.uint32)
    _, rest = lax.scan(following, seeds, places)
    return jnp.concatenate([seeds[None], rest])


def _twisted(old: Array) -> Array:
    """Return the next 624 words of the state; each needs one that is 227 places back."""
    ahead = WORDS - BACK

    def mixed(word: Array, following: Array, far: Array) -> Array:
        both = (word & jnp.uint32(1 << 31)) | (following & jnp.uint32((1 << 31) - 1))
        return far ^ (both >> 1) ^ ((both & 1) * jnp.uint32(0x9908B0DF))

    first = mixed(old[:ahead], old[1 : ahead + 1], old[BACK:])
    second = mixed(old[ahead : 2 * ahead], old[ahead + 1 : 2 * ahead + 1], first)
    third = mixed(old[2 * ahead : -1], old[2 * ahead + 1 :], second[: BACK - ahead - 1])
    last = mixed(old[-1:], first[:1], second[BACK - ahead - 1 : BACK - ahead])
    return jnp.concatenate([first, second, third, last])


def _tempered(word: Array) -> Array:
    word = word ^ (word >> 11)
    word = word ^ ((word << 7) & jnp.uint32(0x9D2C5680))
    word = word ^ ((word << 15) & jnp.uint32(0xEFC60000))
    return word ^ (word >> 18)


def spent(size: int) -> int:
    """Return how many words torch spends on ``size`` normals, 16 or more."""
    return size if size % BLOCK == 0 else size + BLOCK


def circle(turns: Array) -> tuple[Array, Array]:
    """Return (cos, sin) of 0 to 1 turn."""
    angle = jnp.float32(2 * jnp.pi) * turns
    return jnp.cos(angle), jnp.sin(angle)


def quick_circle(turns: Array) -> tuple[Array, Array]:
    """Return (cos, sin) of 0 to 1 turn within 4e-6: Taylor's series on a quarter to each side."""

    def sine(x: Array) -> Array:
        square, value = x * x, jnp.zeros_like(x)
        for power in (9, 7, 5, 3, 1):
            sign = 1 if power % 4 == 1 else -1
            value = value * square + sign * (2 * math.pi) ** power / math.factorial(power)
        return value * x

    half = turns - 0.5
    folded = jnp.where(jnp.abs(half) <= 0.25, half, jnp.where(half > 0, 0.5, -0.5) - half)
    return sine(jnp.abs(half) - 0.25), -sine(folded)


Circle = Callable[[Array], tuple[Array, Array]]


def normals(drawn: Array, size: int, around: Circle = circle) -> Array:
    """Return ``size`` normals (16 or more), [seeds, size], of `spent` words, [words, seeds]."""
    whole = size - size % BLOCK
    values = _box_muller(drawn[:whole], around)
    if size > whole:  # the last 16 places are drawn again
        values = jnp.concatenate([values[: size - BLOCK], _box_muller(drawn[size:], around)])
    return values.T


def _box_muller(drawn: Array, around: Circle) -> Array:
    """Return a normal for each word: 8 radii, then 8 angles, by blocks of 16."""
    uniform = (drawn & jnp.uint32(2**24 - 1)).astype(jnp.float32) * jnp.float32(2**-24)
    u, v = jnp.moveaxis(uniform.reshape(-1, 2, BLOCK // 2, *drawn.shape[1:]), 1, 0)
    radius, (cos, sin) = jnp.sqrt(-2 * jnp.log(1 - u)), around(v)
    both = jnp.stack([radius * cos, radius * sin], 1)
    return both.reshape(drawn.shape)


def search(
    values: Callable[[Array, Array], Array],
    first_word: int,
    size: int,
    mesh: Mesh,
    around: Circle = circle,
    times: int = 1,
) -> Callable[[Array], Array]:
    """Return ``seeds -> values``, [seeds, times], compiled.

    ``values(a, b)`` is given two draws of ``size`` normals of as many seeds, [seeds, size], one
    after the other from ``first_word``; and again of those that follow, so many ``times``. Each
    device takes its own seeds, by `lanes` at a time.
    """

    def value(drawn: Array) -> Array:
        return values(*(normals(part, size, around) for part in jnp.split(drawn, 2)))

    def some(seeds: Array) -> Array:
        drawn = words(seeds, first_word, times * 2 * spent(size))
        return lax.map(value, drawn.reshape(times, 2 * spent(size), -1)).T

    def run(seeds: Array) -> Any:
        return lax.map(some, seeds.reshape(-1, min(lanes(), seeds.size))).reshape(-1, times)

    own = P(*mesh.axis_names)
    return jax.jit(jax.shard_map(run, mesh=mesh, in_specs=own, out_specs=own, check_vma=False))


@jax.jit
def within(values: Array, low: float, high: float) -> Array:
    """Return which values lie from ``low`` to ``high``."""
    return (low <= values) & (values <= high)


def evaluated(value: Callable[[Array, Array], Array]) -> Callable[[Any, Any], Array]:
    """Return ``value`` compiled for many pairs of draws, [draws, size]."""
    return jax.jit(lambda *pairs: lax.map(lambda pair: value(*pair), pairs, batch_size=together()))
