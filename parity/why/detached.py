"""Gradients that differ because one side detaches a value: its program is run without that.

A fact about a program, checked by running it; says nothing of which of the two is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from parity.frameworks.programs import Edit
from parity.judge.cause import Cause, Kind
from parity.judge.noise import BOUND
from parity.pairs.legs import Legs
from parity.trial.exact import Exact
from parity.why.conventions.change import Change
from parity.why.conventions.rerun import Rerun

DETACHING = {"detach": "detaches a value", "stop_gradient": "stops a gradient"}
THROUGH: Edit = lambda values, x: x[0]  # noqa: E731
HINT = "Which side is meant to pass this gradient on, and which to hold it back?"


def detached(legs: Legs, problems: Sequence[Exact]) -> Cause | None:
    """Return what one side detaches, where all agrees once it passes the gradient on.

    All outputs and gradients, on every problem and on other numbers. None where nothing is
    detached, or something else differs too.
    """
    if len(legs.pair.sides) < 2:
        return None
    rerun = Rerun(legs, problems)
    with rerun.exactly():
        if rerun.far({}) <= BOUND:  # what is wrong is a rule, and stands in neither program
            return None
        for side in rerun.sides:
            for change in _passing(rerun, side):
                if rerun.far({side: change}) <= BOUND and rerun.holds({side: change}):
                    return Cause(Kind.PATHS, "detached", change.said, HINT)
    return None


def _passing(rerun: Rerun, side: str) -> Iterator[Change]:
    """Yield a side that passes on each gradient that it holds back, then all.

    Alone first: some that a library holds back, softmax's maximum, make no difference.
    """
    for number, program in enumerate(rerun.programs(side)[:1]):
        found = [o for _, o in program.walk() if o.kind in DETACHING]
        alone = [[o] for o in found] if len(found) > 1 else []
        for held in filter(None, [*alone, found]):
            lines = dict.fromkeys(o.where for o in held if o.where)
            what = DETACHING[held[0].kind]
            at = f" at {' and '.join(lines)}" if lines else ""
            said = f"{side} {what}{at}; once it passes that gradient on, both sides agree"
            edits = {o.place: THROUGH for o in held}
            yield Change(side, said, number, edits=edits)
