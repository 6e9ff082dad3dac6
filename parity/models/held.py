"""Torch's tensors as a dtype of JAX's holds them, ready to be looked up by value.

Whole tensors are found by a print that no order of elements changes; parts, joined ones and turned
ones by every number, in a table that is made only if one is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

import numpy as np

from parity.models import candidates
from parity.models.layout import Layout, Summed
from parity.models.located import Table, located

Arrays = Mapping[str, np.ndarray]


class Held:
    """Torch's tensors, in the numbers that one dtype can hold."""

    def __init__(self, tensors: Arrays, dtype: np.dtype) -> None:
        self._own, self._dtype = dict(tensors), dtype
        self.tensors = {name: _held(x, dtype) for name, x in tensors.items()}
        self._prints: dict[str, int] = {}
        self._tables: dict[frozenset[str], Table] = {}

    def whole(self, leaf: np.ndarray) -> list[Layout]:
        """Return the plain layouts in which whole tensors are equal to ``leaf``."""
        known = printed(leaf)
        same = {n: x for n, x in self.tensors.items() if x.size == leaf.size}
        return candidates.equal(leaf, {n: x for n, x in same.items() if self._print(n) == known})

    def part(self, leaf: np.ndarray, taken: Collection[str] = ()) -> Layout | None:
        """Return how ``leaf`` stands in these tensors, or in sums of two; None where unknown.

        What is not ``taken`` by another leaf is looked at first.
        """
        return (
            located(leaf, self._table(frozenset(taken)))
            or (located(leaf, self._table(frozenset())) if taken else None)
            or self._summed(leaf)
        )

    def _print(self, name: str) -> int:
        if name not in self._prints:
            self._prints[name] = printed(self.tensors[name])
        return self._prints[name]

    def _table(self, without: frozenset[str]) -> Table:
        if without not in self._tables:
            self._tables[without] = Table(
                {n: x for n, x in self.tensors.items() if n not in without}
            )
        return self._tables[without]

    @cached_property
    def _sums(self) -> list[candidates.Sum]:
        return [*candidates.sums(self._own, self._dtype)]

    def _summed(self, leaf: np.ndarray) -> Summed | None:
        return next(filter(None, (candidates.summed(leaf, each) for each in self._sums)), None)


def printed(x: np.ndarray) -> int:
    """Return a number that arrays of equal numbers share, in whatever order these stand."""
    wide = np.asarray(x, np.float64).ravel() + 0.0  # -0.0 is 0.0
    return int(np.sum(wide.view(np.uint64), dtype=np.uint64))


def same_values(tensors: Arrays) -> dict[str, list[str]]:
    """Return {the first of several equal tensors: all of them}."""
    alike: dict[tuple[tuple[int, ...], int], list[str]] = {}
    found: dict[str, list[str]] = {}
    for name, x in tensors.items():
        firsts = alike.setdefault((x.shape, printed(x)), [])
        first = next((other for other in firsts if np.array_equal(x, tensors[other])), name)
        firsts += [name] if first == name else []
        found.setdefault(first, []).append(name)
    return found


def _held(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return numbers as a dtype holds them, in float64."""
    return x.astype(dtype).astype(np.float64) if dtype.itemsize < x.dtype.itemsize else x
