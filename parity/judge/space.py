"""All floating inputs as one real vector, and the way back. NumPy only; judges nothing."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np


class Space:
    """All floating inputs, but those that are held still, as one real vector, and the way back."""

    def __init__(self, leaves: tuple[np.ndarray, ...], still: Collection[int] = ()) -> None:
        self.leaves = leaves
        self.places = [i for i, x in enumerate(leaves) if x.dtype.kind in "fc" and i not in still]

    @staticmethod
    def _real(x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x).reshape(-1)
        return x.view(np.float64) if x.dtype.kind == "c" else x

    def vector(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return arrays shaped like the floating leaves as one vector."""
        return np.concatenate([np.zeros(0), *(self._real(x) for x in arrays)])

    def both_parts(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return real arrays shaped like the leaves as one vector, twice for what is complex."""
        parts = []
        for place, array in zip(self.places, arrays, strict=True):
            twice = 2 if self.leaves[place].dtype.kind == "c" else 1
            parts.append(np.repeat(array.reshape(-1), twice))
        return np.concatenate(parts)

    def at(self, vector: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return all leaves, the floating ones from ``vector``."""
        leaves, start = list(self.leaves), 0
        for place in self.places:
            like = self.leaves[place]
            twice = 2 if like.dtype.kind == "c" else 1
            part = vector[start : start + twice * like.size]
            leaves[place] = np.array(part).view(like.dtype).reshape(like.shape)
            start += twice * like.size
        return tuple(leaves)

    @property
    def square(self) -> bool:
        """Whether any input holds square matrices."""
        return any(_square(self.leaves[place]) for place in self.places)

    def mirrored(self, vector: np.ndarray) -> np.ndarray:
        """Return the vector with every square matrix transposed, and conjugated."""
        leaves = self.at(vector)
        parts = (leaves[place] for place in self.places)
        return self.vector([x.swapaxes(-1, -2).conj() if _square(x) else x for x in parts])

    def neighbour(self, rng: np.random.Generator, share: float) -> tuple[np.ndarray, ...]:
        """Return leaves of which every number is moved by up to a share of itself.

        What is symmetric stays so.
        """
        factor = 1 + share * rng.uniform(-1, 1, self.x.shape)
        return self.at(self.x * (factor + np.abs(self.mirrored(factor))) / 2)

    @property
    def x(self) -> np.ndarray:
        """Where we are."""
        return self.vector([self.leaves[i] for i in self.places])

    @property
    def scale(self) -> np.ndarray:
        """The size of each input: its own, or where it is 0 that of its array, or else 1."""
        sizes = []
        for place in self.places:
            own = np.abs(self._real(self.leaves[place]))
            typical = float(np.sqrt(np.mean(own**2))) if own.size else 0.0
            sizes.append(np.where(own > 0, own, typical or 1.0))
        return np.concatenate(sizes)


def _square(x: np.ndarray) -> bool:
    return x.ndim >= 2 and x.shape[-1] == x.shape[-2] > 1
