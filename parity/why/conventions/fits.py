"""Changes whose numbers are solved for: a factor of the outputs, a constant, two constants.

They are run to be proposed; `tries.py` confirms them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product

from parity.pairs.legs import Arrays
from parity.why.conventions import proposals
from parity.why.conventions.change import Change
from parity.why.conventions.parameters import Parameter, mixtures, numbers, of_side, plausible
from parity.why.conventions.solving import solve, solve_two
from parity.why.conventions.spelling import spellings
from parity.why.conventions.tries import Tries

FEW = 8
"""With fewer output numbers than this, the gradients help to solve for two constants."""

MOST_CONSTANTS = 24
"""Constants of one program that are turned two at a time."""


class Fits:
    """The constants of both sides, and what they and the outputs would have to be."""

    def __init__(self, tries: Tries) -> None:
        self.tries = tries
        self.parameters = {side: of_side(tries.rerun, side) for side in tries.sides}
        self.sizes = proposals.sizes_of(tries.rerun)
        self.factors: set[float] = set()
        """Factors on outputs that restore parity, and their inverses."""

    def outputs(self) -> Iterator[Change]:
        """Yield outputs scaled, shifted and held otherwise."""
        side = self.tries.sides[0] if self.tries.base is None else self.tries.base.side
        mine, other = self.tries.reference[side], self.tries.reference[self.tries.rerun.other(side)]
        if self.tries.base is not None:
            mine = self.tries.rerun.forward(side, self.tries.base) or {}
        known = [v for own in self.parameters.values() for v in numbers(own)]
        for change, factor in proposals.outputs_scaled(side, mine, other, self.sizes, known):
            before = len(self.tries.found)
            yield change
            if factor and len(self.tries.found) > before:
                self.factors |= {factor, 1 / factor}
        yield from proposals.outputs_rearranged(side, mine)

    def solved(self, parameters: proposals.Parameters) -> Iterator[Change]:
        """Yield each of these constants at the value that fits best."""
        for own in parameters.values():
            for parameter in own:
                skipped = parameter.discrete or self.tries.spent() or self._turned(parameter)
                if not skipped:
                    yield from self._solution(parameter)

    def _turned(self, parameter: Parameter) -> bool:
        """Return whether a value of this constant, or of one that holds the same, is found."""
        program = parameter.change(parameter.value).program
        own = {(parameter.side, program, slot) for slot in parameter.slots}
        return proposals.key_of(parameter) in self.tries.keys or not self.tries.slots.isdisjoint(
            own
        )

    def _solution(self, parameter: Parameter) -> Iterator[Change]:
        """Yield a parameter at the value that fits best, as it may have been written."""
        opposite = self.tries.rerun.other(parameter.side)

        def run(value: float) -> Arrays | None:
            whole = self.tries.on_base(parameter.change(value))
            return None if whole is None else self.tries.forward(whole)

        value = solve(run, self.tries.reference[opposite], float(parameter.value))
        if value is None:
            return
        known, before = numbers(self.parameters[opposite]), len(self.tries.found)
        plain = any(abs(value - v) <= 1e-6 * abs(v) for v in (*known, 1.0))
        if not plain and self._scales_output(parameter.value, value):
            return  # a factor on the output says it better
        for spelled in spellings(value, self.sizes, known):
            if spelled.value != parameter.value and plausible(parameter.value, spelled.value):
                yield proposals.turned(parameter, spelled, self.sizes)
            if len(self.tries.found) > before:
                return

    def _scales_output(self, old: float, new: float) -> bool:
        ratio = new / old if old else 0.0
        return any(abs(ratio - factor) <= 1e-6 * abs(factor) for factor in self.factors)

    def two_constants(self) -> None:
        """Solve for two constants of one side together."""
        for side, own in self.parameters.items():
            programs = dict.fromkeys(p.change(p.value).program for p in own)
            for number in programs or {None: None}:
                turning = [p for p in own if p.change(p.value).program == number and not p.discrete]
                turning = [*turning[:MOST_CONSTANTS], *mixtures(self.tries.rerun, side)]
                self.tries.attempt(
                    "two constants solved for", self._two_of(side, turning), helping=False
                )

    def _two_of(self, side: str, turning: Sequence[Parameter]) -> Iterator[Change]:
        opposite = self.tries.rerun.other(side)
        wanted, known = dict(self.tries.reference[opposite]), numbers(self.parameters[opposite])
        few = sum(x.size for x in wanted.values()) < FEW  # too few to fit two numbers to
        if few:
            wanted |= _gradients(self.tries.rerun.gradients(opposite, None))

        def run(values: Mapping[int, float]) -> Arrays | None:
            whole: Change | None = turning[0].change(turning[0].value)
            for place, value in values.items():
                whole = whole and whole + turning[place].change(value)
            out = self.tries.forward(whole) if whole else None
            if not few or out is None or whole is None:
                return out
            return out | _gradients(self.tries.rerun.gradients(side, whole))

        if not turning:
            return
        starts = [float(p.value) for p in turning]
        for places, values in solve_two(run, wanted, starts):
            choices = [islice(spellings(v, self.sizes, known, decimals=False), 4) for v in values]
            for chosen in product(*choices):
                first, second = (
                    proposals.turned(turning[i], spelled, self.sizes)
                    for i, spelled in zip(places, chosen, strict=True)
                )
                whole = first + second
                if whole is not None and not self.tries.found:
                    yield whole


def _gradients(found: Arrays | None) -> Arrays:
    return {f"gradient of {name}": x for name, x in (found or {}).items()}
