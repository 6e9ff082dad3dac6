"""Single changes that might make two functions one: what a search tries. Runs nothing.

A constant gets one of the other side's, a switch is turned, an operation done the other way, an
array laid out otherwise, rows are left out. `search.py` tries them in order of cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from parity.frameworks.programs import Edit, Operation, Program
from parity.pairs.legs import Arrays
from parity.why.conventions.alternatives import Alternative, alternatives
from parity.why.conventions.change import Change
from parity.why.conventions.lacking import corrections, left_out, put_in
from parity.why.conventions.layouts import Layout, rearranged, regrouped, scaled, shifted
from parity.why.conventions.options import options
from parity.why.conventions.parameters import Parameter, numbers, others
from parity.why.conventions.rerun import Rerun
from parity.why.conventions.spelling import UNIVERSAL, Spelled, of_sizes, spellings, written

FIRST: Edit = lambda values, x: x[0]  # noqa: E731

Parameters = Mapping[str, Sequence[Parameter]]
"""By side."""


def sizes_of(rerun: Rerun) -> list[int]:
    """Return all sizes: of one axis, of all but one, of all; and a length given for all rows."""
    outputs = rerun.problems[0].outcomes[rerun.sides[0]][0]
    arrays = [*rerun.problems[0].values, *outputs.values()]
    whole = [x.ravel() for x in rerun.problems[0].values if x.size and x.dtype.kind in "iu"]
    lengths = [int(x[0]) for x in whole if np.all(x == x[0])]
    counted = [n for x in arrays for n in (*x.shape, x.size)]
    means = [x.size // n for x in arrays if x.size and x.ndim > 2 for n in x.shape]
    return [*dict.fromkeys([*counted, *lengths, *means])]


def turned(parameter: Parameter, to: Spelled, sizes: Sequence[int]) -> Change:
    """Return the change of a parameter to a value, in words."""
    return replace(
        parameter.change(to.value),
        said=parameter.said(to.value, to.words, of_sizes(parameter.value, sizes)),
        key=(*key_of(parameter), written(to.value)),
    )


def key_of(parameter: Parameter) -> tuple[str, bool, str]:
    """Return what is equal for parameters of one side that hold the same value."""
    return parameter.side, parameter.inserted, written(parameter.value)


def substituted(rerun: Rerun, parameters: Parameters, sides: Sequence[str]) -> Iterator[Change]:
    """Yield every constant with one of the other side's, or without it."""
    sizes = sizes_of(rerun)
    for side in sides:
        known = numbers(parameters[rerun.other(side)])
        for parameter in parameters[side]:
            for value in others(parameter, known):
                yield turned(parameter, Spelled(value, ""), sizes)


def otherwise(rerun: Rerun, sides: Sequence[str]) -> Iterator[Change]:
    """Yield operations done the other way: all that are alike, then each."""
    for side in sides:
        for number, program in enumerate(rerun.programs(side)):
            alike: dict[str, list[Alternative]] = {}
            m = rerun.frameworks[side].Arithmetic
            for found in (*alternatives(program, m), *options(program, m)):
                alike.setdefault(found.words, []).append(found)
            for words, members in alike.items():
                if len(members) > 1:
                    edits = {m.operation.place: m.edit for m in members}
                    said = f"the {side} side has {words}, {len(members)} times"
                    yield Change(side, said, number, edits=edits, key=(side, words))
                for one in members:
                    said = f"the {side} side has {words}{_at(one.operation)}"
                    edits = {one.operation.place: one.edit}
                    key = (side, one.operation.kind, one.operation.where)
                    yield Change(side, said, number, edits=edits, key=key)


def put_or_left_out(rerun: Rerun, sides: Sequence[str]) -> Iterator[Change]:
    """Yield functions put around inputs and outputs, and operations that one side may not have."""
    names = rerun.legs.arguments.names
    leaves = [*zip(names, rerun.problems[0].values, strict=False)]
    masks = [name for name, x in leaves if x.ndim and x.size and np.all((x == 0) | (x == 1))]
    square = [n for n, x in leaves if x.ndim > 1 and x.shape[-1] == x.shape[-2] > 1]
    for side in sides:
        m = rerun.frameworks[side].Arithmetic
        for number, program in enumerate(rerun.programs(side)):
            for put in put_in(program, names, masks, square, m):
                said = f"the {side} side has {put.words}"
                yield Change(side, said, number, edits={put.place: put.edit}, key=(side, said))
            for words, operation, edit in left_out(program):
                said = f"the {side} side has {words}{_at(operation)}"
                edits = {operation.place: edit}
                yield Change(side, said, number, edits=edits, key=(side, "without", said))


def uncorrected(rerun: Rerun, sides: Sequence[str]) -> Iterator[Change]:
    """Yield an optimizer's step without its correction by 1 - b^step."""
    for side in sides:
        for number, program in enumerate(rerun.programs(side)):
            if places := corrections(program, _whole(rerun, program)):
                said = f"the {side} side corrects no bias: it does not divide by 1 - b^step"
                edits = dict.fromkeys(places, FIRST)
                yield Change(side, said, number, edits=edits, key=(side, said))


def _whole(rerun: Rerun, program: Program) -> list[int]:
    """Return the slots of the inputs that hold whole numbers: a step may be among them."""
    leaves = rerun.problems[0].values[: rerun.count]
    return [s for s, x in zip(program.inputs, leaves, strict=True) if x.dtype.kind in "iu"]


def _at(operation: Operation) -> str:
    return f" at {operation.where}" if operation.where else ""


def rearrangements(rerun: Rerun, sides: Sequence[str]) -> Iterator[Change]:
    """Yield inputs exchanged, rearranged, and rearranged with an output put back."""
    leaves = [*zip(rerun.legs.arguments.names, rerun.problems[0].values, strict=False)]
    for (one, x), (other, y) in combinations(leaves, 2):
        if x.shape == y.shape and x.dtype == y.dtype:
            said = f"inputs {one} and {other} are exchanged for one side"
            yield Change(sides[0], said, exchanged=(one, other), key=(one, other))
    for side in sides:
        for name, x in leaves:
            for layout in layouts_of(name, x):
                said = f"input {name} is {layout.words} for the {side} side"
                yield Change(side, said, inputs=(layout,), key=("input", name))
        for name, x in leaves:
            for layout in layouts_of(name, x):
                for out in _back(rerun, layout, x.ndim):
                    into = f"{name} is {layout.words} on the way into the {side} side"
                    said = f"{into}, and {out.tensor} put back"
                    key = ("around", name)
                    yield Change(side, said, inputs=(layout,), outputs=(out,), key=key)


def _back(rerun: Rerun, layout: Layout, axes: int) -> Iterator[Layout]:
    """Yield the way back for every output that has as many axes as the input laid out."""
    for name, x in rerun.problems[0].outcomes[rerun.sides[0]][0].items():
        if x.ndim == axes:
            yield Layout(name, layout.words, layout.back, layout.onto)


def layouts_of(name: str, x: np.ndarray) -> Iterator[Layout]:
    """Yield every other way in which an array may be held."""
    yield from rearranged(name, x.shape, x.dtype.kind)
    yield from regrouped(name, x.shape)


def rescaled(rerun: Rerun, sides: Sequence[str]) -> Iterator[Change]:
    """Yield every input times every number that is known to everyone: degrees, halves, signs."""
    for side in sides:
        for name in rerun.legs.arguments.floats:
            for words, factor in UNIVERSAL.items():
                if factor not in (0.0, 1.0):
                    said = f"input {name} is multiplied by {words} for the {side} side"
                    yield Change(side, said, inputs=(scaled(name, factor, words),))


def rows_left_out(rerun: Rerun, parameters: Parameters, sides: Sequence[str]) -> Iterator[Change]:
    """Yield the inputs without the rows where a vector of integers has a constant's value."""
    values = rerun.problems[0].values[: rerun.count]
    named = dict(zip(rerun.legs.arguments.names, values, strict=True))
    for side in sides:
        known = [v for v in numbers(parameters[rerun.other(side)]) if v == int(v)]
        for name, x in named.items():
            if x.ndim != 1 or x.dtype.kind not in "iub":
                continue
            for value in dict.fromkeys([*known, 0]):
                keep = x != value
                if keep.any() and not keep.all():
                    rows = f"rows where {name} = {written(value)}"
                    said = f"{rows} are left out for the {side} side (the other ignores them)"
                    yield Change(side, said, left_out=((name, value),))


def outputs_rearranged(side: str, mine: Arrays) -> Iterator[Change]:
    """Yield every output held otherwise."""
    for name, x in mine.items():
        for layout in layouts_of(name, x):
            said = f"{name} is {layout.words} on one side"
            yield Change(side, said, outputs=(layout,), key=("output", name))


def outputs_scaled(
    side: str, mine: Arrays, other: Arrays, sizes: Sequence[int], known: Sequence[float]
) -> Iterator[tuple[Change, float]]:
    """Yield the factor, and the shift, by which outputs differ: all by the same, or one of them.

    With each its factor, 0 for a shift.
    """
    floats = [n for n, x in mine.items() if x.dtype.kind == "f" and x.shape == other[n].shape]
    for names in dict.fromkeys([tuple(floats), *((name,) for name in floats)]):
        a, b = (np.concatenate([[], *(x[n].ravel() for n in names)]) for x in (mine, other))
        fine = np.isfinite(a) & np.isfinite(b)
        if not np.any(a[fine]):
            continue
        a, b = a[fine], b[fine]
        what = f"{' and '.join(names)} of the {side} side is"
        for number, words in spellings(float(a @ b / (a @ a)), sizes, known, 1e-9):
            if number not in (0.0, 1.0):
                said = f"{what} multiplied by {written(number)}{_meant(words)}"
                yield Change(side, said, outputs=_each(scaled, names, number, said)), number
        for number, words in spellings(float(np.mean(b - a)), sizes, known, 1e-9):
            if number:
                said = f"{what} shifted by {written(number)}{_meant(words)}"
                yield Change(side, said, outputs=_each(shifted, names, number, said)), 0.0


def _each(
    make: Callable[..., Layout], names: Sequence[str], number: float, said: str
) -> tuple[Layout, ...]:
    return tuple(make(name, number, said) for name in names)


def _meant(words: str) -> str:
    return f" = {words}" if words else ""
