"""One seed of a pair: inputs and cotangents made, every corner run, every tensor judged.

Puts the parts together: legs, yardsticks, verdicts, arbitration. Knows no framework and no name of
a tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from parity.errors import UsageError
from parity.frameworks.narrowing import HALVES
from parity.judge.compare import FLOAT64, alike
from parity.judge.disputes import Disputes
from parity.judge.freedom import gauge
from parity.judge.judging import judge, rougher, unlike_itself, whole_numbers
from parity.judge.noise import sigma
from parity.judge.purpose import Withheld, on_purpose
from parity.judge.space import Space
from parity.judge.tensor import Tensor
from parity.judge.verdict import Row, Verdict
from parity.pairs.digits import cast, held_by, in_precision
from parity.pairs.legs import Arrays, Legs, Outcome
from parity.pairs.pair import Arguments, Pair, short_decimals
from parity.trial.exact import Exact, Values, require_the_same
from parity.trial.precision import Precision

SOON = 5.0
"""Seconds of waiting that need no announcement."""


class Trial:
    """One seed of a pair: inputs and cotangents made, every corner run, every tensor judged."""

    def __init__(
        self,
        pair: Pair,
        seed: int,
        dtypes: tuple[str, ...],
        legs: Legs | None = None,
        told: Callable[[str], None] = lambda what: None,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.seed, self.arguments = seed, pair.arguments(rng)
        self.legs = _same_or_new(legs, pair, self.arguments)
        side = next(iter(self.legs.corners.values())).side
        self.dtypes = {name: side.dtype_named(name) for name in dtypes}
        self._refuse_what_no_dtype_holds()
        self.values = self._values(rng)
        if not self.legs.plans:
            for framework, plan in self.legs.plan(self.values).items():
                if plan.seconds > SOON:
                    told(f"{framework}'s yardstick takes about {plan.seconds:.0f} s")
        self.solved: list[Exact] = []
        """The float64 problems that were run: one for all dtypes that hold the same numbers."""
        self._disputed: dict[int, Disputes] = {}
        self._free: dict[str, str] = {}
        """By dtype, the freedom that an output was seen to have."""
        self.problems = {name: self.exact(dtype) for name, dtype in self.dtypes.items()}
        self.legs.tidy()
        self.outcomes = {name: self._outcomes(name, dtype) for name, dtype in self.dtypes.items()}
        self.legs.tidy()
        self.precision = Precision(self.legs, self.problems, self.dtypes)

    def _outcomes(self, name: str, dtype: np.dtype) -> dict[str, Outcome]:
        if dtype == FLOAT64:
            exact = self.problems[name].outcomes
            return exact | self.legs.as_written(self.problems[name].values)
        return self.legs.outcomes(dtype, tuple(cast(x, dtype) for x in self.values))

    def _values(self, rng: np.random.Generator) -> Values:
        """Return the leaves, then the cotangents, with the digits that every dtype has."""
        narrowest = min(self.dtypes.values(), key=lambda d: (d.itemsize, d.name))
        leaves = tuple(in_precision(x, narrowest) for x in self.arguments.leaves)
        if not self.legs.outputs:
            self.legs.check_structure(leaves)
        if not self.legs.floating:
            return leaves
        douts = (_cotangent(rng, x) for x in self.legs.cotangents().values())
        return leaves + tuple(in_precision(x, narrowest) for x in douts)

    def _refuse_what_no_dtype_holds(self) -> None:
        """Raise UsageError for a complex input in half precision, and for one that overflows."""
        for name, x in zip(self.arguments.names, self.arguments.leaves, strict=True):
            for dtype, held in self.dtypes.items():
                if x.dtype.kind == "c" and dtype not in ("float32", "float64"):
                    raise UsageError(
                        f"input {name} is complex, and there is no complex {dtype}; "
                        "check float32 and float64"
                    )
                with np.errstate(over="ignore"):
                    lost = np.isfinite(x) & ~np.isfinite(cast(x, held))
                if np.any(lost):
                    raise UsageError(
                        f"input {name} holds {x[lost].flat[0]:.3g}, which {dtype} cannot; give "
                        "smaller numbers, or check float64"
                    )

    def exact(self, dtype: np.dtype) -> Exact:
        """Return the float64 answer to the problem that ``dtype`` can hold, run once."""
        values = tuple(held_by(x, dtype) for x in self.values)
        known = next((problem for problem in self.solved if alike(problem.values, values)), None)
        if known is not None:
            return known
        outcomes: dict[str, Outcome] = {}
        own: dict[str, Outcome] = {}
        for framework, found, value, noise in self.legs.exact(values):
            require_the_same(framework, found[framework], value, noise)
            outcomes |= found
            own[framework] = noise
            del found, value, noise
        ordered = {corner: outcomes[corner] for corner in self.legs.corners}
        sides = {framework: own[framework] for framework in self.legs.pair.sides}
        self.solved.append(Exact(values, ordered, sides))
        return self.solved[-1]

    def forward(self) -> list[Row]:
        """Judge every output in every dtype."""
        return [self._row(0, name, dtype) for name in self.legs.outputs for dtype in self.dtypes]

    def gradients(self) -> list[Row]:
        """Judge every gradient in every dtype."""
        return [self._row(1, name, dtype) for name in self.legs.floating for dtype in self.dtypes]

    def _row(self, part: int, name: str, dtype: str) -> Row:
        problem, outcomes = self.problems[dtype], self.outcomes[dtype]
        tensor = problem.tensor(part, name)
        exact = tensor.answers
        corners = {corner: outcome[part][name] for corner, outcome in outcomes.items()}
        reference = next(iter(exact.values()))
        if reference.dtype.kind in "iub":
            return whole_numbers(name, dtype, corners, self.seed)
        held = self.dtypes[dtype]
        halves = self.precision.yards(part, name, dtype, corners) if dtype in HALVES else None
        args = name, held, corners, exact, reference, tensor.noise
        row = judge(*args, batch=self.seed, yards=halves)
        tables = self.precision.tables() if tensor.disputed else {}
        if tables and not tensor.apart(dtype=np.float32).any():
            row = judge(*args, batch=self.seed, yards=halves, settled=np.float32)
            if held == FLOAT64:
                said = " and ".join(f"{c} has {table} in float32" for c, table in tables.items())
                reason = f"{said}: equal to float32's digits"
                return replace(row, verdict=Verdict.LESS_ACCURATE, reason=reason, odd=(*tables,))
        elif tensor.disputed:
            row = self._disputes(problem).refine(part, row, tensor)
            if row.verdict is Verdict.DIFFERENT and row.odd:
                row = on_purpose(row, tensor, self._withheld(problem))
            one = dict.fromkeys(corners, sigma(tensor.noise, held))
            return unlike_itself(row, corners, exact, halves or one)
        if halves is None and self._narrows(row, corners):
            if held == FLOAT64:
                return self._as_lost(row)
            yards = self.precision.yards(part, name, dtype, corners)
            if judge(*args, yards=yards).verdict.passes:
                return self._as_lost(row)
        if row.verdict is Verdict.DIFFERENT and row.odd and row.distances:
            return self._narrow(part, row, corners, tensor)
        if row.verdict in (Verdict.ROUNDING, Verdict.IDENTICAL):
            measured = partial(self.precision.errors, part, name, dtype, corners)
            noises = self.precision.own(dtype) if halves else problem.own
            own = {framework: noise[part][name] for framework, noise in noises.items()}
            place = partial(self.precision.place, part, name, dtype) if halves else None
            return rougher(row, corners, reference, own, measured, place)
        return row

    def _narrows(self, row: Row, corners: Arrays) -> bool:
        """Return whether what stands apart, finite, is what writes a narrower float."""
        finite = all(np.all(np.isfinite(corners[corner])) for corner in row.odd)
        if not row.odd or not row.distances or not finite:
            return False
        return all(map(partial(self.precision.first, row.dtype), row.odd))

    def _as_lost(self, row: Row) -> Row:
        """Return the row of corners that leave a dtype as lost accuracy, with the first place."""
        places = []
        for corner in dict.fromkeys(corner.removesuffix(" eager") for corner in row.odd):
            first = self.precision.first(row.dtype, corner)
            assert first is not None, "only what narrows is looked at here"
            at = f"{first.operation}{' at ' + first.line if first.line else ''}"
            places.append(f"{corner} goes on in {first.to} inside a {row.dtype} run ({at})")
        apart = max((row.distances[corner] for corner in row.odd), key=lambda d: d.sigmas)
        far = f"{apart.sigmas:.2g} sigma at {list(apart.worst)}"
        reason = f"{' and '.join(places)}: {far}; equal where all is float64"
        return replace(row, verdict=Verdict.LESS_ACCURATE, reason=reason)

    def _withheld(self, problem: Exact) -> dict[str, Withheld]:
        """Return what each corner keeps from its gradient by its own words."""
        leaves = problem.values[: len(self.arguments.names)]
        return {corner: self.legs.withheld(corner, leaves) for corner in problem.outcomes}

    def _narrow(self, part: int, row: Row, corners: Arrays, tensor: Tensor) -> Row:
        """Return the row of a tensor that float64 settles and a narrower dtype does not."""
        if not all(np.all(np.isfinite(x)) for x in corners.values()):
            return row
        narrow = Tensor(row.name, corners, tensor.noise)
        if part == 0 and (freedom := gauge(narrow, self.dtypes[row.dtype])):
            self._free[row.dtype] = f"follows: {freedom}"
            return replace(row, verdict=Verdict.NOT_COMPARABLE, reason=freedom, odd=())
        if part == 1 and row.dtype in self._free:
            reason = self._free[row.dtype]
            return replace(row, verdict=Verdict.NOT_COMPARABLE, reason=reason, odd=())
        problem = self.problems[row.dtype]
        douts = problem.values[len(self.arguments.names) :]
        corner = self.legs.corners[row.odd[0].removesuffix(" eager")]

        def answer(leaves: Values) -> np.ndarray:
            return self.legs.run("compiled", corner, FLOAT64, (*leaves, *douts))[part][row.name]

        return self._disputes(problem).narrow(row, corners, answer)

    def _disputes(self, problem: Exact) -> Disputes:
        key = id(problem)  # those that were solved are kept
        if key not in self._disputed:
            count = len(self.arguments.names)
            leaves, douts = problem.values[:count], problem.values[count:]
            self._disputed[key] = Disputes(
                [problem.tensor(0, name) for name in self.legs.cotangents()],
                [problem.tensor(1, name) for name in self.legs.floating],
                Space(leaves, self.legs.arguments.still),
                {c: partial(self._outputs, c) for c in problem.outcomes},
                dict(zip(self.legs.cotangents() if douts else (), douts, strict=True)),
                {c: partial(self._slopes, c, douts) for c in problem.outcomes},
                lambda: [c for c, w in self._withheld(problem).items() if w.factorises],
            )
        return self._disputed[key]

    def _outputs(self, corner: str, leaves: Values) -> Arrays:
        """Return a forward's floating outputs; NaN where it refuses these numbers."""
        names = self.legs.cotangents()
        try:
            outputs = self.legs.run("forward", self.legs.corners[corner], FLOAT64, leaves)
        except UsageError:
            return {name: np.full(x.shape, np.nan) for name, x in names.items()}
        return {name: outputs[name] for name in names}

    def _slopes(self, corner: str, douts: Values, leaves: Values) -> list[np.ndarray]:
        """Return a corner's gradients; NaN where it refuses these numbers."""
        values = (*leaves, *douts)
        try:
            found = self.legs.run("compiled", self.legs.corners[corner], FLOAT64, values)[1]
        except UsageError:
            named = dict(zip(self.legs.arguments.names, leaves, strict=True))
            return [np.full_like(named[name], np.nan) for name in self.legs.floating]
        return [*found.values()]

    def notes(self) -> list[str]:
        """Say what was decided without being asked."""
        if self.legs.pair.forward_only:
            return ["forwards only, as asked"]
        without = self.legs.ungraded()
        if not self.legs.arguments.floating:
            none = (
                "every input is constant" if self.arguments.floats else "no input is floating point"
            )
            return [*without, f"{none}: there is no gradient to compare"]
        if not self.legs.cotangents() and not without:
            return ["no output is floating point: there is no gradient to compare"]
        return (
            without
            + [
                f"{framework}'s sigma is pooled over each tensor, from {plan.seeds} noisy runs: "
                "all would take too long"
                for framework, plan in self.legs.plans.items()
                if plan.pooled
            ]
            + [
                f"{corner} finds no path from {name} to the outputs (gradient None); taken as zeros"
                for corner, name in sorted(self.legs.unused)
            ]
        )


def _same_or_new(legs: Legs | None, pair: Pair, arguments: Arguments) -> Legs:
    if legs is None:
        return Legs(pair, arguments)
    if legs.arguments.names != arguments.names:
        raise UsageError("inputs has another structure for another seed; return the same names")
    return legs


def _cotangent(rng: np.random.Generator, like: np.ndarray) -> np.ndarray:
    drawn = short_decimals(rng, tuple(like.shape))
    if np.dtype(like.dtype).kind == "c":
        return drawn + 1j * short_decimals(rng, tuple(like.shape))
    return drawn
