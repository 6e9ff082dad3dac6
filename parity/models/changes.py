"""Other conversions of weights, the likeliest mistakes first, each in words.

Proposes; `conversion.py` runs them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.models import candidates
from parity.models.layout import Layout, Piece, Scaled, pieces, told
from parity.models.likeness import alike, steps
from parity.models.match import Match
from parity.models.sides import Whole
from parity.models.turns import Turn, turns_of

Make = Callable[[Mapping[str, Any]], np.ndarray]


@dataclass(frozen=True)
class Change:
    """Leaves that are made otherwise."""

    leaves: Mapping[str, Make]
    holds: Mapping[str, str]
    """What each leaf holds now, as a sentence."""
    instead: str
    """What would be right."""
    alike: bool = True
    """Whether the sentence about the first leaf says enough about all."""

    def without(self, leaf: str) -> Change:
        """Return the change without one leaf."""
        rest = {name: make for name, make in self.leaves.items() if name != leaf}
        return replace(self, leaves=rest)

    def cause(self) -> Cause:
        """Return it as the cause of a difference."""
        first, *rest = [*self.leaves]
        said = self.holds[first]
        if rest and self.alike:
            more = f" and {len(rest) - 2} more" if len(rest) > 2 else ""
            said += f", and so {'does' if len(rest) == 1 else 'do'} {' and '.join(rest[:2])}{more}"
        elif rest:
            said = " and ".join([said, *(self.holds[leaf] for leaf in rest[:3])])
            said += f" and {len(rest) - 3} more" if len(rest) > 3 else ""
        hint = "How is each weight laid out where it came from, and how where it is used?"
        sentence = f"{said}; {self.instead}, all outputs agree"
        return Cause(Kind.CONVERSION, " ".join(self.leaves), sentence, hint)


Turned = tuple[tuple[str, ...], Turn]
"""Which of a leaf's tensors are laid out otherwise, and how."""


def changes(whole: Whole) -> Iterator[Change]:
    """Yield other conversions, those of few leaves and of common mistakes first."""
    yield from _fed(whole)
    yield from _unscaled(whole)
    yield from _exchanged(whole)
    turns = {leaf: [*_turns(whole, match)] for leaf, match in whole.weights.matches.items()}
    for wanted in ("transposed", "blocks", "interleaved"):
        keys: dict[tuple[Any, ...], dict[str, Turned]] = {}
        for leaf, found in turns.items():
            for sources, turn in found:
                if turn.key[0] == wanted:
                    keys.setdefault(turn.key, {}).setdefault(leaf, (sources, turn))
        for key, leaves in keys.items():
            for group in _groups(leaves):
                yield _turned(whole, {leaf: leaves[leaf] for leaf in group}, key)


def _groups(leaves: Mapping[str, Turned]) -> Iterator[tuple[str, ...]]:
    """Yield leaves alone, then by module, by name whatever the number of the layer, and all."""
    seen = set()
    by: list[dict[Any, list[str]]] = [{}, {}, {}]
    for leaf, (sources, _) in leaves.items():
        by[0].setdefault(steps(sources[0])[:-1], []).append(leaf)
        by[1].setdefault(re.sub(r"\d+", "", sources[0]), []).append(leaf)
        by[2].setdefault("", []).append(leaf)
    every: list[tuple[str, ...]] = [(leaf,) for leaf in leaves]
    every += [tuple(group) for grouping in by for group in grouping.values()]
    for group in every:
        if group not in seen:
            seen.add(group)
            yield group


def _turned(whole: Whole, leaves: Mapping[str, Turned], key: tuple[Any, ...]) -> Change:
    made, holds, instead = {}, {}, ""
    for leaf, (sources, turn) in leaves.items():
        layout = whole.weights.matches[leaf].layout
        made[leaf] = _after(layout, sources, turn)
        holds[leaf], other = _said(whole, leaf, layout, sources[0], turn)
        instead = instead or other
    if key[0] == "blocks":
        holds = {leaf: f"{leaf} holds its {key[1]} blocks in torch's order" for leaf in made}
        instead = f"in the order {list(key[2])}"
    return Change(made, holds, instead)


def _after(layout: Layout, sources: tuple[str, ...], turn: Turn) -> Make:
    def make(tensors: Mapping[str, Any]) -> np.ndarray:
        turned = {source: turn.of(tensors[source]) for source in sources}
        return np.asarray(layout.of({**tensors, **turned}))

    return make


def _said(whole: Whole, leaf: str, layout: Layout, source: str, turn: Turn) -> tuple[str, str]:
    """Return what a leaf holds, and what it would have to."""
    shape = whole.weights.shapes[source]
    holds = f"{leaf} holds {source} {list(shape)} {told(layout, whole.weights.shapes, source)}"
    whole_square = isinstance(layout, Piece) and layout.shape == shape and len(shape) == 2
    if turn.key[0] == "transposed" and whole_square and isinstance(layout, Piece):
        other = "as it is" if layout.order == (1, 0) else "transposed"
        return f"{holds}{_neighbours(whole, leaf, other)}", other
    return holds, f"with {turn.words} first"


def _neighbours(whole: Whole, leaf: str, other: str) -> str:
    """Say that leaves of the same name that are no squares are laid out otherwise, if all are."""
    shapes = whole.weights.shapes
    rest = [
        told(match.layout, shapes)
        for name, match in whole.weights.matches.items()
        if steps(name)[-1] == steps(leaf)[-1]
        and isinstance(match.layout, Piece)
        and len({*match.layout.shape}) == 2 == len(match.layout.shape)
    ]
    return ", unlike its neighbours" if rest and {*rest} == {other} else ""


def _turns(whole: Whole, match: Match) -> Iterator[Turned]:
    """Yield what may have been done to a leaf's tensors: to all that are joined in it, or to one.

    Gates are in all of them; nobody reorders a half.
    """
    sources = tuple(dict.fromkeys(match.layout.sources()))
    shapes = whole.weights.shapes
    for turn in turns_of(shapes[sources[0]]):
        if turn.key[0] == "blocks" and all(
            shapes[x][:1] == shapes[sources[0]][:1] for x in sources
        ):
            yield sources, turn
    for source in sources:
        for turn in (*turns_of(shapes[source]), *_of_a_part(match.layout, shapes[source])):
            if turn.key[0] != "blocks":
                yield (source,), turn


def _of_a_part(layout: Layout, shape: tuple[int, ...]) -> Iterator[Turn]:
    """Yield the transposition of a square that is cut out of a tensor, as of a query's matrix."""
    if isinstance(layout, Piece) and len(shape) == 2:
        cut = tuple(slice(*bounds) for bounds in layout.slices)
        rows, columns = (bounds[1] - bounds[0] for bounds in layout.slices)
        if rows == columns != shape[0]:

            def of(x: np.ndarray) -> np.ndarray:
                new = np.array(x)
                new[cut] = x[cut].T
                return new

            yield Turn(("transposed", 0, 1), "that part of it transposed", of)


def _fed(whole: Whole) -> Iterator[Change]:
    """Yield leaves that hold numbers of their own, with torch's tensors in them."""
    weights, tensors = whole.weights, whole.torch.tensors
    options: dict[str, list[tuple[str, Piece]]] = {}
    for leaf in weights.unfed:
        into = whole.jax.tensors[leaf].shape
        names = sorted(tensors, key=lambda n: (n not in weights.unread, -alike(n, leaf)))
        for name in names:
            usual = candidates.by_shape(name, leaf, tensors[name].shape, into)
            made = candidates.plain(name, tensors[name].shape, into) if usual else ()
            rest = [x for x in made if x != usual]
            options.setdefault(leaf, []).extend((name, x) for x in (usual, *rest) if x)
    if len(options) > 1:
        yield _feeding(whole, _each_once(weights.unread, options))
    for leaf, found in options.items():
        for option in found:
            yield _feeding(whole, {leaf: option})


def _unscaled(whole: Whole) -> Iterator[Change]:
    """Yield leaves that are a factor times torch's numbers without it: all, and each."""
    shapes, made, holds = whole.weights.shapes, dict[str, Make](), dict[str, str]()
    for leaf, match in whole.weights.matches.items():
        if isinstance(match.layout, Scaled):
            source = match.layout.sources()[0]
            held = f"{source} {list(shapes[source])} {told(match.layout.part, shapes)}"
            made[leaf] = _of(match.layout.part)
            holds[leaf] = f"{leaf} holds {match.layout.factor:.6g} times {held}"
    if made:
        yield Change(made, holds, "without the factor", alike=False)
    for leaf in made if len(made) > 1 else ():
        yield Change({leaf: made[leaf]}, holds, "without the factor")


def _each_once(
    unread: Mapping[str, str], options: Mapping[str, list[tuple[str, Piece]]]
) -> dict[str, tuple[str, Piece]]:
    """Return a tensor for each leaf, no tensor for two while there are others; likest names first.

    Names alone put two leaves in one tensor where a third is called otherwise on both sides.
    """
    every = [(leaf, option) for leaf, found in options.items() for option in found]
    every.sort(key=lambda x: (x[1][0] not in unread, -alike(x[1][0], x[0])))
    fed: dict[str, tuple[str, Piece]] = {}
    for leaf, option in every:
        if leaf not in fed and option[0] not in {name for name, _ in fed.values()}:
            fed[leaf] = option
    return {leaf: found[0] for leaf, found in options.items() if found} | fed


def _feeding(whole: Whole, fed: Mapping[str, tuple[str, Piece]]) -> Change:
    made: dict[str, Make] = {}
    holds, put = {}, []
    for leaf, (name, piece) in fed.items():
        made[leaf] = _of(piece)
        also = [other for other, first in whole.torch.shared.items() if first == name]
        tied = f", which torch ties to {' and '.join(also)}," if also else ""
        holds[leaf] = f"{leaf} holds numbers of its own"
        put.append(f"{name}{tied} {piece.told(whole.torch.tensors[name].shape)}")
    more = f" and {len(put) - 2} more" if len(put) > 2 else ""
    return Change(made, holds, f"with {' and '.join(put[:2])}{more} in its place")


def _of(layout: Layout) -> Make:
    return lambda tensors: np.asarray(layout.of(tensors))


def _exchanged(whole: Whole) -> Iterator[Change]:
    """Yield leaves that hold each other's tensors by their names: alone, and module by module."""
    matches = whole.weights.matches
    single = {leaf: m for leaf, m in matches.items() if len(pieces(m.layout)) == 1}
    yield from _by_names(whole, single)
    modules: dict[tuple[Any, Any], dict[str, str]] = {}
    for one, first in single.items():
        for other, second in single.items():
            if one >= other or whole.jax.tensors[one].shape != whole.jax.tensors[other].shape:
                continue
            a, b = first.layout.sources()[0], second.layout.sources()[0]
            if a == b:
                continue
            if alike(a, other) + alike(b, one) > alike(a, one) + alike(b, other):
                yield _exchange(matches, {one: other})
            if steps(one)[-1] == steps(other)[-1]:
                modules.setdefault((steps(one)[:-1], steps(other)[:-1]), {})[one] = other
    for both in modules.values():
        if len(both) > 1:
            yield _exchange(matches, both)


def _by_names(whole: Whole, single: Mapping[str, Match]) -> Iterator[Change]:
    """Yield all leaves with the tensor in them whose name is likest, where they hold another's."""
    made: dict[str, Make] = {}
    holds: dict[str, str] = {}
    for leaf, match in single.items():
        shape = whole.jax.tensors[leaf].shape
        fitting = [x for x, y in single.items() if whole.jax.tensors[x].shape == shape]
        source = match.layout.sources()[0]
        best = max(fitting, key=lambda x: alike(single[x].layout.sources()[0], leaf))
        likest = single[best].layout.sources()[0]
        if alike(likest, leaf) > alike(source, leaf):
            made[leaf] = _of(single[best].layout)
            holds[leaf] = f"{leaf} holds {source}"
    if len(made) > 1:
        yield Change(made, holds, "exchanged", alike=False)


def _exchange(matches: Mapping[str, Match], both: Mapping[str, str]) -> Change:
    made: dict[str, Make] = {}
    holds: dict[str, str] = {}
    for one, other in both.items():
        a, b = matches[one].layout, matches[other].layout
        made |= {one: _of(b), other: _of(a)}
        named = ((one, a), (other, b))
        holds |= {leaf: f"{leaf} holds {layout.sources()[0]}" for leaf, layout in named}
    return Change(made, holds, "exchanged", alike=False)
