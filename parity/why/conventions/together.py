"""Several inputs held otherwise in one way: the gates of all weights, the axes of q, k and v.

Proposed from shapes alone; runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from parity.judge.cause import enumerated
from parity.why.conventions.change import Change
from parity.why.conventions.layouts import AXES, Layout, rearranged, regrouped
from parity.why.conventions.rerun import Rerun

MOST = 5
"""Inputs of one length of which one may be left as it is."""


def together(rerun: Rerun, sides: Sequence[str]) -> Iterator[Change]:
    """Yield two or more inputs rearranged alike for one side: along one length, or their axes."""
    names = rerun.legs.arguments.names
    leaves = [*zip(names, rerun.problems[0].values, strict=False)]
    outputs = rerun.problems[0].outcomes[rerun.sides[0]][0]
    for side in sides:
        for layouts in _alike(leaves):
            yield _change(side, layouts)
        for layouts in _transposed(leaves):
            yield _change(side, layouts)
            back = [
                Layout(name, layouts[0].words, layouts[0].back, layouts[0].onto)
                for name, x in outputs.items()
                if x.ndim == len(_shape(leaves, layouts[0].tensor))
            ]
            if back:
                yield _change(side, layouts, back)


def _change(side: str, layouts: Sequence[Layout], back: Sequence[Layout] = ()) -> Change:
    listed = enumerated([x.tensor for x in layouts])
    said = f"inputs {listed} are each {layouts[0].words} for the {side} side"
    if back:
        said += f", and {enumerated([x.tensor for x in back])} put back"
    key = ("together", *(x.tensor for x in layouts))
    return Change(side, said, inputs=tuple(layouts), outputs=tuple(back), key=key)


def _shape(leaves: Sequence[tuple[str, np.ndarray]], name: str) -> tuple[int, ...]:
    return next(x.shape for other, x in leaves if other == name)


def _alike(leaves: Sequence[tuple[str, np.ndarray]]) -> Iterator[list[Layout]]:
    """Yield the same blocks, or the same interleaving, of all axes of one length, then all but one.

    An array takes part with its first axis of that length.
    """
    lengths = dict.fromkeys(n for _, x in leaves for n in x.shape if n > 1)
    for length in lengths:
        floats = [(name, x) for name, x in leaves if x.dtype.kind in "fc"]
        own = [(name, x.shape.index(length)) for name, x in floats if length in x.shape]
        groups = [own] if len(own) > 1 else []
        if 2 < len(own) <= MOST:
            groups += [list(chosen) for chosen in combinations(own, len(own) - 1)]
        for group in groups:
            ways = [[*_along(name, axis, length)] for name, axis in group]
            yield from (list(layouts) for layouts in zip(*ways, strict=True))


def _along(name: str, axis: int, length: int) -> Iterator[Layout]:
    """Yield the ways to regroup one axis, worded by its length."""
    shape = (1,) * axis + (length,)
    for layout in regrouped(name, shape):
        words = layout.words.replace(f"along axis {axis}", f"along the axis of {length}")
        yield Layout(name, words, layout.onto, layout.back)


def _transposed(leaves: Sequence[tuple[str, np.ndarray]]) -> Iterator[list[Layout]]:
    """Yield the same order of axes for all arrays of as many axes: three or more."""
    for ndim in range(2, AXES + 1):
        own = [(name, x) for name, x in leaves if x.ndim == ndim and x.dtype.kind in "fc"]
        groups = [own] if len(own) > 1 else []
        if 2 < len(own) <= MOST:
            groups += [list(chosen) for chosen in combinations(own, len(own) - 1)]
        for group in groups:
            ways = [[y for y in rearranged(n, x.shape, "f") if "flip" not in y.words]
                    for n, x in group]  # fmt: skip
            yield from (list(layouts) for layouts in zip(*ways, strict=True))
