"""A step that both sides do, at another place: a gate before the norm, a mask before what caps.

Unlike two steps in another order, what one side does may stand far from the region.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from parity.frameworks.recordings import Made
from parity.why.inside.edit import Edit
from parity.why.inside.forms import Form, forms, puts
from parity.why.inside.ground import Ground, near
from parity.why.inside.orders import SAME, passed
from parity.why.inside.paths import path
from parity.why.inside.points import Point, points
from parity.why.inside.steps import instead, passes, told
from parity.why.inside.words import at

MASKING = ("masked_fill", "where")
FAR = 40
"""Operations before and behind the region among which the same step is looked for."""


def elsewhere(ground: Ground) -> Iterator[Edit]:
    """Yield a step of the second side put into the first, which does it elsewhere: moved, or so."""
    places = [*points(ground)]
    for operation in ground.theirs_made:
        for form in forms(ground, operation):
            own = [*_own(ground, operation, form)]
            if not own or not _as_often(ground, operation, form):
                continue
            for place, i in own:
                shape, read = np.shape(ground.made(place)), ground.operation(place).inputs
                group = next(iter(ground.turns(place)))
                without = Edit("", dict.fromkeys(group, instead(i, shape)))
                for point in places:
                    said = _said(ground, place, form, point, operation)
                    for put in puts(ground, form, point) if said else ():
                        here = point.edit(said, put)
                        yield replace(without | here, said=said)
                        if path(ground, point.operations[0].outputs[0], read[i]):
                            yield here


def _as_often(ground: Ground, operation: Made, form: Form) -> bool:
    """Return whether both sides do it as often, with the same: else one of them lacks it."""
    if operation.kind in MASKING:
        return True
    if form.donor is None:
        own, theirs = (
            [o for o in side.recording.operations if o.kind == operation.kind]
            for side in (ground.one, ground.other)
        )
        if operation.kind == "mul":  # torch's add may multiply, too
            adds = (o for o in ground.other.recording.operations if o.kind in ("add", "sub"))
            theirs += [o for o in adds if any(f.said.startswith("multiplies")
                                              for f in forms(ground, o))]  # fmt: skip
    else:
        twins, donors = {*ground.twins(form.donor)}, ground.other.firsts
        wanted = donors[form.donor]
        alike = {operation.kind, *SAME.get(operation.kind, ())}
        own = [o for o in ground.one.recording.operations
               if o.kind in alike and not twins.isdisjoint(o.inputs)]  # fmt: skip
        theirs = [o for o in ground.other.recording.operations
                  if o.kind in alike and wanted in {donors[n] for n in o.inputs}]  # fmt: skip
    return len(own) == len(theirs)


def _stands(ground: Ground, operation: Made, i: int) -> bool:
    """Return whether an operation does nothing, or the second side does it there, too."""
    made, read = operation.outputs[0], operation.inputs[i]
    idle = near(ground.value(made), ground.value(read))
    return idle or bool(ground.one.find(made, ground.other))


def _own(ground: Ground, theirs: Made, form: Form) -> Iterator[tuple[int, int]]:
    """Yield (place, operand) where the first side does the same, with the same."""
    twins = {*ground.twins(form.donor)} if form.donor is not None else set()
    sites = ground.one.sites[1]
    here = {sites[n] for place in ground.places for n in ground.operation(place).outputs}
    verb, around = form.said.split()[0], ground.places or ground.reading or [0]
    operations = ground.one.recording.operations
    alike = {*MASKING} if verb == "masks" else {theirs.kind, *SAME.get(theirs.kind, ())}
    for place in range(max(0, around[0] - FAR), min(len(operations), around[-1] + FAR)):
        operation = operations[place]
        if place in ground.all and verb != "masks":
            continue  # two steps of a region in another order
        if operation.kind not in alike or not np.ndim(ground.made(place)):
            continue
        if place not in ground.places and sites[operation.outputs[0]] in here:
            continue  # the same of another turn
        for i in range(len(operation.inputs)):
            rest = {n for j, n in enumerate(operation.inputs) if j != i}
            with_it = verb == "masks" or not twins.isdisjoint(rest)
            if form.donor is None:
                with_it = told(ground, operation, i) == form.said
            if not with_it or told(ground, operation, i).split()[0] != verb:
                continue
            shape = np.shape(ground.made(place))
            if passes(ground, operation, i, shape) and not _stands(ground, operation, i):
                yield place, i


def _said(ground: Ground, place: int, form: Form, point: Point, theirs: Made) -> str:
    """Say that it is done before something, or after; "" where nothing lies between."""
    own, first = ground.operation(place), point.places[0]
    if place in point.places:
        return ""
    left, right, between = "before", "after", point.operations[0]
    if place < first:
        way = path(ground, own.outputs[0], point.number)
        makes = [o for p in way if not (o := ground.operation(p)).moves]
        if not makes:
            return ""
        between = makes[-1]
    else:
        left, right = right, left
    return (
        f"{ground.left} {form.said} {left} {passed(ground, between)}{at(own, between)}, "
        f"{ground.right} {right}{at(theirs)}"
    )
