"""Two models' weights matched: which tensors of torch's each leaf of JAX's is, and in which layout.

Values decide first; what they cannot tell, the place among modules that they did decide; then
names, then order, which are guesses. Pure NumPy: knows no framework and runs no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from parity.errors import UsageError
from parity.models import candidates
from parity.models.held import Held, same_values
from parity.models.layout import Layout, Piece, Scaled, elements, renamed
from parity.models.likeness import Places, alike, natural, steps
from parity.models.match import DOUBT, Decided, Match, Weights
from parity.models.scaled import scaled
from parity.models.unmatched import nearest, remainders

Arrays = Mapping[str, np.ndarray]


def matched(
    torch: Arrays,
    jax: Arrays,
    given: Mapping[str, Sequence[str]] | None = None,
    by_value: bool = True,
) -> Weights:
    """Match every leaf of ``jax`` with tensors of ``torch``, both in the order of their modules.

    ``given`` maps names of torch's to paths of JAX's, and wins. Without ``by_value`` shapes,
    places, names and order decide, as for models that were initialised apart.
    """
    return _Matching(torch, jax, by_value).run(given or {})


class _Matching:
    def __init__(self, torch: Arrays, jax: Arrays, by_value: bool) -> None:
        self.torch, self.jax, self.by_value = dict(torch), dict(jax), by_value
        self.shapes = {name: x.shape for name, x in torch.items()}
        self.matches: dict[str, Match] = {}
        self.taken = {name: np.zeros(x.size, bool) for name, x in torch.items()}
        self.surely = {name: np.zeros(x.size, bool) for name, x in torch.items()}
        """Which elements some leaf reads; and which one does that is no guess."""
        self.free = dict(torch)
        """Tensors of which some elements are left."""
        self.counts: dict[float, int] = {}
        """In how many tensors a number is."""
        self.options: dict[str, list[Layout]] = {}
        self.late: dict[str, list[str]] = {}
        """Given leaves that wait for the weights beside them."""
        self.alike = same_values(torch) if by_value else {name: [name] for name in torch}

    def run(self, given: Mapping[str, Sequence[str]]) -> Weights:
        self._take_given(given)
        if self.by_value:
            self._by_value()
            self._scaled()
            self._take_late()
            self._beside()
        else:
            self._take_late()
            self._by_shape()
        while scores := self._scores():
            self._round(scores)
        unfed = {
            leaf: nearest(leaf, x, self.torch, self.by_value)
            for leaf, x in self.jax.items()
            if leaf not in self.matches
        }
        left = [*unfed] or None
        unread = remainders(self.taken, self.torch, {x: self.jax[x] for x in left or self.jax})
        matches = {leaf: self.matches[leaf] for leaf in self.jax if leaf in self.matches}
        return Weights(matches, unfed, unread, self.shapes)

    def _decide(
        self, leaf: str, layout: Layout, how: Decided, others: Sequence[Layout] = ()
    ) -> None:
        rest = tuple(other for other in others if other != layout)
        self.matches[leaf] = Match(leaf, layout, how, rest)
        for name, places in elements(layout, self.shapes).items():
            self.taken[name][places] = True
            self.surely[name][places] |= not how.guess
            if self.taken[name].all():
                self.free.pop(name, None)
        self.options.pop(leaf, None)

    def _take_given(self, given: Mapping[str, Sequence[str]]) -> None:
        wanted: dict[str, list[str]] = {}
        for name, paths in given.items():
            if name not in self.torch:
                raise UsageError(f"weights= names {name}, which the torch module does not have")
            for path in paths:
                if path not in self.jax:
                    raise UsageError(f"weights= names {path}, which the JAX model does not have")
                wanted.setdefault(path, []).append(name)
        self.late = {
            path: names for path, names in wanted.items() if not self._is_given(path, names)
        }

    def _take_late(self) -> None:
        """Decide given leaves by the weights beside them, where nothing of their own tells how."""
        for path, names in self.late.items():
            layouts = self._all_beside(path, {name: self.torch[name] for name in names})
            if len(layouts) != 1:
                raise UsageError(
                    f"weights= makes {path} {list(self.jax[path].shape)} of {' and '.join(names)}, "
                    "whose shapes and numbers do not give it"
                )
            self._decide(path, layouts[0], Decided.GIVEN)

    def _is_given(self, path: str, names: Sequence[str]) -> bool:
        """Decide a leaf that is made of these tensors; whether their numbers or shapes tell how."""
        leaf, dtype = self.jax[path].astype(np.float64), self.jax[path].dtype
        held = Held({name: self.torch[name] for name in names}, dtype)
        layout = next(iter(held.whole(leaf)), None) or held.part(leaf)
        if layout is None and len(names) == 1:
            layout = candidates.by_shape(names[0], path, self.shapes[names[0]], leaf.shape)
        if layout is not None:
            self._decide(path, layout, Decided.GIVEN)
        return layout is not None

    def _all_beside(self, leaf: str, free: Arrays) -> list[Layout]:
        """Return how a leaf stands in tensors beside weights of its own module."""
        x = self.jax[leaf].astype(np.float64)
        found: dict[Layout, None] = {}
        for other, match in self.matches.items():
            if steps(other)[:-1] == steps(leaf)[:-1]:
                known = match.layout.part if isinstance(match.layout, Scaled) else match.layout
                layout = candidates.beside(leaf, x.shape, known, self.shapes, free)
                if layout is not None and np.array_equal(layout.of(self.torch), x):
                    found[layout] = None
        return [*found]

    def _by_value(self) -> None:
        first = {same[0]: self.torch[same[0]] for same in self.alike.values()}
        left = {n: x for n, x in self.jax.items() if n not in self.matches and n not in self.late}
        held = {dtype: Held(first, dtype) for dtype in {x.dtype for x in left.values()}}
        whole = {leaf: held[x.dtype].whole(x.astype(np.float64)) for leaf, x in left.items()}
        constant = {leaf for leaf, x in left.items() if _is_constant(x)}
        taken = {
            n for leaf in whole if leaf not in constant for y in whole[leaf] for n in y.sources()
        }
        for leaf, x in left.items():
            found = whole[leaf]
            if not found and (part := held[x.dtype].part(x.astype(np.float64), taken)):
                found = [part]
            options = [other for one in found for other in self._members(one)]
            if len(options) == 1 and leaf not in constant:
                self._decide(leaf, options[0], Decided.VALUE)
            else:
                self.options[leaf] = options

    def _scaled(self) -> None:
        """Decide leaves that are a factor times what no other leaf is made of."""
        for leaf in [leaf for leaf, options in self.options.items() if not options]:
            layout = scaled(self.jax[leaf].astype(np.float64), self.free, self.taken)
            if layout is not None:
                self._decide(leaf, layout, Decided.VALUE)

    def _members(self, layout: Layout) -> list[Layout]:
        """Return a layout in every set of tensors that are equal to those it was found in."""
        same = [self.alike[name] for name in dict.fromkeys(layout.sources())]
        count = min(map(len, same))
        return [renamed(layout, {each[0]: each[i] for each in same}) for i in range(count)]

    def _beside(self) -> None:
        """Let equal numbers go where the weight beside them went, split or joined like it."""
        for leaf in [*self.options]:
            found = self._all_beside(leaf, self.free)
            if len(found) == 1:
                self._decide(leaf, found[0], Decided.STRUCTURE, self.options[leaf])
            elif found:
                self.options[leaf] = found
        self.options = {leaf: options for leaf, options in self.options.items() if options}

    def _by_shape(self) -> None:
        for leaf, x in self.jax.items():
            made = [candidates.by_shape(n, leaf, self.shapes[n], x.shape) for n in self.torch]
            options = [layout for layout in made if layout is not None]
            if options and leaf not in self.matches:
                self.options[leaf] = [*options]

    def _round(self, scores: Mapping[str, list[tuple[Score, Layout]]]) -> None:
        """Decide what can be: pairs that are each other's best, else the first by order."""
        rivals: dict[tuple[str, ...], list[tuple[Score, str]]] = {}
        for leaf, options in scores.items():
            for score, layout in options:
                rivals.setdefault(layout.sources(), []).append((score, leaf))
        for part, how in enumerate(DECIDING, 1):
            found = [leaf for leaf in scores if self._is_best(leaf, scores, rivals, part)]
            for leaf in found:
                options = scores[leaf]
                top = [layout for score, layout in options if score[:part] == options[0][0][:part]]
                layout, doubt = top[0], how
                if len(top) > 1:
                    layout, known = self._turned_as_others(leaf, top)
                    doubt = max(how, Decided.NAME if known else Decided.ORDER, key=DOUBT.index)
                self._decide(leaf, layout, doubt, self.options[leaf])
            if found:
                return
        leaf = min(scores, key=natural)
        top = [x for score, x in scores[leaf] if score == scores[leaf][0][0]]
        self._decide(leaf, top[0], Decided.ORDER, self.options[leaf])

    def _is_best(
        self,
        leaf: str,
        scores: Mapping[str, list[tuple[Score, Layout]]],
        rivals: Mapping[tuple[str, ...], list[tuple[Score, str]]],
        part: int,
    ) -> bool:
        """Return whether a leaf and one tensor are each other's best, by a part of the score."""
        options = scores[leaf]
        best = options[0][0][:part]
        top = {layout.sources() for score, layout in options if score[:part] == best}
        others = [x for x in rivals[options[0][1].sources()] if x[1] != leaf]
        if len(top) > 1 or any(score[:part] >= best for score, _ in others):
            return False
        return part > 1 or self._is_sure(leaf, best[0])

    def _is_sure(self, leaf: str, near: float) -> bool:
        """Return whether place alone leaves one tensor, and not because guesses took the others."""
        if not near and self._is_in_several(leaf):
            return False
        left = [x for x in self.options[leaf] if not self._is_taken(x, self.surely)]
        sure = self._places([Decided.NAME, Decided.ORDER])
        at = [x.sources() for x in left if round(sure.near(x.sources()[0], leaf), 3) >= near]
        return len({*at}) == 1

    def _is_in_several(self, leaf: str) -> bool:
        """Return whether one number, of which a leaf is made, is in several tensors of torch's."""
        x = self.jax[leaf]
        if not self.by_value or not x.size:
            return True
        number = float(x.flat[0])
        if number not in self.counts:
            self.counts[number] = sum(bool((y == number).any()) for y in self.torch.values())
        return self.counts[number] > 1

    def _places(self, without: Sequence[Decided]) -> Places:
        """Return the places of what is matched, but not of what was decided in these ways."""
        return Places(
            (name, leaf)
            for leaf, match in self.matches.items()
            if match.decided not in without
            for name in match.layout.sources()
        )

    def _turned_as_others(self, leaf: str, layouts: list[Layout]) -> tuple[Layout, bool]:
        """Return that layout which leaves of this name have elsewhere, and whether one is known."""
        last = steps(leaf)[-1]
        for match in self.matches.values():
            if steps(match.leaf)[-1] == last and isinstance(match.layout, Piece):
                for layout in layouts:
                    if isinstance(layout, Piece) and layout.order == match.layout.order:
                        return layout, True
        return layouts[0], False

    def _scores(self) -> dict[str, list[tuple[Score, Layout]]]:
        """Return each leaf's options, the likeliest first: by place, then as `DECIDING` says."""
        sure = self._places([Decided.NAME, Decided.ORDER])
        named, every = self._places([Decided.ORDER]), self._places([])
        scores = {}
        for leaf, options in [*self.options.items()]:
            free = [x for x in options if not self._is_taken(x, self.taken)]
            if not free and not self.by_value:
                del self.options[leaf]  # shapes alone do not show that one is a copy
                continue
            found = []
            for layout in free or options:
                name = layout.sources()[0]
                near = sure.near(name, leaf), named.near(name, leaf)
                score = *near, alike(name, leaf), every.near(name, leaf)
                found.append((tuple(round(x, 3) for x in score), layout))
            scores[leaf] = sorted(found, key=lambda x: x[0], reverse=True)
        return scores

    def _is_taken(self, layout: Layout, taken: Mapping[str, np.ndarray]) -> bool:
        read = elements(layout, self.shapes)
        return any(taken[name][places].any() for name, places in read.items())


Score = tuple[float, ...]
DECIDING = (Decided.STRUCTURE, Decided.NAME, Decided.NAME, Decided.ORDER)
"""What decides: a place that is sure, one that was guessed by name, the name, a guessed place."""


def _is_constant(x: np.ndarray) -> bool:
    return not x.size or bool((x == x.flat[0]).all())
