"""Who is right where two gradients disagree in float64: the function itself is asked.

A gradient is right if it is the slope of its own forward. Slopes come from float64 differences of
the forward; where the dispute vanishes a step away, the gradients around it are asked instead.
Numbers in, opinions out: knows no framework, and votes for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import combinations
from typing import NamedTuple

import numpy as np

from parity.judge.kinks import NEAR, SLACK, Kink
from parity.judge.slopes import COARSE, FINE, UNKNOWN, Slope, Vector, slope
from parity.judge.witness import Witness

STEEPEST = 2.0**-44
"""The nearest neighbourhood that rounding leaves anything of."""


class Finding(NamedTuple):
    """What was found on a set of disputed elements."""

    kink: bool
    """The dispute vanishes a step away from x, and gradients jump there: no derivative at x."""
    wrong: tuple[str, ...]
    """Witnesses whose gradient is no slope of their own forward."""
    resolution: float
    """Relative resolution of the differences; infinite where they decided nothing."""
    looked: int = 0
    """Elements that were examined one by one, of a kink."""
    smooth: tuple[str, ...] = ()
    """Witnesses that are wrong where all gradients around x agree: there is a derivative at x."""
    symmetric: tuple[str, ...] = ()
    """Witnesses whose gradient is right for symmetric changes of a matrix of which one triangle is
    read."""
    told: bool = False
    """The slopes of all forwards are known more finely than the gradients differ."""
    apart: bool = False
    """The slopes of two forwards differ: so do the functions."""


@dataclass(frozen=True)
class Problem:
    """Several gradients of one point, and what is in dispute."""

    witnesses: list[Witness]
    x: Vector
    gradients: Mapping[str, Vector]
    disputed: np.ndarray
    """A mask."""
    scale: Vector
    """The size of each input: steps are shares of it."""
    blur: Vector
    """How far rounding may move each gradient."""
    mirrored: Callable[[Vector], Vector] | None = None
    """Transposes every square matrix among the inputs; None where there is none in dispute."""
    factorising: Collection[str] = ()
    """Witnesses in whose forward a factorisation reads one triangle of a matrix."""


class Answer(Enum):
    """Whether a gradient is the slope of its forward."""

    RIGHT, WRONG, UNKNOWN = range(3)


def arbitrate(problem: Problem, rng: np.random.Generator) -> Finding:
    """Ask the forwards who is right on the disputed elements."""
    p, near = problem, _near(problem)

    kink = Kink(p.witnesses, p.x, p.gradients, p.disputed, p.scale, p.blur, rng, near)
    if near < STEEPEST or not kink.vanishes:
        found = _by_slopes(problem, rng)
        here_too = np.array([w.loss(p.x) for w in p.witnesses])
        differ = np.ptp(here_too) > SLACK * np.abs(here_too).max()
        settled = found.wrong or found.apart or found.symmetric or differ
        return found if settled else _beside(problem, found, rng)
    opinion = kink.opinion()
    if opinion.jumps:
        return Finding(True, opinion.wrong, SLACK, opinion.looked, opinion.smooth)
    found = _by_slopes(problem, rng)
    wrong = tuple(w.name for w in p.witnesses if w.name in (*found.wrong, *opinion.smooth))
    return found._replace(wrong=wrong, smooth=wrong, symmetric=())


def known_along(problem: Problem, rng: np.random.Generator) -> tuple[Vector, float]:
    """Return a direction over all that is disputed, and by how much each slope along it is known.

    By nothing, infinity, where a gradient is not its own forward's slope. The direction's sizes are
    random, too: two errors of one size would cancel along every other choice of signs.
    """
    size = problem.x.size
    drawn = rng.choice([-1.0, 1.0], size) * rng.uniform(0.5, 1.0, size)
    along, known = np.where(problem.disputed, drawn * problem.scale, 0.0), 0.0
    for witness in problem.witnesses:
        with np.errstate(all="ignore"):
            claimed = float(
                problem.gradients[witness.name][problem.disputed] @ along[problem.disputed]
            )
            found = slope(witness.loss, problem.x, along, claimed=claimed)
        if not abs(claimed - found.value) <= 8 * found.resolution:
            return along, np.inf
        known = max(known, 8 * found.resolution)
    return along, known


def _beside(problem: Problem, found: Finding, rng: np.random.Generator) -> Finding:
    """Return who is wrong a step aside, where ties may be broken and a wrong slope stays wrong."""
    step = np.where(problem.disputed, 2.0**-8 * rng.uniform(-1, 1, problem.x.size), 0.0)
    there = problem.x + step * problem.scale
    gradients = {w.name: w.gradient(there) for w in problem.witnesses}
    aside = _by_slopes(replace(problem, x=there, gradients=gradients), rng)
    return found._replace(wrong=aside.wrong, apart=aside.apart)


def _near(problem: Problem) -> float:
    """Return how far from x its neighbourhood is looked at, as a share of each input's size.

    NEAR, or less where the claimed slopes are so steep that it would not be near: a mask times 1e9.
    """
    x, moved = problem.x, np.where(problem.disputed, problem.scale, 0.0) / 8
    with np.errstate(all="ignore"):
        levels = [abs(w.loss(at)) for w in problem.witnesses for at in (x, x + moved, x - moved)]
        steps = [np.abs(g * problem.scale)[problem.disputed] for g in problem.gradients.values()]
    level = max((x for x in levels if np.isfinite(x)), default=0.0)
    steepest = max(float(s[np.isfinite(s)].max(initial=0.0)) for s in steps)
    return min(NEAR, level / 64 / steepest) if level and steepest else NEAR


def _by_slopes(problem: Problem, rng: np.random.Generator) -> Finding:
    """Compare each gradient with central, then one-sided differences of its own forward."""
    directions = _directions(problem, rng)
    wrong, symmetric, coarsest, told, slopes = [], [], 0.0, True, []
    for witness in problem.witnesses:
        asked = _asked(problem, witness, directions)
        if asked.answer is not Answer.RIGHT and problem.mirrored is not None:
            answer, pardoned = _asked_symmetrically(problem, witness, asked.answer)
            if pardoned:
                symmetric.append(witness.name)
                continue
            asked = asked._replace(answer=answer)
        slopes.append(asked.slopes)
        coarsest, told = max(coarsest, asked.resolution), told and asked.told
        if asked.answer is Answer.WRONG:
            wrong.append(witness.name)
    apart = any(
        abs(a.value - b.value) > 8 * (a.resolution + b.resolution)
        for one, other in combinations(slopes, 2)
        for a, b in zip(one, other, strict=False)
    )
    return Finding(
        False, tuple(wrong), coarsest, symmetric=tuple(symmetric), told=told, apart=apart
    )


class Asked(NamedTuple):
    """What the slopes of its forward say of one gradient."""

    answer: Answer
    resolution: float
    """The coarsest, relative; infinite where there was no slope."""
    told: bool
    """Some slope is known four times more finely than the gradients differ."""
    slopes: tuple[Slope, ...] = ()
    """Along each direction that was asked."""


def _asked(problem: Problem, witness: Witness, directions: list[Vector]) -> Asked:
    """Return whether a gradient is the slope of its forward along all directions."""
    coarsest, answer, told = 0.0, Answer.RIGHT, False
    slopes: list[Slope] = []
    for along in directions:
        with np.errstate(invalid="ignore"):  # a gradient of NaN and inf
            ours = {name: float(g @ along) for name, g in _masked(problem).items()}
        spread = np.ptp(np.array([*ours.values()]))  # NaN where one of them is
        claimed = ours[witness.name]
        for finest in (COARSE, FINE):  # the accused is looked at more closely
            with np.errstate(all="ignore"):
                found = slope(witness.loss, problem.x, along, 0, finest, claimed)
                if np.isnan(claimed) and not np.isfinite(found.value):
                    found = _inwards(witness.loss, problem.x, along)
            off = abs(claimed - found.value)
            right = off <= 8 * found.resolution or off <= 0.01 * spread
            if right:
                break
        slopes.append(found)
        if not np.isfinite(found.value):
            coarsest, answer = np.inf, Answer.UNKNOWN
            continue
        size = max(abs(found.value), abs(claimed) if np.isfinite(claimed) else 0.0, 1e-300)
        coarsest = max(coarsest, found.resolution / size)
        told |= bool(8 * found.resolution <= 0.25 * spread)
        if not right and not _between(witness.loss, problem.x, along, claimed):
            return Asked(Answer.WRONG, coarsest, told, tuple(slopes))
    return Asked(answer, coarsest, told, tuple(slopes))


def _inwards(loss: Callable[[Vector], float], x: Vector, along: Vector) -> Slope:
    """Return the slope into the domain, at its edge: no gradient is NaN where there is one."""
    sides = [slope(loss, x, along, ahead) for ahead in (1, -1)]
    known = [s for s in sides if s.resolution <= 2.0**-10 * abs(s.value)]
    return known[0] if len(known) == 1 else UNKNOWN


def _masked(problem: Problem) -> dict[str, Vector]:
    return {name: np.where(problem.disputed, g, 0.0) for name, g in problem.gradients.items()}


def _asked_symmetrically(problem: Problem, witness: Witness, before: Answer) -> tuple[Answer, bool]:
    """Return the answer along symmetric changes of the matrices, and whether it is a pardon.

    A factorisation reads one triangle and has the gradient of symmetric matrices: that is no slope
    along one entry. It may be one of a matrix that is made of the input, and its gradient need not
    be symmetric; but one triangle of it alone is not pardoned, which a transposed gradient is.
    Where a change of one entry leaves the domain, there is no other slope at all.
    """
    assert problem.mirrored is not None
    mirrored, entries = problem.mirrored, np.arange(1.0, problem.x.size + 1)
    above = np.abs(mirrored(entries)) > entries
    below = np.abs(mirrored(entries)) < entries
    both = problem.disputed | (mirrored(problem.disputed.astype(float)) != 0)
    if not np.any(both & above):
        return before, False
    whole = Problem(
        problem.witnesses, problem.x, problem.gradients, both, problem.scale, problem.blur
    )
    symmetric = [np.where(below, mirrored(d), d) + 0.0 for d in _directions(whole)]
    answer = _asked(whole, witness, symmetric).answer
    if answer is not Answer.RIGHT:
        return (answer if before is Answer.UNKNOWN else before), False
    if before is Answer.UNKNOWN:
        return answer, False
    claim = problem.gradients[witness.name]
    sides = [both & side for side in (above, below)]
    if witness.name in problem.factorising:
        return before, all(np.any(claim[side] != 0) for side in sides)
    alike = np.abs(claim - mirrored(claim)) <= 2 * problem.blur
    pardoned = bool(np.all(alike[both])) and any(_unread(problem, witness, s) for s in sides)
    return before, pardoned


def _unread(problem: Problem, witness: Witness, among: np.ndarray) -> bool:
    """Return whether the forward does not depend on some entries at all."""
    shares = (0.25, -0.125, 2.0**-20, 2.0**-30)
    with np.errstate(all="ignore"):
        there = [
            witness.loss(problem.x + np.where(among, share * problem.scale, 0.0))
            for share in shares
        ]
    inside = [loss for loss in there if np.isfinite(loss)]
    return bool(inside) and all(loss == witness.loss(problem.x) for loss in inside)


def _between(loss: Callable[[Vector], float], x: Vector, along: Vector, claimed: float) -> bool:
    """Return whether the slope has two sides along this direction and the claim lies between."""
    if not np.isfinite(claimed):
        return False
    with np.errstate(all="ignore"):
        ahead, behind = slope(loss, x, along, 1), slope(loss, x, along, -1)
    slack = 8 * (ahead.resolution + behind.resolution)
    if not abs(ahead.value - behind.value) > slack:
        return False
    low, high = sorted((ahead.value, behind.value))
    return low - slack <= claimed <= high + slack


def _directions(problem: Problem, rng: np.random.Generator | None = None) -> list[Vector]:
    """Return directions on the disputed elements: along each disagreement, then random signs."""
    rng = rng or np.random.default_rng(1)
    first, *others = problem.gradients.values()
    signs = [np.where(np.nan_to_num(other - first) < 0, -1.0, 1.0) for other in others]
    signs += [rng.choice([-1.0, 1.0], first.size) for _ in range(2)]
    distinct = {np.where(problem.disputed, s, 0.0).tobytes(): s for s in signs}
    return [np.where(problem.disputed, s * problem.scale, 0.0) for s in distinct.values()]
