"""Where float64 corners disagree: from what arbitration found to a verdict and a sentence.

A function that differs is a convention, or another function: no side is blamed. A gradient that is
no slope of its own forward is wrong, and its side is named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import numpy as np

from parity.judge.arbitration import Finding, Problem, arbitrate, known_along
from parity.judge.compare import wide
from parity.judge.freedom import freedom
from parity.judge.noise import BOUND, roundoff, sigma
from parity.judge.space import Space
from parity.judge.tensor import NEIGHBOURS, POOR, Tensor
from parity.judge.verdict import Row, Verdict
from parity.judge.witness import Witness
from parity.memory import is_heavy

CLEAR, HEAVILY = 0.05, 0.25
"""Of what two gradients are apart: an error of so little is none; so little of heavy inputs."""

Answer = Callable[[tuple[np.ndarray, ...]], np.ndarray]
"""(leaves) -> one tensor, in float64."""


class Disputes:
    """All that is in dispute in one float64 problem; arbitrated once, when first asked."""

    def __init__(
        self,
        forwards: list[Tensor],
        gradients: list[Tensor],
        space: Space,
        outputs: Mapping[str, Callable[[tuple[np.ndarray, ...]], Mapping[str, np.ndarray]]],
        douts: Mapping[str, np.ndarray],
        slopes: Mapping[str, Callable[[tuple[np.ndarray, ...]], list[np.ndarray]]],
        factorising: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.forwards = [t for t in forwards if t.apart(POOR).any()]
        self.gradients, self.space = gradients, space
        self.outputs, self.douts, self.slopes = outputs, douts, slopes
        self.factorising = factorising
        self.gauge = next((g for t in self.forwards if (g := freedom(t, outputs, space))), "")
        self._findings: dict[str, Finding] = {}

    def refine(self, part: int, row: Row, tensor: Tensor) -> Row:
        """Return the row of a disputed tensor with the verdict that arbitration gives it."""
        if self.gauge:
            reason = self.gauge if part == 0 else f"follows: {self.gauge}"
            return replace(row, verdict=Verdict.NOT_COMPARABLE, reason=reason, odd=())
        if not tensor.apart(POOR).any() and not (part == 1 and self.finding(tensor).kink):
            reason = (
                f"a float64 kernel of one side loses digits, of which is unknown: {tensor.said()}"
            )
            return replace(row, verdict=Verdict.LESS_ACCURATE, reason=reason, odd=())
        if part == 0:
            reason = f"the functions differ: {tensor.said()}"
            return replace(row, verdict=Verdict.CONVENTION, reason=reason, odd=())
        verdict, reason, odd = self._gradient(tensor)
        return replace(row, verdict=verdict, reason=reason, odd=odd)

    def _gradient(self, tensor: Tensor) -> tuple[Verdict, str, tuple[str, ...]]:
        finding, said = self.finding(tensor), tensor.said()
        wrong = " and ".join(finding.wrong)
        if finding.wrong and finding.wrong == finding.smooth:
            around = "the gradients around this point agree with one another"
            reason = f"smooth here: {around}, and {wrong}'s leaves them at the point itself: {said}"
            return Verdict.DIFFERENT, reason, finding.wrong
        if finding.kink:
            looked = int(tensor.apart().sum())
            if wrong:
                gives = f"{wrong} {'gives' if len(finding.wrong) == 1 else 'give'} no value"
                reason = f"a kink, and {gives} between the gradients nearby: {said}"
                return Verdict.DIFFERENT, reason, finding.wrong
            some = f", {finding.looked} examined" if finding.looked < looked else ""
            reason = f"no derivative in {looked} places{some}, all values right: {said}"
            return Verdict.KINK, reason, ()
        if wrong and not self.forwards and not tensor.apart(1.0, np.float32).any():
            reason = f"{wrong} is accurate to float32 only, in a float64 run: {said}"
            return Verdict.LESS_ACCURATE, reason, finding.wrong
        if wrong:
            reason = f"{wrong}'s gradient is not the derivative of its own forward: {said}"
            return Verdict.DIFFERENT, reason, finding.wrong
        return *self._nobody(finding, said), ()

    def _nobody(self, finding: Finding, said: str) -> tuple[Verdict, str]:
        """Return the verdict and the reason where nobody can be blamed."""
        if finding.symmetric:
            reader = " and ".join(finding.symmetric)
            reason = f"{reader} reads one triangle, and its gradient is for symmetric changes"
            return Verdict.CONVENTION, f"{reason}: {said}"
        if self.forwards and not finding.told:
            what = f"the functions differ, in {self.forwards[0].name} first"
            blind = "too steep or broken to tell whether each gradient is its own forward's"
            return Verdict.CONVENTION, f"{what}; {blind}: {said}"
        if self.forwards:
            first = self.forwards[0].name
            reason = f"right for its own forward on every side, and {first} differs: {said}"
            return Verdict.CONVENTION, reason
        if finding.apart:
            reason = "right for its own forward on every side: the functions differ around this"
            return Verdict.CONVENTION, f"{reason} point, though not at it: {said}"
        reason = f"{said}; undecided: differences resolve {finding.resolution:.0e} here"
        return Verdict.DIFFERENT, reason

    def narrow(self, row: Row, corners: Mapping[str, np.ndarray], answer: Answer) -> Row:
        """Return the row of a tensor that only a narrow dtype gets wrong, if it may be right.

        Eigenvectors change their sign, and near a kink rounding decides on the side: a float64 run
        of inputs moved by that rounding then moves as far.
        """
        at = next(d.worst for c, d in row.distances.items() if c in row.odd)
        here = answer(self.space.leaves)
        error = max(abs(wide(corners[corner])[at] - here[at]) for corner in row.odd)
        rng = np.random.default_rng(0)
        for _ in range(NEIGHBOURS):
            x = self.space.x
            moved = x * (1 + 8 * roundoff(np.dtype(row.dtype)) * rng.uniform(-1, 1, x.shape))
            if abs(answer(self.space.at(moved))[at] - here[at]) > error / 2:
                reason = f"rounding decides on which side of a kink this falls: {row.reason}"
                return replace(row, verdict=Verdict.KINK, reason=reason, odd=())
        return row

    def finding(self, tensor: Tensor) -> Finding:
        """Return what arbitration finds on a disputed gradient: together first, then alone.

        Where functions differ, and all gradients together are their own forwards' to less than
        what one of them is off by, that one is right, and is not asked again. Of heavy inputs none
        is asked alone unless some are wrong together.
        """
        if not self._findings:
            disputed = {t.name for t in self.gradients if t.disputed}
            left = set(disputed)
            while self.forwards and left and (more := self._cleared(left)):
                left -= more  # the fewer are left, the better they are known
            self._findings = dict.fromkeys(disputed - left, Finding(False, (), 0.0, told=True))
            self._findings |= self._left(left) if left else {}
        return self._findings[tensor.name]

    def _left(self, names: set[str]) -> dict[str, Finding]:
        """Return what is found on gradients that no joint direction cleared."""
        together = arbitrate(self._problem(names), np.random.default_rng(0))
        enough = self._heavy and self.forwards and not together.wrong
        if len(names) == 1 or together.kink or enough:
            return dict.fromkeys(names, together)
        alone = {name: self._problem({name}) for name in names}
        return {name: arbitrate(p, np.random.default_rng(0)) for name, p in alone.items()}

    @property
    def _heavy(self) -> bool:
        """Whether a run takes so long that few can be asked for."""
        return is_heavy(x.size for x in self.space.leaves)

    def _cleared(self, names: set[str]) -> set[str]:
        """Return the gradients of which an error would have shown among these, in one direction."""
        problem = self._problem(names)
        along, known = known_along(problem, np.random.default_rng(2))
        clear = HEAVILY if self._heavy else CLEAR
        found, start = set(), 0
        for t in self.gradients:
            end = start + self.space.vector([next(iter(t.answers.values()))]).size
            with np.errstate(invalid="ignore"):
                claims = [g[start:end] @ along[start:end] for g in problem.gradients.values()]
            if t.name in names and known <= clear * np.ptp(claims):
                found.add(t.name)
            start = end
        return found

    def _witness(self, corner: str) -> Witness:
        outputs, slopes, space = self.outputs[corner], self.slopes[corner], self.space

        def loss(vector: np.ndarray) -> float:
            found = outputs(space.at(vector))
            parts = (np.sum((np.conj(d) * found[name]).real) for name, d in self.douts.items())
            return float(sum(parts))

        return Witness(corner, loss, lambda vector: space.vector(slopes(space.at(vector))))

    def _problem(self, names: set[str]) -> Problem:
        space = self.space
        mask = space.both_parts(
            [
                t.apart() if t.name in names else np.zeros(t.noise.shape, bool)
                for t in self.gradients
            ]
        )
        witnesses = [self._witness(corner) for corner in self.outputs]
        gradients = {
            corner: space.vector([t.answers[corner] for t in self.gradients])
            for corner in self.outputs
        }
        blur = BOUND * space.both_parts([sigma(t.noise, np.float64) for t in self.gradients])
        problem = Problem(witnesses, space.x, gradients, mask, space.scale, blur)
        if space.square:
            factorising = self.factorising()
            problem = replace(problem, mirrored=space.mirrored, factorising=factorising)
        return problem
