"""The one edit of a rule's backward pass that sets it right, here and on other numbers.

Runs edited copies of a user's rule (`mending.py` makes them) and asks whether its gradients are
right then; changes nothing of the user's.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.judge.compare import FLOAT64, distance
from parity.judge.noise import BOUND, sigma
from parity.pairs.corners import by_rule
from parity.pairs.legs import Arrays, Legs
from parity.pairs.pair import Rule
from parity.trial.exact import Exact
from parity.why.causes.edited import HINTS, OTHER
from parity.why.conventions.change import Problem
from parity.why.conventions.further import other_numbers
from parity.why.mending import Made, Mend, made_by, mends


class _Bench:
    """A rule run once on one problem, whose backward pass can be run again, edited."""

    def __init__(self, legs: Legs, corner: str, rule: Rule, values: tuple[np.ndarray, ...]) -> None:
        self.legs, self.corner, self.rule = legs, corner, rule
        self.side = legs.corners[corner].side
        count = len(legs.arguments.names)
        self.inputs = self.side.from_numpy(tuple(values[:count]))
        douts = self.side.from_numpy(tuple(values[count:]))
        self.above = dict(zip(legs.cotangents(), douts, strict=True))
        self.forward: Any = None
        self.backward: tuple[Any, ...] = ()
        self.taken: tuple[Any, ...] = ()
        """What the forward pass was given."""
        self.gradients(Rule(self._forward, self._backward))

    def _forward(self, *inputs: Any) -> Any:
        self.taken, self.forward = inputs, self.rule.forward(*inputs)
        return self.forward

    def _backward(self, residual: Any, dout: Any) -> Any:
        self.backward = residual, dout
        return self.rule.backward(residual, dout)

    def gradients(self, rule: Rule) -> Arrays:
        """Return the gradients by a rule."""
        corner = by_rule(self.corner, self.side, rule, self.legs.arguments)
        _, grads = (corner.written or corner).gradients(self.inputs, self.above)
        return dict(zip(self.legs.floating, self.side.to_numpy(grads), strict=True))

    def right(self, found: Any, wanted: Arrays, yards: Arrays) -> set[str]:
        """Return which gradients are right where the backward pass returns ``found``."""
        values = self.gradients(Rule(lambda *_: self.forward, lambda *_: found))
        return {
            name
            for name, reference in wanted.items()
            if values[name].shape == reference.shape
            and distance(values[name], reference, yards[name]).sigmas <= BOUND
        }

    def made(self) -> Mapping[str, Made]:
        """Return what the forward pass makes on its way."""
        return made_by(self.rule.forward, self.taken)


def repaired(
    corner: str,
    legs: Legs,
    problem: Exact,
    references: Arrays,
    kept: Arrays,
    right_in: Mapping[str, Sequence[str]],
) -> dict[str, Cause]:
    """Return {gradient: the edit of the rule's backward pass that makes it right}, if any does.

    An edit must leave right what is, the gradients in ``kept``; ``right_in`` says which corners
    have each right. One that makes more right goes before others, then the one that leaves the
    shortest line: they give the same numbers. Where no edit does, what the forward pass makes is
    put in.
    """
    rule, side = legs.pair.sides[corner.split(".")[0]], legs.corners[corner].side
    if not isinstance(rule, Rule):
        return {}
    wanted = {**references, **kept}
    yards = {name: sigma(problem.noise(1, name), FLOAT64) for name in wanted}
    with side.exactly(FLOAT64):
        bench = _Bench(legs, corner, rule, problem.values)

        def right(found: Any) -> tuple[str, ...]:
            good = bench.right(found, wanted, yards)
            return tuple(name for name in references if name in good and good >= {*kept})

        found = [*mends(rule.backward, bench.backward, right)]
        made: Mapping[str, Made] = {}
        if not found:
            made = bench.made()
            found = [*mends(rule.backward, bench.backward, right, made)]
    found.sort(key=lambda mend: (-len(mend.makes), mend.longer))
    found = _holding(found, legs, corner, rule, problem, right_in)
    best = {name: next((m for m in found if name in m.makes), None) for name in references}
    return {
        name: _as_cause(m, f"{corner}'s gradient of {name}", made) for name, m in best.items() if m
    }


def _holding(
    found: list[Mend],
    legs: Legs,
    corner: str,
    rule: Rule,
    problem: Problem,
    right_in: Mapping[str, Sequence[str]],
) -> list[Mend]:
    """Return the edits that make the same gradients right on other numbers too."""
    other = other_numbers(legs, problem) if found else None
    if other is None or not all(right_in.values()):
        return found
    wanted, yards = {}, {}
    for name, corners in right_in.items():
        wanted[name] = np.mean([other.outcomes[c][1][name] for c in corners], axis=0)
        noise = np.max([own[1][name] for own in other.own.values()], axis=0)
        yards[name] = sigma(noise, FLOAT64)
    side = legs.corners[corner].side
    with side.exactly(FLOAT64):
        bench = _Bench(legs, corner, rule, other.values)
        made = bench.made() if any(mend.borrows for mend in found) else {}

        def holds(mend: Mend) -> bool:
            try:
                again = mend.again(bench.backward, made)
                return {*mend.makes} <= bench.right(again, wanted, yards)
            except Exception:  # an edit may break on other numbers
                return False

        return [mend for mend in found if holds(mend)]


def _as_cause(mend: Mend, tensor: str, made: Mapping[str, Made]) -> Cause:
    edit = mend.edit
    line = mend.line
    for name in mend.borrows:
        line = line.replace(name, f"({made[name].source})")
    line = ast.unparse(ast.parse(line)) if mend.borrows else line
    return Cause(
        Kind.EDIT,
        f"{edit.before} -> {edit.after}",
        f"right if {mend.place} reads `{line}`",
        HINTS.get(edit.rule, OTHER),
        tensor=tensor,
        line=mend.place,
    )
