"""One path of several dropped, doubled, turned round or scaled: coefficients of the right terms.

A term is what one use of the tensor contributes to its gradient; the right gradient is their sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np

from parity.judge.cause import Kind
from parity.judge.noise import BOUND
from parity.why.causes import numbers
from parity.why.causes.fitting import Candidate, Problem

MOST = 8
"""Terms at most: with more, least squares finds something in everything."""


def paths(problem: Problem) -> Iterator[Candidate]:
    """``got`` is a sum of the right terms with other coefficients, each of which has a name."""
    if not problem.same_shape:
        return
    for terms in _levels(problem):
        found = list(_coefficients(problem, terms))
        if not any(map(problem.accepts, found)):
            found = list(_with_a_tensor(problem, terms))
        yield from found
        if any(map(problem.accepts, found)):
            return


def _levels(problem: Problem) -> Iterator[dict[str, np.ndarray]]:
    """Yield the terms joined by where their paths part first, then ever finer.

    What adds up to zero stays whole: its parts cancel, and their shares cannot be told apart.
    """
    given = {
        tuple(name.split(" > ")): term.astype(np.float64)
        for name, term in problem.context.paths.items()
    }
    deepest = max(map(len, given), default=0)
    dead: list[tuple[str, ...]] = []
    seen: list[int] = []
    for depth in range(1, deepest + 1):
        joined: dict[tuple[str, ...], np.ndarray] = {}
        for name, term in given.items():
            if not any(name[: len(d)] == d for d in dead):
                joined[name[:depth]] = joined.get(name[:depth], 0) + term
        for name, term in list(joined.items()):
            if np.all(np.abs(term) <= BOUND * problem.sigma):
                dead.append(name)
                del joined[name]
        alike = _alike(problem, joined)
        if 2 <= len(alike) <= MOST and len(alike) not in seen:
            seen.append(len(alike))
            yield alike


def _alike(problem: Problem, joined: Mapping[tuple[str, ...], np.ndarray]) -> dict[str, np.ndarray]:
    """Return the terms with those added up that are equal: the two factors of x * x."""
    found: list[tuple[str, np.ndarray, int]] = []
    for name, term in joined.items():
        said = " > ".join(name)
        for i, (other, first, count) in enumerate(found):
            if np.all(np.abs(term - first) <= BOUND * problem.sigma):
                one, two = (text.partition(", factor")[0] for text in (other, said))
                found[i] = one if one == two else f"{other} and {said}", first, count + 1
                break
        else:
            found.append((said, term, 1))
    return {said: count * term for said, term, count in found}


def _coefficients(problem: Problem, terms: Mapping[str, np.ndarray]) -> Iterator[Candidate]:
    fitted = problem.solve(list(terms.values()))
    if fitted is None:
        return
    names = [numbers.names_of(c, min(u, 0.02), problem.sizes) for c, u in zip(*fitted, strict=True)]
    for chosen in product(*(found[:2] for found in names)):
        values = [number for _, number in chosen]
        if len(set(values)) == 1:
            continue
        said = [
            _said(name, label, number)
            for name, (label, number) in zip(terms, chosen, strict=True)
            if number != 1
        ]
        yield Candidate(
            Kind.PATHS,
            "(" + ", ".join(label for label, _ in chosen) + ")",
            "; ".join(said),
            _hint(terms, values),
            np.add.reduce([v * t for v, t in zip(values, terms.values(), strict=True)]),
            evidence=f"coefficients {_listed(terms, [label for label, _ in chosen])}",
            tried=numbers.count(problem.sizes) ** len(terms),
        )


def _said(path: str, label: str, number: float) -> str:
    if number == 0:
        return f"the path through {path} is missing"
    if number == 2:
        return f"the path through {path} is added twice"
    if number == -1:
        return f"the path through {path} has the wrong sign"
    return f"the path through {path} is exactly {label} times what it should be"


def _hint(terms: Mapping[str, np.ndarray], values: list[float]) -> str:
    if 0 in values:
        return f"The forward pass reads this tensor {len(terms)} times. How many of them sent back?"
    if 2 in values:
        return "Was one of the two sums run twice? What would a function without += return?"
    if 0.5 in values:
        return "One of the paths goes through a square. What is the derivative of a square?"
    return "One of the paths is right and one is not. Which number belongs to that step alone?"


def _listed(terms: Mapping[str, np.ndarray], labels: list[str]) -> str:
    """Return the coefficients that are not 1, and how many are."""
    off = [f"{name} {label}" for name, label in zip(terms, labels, strict=True) if label != "1"]
    right = len(labels) - len(off)
    rest = [f"the other {right} are 1" if right > 1 else "the other is 1"] if right else []
    return ", ".join([*off, *rest])


def _with_a_tensor(problem: Problem, terms: Mapping[str, np.ndarray]) -> Iterator[Candidate]:
    """One path carries a power of a forward tensor too many or too few."""
    shape = problem.reference.shape
    factors = {
        (name, p): tensor.astype(np.float64) ** p
        for name, tensor in problem.context.tensors.items()
        for p in (1.0, -1.0, 2.0, -2.0)
        if tensor.dtype.kind == "f" and tensor.size > 1 and _broadcasts(tensor.shape, shape)
        and np.all(tensor != 0)
    }  # fmt: skip
    for path, term in terms.items():
        for (name, p), value in factors.items():
            yield Candidate(
                Kind.PATHS,
                f"{path} * {name}^{p:g}",
                f"the path through {path} has {name} "
                + {1: "once too often", -1: "once too few", 2: "twice too often"}.get(
                    int(p), "twice too few"
                ),
                "One of the paths has a factor that belongs outside the bracket, or inside. Which?",
                problem.reference + (value - 1) * term,
                evidence=f"{path} times {name}^{p:g}",
                tried=len(factors) * len(terms),
            )


def _broadcasts(inner: tuple[int, ...], outer: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(inner, outer) == outer
    except ValueError:
        return False
