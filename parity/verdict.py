"""From arrays to a judgement: one closed set of verdicts, the odd corner named.

Knows corners, dtypes and noise; no framework, no tensor's name and no tolerance but BOUND sigmas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations

import numpy as np

from parity.compare import Distance, Pair, compare, distance, structure
from parity.noise import BOUND, sigma


class Verdict(StrEnum):
    """What a comparison can end in, mildest first."""

    IDENTICAL = "identical"
    ROUNDING = "rounding"
    KINK = "kink"
    LESS_ACCURATE = "less accurate"
    CONVENTION = "convention"
    NOT_COMPARABLE = "not comparable"
    DIFFERENT = "different"

    @property
    def severity(self) -> int:
        """0 for the mildest."""
        return list(Verdict).index(self)

    @property
    def passes(self) -> bool:
        """Whether a run that ends so exits with 0."""
        return self.severity <= Verdict.LESS_ACCURATE.severity


@dataclass(frozen=True)
class Row:
    """One tensor in one dtype: every corner's distance from the reference, and the verdict."""

    name: str
    dtype: str
    verdict: Verdict
    reason: str = ""
    odd: tuple[str, ...] = ()
    """The corners that stand apart from the rest, empty where there are none or two against two."""
    distances: Mapping[str, Distance] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    zero: bool = False
    """True where a tensor of zeros would pass too: this loss says nothing about it."""
    batch: int = 0

    @property
    def sigmas(self) -> float:
        """The largest distance of any corner."""
        return max((d.sigmas for d in self.distances.values()), default=float("inf"))


def judge(
    name: str,
    dtype: np.dtype,
    corners: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    reference: np.ndarray,
    noise: np.ndarray,
    underflow: str = "",
    batch: int = 0,
) -> Row:
    """Judge one tensor in ``dtype``, the dtype of ``corners``.

    ``exact`` holds the same corners computed in float64: they decide whether the mathematics is the
    same. ``reference`` and ``noise`` come from the yardstick (float64; units of the roundoff).
    ``underflow`` names the first forward tensor with values below 2**-126, if there is one.
    """
    sentences = [
        sentence
        for group, expected in ((corners, dtype), (exact, np.dtype(np.float64)))
        for corner, value in group.items()
        if (sentence := structure(corner, value, reference.shape, expected))
    ]
    if sentences:
        odd = tuple(c for c in corners if any(s.startswith(f"{c} returns") for s in sentences))
        return Row(
            name,
            str(dtype),
            Verdict.DIFFERENT,
            "; ".join(dict.fromkeys(sentences)),
            odd,
            batch=batch,
        )

    fine, yard = sigma(noise, np.float64), sigma(noise, dtype)
    agreeing = _majority(exact, fine)
    if agreeing:  # the middle of those that agree: no corner is its own judge
        reference = _centre([exact[corner] for corner in agreeing])
    distances = {corner: distance(v, reference, yard) for corner, v in corners.items()}
    pairs = tuple(compare(a, corners[a], b, corners[b]) for a, b in combinations(corners, 2))
    with np.errstate(invalid="ignore"):
        zero = bool(np.all(np.abs(reference) <= BOUND * yard))

    def row(verdict: Verdict, reason: str = "", odd: Iterable[str] = ()) -> Row:
        return Row(name, str(dtype), verdict, reason, tuple(odd), distances, pairs, zero, batch)

    if not agreeing:
        return row(Verdict.DIFFERENT, _split(exact, fine))
    apart = [corner for corner in exact if corner not in agreeing]
    if apart:
        worst = max(apart, key=lambda c: distance(exact[c], reference, fine).sigmas)
        at = distance(exact[worst], reference, fine)
        return row(
            Verdict.DIFFERENT,
            f"{' and '.join(apart)} against {', '.join(agreeing)} in float64, {_at(at)}",
            [c for c in corners if c in apart or c.removesuffix(" eager") in apart],
        )
    far = [corner for corner, d in distances.items() if d.sigmas > BOUND]
    if not np.all(np.isfinite(reference)):
        kind = "NaN" if np.any(np.isnan(reference)) else "infinite"
        count = int(np.sum(~np.isfinite(reference)))
        return row(
            Verdict.NOT_COMPARABLE, f"{kind} in every corner, {count} of {reference.size} elements"
        )
    if far and underflow:
        return row(
            Verdict.CONVENTION,
            f"subnormals: XLA flushes them to zero, torch keeps them (first in {underflow})",
            far,
        )
    if (
        far
        and len(far) == len(corners)
        and not all(np.all(np.isfinite(v)) for v in corners.values())
    ):
        return row(
            Verdict.NOT_COMPARABLE, f"not finite in every corner in {dtype}, finite in float64"
        )
    rest = [d.sigmas for corner, d in distances.items() if corner not in far]
    if not far:  # one corner far worse than every other is worth saying, long before it fails
        worst = max(distances, key=lambda c: distances[c].sigmas)
        others = [d.sigmas for corner, d in distances.items() if corner != worst]
        if distances[worst].sigmas > 10 * max([1.0, *others]):
            far, rest = [worst], others
    if far:
        worst = max(far, key=lambda c: distances[c].sigmas)
        other = max(rest, default=0.0)
        return row(
            Verdict.LESS_ACCURATE,
            f"{' and '.join(far)} {_at(distances[worst])}, the others {other:.2g}; equal in float64",
            far,
        )
    return row(Verdict.IDENTICAL if all(pair.exact for pair in pairs) else Verdict.ROUNDING)


def worst_of(rows: Iterable[Row]) -> Row:
    """Return the row to show for several batches: the most severe, then the farthest."""
    return max(rows, key=lambda row: (row.verdict.severity, row.sigmas))


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
    with np.errstate(invalid="ignore"):
        mean = values[0] + np.mean([v - values[0] for v in values], axis=0)
    return np.where(np.isfinite(mean), mean, values[0])


def _at(d: Distance) -> str:
    where = f" at {list(d.worst)}" if d.worst else ""
    return f"{d.sigmas:.2g} sigma{where}"
