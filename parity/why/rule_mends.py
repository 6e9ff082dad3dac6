"""The edit that sets right a rule inside a function: an `autograd.Function`, a `custom_vjp`.

`repairs.py` does the same for a `parity.Rule`. A rule is edited alone, on what it is given where it
stands; what is found has to make all gradients of the whole function right, on other numbers too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from parity.frameworks.rules import Call
from parity.judge.cause import Cause, Kind
from parity.judge.compare import FLOAT64
from parity.pairs.legs import Arrays, Legs
from parity.trial.exact import Exact
from parity.where.culprits import Rules, Wanted, culprits
from parity.why.causes.edited import HINTS, OTHER
from parity.why.conventions.further import other_numbers
from parity.why.mending import Mend, mends

UNPACKED = "order"
"""The edit that gives names another order: of edits alike, the less likely one."""


def rules_mended(
    corner: str,
    legs: Legs,
    problem: Exact,
    right: Arrays,
    right_in: Mapping[str, Sequence[str]],
    first: Collection[str] = (),
) -> list[Cause]:
    """Return the edits of the rules in a corner's function that make all its gradients right.

    ``right`` holds every gradient as it should be; ``right_in`` says which corners have it so.
    ``first`` are the lines that are edited before others.
    """
    wanted = Wanted(problem.values, right, problem.noises(1))
    found = culprits(legs, corner, wanted)
    with legs.corners[corner].side.exactly(FLOAT64), np.errstate(all="ignore"):
        chosen = {key: _mends_of(calls, first) for key, calls in found.items()}
    if not chosen or not all(chosen.values()):
        return []
    instead = {key: _Edited(own, found[key][0]) for key, own in chosen.items()}
    rules = Rules(legs, corner)
    for numbers in filter(None, (wanted, _elsewhere(legs, problem, right_in))):
        try:
            if not numbers.met_by(rules.gradients(numbers.values, instead)):
                return []
        except Exception:  # an edit may break where it stands
            return []
    each = dict.fromkeys(mend for own in chosen.values() for mend in own.values())
    return [_as_cause(mend) for mend in each]


def _elsewhere(legs: Legs, problem: Exact, right_in: Mapping[str, Sequence[str]]) -> Wanted | None:
    other = other_numbers(legs, problem)
    if other is None or not all(right_in.values()):
        return None
    gradients = {
        name: np.mean([other.outcomes[c][1][name] for c in corners], axis=0)
        for name, corners in right_in.items()
    }
    noise = {
        name: np.max([own[1][name] for own in other.own.values()], axis=0) for name in gradients
    }
    return Wanted(other.values, gradients, noise)


def _mends_of(calls: Sequence[Call], first: Collection[str]) -> dict[int, Mend]:
    """Return {place of an input whose gradient is wrong: what makes it right}; nothing if not all.

    An edit has to leave right what is. One that makes more right goes before others, then the one
    that leaves the shortest line.
    """
    call = next(c for c in calls if not c.agrees(c.got))
    wrong = {i for i, x in enumerate(call.got) if not call.agrees_at(i, x)}

    def right(found: Any) -> tuple[str, ...]:
        answer = call.answer(found)
        if len(answer) != len(call.wanted):
            return ()
        good = {i for i, x in enumerate(answer) if call.agrees_at(i, x)}
        lost = {*range(len(answer))} - wrong - good
        return () if lost else tuple(str(i) for i in sorted(good & wrong))

    leave = [call.places[i] for i in range(len(call.got)) if i not in wrong]
    found = [*mends(call.backward, call.arguments, right, run=call.run, leave=leave, first=first)]
    found = [mend for mend in found if _holds(mend, calls)]
    found.sort(key=lambda m: (-len(m.makes), m.longer, m.edit.rule == UNPACKED))
    best = {i: next((m for m in found if str(i) in m.makes), None) for i in wrong}
    return {i: mend for i, mend in best.items() if mend} if all(best.values()) else {}


def _holds(mend: Mend, calls: Sequence[Call]) -> bool:
    """Return whether an edit makes the same right in every call."""
    for call in calls:
        try:
            answer = call.answer(call.run(lambda *xs: mend.again(xs, {}), call.arguments))
        except Exception:  # an edit may break on other numbers
            return False
        if not all(call.agrees_at(int(i), answer[int(i)]) for i in mend.makes):
            return False
    return True


class _Edited:
    """A rule that answers as its edits do, each for the inputs that it makes right."""

    def __init__(self, mends: Mapping[int, Mend], call: Call) -> None:
        self.mends, self.places = mends, call.places

    def __call__(self, *arguments: Any) -> Any:
        each = {id(m): m for m in self.mends.values()}
        found = {key: m.function(*arguments) for key, m in each.items()}
        first, *others = found.values()
        if not others:
            return first
        entries = [*first]
        for i, mend in self.mends.items():
            entries[self.places[i]] = found[id(mend)][self.places[i]]
        return tuple(entries)


def _as_cause(mend: Mend) -> Cause:
    edit = mend.edit
    return Cause(
        Kind.EDIT,
        f"{edit.before} -> {edit.after}",
        f"right if {mend.place} reads `{mend.line}`",
        HINTS.get(edit.rule, OTHER),
        line=mend.place,
    )
