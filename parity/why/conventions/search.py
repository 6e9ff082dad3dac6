"""Why two functions differ: changes of one side are tried until one restores parity.

Constants of either side are put into the other, switches turned, operations done the other way,
arrays laid out otherwise, a number solved for; then two changes at once. A change is named only
when outputs and gradients agree within the yardstick in float64, on every problem under test. What
a function is called decides nothing. Nothing here runs where two sides agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np

from parity.judge.cause import Cause
from parity.judge.noise import BOUND
from parity.pairs.legs import Legs
from parity.why.budget import Budget
from parity.why.conventions import proposals
from parity.why.conventions.change import Problem
from parity.why.conventions.fits import Fits
from parity.why.conventions.near import Where, anywhere, chosen, is_near
from parity.why.conventions.parameters import EPSILONS, NEUTRAL, inserted
from parity.why.conventions.rerun import Rerun
from parity.why.conventions.rows import has_turns, where_a_row_is_ahead, where_nothing_passes
from parity.why.conventions.spelling import Spelled
from parity.why.conventions.together import together
from parity.why.conventions.tries import Tries, apart, convention
from parity.why.conventions.unused import unused_by, without

BASES = 8
"""Changes that help most, on top of which a second one is tried."""

LAYOUTS = frozenset("axes moves variables".split())
"""Kinds of what is known inside a region that an input held otherwise may say as well."""

LEAST = frozenset("decays exchanged".split())
"""Kinds that say least: they do not keep the search from going on."""


class Explanation(NamedTuple):
    """What restores parity, most telling first, and what was tried."""

    causes: tuple[Cause, ...]
    tried: str


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
    Where causes are ``known``, only what is quickly tried is said beside them, and nothing of large
    inputs: each try is a run of the whole. ``lines`` are those
    at which the two part, where that is known: what is there is tried first.
    """
    if len(legs.pair.sides) < 2:
        return Explanation((), "")
    if known and legs.heavy:
        return Explanation((*known,), "")
    problems = [p for p in problems if _is_finite(p)] or problems
    rerun = Rerun(legs, problems)
    differing = [case for case in range(len(problems)) if not rerun.agrees(case)]
    if not differing:
        return Explanation((), "")
    first = differing[0]  # the search looks at one problem, and asks all of them last
    rerun = Rerun(legs, [problems[first], *problems[:first], *problems[first + 1 :]])
    with rerun.exactly():
        tries = Tries(rerun, told, budget or Budget())
        search = _Search(tries)
        clear = [cause for cause in known if LEAST.isdisjoint(cause.key.split())]
        laid_out = any(LAYOUTS & {*cause.key.split()} for cause in clear)
        if (laid_out or not clear) and has_turns(rerun) and search.ahead():
            return Explanation(tuple(search.facts), tries.tried())
        if clear:
            search.brief(laid_out)
        else:
            search.run(lines)
        if not (clear or tries.found or search.facts):
            search.ahead()
    found = (*known, *tries.found) if clear else (*tries.found, *known)
    return Explanation((*search.facts, *found), tries.tried())


def _is_finite(problem: Problem) -> bool:
    """Return whether both sides' answers are finite: only then everything can be compared."""
    parts = [part for outcome in problem.outcomes.values() for part in outcome]
    return all(bool(np.all(np.isfinite(x))) for part in parts for x in part.values())


class _Search:
    """One search: candidates in order of cost, each tried forward, then confirmed."""

    def __init__(self, tries: Tries) -> None:
        self.tries, self.fits = tries, Fits(tries)
        self.facts: list[Cause] = []
        """What is so whatever restores parity."""
        self._whole = False
        """Whether a fact alone is why the sides differ."""

    def run(self, lines: Set[str]) -> None:
        """Try everything, cheapest first; more than one change only where no single one will do."""
        self._unused()
        if self._whole:
            return
        if not self.tries.found and lines:
            self._near(lambda words: is_near(words, lines))

        def elsewhere(words: str) -> bool:
            return not lines or not is_near(words, lines)

        for single in (self._single, self._missing):
            if not self.tries.found:
                single(elsewhere)
        for stage in (self._neutral, self.fits.two_constants, self._second):
            if not self.tries.found:
                stage()
        self._dead_rows()

    def ahead(self) -> bool:
        """Say that one side's rows are the other's, one further, if that is all."""
        said = where_a_row_is_ahead(self.tries.rerun)
        if said:
            self.facts.append(replace(convention(said, ""), sentence=said))
        return bool(said)

    def _dead_rows(self) -> None:
        """Say where the sides differ, if that is in rows that a mask empties alone."""
        if not self.tries.found and (said := where_nothing_passes(self.tries.rerun)):
            self.facts.append(replace(convention(said, ""), sentence=said))

    def brief(self, laid_out: bool) -> None:
        """Try what is quickest besides what is known; inputs too where that is a layout."""
        self._unused()
        if self._whole:
            return
        self._inside(self.tries.sides)
        if laid_out and not self.tries.found:
            self._rearranged()
        self._dead_rows()

    def _unused(self) -> None:
        """Say which inputs one side does not use; where that is not all, look on without them."""
        for side in self.tries.sides:
            names = unused_by(self.tries.rerun, side)
            if not names:
                continue
            said = f"the {side} side does not use {' and '.join(names)}"
            self.facts.append(replace(convention(said, ""), sentence=said))
            before = len(self.tries.helped)
            self.tries.attempt("inputs taken out", without(self.tries.rerun.other(side), names))
            if self.tries.found:  # the fact says it all
                self.facts[-1] = replace(self.facts[-1], evidence=self.tries.found.pop().evidence)
                self._whole = True
                return
            nearest = min(self.tries.helped[before:], key=lambda item: item[0], default=None)
            floating = set(names) & {*self.tries.rerun.legs.arguments.floating}
            if nearest is not None and floating:
                self.tries.base = nearest[1]
                self._single()
                self.tries.base = None

    def _near(self, where: Where) -> None:
        """Try single changes inside the functions, there alone."""
        self._functions(self.tries.sides, where)
        if not self.tries.found:
            self._missing(where)

    def _single(self, where: Where = anywhere) -> None:
        """Try single changes: inside the functions, then of their inputs if none was found."""
        rerun, parameters = self.tries.rerun, self.fits.parameters
        sides = self.tries.sides if self.tries.base is None else (self.tries.base.side,)
        self._functions(sides, where)
        if self.tries.found:
            return
        self._rearranged()
        self.tries.attempt("rows left out", proposals.rows_left_out(rerun, parameters, sides))
        if self.tries.base is None:
            self.tries.attempt("inputs rescaled", proposals.rescaled(rerun, sides))

    def _functions(self, sides: Sequence[str], where: Where) -> None:
        """Try changes inside the functions and of their outputs, dearer ones if none was found."""
        self._inside(sides, where)
        self.tries.attempt("outputs scaled, shifted or rearranged", self.fits.outputs())
        if not self.tries.found:
            own = {s: [p for p in self.fits.parameters[s] if where(p.place)] for s in sides}
            self.tries.attempt("constants solved for", self.fits.solved(own))
        if not self.tries.found:
            changes = chosen(proposals.put_or_left_out(self.tries.rerun, sides), where)
            self.tries.attempt("operations put in or left out", changes)

    def _inside(self, sides: Sequence[str], where: Where = anywhere) -> None:
        """Try the other side's constants, operations done the other way, a step's correction."""
        rerun = self.tries.rerun
        constants = proposals.substituted(rerun, self.fits.parameters, sides)
        self.tries.attempt("constants of one side put into the other", chosen(constants, where))
        self.tries.attempt(
            "operations done the other way", chosen(proposals.otherwise(rerun, sides), where)
        )
        corrections = chosen(proposals.uncorrected(rerun, sides), where)
        self.tries.attempt("operations put in or left out", corrections)

    def _rearranged(self) -> None:
        """Try inputs held otherwise, one or several alike."""
        sides = self.tries.sides if self.tries.base is None else (self.tries.base.side,)
        self.tries.attempt("inputs rearranged", proposals.rearrangements(self.tries.rerun, sides))
        if self.tries.base is None:
            self.tries.attempt("several inputs rearranged alike", together(self.tries.rerun, sides))

    def _missing(self, where: Where) -> None:
        """Look for a factor or a shift that one side does not have at all."""
        places = {
            side: [p for p in inserted(self.tries.rerun, side) if where(p.place)]
            for side in self.tries.sides
        }
        self.tries.attempt("missing factors and shifts", self.fits.solved(places), helping=False)

    def _neutral(self) -> None:
        """Take the epsilons out of both sides, which have them in different places."""
        without = {
            side: [
                proposals.turned(p, Spelled(NEUTRAL[p.role], ""), self.fits.sizes)
                for p in own
                if p.role in EPSILONS
            ]
            for side, own in self.fits.parameters.items()
        }
        what = "epsilons taken out of both"
        for changes in product(*without.values()):
            if self.tries.found or self.tries.spent():
                return
            self.tries.counts[what] = self.tries.counts.get(what, 0) + 1
            both = {c.side: whole for c in changes if (whole := self.tries.on_base(c)) is not None}
            if len(both) < len(changes):
                continue
            first, second = (self.tries.forward(change) for change in both.values())
            if self.tries.rerun.distance(0, first, second, 0) <= BOUND:
                self.tries.confirm(both)

    def _second(self) -> None:
        """Try a second change on top of those that brought the sides nearer."""
        limit = apart(*self.tries.reference.values()) - np.log(1.1)
        nearer = {far: change for far, change in reversed(self.tries.helped) if far < limit}
        for _, change in sorted(nearer.items())[:BASES]:  # one of those that come as near
            self.tries.base = change
            self._single()
            if not self.tries.found:
                self._neutral()
            if self.tries.found:
                return
