"""Two sides that cannot be compared because one array is held otherwise: which, and how.

Axes of one input, or of one output, are put in another order for one side; an order is named when
the pair can then be compared and agrees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from parity.errors import ParityError, UsageError
from parity.judge.cause import Cause
from parity.judge.verdict import Row, Verdict
from parity.pairs.corners import Corner, corners_of
from parity.pairs.legs import Legs
from parity.pairs.pair import Arguments, Pair
from parity.pairs.structure import MisfitError
from parity.trial.trial import Trial
from parity.why.conventions.further import SEED
from parity.why.conventions.search import explain
from parity.why.conventions.tries import convention

Order = tuple[int, ...]
AXES = 4
"""Arrays of more axes are left as they are."""

MOST = 4
"""Arrangements that are named."""


def arrangements(
    pair: Pair, seed: int, own: Collection[str] = (), raises: bool = False
) -> tuple[Cause, ...]:
    """Return the orders of one array's axes with which the pair agrees in float64.

    Where it still differs then, by a convention that can be named, that is said as well. Of two
    models only ``own`` inputs are turned, for how weights lie is known, and the first order that
    brings them together is all that is looked for: each takes a whole run. Where a side
    ``raises``, no order of its outputs mends that, and none is tried.
    """
    if len(pair.sides) < 2:
        return ()
    arguments = pair.arguments(np.random.default_rng(seed))
    if _fits(Legs(pair, arguments)):
        return ()  # it is not the order of axes that keeps two sides apart
    found: list[Cause] = []
    for side in pair.sides:
        corner = corners_of(pair, arguments)[side]
        for said, arranged in _arranged(corner, arguments, own, not raises):
            legs = Legs(pair, arguments)
            legs.corners[side] = arranged
            if len(found) < (1 if own else MOST):
                found += _agreeing(f"{said} the {side} side", pair, seed, legs, not own)
    return tuple(found[:MOST])


def _fits(legs: Legs) -> bool:
    """Return whether the pair can be run as it is, and returns the same shapes on both sides."""
    try:
        legs.check_structure(legs.arguments.leaves)
    except (MisfitError, ParityError, UsageError):
        return False
    return True


def _arranged(
    corner: Corner, arguments: Arguments, own: Collection[str], outputs: bool
) -> Iterator[tuple[str, Corner]]:
    for place, (name, leaf) in enumerate(zip(arguments.names, arguments.leaves, strict=True)):
        if own and name not in own:
            continue
        for order in _orders(leaf.ndim):
            given = _given(corner, place, order)
            yield f"input {name} is {_words(order)} for", given
            if leaf.ndim > 2:
                back = tuple(int(i) for i in np.argsort(order))
                said = f"input {name} is {_words(order)}, and the output put back, for"
                yield said, _returned(given, back)
    for axes in range(2, AXES + 1) if outputs else ():
        for order in _orders(axes):
            yield f"the output is {_words(order)} for", _returned(corner, order)


def _orders(axes: int) -> Iterator[Order]:
    if axes <= AXES:
        yield from (order for order in permutations(range(axes)) if order != (*range(axes),))


def _given(corner: Corner, place: int, order: Order) -> Corner:
    """Return a corner that is given one input with its axes in another order."""

    def forward(*leaves: Any) -> dict[str, Any]:
        put = list(leaves)
        put[place] = corner.side.permuted(put[place], order)
        return corner.forward(*put)

    return _by_autodiff(corner, forward)


def _returned(corner: Corner, order: Order) -> Corner:
    """Return a corner whose outputs of so many axes have them in another order."""

    def forward(*leaves: Any) -> dict[str, Any]:
        return {
            name: corner.side.permuted(x, order) if x.ndim == len(order) else x
            for name, x in corner.forward(*leaves).items()
        }

    return _by_autodiff(corner, forward)


def _by_autodiff(corner: Corner, forward: Any) -> Corner:
    return replace(
        corner,
        forward=forward,
        gradients=lambda leaves, douts: corner.side.vjp(
            forward, leaves, douts, corner.arguments.still
        ),
    )


def _agreeing(said: str, pair: Pair, seed: int, legs: Legs, explained: bool) -> Iterator[Cause]:
    """Yield an arrangement with which the pair agrees: as it is, or by a convention too.

    On numbers that it was not found on as well, where another seed gives others.
    """
    tried = _tried(pair, seed, legs)
    if tried is None:
        return
    trial, rows = tried
    if all(row.verdict.passes for row in rows):
        other = pair.arguments(np.random.default_rng(SEED)).leaves
        given = all(map(np.array_equal, other, trial.arguments.leaves))
        again = None if given else _tried(pair, SEED, legs)
        if given or (again and all(row.verdict.passes for row in again[1])):
            where = "on the numbers given" if given else "on this seed and another"
            yield convention(said, f"then all agrees in float64, {where}")
    elif explained and all(row.verdict.passes or row.verdict is Verdict.CONVENTION for row in rows):
        for cause in explain(legs, trial.solved).causes:
            yield convention(f"{said} and {cause.key}", cause.evidence)


def _tried(pair: Pair, seed: int, legs: Legs) -> tuple[Trial, list[Row]] | None:
    """Return one seed judged with an arrangement, None where nothing can be compared then."""
    try:
        trial = Trial(pair, seed, ("float64",), legs)
        forward = trial.forward()
        agrees = all(row.verdict.passes for row in forward)
        return trial, [*forward, *(trial.gradients() if agrees else ())]
    except (MisfitError, ParityError, UsageError):
        return None


def _words(order: Order) -> str:
    return "transposed" if order == (1, 0) else f"with its axes in the order {list(order)}"
