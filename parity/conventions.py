"""Why two functions differ: changes of one side are tried until one restores parity.

Constants of either side are put into the other, switches turned, operations done the other way,
arrays laid out otherwise, a missing number solved for; then two changes at once. A change is named
only when outputs and gradients agree within the yardstick in float64, on every seed under test.
What a function is called decides nothing. Nothing here runs where two sides agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice, product
from typing import Any, NamedTuple

import numpy as np

from parity.alternatives import Alternative, alternatives
from parity.layouts import Layout, kept, rearranged, regrouped, scaled, shifted
from parity.legs import Arrays, Legs
from parity.noise import BOUND
from parity.parameters import (
    EPSILONS,
    NEUTRAL,
    Parameter,
    inserted,
    mixtures,
    numbers,
    of_side,
    others,
    plausible,
)
from parity.rerun import Change, Problem, Rerun
from parity.solving import solve, solve_two
from parity.spelling import UNIVERSAL, of_sizes, spellings, written

MOST_RUNS = 6000
"""Runs of changed functions in one search."""

MOST_WORK = 2_000_000
"""Operations in all those runs."""

BASES = 8
"""Changes that help most, on top of which a second one is tried."""

FEW = 8
"""With fewer output numbers than this, the gradients help to solve for constants."""

MOST_CONSTANTS = 24
"""Constants of one program that are turned two at a time."""

NAMED = 8
"""Changes that are named, where more restore parity."""


@dataclass(frozen=True)
class Convention:
    """A change that restores parity; read as a cause by whoever reports it."""

    sentence: str
    evidence: str
    key: str
    """The change without "Matches if"."""
    kind: str = "convention"
    hint: str = "Which of the two does your specification ask for?"
    tensor: str = ""

    def __str__(self) -> str:
        return f"{self.sentence} ({self.evidence})"


class Explanation(NamedTuple):
    """What restores parity, most telling first, and what was tried."""

    causes: tuple[Convention, ...]
    tried: str


Trial = Mapping[str, Change]
"""A change of one side, or one of each."""


def explain(legs: Legs, problems: Sequence[Problem]) -> Explanation:
    """Return the changes that restore parity between a pair's two functions, on all problems.

    Nothing where the two agree in float64 or there is but one.
    """
    if len(legs.pair.sides) < 2:
        return Explanation((), "")
    rerun = Rerun(legs, problems)
    apart = [case for case in range(len(problems)) if not rerun.agrees(case)]
    if not apart:
        return Explanation((), "")
    first = apart[0]  # the search looks at one problem, and asks all of them last
    order = [problems[first], *problems[:first], *problems[first + 1 :]]
    rerun = Rerun(legs, order)
    with rerun.exactly():
        search = Search(rerun)
        search.run()
    return Explanation(tuple(search.found), search.tried())


class Search:
    """One search: candidates in order of cost, each tried forward, then confirmed."""

    def __init__(self, rerun: Rerun) -> None:
        self.rerun, self.sides = rerun, rerun.sides
        self.reference = {side: rerun.forward(side, None) or {} for side in self.sides}
        self.found: list[Convention] = []
        self.keys: set[Any] = set()
        """What is named already, in other words."""
        self.slots: set[tuple[str, int | None, int]] = set()
        """The constants whose change restores parity."""
        self.factors: set[float] = set()
        """Factors on outputs that restore parity."""
        self.counts: dict[str, int] = {}
        self.helped: list[tuple[float, Change]] = []
        """How far apart the sides are after a change, best first."""
        self.apart = self._apart(*self.reference.values())
        self.base: Change | None = None
        self.parameters: dict[str, list[Parameter]] = {}
        self.work = 0

    def run(self) -> None:
        """Try everything, cheapest first; two changes only where no single one will do."""
        for side in self.sides:
            self.parameters[side] = of_side(self.rerun, side)
        self._single()
        if not self.found:
            self._try("missing factors and shifts", self._missing())
        if not self.found:
            self._neutral()
        if not self.found:
            self._try("two constants solved for", self._two_constants())
        if not self.found:
            self._second()

    def _single(self) -> None:
        self._try("constants of one side put into the other", self._substituted())
        self._try("operations done the other way", self._otherwise())
        self._try("outputs scaled, shifted, rearranged", self._outputs())
        self._try("constants solved for", self._solved(self.parameters))
        self._try("inputs rearranged", self._inputs())
        self._try("rows left out", self._rows())

    def tried(self) -> str:
        """Return what was tried and how often."""
        return ", ".join(f"{count} {what}" for what, count in self.counts.items() if count)

    # --- trying ---

    def _try(self, what: str, changes: Iterator[Change]) -> None:
        for change in changes:
            if self._spent():
                return
            self.counts[what] = self.counts.get(what, 0) + 1
            whole = change if self.base is None else self.base + change
            if whole is None:
                continue
            out = self._forward(whole)
            other = self.reference[self.rerun.other(change.side)]
            if self.rerun.distance(0, out, other, 0) <= BOUND:
                self._confirm({change.side: whole})
            elif self.base is None and out is not None and what != "missing factors and shifts":
                self.helped.append((self._apart(out, other), change))

    def _confirm(self, trial: Trial) -> None:
        key = tuple(change.key or change.said for change in trial.values())
        if key in self.keys or len(self.found) >= NAMED:
            return
        far = self.rerun.far(trial)
        if far <= BOUND:
            self.keys.add(key)
            self.slots |= {(c.side, c.program, slot) for c in trial.values() for slot in c.values}
            self.keys |= {key[:-1] for c in trial.values() if (key := c.key) and c.values}
            said = " and ".join(change.said for change in trial.values())
            self.found.append(Convention(f"Matches if {said}", self._evidence(far), said))

    def _evidence(self, far: float) -> str:
        legs, seeds = self.rerun.legs, len(self.rerun.problems)
        what = "outputs and gradients" if legs.floating else "outputs"
        times = "on this seed" if seeds == 1 else f"on all {seeds} problems"
        return f"then {what} are {far:.2g} of {BOUND:.0f} sigma apart in float64, {times}"

    def _forward(self, change: Change) -> Arrays | None:
        if change.program is not None:
            self.work += len(self.rerun.programs(change.side)[change.program].operations)
        return self.rerun.forward(change.side, change)

    def _spent(self) -> bool:
        return self.rerun.runs >= MOST_RUNS or self.work >= MOST_WORK

    def _apart(self, left: Arrays, right: Arrays) -> float:
        """Return how far apart outputs are: the share of each tensor's size, and those restored."""
        total = 0.0
        for name, a in left.items():
            b = right[name]
            if a.shape != b.shape:
                return float("inf")
            size = float(np.sqrt(np.mean(np.abs(b.astype(complex)) ** 2))) or 1.0
            off = float(np.sqrt(np.mean(np.abs(a.astype(complex) - b) ** 2))) / size
            total += np.log(max(off, 1e-16)) if np.isfinite(off) else 50.0
        return total

    # --- what to try ---

    def _substituted(self) -> Iterator[Change]:
        for side, parameters in self.parameters.items():
            known = numbers(self.parameters[self.rerun.other(side)])
            for parameter in parameters:
                for value in others(parameter, known):
                    if not self._named(parameter):
                        yield self._said(parameter, value)

    def _otherwise(self) -> Iterator[Change]:
        """Yield operations done the other way: all that are alike, then each."""
        for side in self.sides if self.base is None else (self.base.side,):
            arithmetic = self.rerun.frameworks[side].Arithmetic
            for number, program in enumerate(self.rerun.programs(side)):
                alike: dict[str, list[Alternative]] = {}
                for alternative in alternatives(program, arithmetic):
                    alike.setdefault(alternative.words, []).append(alternative)
                for words, members in alike.items():
                    if len(members) > 1:
                        edits = {m.operation.place: m.edit for m in members}
                        said = f"the {side} side has {words}, {len(members)} times"
                        yield Change(side, said, number, edits=edits, key=(side, words))
                    for alternative in members:
                        operation = alternative.operation
                        at = f" at {operation.where}" if operation.where else ""
                        yield Change(
                            side,
                            f"the {side} side has {words}{at}",
                            number,
                            edits={operation.place: alternative.edit},
                            key=(side, operation.kind, operation.where),
                        )

    def _outputs(self) -> Iterator[Change]:
        side = self.sides[0]
        base = self.rerun.forward(self.base.side, self.base) if self.base else None
        reference = dict(self.reference)
        if self.base is not None:
            side = self.base.side
            reference[side] = base or {}
        mine, other = reference[side], reference[self.rerun.other(side)]
        affine = [*_affine(mine, other, side, self._sizes(), self._known())]
        for layouts, words, factor in affine:
            before = len(self.found)
            yield Change(side, words, outputs=layouts)
            if len(self.found) > before:
                self.factors |= {factor, 1 / factor} if factor else set()
        for name, x in mine.items():
            for layout in _layouts(name, x):
                yield Change(side, f"{name} is {layout.words} on one side", outputs=(layout,))

    def _inputs(self) -> Iterator[Change]:
        yield from self._exchanges(self.sides[0] if self.base is None else self.base.side)
        for side in self.sides if self.base is None else (self.base.side,):
            leaves = zip(self.rerun.legs.arguments.names, self.rerun.problems[0].values)
            own = [layout for name, x in leaves for layout in _layouts(name, x)]
            for layout in own:
                said = f"input {layout.tensor} is {layout.words} for the {side} side"
                yield Change(side, said, inputs=(layout,), key=("input", layout.tensor))
            if self.base is None:
                yield from self._rescaled(side)
            for layout in own:
                for out in self._backwards(layout):
                    said = (
                        f"{layout.tensor} is {layout.words} on the way into the {side} side, and "
                        f"{out.tensor} put back"
                    )
                    key = ("around", layout.tensor)
                    yield Change(side, said, inputs=(layout,), outputs=(out,), key=key)

    def _exchanges(self, side: str) -> Iterator[Change]:
        leaves = zip(self.rerun.legs.arguments.names, self.rerun.problems[0].values, strict=False)
        for (one, x), (other, y) in combinations(leaves, 2):
            if x.shape == y.shape and x.dtype == y.dtype:
                said = f"inputs {one} and {other} are exchanged for one side"
                yield Change(side, said, exchanged=(one, other), key=(one, other))

    def _rescaled(self, side: str) -> Iterator[Change]:
        for name in self.rerun.legs.arguments.floating:
            for words, factor in UNIVERSAL.items():
                if factor not in (0.0, 1.0):
                    said = f"input {name} is multiplied by {words} for the {side} side"
                    yield Change(side, said, inputs=(scaled(name, factor, words),))

    def _backwards(self, layout: Layout) -> Iterator[Layout]:
        """Yield the way back for an output that has as many axes as the input laid out."""
        ndim = {
            n: x.ndim
            for n, x in zip(
                self.rerun.legs.arguments.names, self.rerun.problems[0].values, strict=False
            )
        }
        for name, x in self.reference[self.sides[0]].items():
            if x.ndim == ndim[layout.tensor]:
                yield Layout(name, layout.words, layout.back, layout.onto)

    def _rows(self) -> Iterator[Change]:
        values = self.rerun.problems[0].values[: self.rerun.count]
        names = self.rerun.legs.arguments.names
        shapes = {name: x.shape for name, x in zip(names, values, strict=True)}
        for side in self.sides if self.base is None else (self.base.side,):
            known = numbers(self.parameters[self.rerun.other(side)])
            for name, x in zip(names, values, strict=True):
                if x.ndim != 1 or x.dtype.kind not in "iub":
                    continue
                for value in dict.fromkeys([*(v for v in known if v == int(v)), 0]):
                    keep = x != value
                    if keep.any() and not keep.all():
                        word = f"rows where {name} = {written(value)}"
                        said = f"{word} are left out for the {side} side (the other ignores them)"
                        yield Change(side, said, inputs=tuple(kept(shapes, keep, said)))

    def _solved(self, parameters: Mapping[str, Sequence[Parameter]]) -> Iterator[Change]:
        for side, own in parameters.items():
            if self.base is not None and side != self.base.side:
                continue
            for parameter in own:
                if self._spent():
                    return
                if not parameter.discrete and not self._named(parameter):
                    yield from self._solution(parameter)

    def _missing(self) -> Iterator[Change]:
        yield from self._solved({side: [*inserted(self.rerun, side)] for side in self.sides})

    def _solution(self, parameter: Parameter) -> Iterator[Change]:
        """Yield a parameter at the value that fits best, as it may have been written."""
        other = self.reference[self.rerun.other(parameter.side)]

        def run(value: float) -> Arrays | None:
            change = parameter.change(value)
            whole = change if self.base is None else self.base + change
            return None if whole is None else self._forward(whole)

        value = solve(run, other, float(parameter.value))
        if value is None:
            return
        known, before = numbers(self.parameters[self.rerun.other(parameter.side)]), len(self.found)
        plain = any(abs(value - v) <= 1e-6 * abs(v) for v in (*known, 1.0))
        if not plain and self._same_as_output(parameter.value, value):
            return  # a factor on the output says it better
        for spelled in spellings(value, self._sizes(), known):
            if spelled.value != parameter.value and plausible(parameter.value, spelled.value):
                yield self._said(parameter, spelled.value, spelled.words)
            if len(self.found) > before:
                return

    def _same_as_output(self, old: float, new: float) -> bool:
        ratio = new / old if old else 0.0
        return any(abs(ratio - factor) <= 1e-6 * abs(factor) for factor in self.factors)

    def _elements(self) -> int:
        return sum(x.size for x in self.reference[self.sides[0]].values())

    def _sizes(self) -> list[int]:
        arrays = [*self.rerun.problems[0].values, *self.reference[self.sides[0]].values()]
        return [*dict.fromkeys(n for x in arrays for n in (*x.shape, x.size))]

    def _known(self) -> list[float]:
        return numbers([*chain(*self.parameters.values())])

    def _named(self, parameter: Parameter) -> bool:
        """Return whether a value of this constant, or of one that holds the same, is found."""
        key = (parameter.side, parameter.inserted, written(parameter.value))
        program = parameter.change(parameter.value).program
        own = {(parameter.side, program, slot) for slot in parameter.slots}
        return key in self.keys or not self.slots.isdisjoint(own)

    def _said(self, parameter: Parameter, value: Any, words: str = "") -> Change:
        """Return the change of a parameter to a value, in words."""
        before = of_sizes(parameter.value, self._sizes())
        return replace(
            parameter.change(value),
            said=parameter.said(value, words, before),
            key=(parameter.side, parameter.inserted, written(parameter.value), written(value)),
        )

    # --- both sides, and two changes ---

    def _neutral(self) -> None:
        """Take the epsilons out of both sides, which have them in different places."""
        without = {
            side: [self._said(p, NEUTRAL[p.role]) for p in own if p.role in EPSILONS]
            for side, own in self.parameters.items()
        }
        for changes in product(*without.values()):
            if self._spent():
                return
            self.counts["epsilons taken out of both"] = (
                self.counts.get("epsilons taken out of both", 0) + 1
            )
            trial = dict(zip(without, changes, strict=True))
            first, second = (self._forward(change) for change in changes)
            if self.rerun.distance(0, first, second, 0) <= BOUND:
                self._confirm(trial)
                return

    def _two_constants(self) -> Iterator[Change]:
        """Yield two constants of one side, at the values that together fit best."""
        for side, own in self.parameters.items():
            opposite = self.rerun.other(side)
            other, known = dict(self.reference[opposite]), numbers(self.parameters[opposite])
            few = self._elements() < FEW  # numbers to fit two others to: the gradients are more
            if few:
                other |= _as_gradients(self.rerun.gradients(opposite, None))
            for number in dict.fromkeys(p.change(p.value).program for p in own):
                turned = [p for p in own if not p.discrete and p.change(p.value).program == number]
                turned += [*mixtures(self.rerun, side)]

                def run(
                    values: Mapping[int, float], turned: Any = turned, side: str = side
                ) -> Arrays | None:
                    whole = turned[0].change(turned[0].value)
                    for place, value in values.items():
                        whole = whole + turned[place].change(value)
                    out = self._forward(whole)
                    if not few or out is None:
                        return out
                    return out | _as_gradients(self.rerun.gradients(whole.side, whole))

                starts = [float(p.value) for p in turned][:MOST_CONSTANTS]
                for places, values in solve_two(run, other, starts):
                    choices = [
                        [*islice(spellings(v, self._sizes(), known, decimals=False), 4)]
                        for v in values
                    ]
                    for chosen in product(*choices):
                        said = [
                            self._said(turned[i], s.value, s.words)
                            for i, s in zip(places, chosen, strict=True)
                        ]
                        whole = said[0] + said[1]
                        if whole is not None and not self.found:
                            yield whole

    def _second(self) -> None:
        """Try a second change on top of those that brought the sides nearer."""
        nearer = [(apart, c) for apart, c in self.helped if apart < self.apart - np.log(1.5)]
        for _, change in sorted(nearer, key=lambda item: item[0])[:BASES]:
            self.base = change
            self._single()
            if self.found:
                break
        self.base = None


def _as_gradients(found: Arrays | None) -> Arrays:
    return {f"gradient of {name}": x for name, x in (found or {}).items()}


def _layouts(name: str, x: np.ndarray) -> Iterator[Layout]:
    yield from rearranged(name, x.shape, x.dtype.kind)
    yield from regrouped(name, x.shape)


def _affine(
    mine: Arrays, other: Arrays, side: str, sizes: Sequence[int], known: Sequence[float]
) -> Iterator[tuple[tuple[Layout, ...], str, float]]:
    """Yield the factor, and the shift, by which outputs differ: one of them, or all by the same."""
    floats = [name for name, x in mine.items() if x.dtype.kind == "f"]
    for names in dict.fromkeys([tuple(floats), *((name,) for name in floats)]):
        a = np.concatenate([mine[n].ravel() for n in names] or [np.zeros(0)])
        b = np.concatenate(
            [
                other[n].ravel()
                if other[n].shape == mine[n].shape
                else np.full(mine[n].size, np.nan)
                for n in names
            ]
            or [np.zeros(0)]
        )
        fine = np.isfinite(a) & np.isfinite(b)
        if not fine.any() or not np.any(a[fine]):
            continue
        said = " and ".join(names)
        factor = float(a[fine] @ b[fine] / (a[fine] @ a[fine]))
        for number, words in spellings(factor, sizes, known, 1e-9):
            if number not in (0.0, 1.0):
                meant = f" = {words}" if words else ""
                sentence = f"{said} of the {side} side is multiplied by {written(number)}{meant}"
                yield tuple(scaled(n, number, sentence) for n in names), sentence, number
        shift = float(np.mean(b[fine] - a[fine]))
        for number, words in spellings(shift, sizes, known, 1e-9):
            if number:
                meant = f" = {words}" if words else ""
                sentence = f"{said} of the {side} side is shifted by {written(number)}{meant}"
                yield tuple(shifted(n, number, sentence) for n in names), sentence, 0.0
