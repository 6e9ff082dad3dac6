"""The two sides of a pair in float64, run again with changes. Knows no reason for any of them.

A change is made to one side: constants and operations of its recorded program, layouts of its
inputs and outputs. What comes out is compared with the other side, in sigmas.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.programs import Changes, Program
from parity.judge.compare import FLOAT64, distance
from parity.judge.noise import BOUND, sigma
from parity.pairs.legs import Arrays, Legs
from parity.why.conventions.change import Change, Problem
from parity.why.conventions.further import OTHER_ORDERS, other_numbers, other_shape

_Make = Callable[[Legs, Problem], Problem | None]

UNCHECKED = frozenset(("_weight_norm_interface",))
"""Kernels of torch that look at no shapes: with another one they write past an array's end."""


class _Function(NamedTuple):
    """A changed side, to be run on any constants and leaves."""

    run: Callable[..., dict[str, Any]]
    values: list[Any]
    key: tuple[Any, ...]
    one_off: bool
    """Whether it is made for one change, and not worth compiling for its outputs alone."""


class Rerun:
    """Runs changed sides of one pair on one problem after another."""

    def __init__(self, legs: Legs, problems: Sequence[Problem]) -> None:
        self.legs, self.problems = legs, [*problems]
        self.judged = len(self.problems)
        """How many of the problems were judged; numbers that no change was found on follow."""
        self._further: dict[_Make, int | None] = {}
        self.sides = tuple(legs.pair.sides)
        self.count = len(legs.arguments.names)
        self.frameworks = {s: import_module(f"parity.frameworks.{s}_program") for s in self.sides}
        self.runs = 0
        self._programs: dict[Any, list[Program]] = {}
        self._faithful: dict[tuple[str, int, int], bool] = {}
        self._ready: dict[Any, Callable[..., Any]] = {}

    @contextmanager
    def exactly(self) -> Iterator[None]:
        """Compute as every float64 leg does, both frameworks at once; quietly."""
        with ExitStack() as stack:
            for side in self.sides:
                stack.enter_context(self.legs.corners[side].side.exactly(FLOAT64))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            stack.enter_context(np.errstate(all="ignore"))
            yield

    def other(self, side: str) -> str:
        """Return the side that a side is compared with."""
        return next(s for s in self.sides if s != side)

    def programs(self, side: str, case: int = 0, leaves: Any = None) -> list[Program]:
        """Return a side's programs for the shapes of these leaves, of the case's own if none.

        A function that cannot be recorded has no program; its arrays are laid out all the same.
        """
        leaves = self.problems[case].values[: self.count] if leaves is None else leaves
        traced = self.frameworks[side].TRACED
        key = (side, None if traced else case, *(x.shape for x in leaves))
        if key not in self._programs:
            corner = self.legs.corners[side]
            inputs = corner.side.from_numpy(tuple(leaves))

            def ordered(*leaves: Any) -> dict[str, Any]:  # a program's outputs have no names
                found = corner.forward(*leaves)
                return {name: found[name] for name in self.legs.outputs}

            try:
                self._programs[key] = self.frameworks[side].record(ordered, inputs)
            except Exception:
                self._programs[key] = []
        return self._programs[key]

    def values(self, side: str, number: int) -> dict[int, Any]:
        """Return what every slot of a side's program holds on the first problem."""
        leaves = self.problems[0].values[: self.count]
        inputs = self.legs.corners[side].side.from_numpy(tuple(leaves))
        try:
            return self.programs(side)[number].values(inputs)
        except Exception:  # an operation that runs in no other way than it was recorded
            return {}

    def forward(self, side: str, change: Change | None, case: int = 0) -> Arrays | None:
        """Return a side's outputs, None where the changed function cannot be run."""
        problem = self.problems[case]
        if change is None:
            return dict(problem.outcomes[side][0])
        self.runs += change.program is not None or change.of_inputs
        try:
            if change.program is None and not change.of_inputs:
                return self._laid_out(change, problem.outcomes[side][0])
            leaves = self._leaves(change, problem.values[: self.count])
            function = self._function(change, case, leaves)
            if function.key not in self._ready:
                once = function.one_off
                self._ready[function.key] = (
                    function.run if once else self._compiled(function.run, side)
                )
            api = self.legs.corners[side].side
            out = api.to_numpy(self._ready[function.key](function.values, api.from_numpy(leaves)))
            return self._laid_out(change, out)
        except Exception:  # shapes that no longer fit, a constant that is refused
            return None

    def gradients(self, side: str, change: Change | None, case: int = 0) -> Arrays | None:
        """Return a side's gradients, None where the changed function has none."""
        problem = self.problems[case]
        if change is None:
            return dict(problem.outcomes[side][1])
        if not self.legs.floating:
            return {}
        try:
            leaves = self._leaves(change, problem.values[: self.count])
            function = self._function(change, case, leaves)
            api, key = self.legs.corners[side].side, ("gradients", *function.key)
            if key not in self._ready:

                def pulled(values: Any, leaves: Any, douts: Any) -> Any:
                    still = self.legs.arguments.still
                    return api.vjp(lambda *xs: function.run(values, xs), leaves, douts, still)[1]

                self._ready[key] = self._compiled(pulled, side)
            douts = dict(zip(self.legs.cotangents(), problem.values[self.count :], strict=True))
            for layout in reversed(change.outputs):
                douts[layout.tensor] = layout.back(douts[layout.tensor])
            given = dict(zip(douts, api.from_numpy(tuple(douts.values())), strict=True))
            found = api.to_numpy(self._ready[key](function.values, api.from_numpy(leaves), given))
        except Exception:
            return None
        return self._pulled_back(change, problem.values[: self.count], leaves, found)

    def _compiled(self, run: Callable[..., Any], side: str) -> Callable[..., Any]:
        return self.frameworks[side].compiled(run)

    def _pulled_back(
        self,
        change: Change,
        whole: Sequence[np.ndarray],
        leaves: Sequence[np.ndarray],
        found: Any,
    ) -> Arrays:
        """Return gradients of the changed inputs, ``leaves``, as those of the ``whole`` ones."""
        given = dict(zip(self.legs.arguments.names, leaves, strict=True))
        grads = {
            name: np.zeros_like(given[name]) if grad is None else grad
            for name, grad in zip(self.legs.floating, found, strict=True)
        }
        like = dict(zip(self.legs.arguments.names, whole, strict=True))
        for keep in self._kept(change, whole):
            for name in [n for n in grads if like[n].shape[:1] == keep.shape]:
                spread = np.zeros_like(like[name])
                spread[keep] = grads[name]
                grads[name] = spread
        grads = _exchanged(grads, change.exchanged)
        for one, other, factor in reversed(change.mixed):
            if one not in grads or other not in grads:
                continue
            grads[other] = grads[other] + factor * grads[one]
        for layout in reversed(change.inputs):
            if layout.tensor in grads:
                grads[layout.tensor] = layout.back(grads[layout.tensor])
        return grads

    def _leaves(self, change: Change, leaves: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        named = dict(zip(self.legs.arguments.names, leaves, strict=True))
        for layout in change.inputs:
            named[layout.tensor] = layout.onto(named[layout.tensor])
        for one, other, factor in change.mixed:
            named[one] = named[one] + factor * named[other]
        named = _exchanged(named, change.exchanged)
        for keep in self._kept(change, leaves):
            named = {n: x[keep] if x.shape[:1] == keep.shape else x for n, x in named.items()}
        found = tuple(named.values())
        if [x.shape for x in found] != [x.shape for x in leaves] and self._unchecked(change.side):
            raise ValueError("another shape would end the process")
        return found

    def _unchecked(self, side: str) -> bool:
        return any(o.kind in UNCHECKED for p in self.programs(side) for o in p.operations)

    def _kept(self, change: Change, leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return which rows are kept."""
        named = dict(zip(self.legs.arguments.names, leaves, strict=True))
        return [named[name] != number for name, number in change.left_out]

    def _laid_out(self, change: Change, outputs: Arrays) -> Arrays:
        found = dict(outputs)
        for layout in change.outputs:
            found[layout.tensor] = layout.onto(found[layout.tensor])
        return found

    def _function(self, change: Change, case: int, leaves: Any) -> _Function:
        """Return a changed side as a function of the values of its constants and of leaves."""
        if change.program is None:
            forward = self.frameworks[change.side].ending(self.legs.corners[change.side].forward)
            return _Function(lambda values, inputs: forward(*inputs), [], (change.side,), False)
        program = self.programs(change.side, case, leaves)[change.program]
        values, edits, names = change.values, dict(change.edits), tuple(self.legs.outputs)
        one_off = bool(edits) or not program.static.isdisjoint(values)
        if not one_off:  # every constant is an argument: compiled once for all
            values = {**program.operands(not program.inserted.isdisjoint(values)), **values}
        static = {slot: value for slot, value in values.items() if slot in program.static}
        slots = tuple(slot for slot in values if slot not in static)

        def run(given: Sequence[Any], inputs: Sequence[Any]) -> dict[str, Any]:
            changes = Changes({**dict(zip(slots, given, strict=True)), **static}, edits)
            return dict(zip(names, program.run(inputs, changes), strict=True))

        key = (id(program), slots, *static.items(), *((p, id(e)) for p, e in edits.items()))
        return _Function(run, [values[slot] for slot in slots], key, one_off)

    def distance(self, part: int, left: Arrays | None, right: Arrays | None, case: int) -> float:
        """Return the largest distance of any tensor, in sigmas; infinite where one is missing."""
        if left is None or right is None:
            return float("inf")
        return max(
            (self._far(part, name, left[name], right[name], case) for name in left), default=0
        )

    def _far(self, part: int, name: str, a: np.ndarray, b: np.ndarray, case: int) -> float:
        if a.shape != b.shape:
            return float("inf")
        if b.dtype.kind in "iub":
            return 0.0 if np.array_equal(a, b) else float("inf")
        yard = sigma(self._noise(part, name, case), np.float64)
        outcomes = [self.problems[case].outcomes[side][part][name] for side in self.sides]
        if yard.shape != a.shape or any(x.shape != a.shape for x in outcomes):
            return float("inf")
        never = np.logical_and(*(~np.isfinite(x) for x in outcomes))
        if not np.all(np.isfinite(a) | never):  # NaN on both sides is no agreement
            return float("inf")
        return distance(a, b, np.where(np.isfinite(yard), yard, 0.0)).sigmas

    def _noise(self, part: int, name: str, case: int) -> np.ndarray:
        """Return both sides' noise together; of one alone where the other's is not finite."""
        noises = [
            np.nan_to_num(own[part][name], nan=0.0, posinf=0.0)
            for own in self.problems[case].own.values()
        ]
        return np.sqrt(sum(noise**2 for noise in noises))

    def agrees(self, case: int) -> bool:
        """Return whether the two sides' outputs agree as they are."""
        first, second = (self.forward(side, None, case) for side in self.sides)
        return self.distance(0, first, second, case) <= BOUND

    def is_faithful(self, change: Change, case: int) -> bool:
        """Return whether the program that a change is made to is the function: both derivatives.

        It is not where torch is told the gradient by hand, or computes a part without one.
        """
        if change.program is None:
            return True
        key = (change.side, change.program, case)
        if key not in self._faithful:
            same = Change(change.side, program=change.program)
            found = self.forward(change.side, same, case), self.gradients(change.side, same, case)
            self._faithful[key] = all(
                self.distance(part, found[part], outcome, case) <= BOUND
                for part, outcome in enumerate(self.problems[case].outcomes[change.side])
                if part == 0 or self.legs.floating
            )
        return self._faithful[key]

    def far(self, changes: Mapping[str, Change]) -> float:
        """Return how far the changed sides are apart, in sigmas: the worst tensor of any problem.

        Outputs and gradients. Infinite as soon as one is farther than the bound.
        """
        worst = 0.0
        for case in range(self.judged):
            if not all(self.is_faithful(change, case) for change in changes.values()):
                return float("inf")
            worst = max(worst, self._far_in(changes, case))
            if not worst <= BOUND:
                return float("inf")
        return worst

    def holds(self, changes: Mapping[str, Change]) -> bool:
        """Return whether the changed sides agree on other numbers too.

        A program is recorded for one shape: only what is done around it is tried in another, and
        with whole numbers in another order.
        """
        makes: list[_Make] = [other_numbers]
        if all(change.program is None for change in changes.values()):
            makes.append(other_shape)
        if any(change.inputs or change.left_out for change in changes.values()):
            makes += OTHER_ORDERS
        cases = [self._other(make) for make in makes]
        return all(case is None or self._far_in(changes, case) <= BOUND for case in cases)

    @property
    def further(self) -> int:
        """On how many problems that were not judged something was confirmed."""
        return sum(case is not None for case in self._further.values())

    def _other(self, make: _Make) -> int | None:
        """Return the case of a problem that nothing was found on, made when first asked for."""
        if make not in self._further:
            found = make(self.legs, self.problems[0])
            self._further[make] = None if found is None else len(self.problems)
            self.problems += [] if found is None else [found]
        return self._further[make]

    def _far_in(self, changes: Mapping[str, Change], case: int) -> float:
        worst = 0.0
        for part, run in ((0, self.forward), (1, self.gradients)):
            if worst <= BOUND and (part == 0 or self.legs.floating):
                first, second = (run(side, changes.get(side), case) for side in self.sides)
                worst = max(worst, self.distance(part, first, second, case))
        return worst


def _exchanged(named: Arrays, names: Sequence[str]) -> Arrays:
    """Return the same arrays with every two of these names given each other's."""
    found = dict(named)
    for one, other in zip(names[::2], names[1::2], strict=True):
        if one in found and other in found:
            found[one], found[other] = found[other], found[one]
    return found
