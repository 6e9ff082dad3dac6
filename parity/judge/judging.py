"""From arrays to a judgement: each corner of one tensor against the reference, the odd one named.

Knows corners, dtypes and noise; no framework, no tensor's name and no tolerance but BOUND sigmas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from parity.judge.compare import Distance, compare, distance, rms, spread, structure, wide
from parity.judge.noise import BOUND, U0, roundoff, sigma
from parity.judge.power import smallest_fault
from parity.judge.verdict import Row, Verdict

SEEN = 3.0
"""By how much the errors of two sides differ, where one is said to round more than the other."""

SUSPECTED = 10.0
"""By how much their inferred noise differs before that is looked into."""

SEEN_APART, SUSPECTED_APART = 2.0, 1.5
"""The same where it is known which operation is in another float on the other side."""

LOST = 0.05
"""An error of this share of an element leaves nothing that could be called rounding."""


def judge(
    name: str,
    dtype: np.dtype,
    corners: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    reference: np.ndarray,
    noise: np.ndarray,
    *,
    flushed: str = "",
    batch: int = 0,
    yards: Mapping[str, np.ndarray] | None = None,
    settled: type = np.float64,
) -> Row:
    """Judge one tensor in ``dtype``, the dtype of ``corners``.

    ``exact`` holds the corners computed in float64: they decide whether the mathematics is the
    same. ``reference`` and ``noise`` come from the yardstick (float64; units of the roundoff).
    ``flushed`` names the first forward tensor whose subnormals one corner keeps and another not.
    ``yards`` are the corners' own sigmas in ``dtype`` where they compute in several. ``settled`` is
    float32 where a table of float32 lets no more be known of the mathematics.
    """
    misshapen = _misshapen(corners, dtype, reference) | _misshapen(
        exact, np.dtype(np.float64), reference
    )
    if misshapen:
        reason = "; ".join(dict.fromkeys(misshapen.values()))
        odd = tuple(corner for corner in corners if corner in misshapen)
        return Row(name, str(dtype), Verdict.DIFFERENT, reason, odd, batch=batch)

    fine, yard = sigma(noise, settled), sigma(noise, dtype)
    own = dict.fromkeys(corners, yard) if yards is None else yards
    if yards is not None:
        yard = np.max([*own.values()], axis=0)
    agreeing = _majority(exact, fine)
    if agreeing:  # the middle of those that agree: no corner is its own judge
        reference = _centre([exact[corner] for corner in agreeing])
    distances = {corner: distance(v, reference, own[corner]) for corner, v in corners.items()}
    pairs = tuple(compare(a, corners[a], b, corners[b]) for a, b in combinations(corners, 2))
    if not agreeing:
        verdict, reason, odd = Verdict.DIFFERENT, _split(exact, fine), ()
    elif len(agreeing) < len(exact):
        verdict, reason, odd = _apart(exact, agreeing, reference, fine)
        odd = tuple(c for c in corners if c.removesuffix(" eager") in odd)
    elif np.any(np.isnan(reference)):
        verdict, reason, odd = Verdict.NOT_COMPARABLE, _nan(reference), ()
    else:
        verdict, reason, odd = _accuracy(corners, distances, reference, own, flushed)
        if verdict is Verdict.ROUNDING and all(pair.exact for pair in pairs):
            verdict = Verdict.IDENTICAL
    with np.errstate(invalid="ignore"):
        zero = bool(np.all(np.abs(reference) <= BOUND * yard))
    power, here = smallest_fault(reference, fine), smallest_fault(reference, yard)
    spreads = {corner: spread(v, reference, own[corner]) for corner, v in corners.items()}
    found = distances, pairs, zero, batch, power, here
    return Row(name, str(dtype), verdict, reason, odd, *found, spreads=spreads)


Finding = tuple[Verdict, str, tuple[str, ...]]
"""A verdict, the reason in words, and the odd corners."""


def _misshapen(
    corners: Mapping[str, np.ndarray], dtype: np.dtype, reference: np.ndarray
) -> dict[str, str]:
    """Return {corner: what is wrong with its shape or dtype}."""
    if reference.dtype.kind == "c":
        dtype = np.result_type(dtype, np.complex64)
    found = {c: structure(c, value, reference.shape, dtype) for c, value in corners.items()}
    return {corner: sentence for corner, sentence in found.items() if sentence}


def _apart(
    exact: Mapping[str, np.ndarray],
    agreeing: tuple[str, ...],
    reference: np.ndarray,
    yard: np.ndarray,
) -> Finding:
    """Say which corners the majority leaves alone in float64."""
    odd = tuple(corner for corner in exact if corner not in agreeing)
    worst = max((distance(exact[corner], reference, yard) for corner in odd), key=_sigmas)
    reason = f"{' and '.join(odd)} against {', '.join(agreeing)} in float64, {_at(worst)}"
    return Verdict.DIFFERENT, reason, odd


def _accuracy(
    corners: Mapping[str, np.ndarray],
    distances: Mapping[str, Distance],
    reference: np.ndarray,
    yards: Mapping[str, np.ndarray],
    flushed: str,
) -> Finding:
    """Judge corners that agree in float64: by rounding, a convention or lost accuracy."""
    far = tuple(corner for corner, d in distances.items() if d.sigmas > BOUND)
    if far and flushed:
        reason = f"subnormals: XLA flushes them to zero, torch keeps them (first in {flushed})"
        return Verdict.CONVENTION, reason, far
    finite = np.isfinite(reference)
    broken = tuple(c for c in far if np.any(np.isfinite(corners[c]) != finite))
    if broken:
        verdict = Verdict.DIFFERENT if len(broken) < len(corners) else Verdict.NOT_COMPARABLE
        over = any(np.any(~np.isfinite(corners[c]) & finite) for c in broken)
        how = "not finite here, finite" if over else "finite here, infinite"
        return verdict, f"{' and '.join(broken)} {how} in float64", broken
    # where rounding cannot have taken every digit
    sure = {c: BOUND * yards[c] < LOST * _size(reference) for c in far}
    lost = {c: corners[c] for c in far if _share(corners[c], reference, sure[c]) > LOST}
    if lost and all(roundoff(v.dtype) <= U0 for v in lost.values()):
        most = max((distances[corner] for corner in lost), key=_sigmas)
        reason = f"{' and '.join(lost)} {_at(most)} here, and equal in float64"
        return Verdict.DIFFERENT, reason, tuple(lost)
    if not far:  # one corner far worse than every other is worth saying long before it fails
        worst = max(distances, key=lambda corner: distances[corner].sigmas)
        others = [d.sigmas for corner, d in distances.items() if corner != worst]
        if distances[worst].sigmas <= 10 * max([1.0, *others]):
            return Verdict.ROUNDING, "", ()
        far = (worst,)
    most = max((distances[corner] for corner in far), key=_sigmas)
    rest = max((d.sigmas for corner, d in distances.items() if corner not in far), default=0.0)
    reason = f"{' and '.join(far)} {_at(most)}, the others {rest:.2g}; equal in float64"
    return Verdict.LESS_ACCURATE, reason, far


def whole_numbers(name: str, dtype: str, corners: Mapping[str, np.ndarray], batch: int = 0) -> Row:
    """Judge integers and booleans: equal, or the functions differ."""
    first, *others = corners
    for other in others:
        unequal = np.argwhere(corners[first] != corners[other])
        if len(unequal):
            at = tuple(int(i) for i in unequal[0])
            values = f"{first} {corners[first][at]}, {other} {corners[other][at]} at {list(at)}"
            reason = f"the functions differ: {values}, in {len(unequal)} places"
            return Row(name, dtype, Verdict.CONVENTION, reason, batch=batch)
    same = {corner: Distance(0.0, ()) for corner in corners}
    return Row(name, dtype, Verdict.IDENTICAL, distances=same, batch=batch)


def unlike_itself(
    row: Row,
    corners: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    yards: Mapping[str, np.ndarray],
) -> Row:
    """Return a passing row of a dispute as lost accuracy, if a corner leaves its float64 self.

    What float64 corners settle among themselves says nothing about a narrow one that strays.
    """
    if not row.verdict.passes:
        return row
    strays = {c: distance(v, exact[c.removesuffix(" eager")], yards[c]) for c, v in corners.items()}
    far = tuple(corner for corner, d in strays.items() if d.sigmas > BOUND)
    if not far:
        return row
    worst = max((strays[corner] for corner in far), key=_sigmas)
    reason = f"{' and '.join(far)} {_at(worst)} from its own float64 run; {row.reason}"
    selves = {corner: exact[corner.removesuffix(" eager")] for corner in far}
    finite = all(np.isfinite(corners[c][np.isfinite(self)]).all() for c, self in selves.items())
    verdict = Verdict.LESS_ACCURATE if finite else Verdict.DIFFERENT
    return replace(row, verdict=verdict, reason=reason, odd=far)


def rougher(
    row: Row,
    corners: Mapping[str, np.ndarray],
    reference: np.ndarray,
    own: Mapping[str, np.ndarray],
    measured: Callable[[], Mapping[str, float]],
    place: Callable[[str], str] | None = None,
) -> Row:
    """Return a row that agrees as less accurate, if a side's own noise is ten times the other's.

    ``own`` is each framework's noise, and ``measured`` finds its real errors, as rms in float32:
    what a kernel does inside is not inferred. ``place`` is given where the sides compute in several
    floats: less is looked into then, and it says where a side loses its digits. Also where rounding
    alone may move what is not small in its tensor by more than LOST, and did: right by luck, such
    an element is not called rounding. A tensor that is zero, but for float64's own rounding, has
    no digits to lose.
    """
    noise = np.sqrt(np.sum([x**2 for x in own.values()], axis=0))
    nothing = np.all(np.abs(reference) <= BOUND * sigma(noise, np.float64))
    if row.verdict is Verdict.IDENTICAL or nothing:
        return row
    sizes = {side: rms(noise) for side, noise in own.items()}
    worst = max(sizes, key=lambda side: sizes[side])
    others = [side for side in own if side != worst]

    def times(values: Mapping[str, float], least: float) -> float:
        return max(values[worst], least) / max([least, *(values[side] for side in others)])

    apart = place is not None and times(sizes, 1e-9) > SUSPECTED_APART
    if others and (apart or times(sizes, rms(reference)) > SUSPECTED):
        least = (U0 if place is None else roundoff(np.dtype(row.dtype)) / 4) * rms(reference)
        factor = times(measured(), least)
        said = place(worst) if place is not None and factor > SEEN_APART else ""
        if said or (times(sizes, rms(reference)) > SUSPECTED and factor > SEEN):
            where = f": {said}" if said else ""
            reason = f"{worst} rounds {factor:.2g} times as much as {' and '.join(others)}{where}"
            odd = tuple(c for c in corners if c.split(".")[0].split()[0] == worst)
            return replace(row, verdict=Verdict.LESS_ACCURATE, reason=reason, odd=odd)
    spread = {corner: _share(a, reference) for corner, a in corners.items()}
    if (most := max(spread.values())) > LOST:
        reason = f"every side loses its digits here: rounding alone moves one by {most:.0%}"
        return replace(row, verdict=Verdict.LESS_ACCURATE, reason=reason)
    return row


def _size(reference: np.ndarray) -> np.ndarray:
    """Return each element's size, not less than what is usual in its tensor; 1 of nothing."""
    size = np.maximum(np.abs(reference), rms(reference))
    return np.where(size > 0, size, 1.0)


def _share(value: np.ndarray, reference: np.ndarray, among: np.ndarray | bool = True) -> float:
    """Return the largest error as a share of the element's size."""
    with np.errstate(invalid="ignore"):
        error = np.abs(wide(value) - reference) / _size(reference)
    return float(np.where(among, np.nan_to_num(error, nan=0.0), 0.0).max(initial=0.0))


def _agree(a: np.ndarray, b: np.ndarray, yard: np.ndarray) -> bool:
    return distance(a, b, yard).sigmas <= BOUND


def _majority(exact: Mapping[str, np.ndarray], yard: np.ndarray) -> tuple[str, ...]:
    """Return the largest group of corners that all agree; none if it is no majority."""
    for size in range(len(exact), len(exact) // 2, -1):
        for group in combinations(exact, size):
            if all(_agree(exact[a], exact[b], yard) for a, b in combinations(group, 2)):
                return group
    return ()


def _split(exact: Mapping[str, np.ndarray], yard: np.ndarray) -> str:
    """Say who stands with whom where no majority agrees."""
    groups: list[list[str]] = []
    for corner, value in exact.items():
        home = next((g for g in groups if _agree(exact[g[0]], value, yard)), None)
        if home is None:
            groups.append([corner])
        else:
            home.append(corner)
    return " against ".join(" and ".join(group) for group in groups) + " in float64"


def _centre(values: list[np.ndarray]) -> np.ndarray:
    """Return the mean, and the first value where that is not finite."""
    first, *others = values
    with np.errstate(invalid="ignore"):
        mean = np.asarray(first - first)
        for value in others:
            mean += value - first
        mean /= len(values)
        mean += first
    finite = np.isfinite(mean)
    return mean if finite.all() else np.where(finite, mean, first)


def _nan(reference: np.ndarray) -> str:
    count = int(np.sum(np.isnan(reference)))
    return f"NaN in every corner, in {count} of {reference.size} elements"


def _sigmas(d: Distance) -> float:
    return d.sigmas


def _at(d: Distance) -> str:
    where = f" at {list(d.worst)}" if d.worst else ""
    return f"{d.sigmas:.2g} sigma{where}"
