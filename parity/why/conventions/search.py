"""Why two functions differ: changes of one side are tried until one restores parity.

Constants of either side are put into the other, switches turned, operations done the other way,
arrays laid out otherwise, a number solved for; then two changes at once. A change is named only
when outputs and gradients agree within the yardstick in float64, on every problem under test. What
a function is called decides nothing. Nothing here runs where two sides agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import islice, product
from typing import Any, NamedTuple

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.judge.noise import BOUND
from parity.pairs.legs import LARGE, Arrays, Legs
from parity.progress import QUIET
from parity.why.budget import Budget
from parity.why.conventions import proposals
from parity.why.conventions.change import Change, Problem
from parity.why.conventions.dead_rows import where_nothing_passes
from parity.why.conventions.near import is_near, near
from parity.why.conventions.parameters import (
    EPSILONS,
    NEUTRAL,
    Parameter,
    inserted,
    mixtures,
    numbers,
    of_side,
    plausible,
)
from parity.why.conventions.rerun import Rerun
from parity.why.conventions.solving import solve, solve_two
from parity.why.conventions.spelling import Spelled, spellings
from parity.why.conventions.together import together
from parity.why.conventions.unused import unused_by, without

MOST_RUNS = 6000
"""Runs of changed functions in one search."""

MOST_WORK = 2_000_000
"""Operations in all those runs, on LARGE numbers each."""

BASES = 8
"""Changes that help most, on top of which a second one is tried."""

FEW = 8
"""With fewer output numbers than this, the gradients help to solve for two constants."""

MOST_CONSTANTS = 24
"""Constants of one program that are turned two at a time."""

LAYOUTS = frozenset("axes moves variables".split())
"""Kinds of what is known inside a region that an input held otherwise may say as well."""

EXCHANGED = "exchanged"
"""The kind that says least: it does not keep the search from going on."""

NAMED = 8
"""Changes that are named, where more restore parity."""


class Explanation(NamedTuple):
    """What restores parity, most telling first, and what was tried."""

    causes: tuple[Cause, ...]
    tried: str


def convention(change: str, evidence: str) -> Cause:
    """Return a change in words as the cause of a difference."""
    hint = "Which of the two does your specification ask for?"
    return Cause(Kind.CONVENTION, change, f"Matches if {change}", hint, evidence)


def explain(
    legs: Legs,
    problems: Sequence[Problem],
    told: Callable[[str], None] = lambda what: None,
    budget: Budget | None = None,
    known: Sequence[Cause] = (),
    lines: Set[str] = frozenset(),
) -> Explanation:
    """Return the changes that restore parity between a pair's two functions, on all problems.

    Nothing where the two agree in float64 or there is but one. ``told`` hears how long searches go.
    Where causes are ``known``, only what is quickly tried is said beside them. ``lines`` are those
    at which the two part, where that is known: what is there is tried first.
    """
    if len(legs.pair.sides) < 2:
        return Explanation((), "")
    problems = [p for p in problems if _is_finite(p)] or problems
    rerun = Rerun(legs, problems)
    apart = [case for case in range(len(problems)) if not rerun.agrees(case)]
    if not apart:
        return Explanation((), "")
    first = apart[0]  # the search looks at one problem, and asks all of them last
    rerun = Rerun(legs, [problems[first], *problems[:first], *problems[first + 1 :]])
    with rerun.exactly():
        search = _Search(rerun, told, budget or Budget())
        clear = [cause for cause in known if EXCHANGED not in cause.key]
        if clear:
            search.brief(any(LAYOUTS & {*cause.key.split()} for cause in clear))
        else:
            search.run(lines)
    found = (*known, *search.found) if clear else (*search.found, *known)
    return Explanation((*search.facts, *found), search.tried())


def _is_finite(problem: Problem) -> bool:
    """Return whether both sides' answers are finite: only then everything can be compared."""
    parts = [part for outcome in problem.outcomes.values() for part in outcome]
    return all(bool(np.all(np.isfinite(x))) for part in parts for x in part.values())


class _Search:
    """One search: candidates in order of cost, each tried forward, then confirmed."""

    def __init__(self, rerun: Rerun, told: Callable[[str], None], budget: Budget) -> None:
        self.budget, self.stopped = budget, ""
        self.rerun, self.sides, self.told = rerun, rerun.sides, told
        self.since = time.monotonic()
        self.reference = {side: dict(rerun.problems[0].outcomes[side][0]) for side in self.sides}
        self.parameters = {side: of_side(rerun, side) for side in self.sides}
        self.sizes = proposals.sizes_of(rerun)
        self.facts: list[Cause] = []
        """What is so whatever restores parity."""
        self.found: list[Cause] = []
        self.keys: set[Any] = set()
        """What is named already, in other words."""
        self.slots: set[tuple[str, int | None, int]] = set()
        """The constants whose change restores parity."""
        self.factors: set[float] = set()
        """Factors on outputs that restore parity, and their inverses."""
        self.counts: dict[str, int] = {}
        self.base: Change | None = None
        """A first change, where a second one is looked for."""
        self._whole = False
        """Whether a fact alone is why the sides differ."""
        self.helped: list[tuple[float, Change]] = []
        """Single changes, and how far apart they leave the sides."""
        self.work = 0
        self.numbers = sum(x.size for x in rerun.problems[0].values)

    def run(self, lines: Set[str]) -> None:
        """Try everything, cheapest first; more than one change only where no single one will do."""
        self._unused()
        if self._whole:
            return
        if not self.found and lines:
            self._near(lines)
        if not self.found:
            self._single()
        for stage in (self._missing, self._neutral, self._two_constants, self._second):
            if not self.found:
                stage()
        self._dead_rows()

    def _dead_rows(self) -> None:
        """Say where the sides differ, if that is in rows that a mask empties alone."""
        if not self.found and (said := where_nothing_passes(self.rerun)):
            self.facts.append(replace(convention(said, ""), sentence=said))

    def brief(self, laid_out: bool) -> None:
        """Try what is quickest besides what is known; inputs too where that is a layout."""
        self._unused()
        if self._whole:
            return
        self._inside(self.sides)
        if laid_out and not self.found:
            self._rearranged()
        self._dead_rows()

    def tried(self) -> str:
        """Return what was tried and how often."""
        counted = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        if not self.stopped:
            return counted
        left = f"{self.stopped} and what comes after it were not all tried"
        return f"{counted}; {left}: {self.budget}" if counted else f"{left}: {self.budget}"

    def _unused(self) -> None:
        """Say which inputs one side does not use; where that is not all, look on without them."""
        for side in self.sides:
            names = unused_by(self.rerun, side)
            if not names:
                continue
            said = f"the {side} side does not use {' and '.join(names)}"
            self.facts.append(replace(convention(said, ""), sentence=said))
            before = len(self.helped)
            self._try("inputs taken out", without(self.rerun.other(side), names))
            if self.found:  # the fact says it all
                self.facts[-1] = replace(self.facts[-1], evidence=self.found.pop().evidence)
                self._whole = True
                return
            nearest = min(self.helped[before:], key=lambda item: item[0], default=None)
            floating = set(names) & {*self.rerun.legs.arguments.floating}
            if nearest is not None and floating:
                self.base = nearest[1]
                self._single()
                self.base = None

    def _near(self, lines: Set[str]) -> None:
        """Try single changes inside the functions, at these lines alone."""
        self._functions(self.sides, lines)
        if not self.found:
            self._missing(lines)

    def _single(self) -> None:
        """Try single changes: inside the functions, then of their inputs if none was found."""
        rerun, parameters = self.rerun, self.parameters
        sides = self.sides if self.base is None else (self.base.side,)
        self._functions(sides)
        if self.found:
            return
        self._rearranged()
        self._try("rows left out", proposals.rows_left_out(rerun, parameters, sides))
        if self.base is None:
            self._try("inputs rescaled", proposals.rescaled(rerun, sides))

    def _functions(self, sides: Sequence[str], lines: Set[str] = frozenset()) -> None:
        """Try changes inside the functions and of their outputs, dearer ones if none was found."""
        self._inside(sides, lines)
        self._try("outputs scaled, shifted or rearranged", self._outputs())
        if not self.found:
            own = {s: [p for p in self.parameters[s] if is_near(p.place, lines)] for s in sides}
            self._try("constants solved for", self._solved(own))
        if not self.found:
            changes = near(proposals.put_or_left_out(self.rerun, sides), lines)
            self._try("operations put in or left out", changes)

    def _inside(self, sides: Sequence[str], lines: Set[str] = frozenset()) -> None:
        """Try the other side's constants, operations done the other way, a step's correction."""
        rerun = self.rerun
        constants = proposals.substituted(rerun, self.parameters, sides)
        self._try("constants of one side put into the other", near(constants, lines))
        self._try("operations done the other way", near(proposals.otherwise(rerun, sides), lines))
        corrections = near(proposals.uncorrected(rerun, sides), lines)
        self._try("operations put in or left out", corrections)

    def _rearranged(self) -> None:
        """Try inputs held otherwise, one or several alike."""
        sides = self.sides if self.base is None else (self.base.side,)
        self._try("inputs rearranged", proposals.rearrangements(self.rerun, sides))
        if self.base is None:
            self._try("several inputs rearranged alike", together(self.rerun, sides))

    # trying

    def _try(self, what: str, changes: Iterator[Change], helping: bool = True) -> None:
        for change in changes:
            if self._spent():
                if self.budget.spent():
                    self.stopped = self.stopped or what
                return
            whole = self._on_base(change)
            if whole is None or self._named_already(change):
                continue
            self.counts[what] = self.counts.get(what, 0) + 1
            out, other = self._forward(whole), self.reference[self.rerun.other(change.side)]
            if self.rerun.distance(0, out, other, 0) <= BOUND:
                self._confirm({change.side: whole})
            elif helping and self.base is None and out is not None:
                self.helped.append((_apart(out, other), change))

    def _on_base(self, change: Change) -> Change | None:
        """Return a change on top of the first one, if that is of the same side."""
        if self.base is None or self.base.side != change.side:
            return change
        return self.base + change

    def _named_already(self, change: Change) -> bool:
        return bool(change.key) and (change.key in self.keys or change.key[:-1] in self.keys)

    def _confirm(self, changes: Mapping[str, Change]) -> None:
        """Name the changes if every output and gradient of every problem agrees with them."""
        key = tuple(change.key or change.said for change in changes.values())
        if key in self.keys or len(self.found) >= NAMED:
            return
        far = self.rerun.far(changes)
        if far > BOUND or not self.rerun.holds(changes):
            return
        self.keys.add(key)
        for change in changes.values():
            self.keys.add(change.key)
            if change.values:  # another value of the same constant says nothing new
                self.keys.add(change.key[:-1])
            self.slots |= {(change.side, change.program, slot) for slot in change.values}
        said = " and ".join(change.said for change in changes.values())
        self.found.append(convention(said, self._evidence(far)))

    def _evidence(self, far: float) -> str:
        what = "outputs and gradients" if self.rerun.legs.floating else "outputs"
        count = self.rerun.judged
        where = "on this seed" if count == 1 else f"on all {count} problems"
        where += " and on other numbers" if self.rerun.further else ""
        return f"then {what} are {far:.2g} of {BOUND:.0f} sigma apart in float64, {where}"

    def _forward(self, change: Change) -> Arrays | None:
        self._tell()
        if change.program is not None:
            operations = self.rerun.programs(change.side)[change.program].operations
            self.work += len(operations) * (1 + self.numbers // LARGE)
        return self.rerun.forward(change.side, change)

    def _tell(self) -> None:
        if time.monotonic() - self.since > QUIET:
            self.since = time.monotonic()
            self.told(f"looking for what restores parity: {self.rerun.runs:,} runs so far")

    def _spent(self) -> bool:
        spent = self.rerun.runs >= MOST_RUNS or self.work >= MOST_WORK
        return spent or self.budget.spent()

    # what has to be run to be proposed

    def _outputs(self) -> Iterator[Change]:
        side = self.sides[0] if self.base is None else self.base.side
        mine, other = self.reference[side], self.reference[self.rerun.other(side)]
        if self.base is not None:
            mine = self.rerun.forward(side, self.base) or {}
        known = [v for own in self.parameters.values() for v in numbers(own)]
        for change, factor in proposals.outputs_scaled(side, mine, other, self.sizes, known):
            before = len(self.found)
            yield change
            if factor and len(self.found) > before:
                self.factors |= {factor, 1 / factor}
        yield from proposals.outputs_rearranged(side, mine)

    def _solved(self, parameters: proposals.Parameters) -> Iterator[Change]:
        for own in parameters.values():
            for parameter in own:
                if not parameter.discrete and not self._spent() and not self._turned(parameter):
                    yield from self._solution(parameter)

    def _turned(self, parameter: Parameter) -> bool:
        """Return whether a value of this constant, or of one that holds the same, is found."""
        program = parameter.change(parameter.value).program
        own = {(parameter.side, program, slot) for slot in parameter.slots}
        return proposals.key_of(parameter) in self.keys or not self.slots.isdisjoint(own)

    def _solution(self, parameter: Parameter) -> Iterator[Change]:
        """Yield a parameter at the value that fits best, as it may have been written."""
        opposite = self.rerun.other(parameter.side)

        def run(value: float) -> Arrays | None:
            whole = self._on_base(parameter.change(value))
            return None if whole is None else self._forward(whole)

        value = solve(run, self.reference[opposite], float(parameter.value))
        if value is None:
            return
        known, before = numbers(self.parameters[opposite]), len(self.found)
        plain = any(abs(value - v) <= 1e-6 * abs(v) for v in (*known, 1.0))
        if not plain and self._scales_output(parameter.value, value):
            return  # a factor on the output says it better
        for spelled in spellings(value, self.sizes, known):
            if spelled.value != parameter.value and plausible(parameter.value, spelled.value):
                yield proposals.turned(parameter, spelled, self.sizes)
            if len(self.found) > before:
                return

    def _scales_output(self, old: float, new: float) -> bool:
        ratio = new / old if old else 0.0
        return any(abs(ratio - factor) <= 1e-6 * abs(factor) for factor in self.factors)

    # more than one change

    def _missing(self, lines: Set[str] = frozenset()) -> None:
        """Look for a factor or a shift that one side does not have at all."""
        places = {
            side: [p for p in inserted(self.rerun, side) if is_near(p.place, lines)]
            for side in self.sides
        }
        self._try("missing factors and shifts", self._solved(places), helping=False)

    def _neutral(self) -> None:
        """Take the epsilons out of both sides, which have them in different places."""
        without = {
            side: [
                proposals.turned(p, Spelled(NEUTRAL[p.role], ""), self.sizes)
                for p in own
                if p.role in EPSILONS
            ]
            for side, own in self.parameters.items()
        }
        what = "epsilons taken out of both"
        for changes in product(*without.values()):
            if self.found or self._spent():
                return
            self.counts[what] = self.counts.get(what, 0) + 1
            both = {c.side: whole for c in changes if (whole := self._on_base(c)) is not None}
            if len(both) < len(changes):
                continue
            first, second = (self._forward(change) for change in both.values())
            if self.rerun.distance(0, first, second, 0) <= BOUND:
                self._confirm(both)

    def _two_constants(self) -> None:
        """Solve for two constants of one side together."""
        for side, own in self.parameters.items():
            programs = dict.fromkeys(p.change(p.value).program for p in own)
            for number in programs or {None: None}:
                turning = [p for p in own if p.change(p.value).program == number and not p.discrete]
                turning = [*turning[:MOST_CONSTANTS], *mixtures(self.rerun, side)]
                self._try("two constants solved for", self._two_of(side, turning), helping=False)

    def _two_of(self, side: str, turning: Sequence[Parameter]) -> Iterator[Change]:
        opposite = self.rerun.other(side)
        wanted, known = dict(self.reference[opposite]), numbers(self.parameters[opposite])
        few = sum(x.size for x in wanted.values()) < FEW  # too few to fit two numbers to
        if few:
            wanted |= _gradients(self.rerun.gradients(opposite, None))

        def run(values: Mapping[int, float]) -> Arrays | None:
            whole: Change | None = turning[0].change(turning[0].value)
            for place, value in values.items():
                whole = whole and whole + turning[place].change(value)
            out = self._forward(whole) if whole else None
            if not few or out is None or whole is None:
                return out
            return out | _gradients(self.rerun.gradients(side, whole))

        if not turning:
            return
        starts = [float(p.value) for p in turning]
        for places, values in solve_two(run, wanted, starts):
            choices = [islice(spellings(v, self.sizes, known, decimals=False), 4) for v in values]
            for chosen in product(*choices):
                first, second = (
                    proposals.turned(turning[i], spelled, self.sizes)
                    for i, spelled in zip(places, chosen, strict=True)
                )
                whole = first + second
                if whole is not None and not self.found:
                    yield whole

    def _second(self) -> None:
        """Try a second change on top of those that brought the sides nearer."""
        limit = _apart(*self.reference.values()) - np.log(1.1)
        nearer = {far: change for far, change in reversed(self.helped) if far < limit}
        for _, change in sorted(nearer.items())[:BASES]:  # one of those that come as near
            self.base = change
            self._single()
            if not self.found:
                self._neutral()
            if self.found:
                return


def _gradients(found: Arrays | None) -> Arrays:
    return {f"gradient of {name}": x for name, x in (found or {}).items()}


def _apart(left: Arrays, right: Arrays) -> float:
    """Return how far apart outputs are: the logarithms of each one's relative distance, added."""
    total = 0.0
    for name, a in left.items():
        b = right[name]
        if a.shape != b.shape:
            return float("inf")
        size = float(np.sqrt(np.mean(np.abs(b.astype(complex)) ** 2))) or 1.0
        with np.errstate(all="ignore"):  # a change may leave memory that nothing has written
            off = float(np.sqrt(np.mean(np.abs(a.astype(complex) - b) ** 2))) / size
        total += np.log(max(off, 1e-16)) if np.isfinite(off) else 50.0
    return total
