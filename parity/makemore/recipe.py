"""The notebook's random inputs: its parameters and minibatches, from seeds alone, in NumPy.

Both frameworks are fed these arrays; neither draws anything itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.makemore.data import Split
from parity.makemore.seeds import Generator

SEED = 2147483647
"""The notebook's generator: C, W1, b1, W2, b2, then one minibatch after another."""

GLOBAL_SEED = 3847735602
"""The seed behind bngain and bnbias, which the notebook never set: recovered by search."""

TRAINING_SKIP = 128 + 5 * 432
"""32-bit words of that stream before Exercise 4's: Exercise 1's, and five runs of the cell that
initialises, whose results the notebook threw away."""

NAMES = ("C", "W1", "b1", "W2", "b2", "bngain", "bnbias")


def initial_params(
    generator: Generator,
    unseeded: Generator,
    *,
    vocab: int,
    block: int,
    embd: int = 10,
    hidden: int = 64,
) -> dict[str, np.ndarray]:
    """Return the notebook's float32 parameters, bit for bit, in the order in which it draws them.

    ``unseeded`` stands for torch's global generator, from which bngain and bnbias come.
    """
    feat = embd * block
    C = generator.randn(vocab, embd)
    W1 = generator.randn(feat, hidden) * np.float32(5 / 3) / np.float32(feat**0.5)
    b1 = generator.randn(hidden) * np.float32(0.1)
    W2 = generator.randn(hidden, vocab) * np.float32(0.1)
    b2 = generator.randn(vocab) * np.float32(0.1)
    bngain, bnbias = gain_and_bias(unseeded.randn(1, hidden), unseeded.randn(1, hidden))
    return dict(zip(NAMES, (C, W1, b1, W2, b2, bngain, bnbias), strict=True))


def gain_and_bias(first: Any, second: Any) -> tuple[Any, Any]:
    """Return (bngain, bnbias) of two draws of normals."""
    return first * np.float32(0.1) + np.float32(1.0), second * np.float32(0.1)


def minibatch(generator: Generator, split: Split, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (Xb, Yb), ``size`` examples drawn with replacement, as the notebook draws them."""
    ix = generator.randint(len(split.Y), size)
    return split.X[ix], split.Y[ix]
