"""Why two functions part where they do: one small change of the first side, tried on its recording.

What makes all outputs agree is tried on three other sets of numbers, both sides recorded anew, and
said if it holds there too. Looks nowhere but in the regions that are confirmed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, product

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.judge.compare import FLOAT64
from parity.pairs.legs import Legs
from parity.where.alignment import Aligned, aligned
from parity.where.parting import Side, apart
from parity.where.region import Forced, Region
from parity.where.regions import UNFIT
from parity.why.conventions.further import SEED, other_leaves, shuffled_leaves
from parity.why.inside.axes import axes
from parity.why.inside.backwards import backwards
from parity.why.inside.branches import branches
from parity.why.inside.decays import decays
from parity.why.inside.edit import NOTHING, Edit, replayed, together
from parity.why.inside.elsewhere import elsewhere
from parity.why.inside.ground import Ground
from parity.why.inside.kinds import kinds, numbers, operands
from parity.why.inside.masks import masks
from parity.why.inside.moves import moves
from parity.why.inside.orders import moved, orders
from parity.why.inside.regrouping import regrouped
from parity.why.inside.series import Loops, series
from parity.why.inside.steps import extra, missing
from parity.why.inside.taken import taken
from parity.why.inside.variables import exchanged, tables, variables

Family = Callable[[Ground], Iterator[Edit]]
FAMILIES: tuple[Family, ...] = (
    backwards,
    extra,
    numbers,
    kinds,
    taken,
    masks,
    axes,
    variables,
    elsewhere,
    missing,
    operands,
    orders,
    branches,
    moves,
    regrouped,
    tables,
    exchanged,
)
SECONDS = 6.0
"""Of the processor, in which changes are tried."""
TURNS = 2.0
"""Likewise, in which the numbers of all turns are."""
SHARE = 0.5
"""Of the time that is left, what one family may take: what comes after it has its turn."""
MOST_EACH = 8
"""Changes of one of several regions that are tried with those of the others."""
MOST_ALONE = 1000
"""Changes of a family that are tried for all regions, before those of each region."""
MOST_REFUTED = 3
"""Changes that hold on the numbers at hand alone, and are followed by another one."""
OTHERS = 3
"""Sets of other numbers on which a change has to hold."""
ORDERS = 4
"""Orders of the rows of whole numbers, likewise."""
HINT = "Which of the two does your specification ask for?"


def explained(
    legs: Legs,
    found: Aligned,
    values: Sequence[Sequence[np.ndarray]],
    seconds: float = SECONDS,
) -> Cause | None:
    """Return what one side does otherwise where the two part; None where nothing tried is that.

    ``found`` are the sides on the first of ``values``; on all of them outputs have to agree.
    """
    end = time.process_time() + found.enough(seconds)
    with legs.corners[found.one.name].side.exactly(FLOAT64), np.errstate(all="ignore"):
        for edits in islice(_shortest_first(found, end), MOST_REFUTED + 1):
            edit = together(edits)
            held = _holds(legs, found, edit, values)
            if held:
                said = f"{edit.said}; the rest matches"
                evidence = f"then all outputs agree, on {held} sets of numbers"
                return Cause(Kind.CONVENTION, edit.family, said, HINT, evidence)
    return None


def _shortest_first(found: Aligned, end: float) -> Iterator[list[Edit]]:
    """Yield what makes all outputs agree: one change of all turns before one a region."""
    proposed = _edits(found, end)
    for edits in proposed:
        if len(edits) > 1:
            proposed = chain([edits], proposed)
            break
        yield edits
    yield from _from_turn_to_turn(found)
    yield from proposed


def _edits(found: Aligned, end: float) -> Iterator[list[Edit]]:
    """Yield the changes that make all outputs agree, one for all regions or one a region."""
    grounds = _grounds(found)
    if not grounds:
        return
    if len(grounds) > 1:
        yield from _for_all(grounds, end)
    each: list[list[Edit]] = []
    for place in range(len(grounds)):
        own: dict[str, Edit] = {}
        for edit, whole in _of_region(grounds, place, end):
            if whole:
                yield [edit]
            own.setdefault(edit.said, edit)
            if len(own) == MOST_EACH:
                break
        each.append([*own.values()])
    for some in product(*each):  # what is forced behind a region may hide what is done in it
        if time.process_time() > end:
            break
        both = together(some)
        if not _apart(grounds[0], both, NOTHING):
            yield [replace(both, said=said)] if (said := moved(grounds[0], some)) else [*some]


def _grounds(found: Aligned) -> list[Ground]:
    """Return the regions with all that is known of them, each as it is with the others forced."""
    grounds = []
    for region in found.regions:
        forced = _forced(other for other in found.regions if other is not region)
        now = found.one
        if forced.given or forced.edges:
            now = now.changed(now.recording.again(*forced))
        grounds.append(Ground(now, found.other, region, found.one))
    return grounds


def _forced(regions: Iterable[Region]) -> Forced:
    """Return what is forced of several regions."""
    others = [region.forced for region in regions]
    given = {n: x for forced in others for n, x in forced.given.items()}
    edges = {edge: x for forced in others for edge, x in forced.edges.items()}
    return Forced(given, edges)


def _from_turn_to_turn(found: Aligned) -> Iterator[list[Edit]]:
    """Yield numbers of all turns, or another decay, that make all outputs agree."""
    end = time.process_time() + found.enough(TURNS)
    both = Loops(found.one), Loops(found.other)
    for edit in chain(series(*both), decays(*both)):
        if not _differ(found.one, found.other, edit, NOTHING):
            yield [edit]
        if time.process_time() > end:
            break


def _for_all(grounds: Sequence[Ground], end: float) -> Iterator[list[Edit]]:
    """Yield one change that makes all outputs agree, nothing forced: one mistake is likelier."""
    now = time.process_time()
    for ground in grounds:
        for family in FAMILIES:
            proposed = _proposed(ground, family, now + SHARE * (end - now))
            for edit in islice(proposed, MOST_ALONE):
                if not _apart(ground, edit, NOTHING):
                    yield [replace(edit, family=family.__name__)]
                    break


def _of_region(grounds: Sequence[Ground], place: int, end: float) -> Iterator[tuple[Edit, bool]]:
    """Yield changes that make a region agree, the others forced; whether one does without.

    What does without is preferred where it says the same: it is done at more places.
    """
    ground = grounds[place]
    rest = _forced(g.region for g in grounds if g is not ground)
    for family in FAMILIES:
        own: Edit | None = None
        for edit in _tried(ground, family, rest, end):
            edit = replace(edit, family=family.__name__)
            same = own is None or own.said == edit.said
            if same and (len(grounds) == 1 or not _apart(ground, edit, NOTHING)):
                yield edit, True
            if not same or own is None:
                yield edit, False
            own = own or edit


def _tried(ground: Ground, family: Family, rest: Forced, end: float) -> Iterator[Edit]:
    """Yield the changes after which all outputs agree, the other regions forced."""
    for edit in _proposed(ground, family, end):
        if _is_near(ground, edit, rest) and not _apart(ground, edit, rest):
            yield edit


def _proposed(ground: Ground, family: Family, end: float) -> Iterator[Edit]:
    """Yield the changes of a family, in its share of the time."""
    proposed = family(ground)
    now = time.process_time()
    while time.process_time() < now + SHARE * (end - now):
        try:
            yield next(proposed)
        except (StopIteration, *UNFIT):  # what is there was not made for what a family asks
            return


def _is_near(ground: Ground, edit: Edit, rest: Forced) -> bool:
    """Return whether what comes out of the region first agrees, as far as that can be seen."""
    mine, theirs = ground.region.parts
    number = mine.outputs[0]
    made = ground.one.recording.makers.get(number)
    turns = len(mine.outputs) != len(theirs.outputs)  # what one does at once
    if turns or mine.read or theirs.read or made is None or edit.first > made:
        return True
    try:
        changed = replayed(ground.one.recording, edit, ground.other.values, rest, made + 1)
    except UNFIT:
        return False
    if number not in changed:
        return False
    kept = np.shape(changed[number]) == np.shape(ground.value(number))
    return not kept or ground.agrees(changed[number], number, theirs.outputs[0])


def _apart(ground: Ground, edit: Edit, forced: Forced) -> bool:
    return _differ(ground.plain, ground.other, edit, forced)


def _differ(one: Side, other: Side, edit: Edit, forced: Forced) -> bool:
    """Return whether any output differs once a change is made."""
    try:
        made = replayed(one.recording, edit, other.values, forced)
    except UNFIT:
        return True
    return bool(apart(one, other, made))


def _holds(legs: Legs, found: Aligned, edit: Edit, values: Sequence[Sequence[np.ndarray]]) -> int:
    """Return on how many sets of numbers all outputs agree with it; 0 if on one they do not.

    Labels and masks that no seed changes may stand in a lucky order: they are shuffled as well. Of
    a large problem one other set and one order are asked.
    """
    more, turned = (1, 1) if legs.heavy else (OTHERS, ORDERS)
    others = [other_leaves(legs, values[0], SEED + k) for k in range(more)]
    count = 1
    for leaves in (*values[1:], *filter(None, others)):
        agrees = _agrees_on(legs, found, edit, leaves)
        if not agrees:
            return 0
        count += 1
    orders = [shuffled_leaves(legs, values[0], SEED + k) for k in range(turned)]
    if any(_agrees_on(legs, found, edit, leaves) is False for leaves in filter(None, orders)):
        return 0
    return count if count > 1 else 0


def _agrees_on(legs: Legs, found: Aligned, edit: Edit, leaves: Sequence[np.ndarray]) -> bool | None:
    """Return whether all outputs agree with a change on other numbers; None where that differs.

    Where a side cannot be run on them, or does other operations, nothing is learnt.
    """
    new = aligned(legs, leaves, 0.0, 1)
    if new is None or not (_alike(found.one, new.one) and _alike(found.other, new.other)):
        return None
    with legs.corners[found.one.name].side.exactly(FLOAT64), np.errstate(all="ignore"):
        return not _differ(new.one, new.other, edit, NOTHING)


def _alike(one: Side, other: Side) -> bool:
    """Return whether two runs of a side did the same, operation by operation."""
    return [(o.kind, o.outputs) for o in one.recording.operations] == [
        (o.kind, o.outputs) for o in other.recording.operations
    ]
