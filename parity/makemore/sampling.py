"""From probabilities to a letter: JAX's own generator, or the rule behind the notebook's names.

A rule is made from a seed and then maps the probabilities (vocab,) of the next letter to its index.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np

from parity.errors import UsageError
from parity.makemore import recipe
from parity.makemore.seeds import Generator

Rule = Callable[[np.ndarray], int]

SEED = recipe.SEED + 10
"""The seed of the notebook's samples."""

MCG31, MODULUS = 1132489760, 2**31 - 1


def torch_2_5(seed: int) -> Rule:
    """Return torch.multinomial(p, 1) as torch 2.5's builds for x86 draw it.

    argmax p_k / q_k with an exponential q_k = -ln u_k a letter. One word of torch's generator seeds
    Intel MKL's multiplicative congruential stream MCG31m1, which gives u_0, u_1, ...: later
    versions of torch (2.7 on) draw other words.
    """
    generator = Generator(seed)

    def choose(probabilities: np.ndarray) -> int:
        x = int(generator.words(1)[0]) % MODULUS or 1
        u = np.empty(len(probabilities))
        for k in range(len(u)):
            u[k] = x / MODULUS
            x = MCG31 * x % MODULUS
        return int(np.argmax(probabilities / -np.log(u)))

    return choose


def jax_random(seed: int) -> Rule:
    """Return `jax.random.categorical`, the k-th letter drawn with the seed's key folded with k."""
    import jax

    key, letters = jax.random.key(np.uint32(seed & 0xFFFF_FFFF)), count()

    def choose(probabilities: np.ndarray) -> int:
        letter = jax.random.fold_in(key, next(letters))
        with np.errstate(divide="ignore"):  # a probability can underflow to 0
            return int(jax.random.categorical(letter, np.log(probabilities)))

    return choose


SAMPLERS: dict[str, Callable[[int], Rule]] = {"jax": jax_random, "torch-2.5": torch_2_5}


def rule(sampler: str, seed: int) -> Rule:
    """Return the rule of that name; UsageError if there is none."""
    if sampler not in SAMPLERS:
        raise UsageError(f"there is no sampler {sampler!r}; give {' or '.join(SAMPLERS)}")
    return SAMPLERS[sampler](seed)
