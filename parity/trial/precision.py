"""In which floats the two sides of a trial compute, and how far that lets each of them be off.

A half-precision run of real code is seldom all in half precision. Judges nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from parity.errors import UsageError
from parity.frameworks.narrowing import (
    HALVES,
    TABLE,
    Conversion,
    Converted,
    Made,
    Place,
    roundoff_of,
)
from parity.judge.compare import FLOAT64, rms, wide
from parity.judge.noise import SEEDS, pooled, sigma
from parity.judge.space import Space
from parity.judge.tensor import NEIGHBOURS
from parity.pairs.digits import cast, held_by
from parity.pairs.legs import Arrays, Legs, Outcome
from parity.trial.exact import Exact, Values

FEW = 8
"""Noisy runs of a function as it runs in one dtype; the elements of a tensor pool their noise."""

PLACES = 64
"""Operations in the code among which one is looked for."""

ALIKE = 1e-6
"""How near two sums are of what two operations made of the same numbers, but for their order."""

CONVERTING = frozenset("convert_element_type _to_copy copy".split())
"""What only turns one float into another."""


class Precision:
    """What each side's function does in a dtype, run as it is written."""

    def __init__(
        self, legs: Legs, problems: Mapping[str, Exact], dtypes: Mapping[str, np.dtype]
    ) -> None:
        self.legs, self.problems, self.dtypes = legs, problems, dtypes
        self._mixed: dict[str, dict[str, Any]] = {}
        self._own: dict[str, dict[str, Outcome]] = {}
        self._made: dict[tuple[str, str], list[Made]] = {}
        self._errors: dict[str, dict[tuple[int, str], dict[str, float]]] = {}
        self._shares: dict[tuple[str, str], list[tuple[Place, Outcome]]] = {}

    def mixed(self, dtype: str) -> dict[str, Any]:
        """Return {framework: its function as it runs}; nothing where one float is all there is.

        Nor where one side could not be followed.
        """
        if dtype not in self._mixed:
            held, values = self.dtypes[dtype], self.problems[dtype].values
            found = {
                name: _followed(self.legs, name, held, values) for name in self.legs.pair.sides
            }
            known = all(one is not None for one in found.values())
            several = known and any(one.floats - {dtype} for one in found.values())
            self._mixed[dtype] = found if several else {}
        return self._mixed[dtype]

    def own(self, dtype: str) -> dict[str, Outcome]:
        """Return each framework's noise as it runs in ``dtype``, in units of its roundoff."""
        if dtype not in self._own:
            self._own[dtype] = {}
            values = self.problems[dtype].values
            try:
                for name, one in self.mixed(dtype).items():
                    out, grads = (
                        {key: pooled(x, FEW) for key, x in part.items()}
                        for part in one.noise(values, FEW)
                    )
                    self._own[dtype][name] = out, grads
            except Exception:  # what is user's own may refuse to be run like this
                self._own[dtype] = {}
        return self._own[dtype]

    def yards(self, part: int, name: str, dtype: str, corners: Arrays) -> Arrays | None:
        """Return each corner's own sigma; None where all compute in one float."""
        own = self.own(dtype)
        if not own:
            return None
        held = self.dtypes[dtype]
        sides = {side: sigma(noise[part][name], held, SEEDS) for side, noise in own.items()}
        return {corner: sides[_side(corner)] for corner in corners}

    def errors(self, part: int, name: str, dtype: str, corners: Arrays) -> dict[str, float]:
        """Measure each framework's rms error, of float32 where ``dtype`` is float64, near here.

        And of JAX one operation at a time, which keeps fewer digits, here.
        """
        if dtype not in self._errors:
            self._errors[dtype] = self._measured(dtype)
        found = dict(self._errors[dtype].get((part, name), {}))
        for corner, value in corners.items():
            if corner.endswith(" eager") and dtype in HALVES:
                side = _side(corner)
                exact = self.problems[dtype].outcomes[side][part][name]
                here = float(np.sqrt(np.mean(np.abs(wide(value) - exact) ** 2)))
                found[side] = max(found.get(side, 0.0), here)
        return {side: found.get(side, 0.0) for side in self.legs.pair.sides}

    def _measured(self, dtype: str) -> dict[tuple[int, str], dict[str, float]]:
        held = self.dtypes[dtype] if dtype != "float64" else np.dtype(np.float32)
        count, rng = len(self.legs.arguments.names), np.random.default_rng(0)
        leaves, douts = self.problems[dtype].values[:count], self.problems[dtype].values[count:]
        space = Space(leaves, self.legs.arguments.still)
        squares: dict[tuple[int, str], dict[str, list[float]]] = {}
        for _ in range(NEIGHBOURS):
            moved = (*space.neighbour(rng, 2.0**-6), *douts)
            values = tuple(held_by(x, held) for x in moved)
            for side in self.legs.pair.sides:
                run = partial(self.legs.run, "compiled", self.legs.corners[side])
                with np.errstate(invalid="ignore", over="ignore"), suppress(UsageError):
                    exact, narrow = (
                        run(FLOAT64, values),
                        run(held, tuple(cast(x, held) for x in values)),
                    )
                    for part, name in ((i, name) for i in (0, 1) for name in exact[i]):
                        error = float(
                            np.mean(np.abs(wide(narrow[part][name]) - exact[part][name]) ** 2)
                        )
                        if np.isfinite(error):
                            squares.setdefault((part, name), {}).setdefault(side, []).append(error)
        return {
            key: {side: float(np.sqrt(np.mean(found))) for side, found in sides.items()}
            for key, sides in squares.items()
        }

    def place(self, part: int, name: str, dtype: str, side: str) -> str:
        """Say by which operation a side loses digits that the other keeps; nothing if unknown."""
        with suppress(Exception):  # as above
            return self._place(part, name, dtype, side)
        return ""

    def _place(self, part: int, name: str, dtype: str, side: str) -> str:
        (other,) = (s for s in self.legs.pair.sides if s != side)
        theirs, ours = self._numbers(dtype, other), self._numbers(dtype, side)
        ranked = sorted(
            ((rms(share[part][name]), place) for place, share in self._shared(dtype, side)),
            reverse=True,
        )
        whole = rms(self._own[dtype][side][part][name])
        for size, place in ranked:
            if size < whole / 4:
                break
            found = [_kept(one, theirs) for one in ours if one.place == place]
            narrower = [p for p in found if p and roundoff_of(p.dtype) >= roundoff_of(place.dtype)]
            if len(narrower) < len(found):
                wider = next((p for p in found if p and p not in narrower), None)
                return _sentence(side, place, other, wider)
        return ""

    def converted(self) -> list[Converted]:
        """Return where each side goes on in another float than it has, by dtype under test.

        In half precision as the function ran; else where it goes on in a narrower one.
        """
        found = []
        for dtype in self.dtypes:
            for side in self.legs.pair.sides:
                for place in self._conversions(dtype, side):
                    found.append(Converted(dtype, side, place, self._both(dtype, side, place)))
        return found

    def _both(self, dtype: str, side: str, place: Conversion) -> bool | None:
        """Return whether the other side does so with the same numbers; None if unknown."""
        converts = place.operation in CONVERTING
        with suppress(Exception):  # what could not be followed, or is the user's own
            (other,) = (s for s in self.legs.pair.sides if s != side)
            here = (place.operation, place.line, place.to)
            ours = [one for one in self._numbers(dtype, side) if one.place == here]
            theirs = [
                one
                for one in self._numbers(dtype, other)
                if one.place.dtype == place.to and (one.place.operation in CONVERTING) == converts
            ]
            return any(_same(a, b) for a in ours for b in theirs) if ours else None
        return None

    def first(self, dtype: str, corner: str) -> Conversion | None:
        """Return the first place where a corner goes on in a narrower float than ``dtype``."""
        name, own = corner.removesuffix(" eager"), roundoff_of(dtype)
        if dtype == "float32" and not self._narrowed(dtype, name):  # autocast lets float64 be
            self.mixed(dtype)
        places = self._narrowed(dtype, name)
        return next((x for x in places if roundoff_of(x.to) > own and x.operation != TABLE), None)

    def tables(self) -> dict[str, str]:
        """Return {corner: where it has a table of a narrower float} of those that have one."""
        tables = ((c, n) for c, one in self.legs.corners.items() for n in one.narrowed if n.table)
        return {corner: str(table) for corner, table in tables}

    def _conversions(self, dtype: str, side: str) -> list[Conversion]:
        if dtype in HALVES:
            run = self.mixed(dtype).get(side)
            return [*dict.fromkeys(run.conversions)] if run else []
        return self._narrowed(dtype, side)

    def _narrowed(self, dtype: str, corner: str) -> list[Conversion]:
        """Return where a corner was seen to go on in a narrower float than ``dtype``."""
        own = roundoff_of(dtype)
        found = [
            Conversion(x.operation, x.line, dtype if x.source else "", x.to)
            for x in self.legs.corners[corner].narrowed
            if not x.backward and roundoff_of(x.to) > own
        ]
        run = self._mixed.get(dtype, {}).get(_side(corner)) if dtype == "float32" else None
        as_run = [x for x in run.conversions if roundoff_of(x.to) > own] if run else []
        return [*dict.fromkeys(found or as_run)]

    def _numbers(self, dtype: str, side: str) -> list[Made]:
        if (dtype, side) not in self._made:
            found = self.mixed(dtype)[side].made(self.problems[dtype].values)
            self._made[dtype, side] = [one for one in found if one.place.dtype]
        return self._made[dtype, side]

    def _shared(self, dtype: str, side: str) -> list[tuple[Place, Outcome]]:
        """Return each operation's own share of a side's noise; of too many, none."""
        if (dtype, side) not in self._shares:
            coarse = roundoff_of(dtype)
            seen = dict.fromkeys(one.place for one in self._numbers(dtype, side))
            places = [p for p in seen if roundoff_of(p.dtype) >= coarse and p.line]
            values, run = self.problems[dtype].values, self.mixed(dtype)[side]
            self._shares[dtype, side] = (
                [(p, run.noise(values, 1, [p])) for p in places] if len(places) <= PLACES else []
            )
        return self._shares[dtype, side]


def _followed(legs: Legs, name: str, dtype: np.dtype, values: Values) -> Any:
    """Return a framework's function as it runs in ``dtype``; None where that is not followed.

    What is recorded is the user's own code: whatever it meets there, the check goes on without.
    """
    if (name, str(dtype)) in legs.mixed:  # traced: the same for all numbers
        return legs.mixed[name, str(dtype)]
    corner = legs.corners[name]
    measured = legs.differentiated(corner.written or corner, zeros=True)
    module = import_module(f"parity.frameworks.{name}_mixed")
    try:
        with corner.side.exactly(dtype), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said by the run that is judged
            inputs = corner.side.from_numpy(tuple(cast(x, dtype) for x in values))
            found = module.Mixed(measured, str(dtype), inputs)
    except Exception:
        return None
    if module.TRACED:
        legs.mixed[name, str(dtype)] = found
    return found


def _side(corner: str) -> str:
    return corner.split(".")[0].split()[0]


def _kept(own: Made, theirs: Sequence[Made]) -> Place | None:
    """Return where the other side has the same numbers, by its first operation; None if nowhere.

    What it rounds as coarsely thereafter it does not keep, but for sums of many, rounded once.
    """
    same = [one.place for one in theirs if _same(own, one)]
    coarse = [p for p in same if roundoff_of(p.dtype) >= roundoff_of(own.place.dtype)]
    if coarse and not own.adds:
        return coarse[0]
    return next(iter(same), None)


def _same(a: Made, b: Made) -> bool:
    """Return whether two operations made the same numbers, in whatever order."""
    near = abs(a.total - b.total) <= ALIKE * np.sqrt(a.size * a.squares)
    return a.size == b.size and near and abs(a.squares - b.squares) <= ALIKE * a.squares


def _sentence(side: str, place: Place, other: str, kept: Place | None) -> str:
    converts = place.operation in CONVERTING
    what = f"rounded to {place.dtype}" if converts else f"{place.operation} in {place.dtype}"
    said = f"{what} on the {side} side, {place.line}"
    if kept is None:
        return said
    where = f", {kept.line}" if kept.line else ""
    return f"{said}; the same numbers in {kept.dtype} on the {other} side{where}"
