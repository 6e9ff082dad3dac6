"""How one array stands in another: sliced, reshaped, its axes in another order, turned, joined.

Values and words; the same code runs on NumPy's and on JAX's arrays. Finds nothing: `located.py`
does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Piece:
    """Part of one tensor, in the layout in which another array has it. Done in this order."""

    source: str
    slices: tuple[tuple[int, int], ...]
    """Start and stop on each axis of the source."""
    factors: tuple[int, ...]
    """The shape that what is left is given."""
    picked: tuple[int | None, ...]
    """On each of those axes an index, or None for all."""
    order: tuple[int, ...]
    turned: tuple[int, ...]
    """Axes that run backwards, after they are put in order."""
    shape: tuple[int, ...]

    def of(self, tensors: Mapping[str, Any]) -> Any:
        """Return the piece of these tensors."""
        x = tensors[self.source]
        cuts = tuple(slice(*cut) for cut in self.slices)
        if any(cut != slice(0, n) for cut, n in zip(cuts, x.shape, strict=True)):
            x = x[cuts]
        x = x if x.shape == self.factors else x.reshape(self.factors)
        if any(i is not None for i in self.picked):
            x = x[tuple(slice(None) if i is None else i for i in self.picked)]
        if self.order != tuple(range(len(self.order))):
            x = x.transpose(self.order)
        if self.turned:
            x = x[tuple(slice(None, None, -1 if a in self.turned else 1) for a in range(x.ndim))]
        return x if x.shape == self.shape else x.reshape(self.shape)

    def sources(self) -> tuple[str, ...]:
        """Return the names of the tensors that it is made of."""
        return (self.source,)

    def renamed(self, source: str) -> Piece:
        """Return the same piece of another tensor of that shape."""
        return Piece(source, *(getattr(self, name) for name in FIELDS))

    def told(self, shape: tuple[int, ...]) -> str:
        """Say what is done to the source, of this shape."""
        said = [_cut(self.slices, shape)] if _cut(self.slices, shape) else []
        rest = tuple(stop - start for start, stop in self.slices)
        if any(i is not None for i in self.picked):
            where = ", ".join(":" if i is None else str(i) for i in self.picked)
            said.append(f"as {list(self.factors)}, [{where}]")
        elif self.factors != rest and self.order != tuple(range(len(self.order))):
            said.append(f"as {list(self.factors)}")
        rest = tuple(n for n, i in zip(self.factors, self.picked, strict=True) if i is None)
        if self.order != tuple(range(len(self.order))):
            said.append("transposed" if self.order == (1, 0) else f"axes {list(self.order)}")
        if self.turned:
            said.append(f"flipped along axes {list(self.turned)}")
        if self.shape != tuple(rest[i] for i in self.order):
            said.append(f"reshaped {list(self.shape)}")
        return ", ".join(said) or "as it is"


FIELDS = ("slices", "factors", "picked", "order", "turned", "shape")


def _cut(slices: tuple[tuple[int, int], ...], shape: tuple[int, ...]) -> str:
    cuts = [
        ":" if cut == (0, n) else f"{cut[0]}:{cut[1]}" for cut, n in zip(slices, shape, strict=True)
    ]
    while cuts and cuts[-1] == ":":
        cuts.pop()
    return f"[{', '.join(cuts)}]" if cuts else ""


@dataclass(frozen=True)
class Joined:
    """Pieces one after another along an axis."""

    axis: int
    parts: tuple[Layout, ...]

    def of(self, tensors: Mapping[str, Any]) -> Any:
        """Return the array that they make of these tensors."""
        parts = [part.of(tensors) for part in self.parts]
        if isinstance(parts[0], np.ndarray):
            return np.concatenate(parts, self.axis)
        return parts[0].__array_namespace__().concatenate(parts, axis=self.axis)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole."""
        first, *_ = shapes = [part.shape for part in self.parts]
        length = sum(shape[self.axis] for shape in shapes)
        return (*first[: self.axis], length, *first[self.axis + 1 :])

    def sources(self) -> tuple[str, ...]:
        """Return the names of the tensors that it is made of, in order."""
        return tuple(name for part in self.parts for name in part.sources())


@dataclass(frozen=True)
class Summed:
    """Two tensors added up in one layout, as a recurrent cell's two biases."""

    parts: tuple[Layout, Layout]

    def of(self, tensors: Mapping[str, Any]) -> Any:
        """Return the sum."""
        return self.parts[0].of(tensors) + self.parts[1].of(tensors)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of both."""
        return self.parts[0].shape

    def sources(self) -> tuple[str, ...]:
        """Return the names of the tensors that are added up."""
        return tuple(name for part in self.parts for name in part.sources())


@dataclass(frozen=True)
class Scaled:
    """A factor times what is in one layout."""

    part: Layout
    factor: float

    def of(self, tensors: Mapping[str, Any]) -> Any:
        """Return the product."""
        return self.part.of(tensors) * self.factor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the part."""
        return self.part.shape

    def sources(self) -> tuple[str, ...]:
        """Return the names of the tensors that the part is made of."""
        return self.part.sources()


Layout = Piece | Joined | Summed | Scaled


def whole(
    source: str, shape: tuple[int, ...], order: tuple[int, ...], into: tuple[int, ...]
) -> Piece:
    """Return a whole tensor with its axes in this order, reshaped."""
    every = tuple((0, n) for n in shape)
    return Piece(source, every, shape, (None,) * len(shape), order, (), into)


def pieces(layout: Layout) -> list[Piece]:
    """Return the pieces of a layout in order."""
    if isinstance(layout, Piece):
        return [layout]
    parts = (layout.part,) if isinstance(layout, Scaled) else layout.parts
    return [piece for part in parts for piece in pieces(part)]


def renamed(layout: Layout, names: Mapping[str, str]) -> Layout:
    """Return a layout with other tensors in the place of some."""
    if isinstance(layout, Piece):
        return layout.renamed(names.get(layout.source, layout.source))
    if isinstance(layout, Summed):
        return Summed((renamed(layout.parts[0], names), renamed(layout.parts[1], names)))
    if isinstance(layout, Scaled):
        return Scaled(renamed(layout.part, names), layout.factor)
    return Joined(layout.axis, tuple(renamed(part, names) for part in layout.parts))


def told(layout: Layout, shapes: Mapping[str, tuple[int, ...]], own: str = "") -> str:
    """Say how an array stands in its sources; of ``own`` alone, where several are joined."""
    if isinstance(layout, Piece):
        return layout.told(shapes[layout.source])
    if isinstance(layout, Scaled):
        return f"{told(layout.part, shapes, own)}, times {layout.factor:.6g}"
    parts = [p for p in pieces(layout) if not own or p.source == own]
    said = dict.fromkeys(p.told(shapes[p.source]) for p in parts)
    if isinstance(layout, Summed):
        return f"{', then '.join(said)}; added up: {' and '.join(dict.fromkeys(layout.sources()))}"
    every = " and ".join(dict.fromkeys(layout.sources()))
    return f"{', then '.join(said)}; joined along axis {layout.axis}: {every}"


def elements(layout: Layout, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return {source: which of its elements, counted flat, are read}: an index."""
    read: dict[str, list[np.ndarray]] = {}
    for piece in pieces(layout):
        shape = shapes[piece.source]
        if math.prod(piece.shape) == math.prod(shape) and layout is piece:
            return {piece.source: slice(None)}
        numbers = np.arange(math.prod(shape)).reshape(shape)
        read.setdefault(piece.source, []).append(piece.of({piece.source: numbers}).ravel())
    return {source: np.concatenate(parts) for source, parts in read.items()}
