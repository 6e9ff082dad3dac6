"""Zeros, factors, powers of forward tensors, factors by row or column, functions of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from parity.judge.cause import Kind
from parity.judge.noise import BOUND
from parity.why.causes import numbers
from parity.why.causes.fitting import Candidate, Problem

FACTOR_HINTS = {
    "-1": "Does this grow or fall when its input grows? What does that say about the sign?",
    "2": "Was something added twice, by a cell that was run again or by two equal terms?",
    "1/2": "What is the derivative of a square?",
}
SIZE_HINT = (
    "Over how many elements does the forward pass average here, and how often did you divide?"
)


def zeros(problem: Problem) -> Iterator[Candidate]:
    """Everything zero where it should not be."""
    if problem.same_shape and not np.any(problem.got):
        yield Candidate(
            Kind.ZEROS,
            "0",
            "all zeros, but this operation has a gradient",
            "Is there a path from here to the result that you have not written yet?",
            np.zeros_like(problem.reference),
            evidence=f"the right values reach {np.abs(problem.reference).max():.2g}; fits",
        )


def factor(problem: Problem) -> Iterator[Candidate]:
    """A constant times the right value: exactly a number with a name, else the number measured."""
    fitted = problem.solve([problem.reference]) if problem.same_shape else None
    if fitted is None or not np.any(problem.got):  # zeros are said to be zeros
        return
    (c,), (uncertain,) = fitted
    names = [n for n in numbers.names_of(c, uncertain, problem.sizes) if n[1] != 1]
    tried = numbers.count(problem.sizes)
    for name, exact in names:
        yield Candidate(
            Kind.FACTOR,
            name,
            f"exactly {name} times the right value",
            FACTOR_HINTS.get(name, SIZE_HINT),
            exact * problem.reference,
            evidence=f"factor {c:.6g} = {name}",
            tried=tried,
        )
    if not names:
        yield Candidate(
            Kind.FACTOR,
            _measured(problem, c, uncertain),
            f"{_measured(problem, c, uncertain)} times the right value",
            "Everything is off by one and the same number. Which number touches them all?",
            c * problem.reference,
            evidence=f"factor {c:.6g}",
            free=1,
        )


def _measured(problem: Problem, c: float, uncertain: float) -> str:
    """Name a factor by a property of the tensor, else by its digits."""
    flat = np.abs(problem.reference)
    norms = {
        "1/(its norm)": 1 / float(np.linalg.norm(flat)),
        "1/(its largest element)": 1 / float(flat.max()),
        "1/(its sum)": 1 / float(problem.reference.sum() or np.inf),
        "1/(its standard deviation)": 1 / float(flat.std() or np.inf),
    }
    close = max(uncertain, 1e-6 * abs(c))
    return next((name for name, n in norms.items() if abs(n - c) <= close), f"{c:.6g}")


def offset(problem: Problem) -> Iterator[Candidate]:
    """The right value plus a constant."""
    if not problem.same_shape or problem.got.size < 3:
        return
    c = float(np.median(problem.got - problem.reference))
    names = [name for name, _ in numbers.names_of(c, 1e-6 * abs(c), problem.sizes)]
    yield Candidate(
        Kind.OFFSET,
        f"{c:.6g}",
        f"the right value plus {c:.6g} everywhere",
        "A constant was added. Does the derivative of a constant belong here?",
        problem.reference + c,
        evidence=f"constant {c:.6g}" + "".join(f" = {name}" for name in names),
        free=1,
    )


# Ratios to forward tensors.


def _bases(problem: Problem) -> Iterator[tuple[str, np.ndarray, tuple[float, ...]]]:
    """Yield (name, tensor, powers to try) for all that could stand as a factor of the value."""
    shape = problem.reference.shape
    half = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1.5, -1.5)
    for name, tensor in problem.context.tensors.items():
        if tensor.dtype.kind == "f" and _broadcasts(tensor, shape):
            value = tensor.astype(np.float64)
            yield name, value, half
            if tensor.shape == shape:
                yield f"(1 - {name})", 1 - value, half[:6]
                yield f"(1 + {name})", 1 + value, half[:6]
    for name, tensor in problem.context.gradients.items():
        if _broadcasts(tensor, shape):
            yield f"the gradient of {name}", tensor.astype(np.float64), half[:2]


def _broadcasts(tensor: np.ndarray, shape: tuple[int, ...]) -> bool:
    try:
        return tensor.size > 1 and np.broadcast_shapes(tensor.shape, shape) == shape
    except ValueError:
        return False


def power(problem: Problem) -> Iterator[Candidate]:
    """A small power of one forward tensor, or of two, times the right value."""
    if not problem.same_shape or not problem.reference.size:
        return
    with np.errstate(all="ignore"):
        valid = (np.abs(problem.reference) > BOUND * problem.sigma) & (problem.got != 0)
        if valid.sum() < 2:
            return
        ratio = np.log(np.abs(problem.got / np.where(valid, problem.reference, 1.0)))[valid]
        columns, labels = _logs(problem, valid)
        singles = _near(ratio, columns, np.arange(len(labels))[:, None])
        found = list(_powers(problem, labels, singles, len(labels)))
        if not any(map(problem.accepts, found)):
            pairs = np.array(
                [
                    (i, j)
                    for i, j in combinations(range(len(labels)), 2)
                    if labels[i][0] != labels[j][0]
                    and max(abs(labels[i][2]), abs(labels[j][2])) <= 2
                ]
            )
            found = list(_powers(problem, labels, _near(ratio, columns, pairs), len(pairs)))
    yield from found


Label = tuple[str, np.ndarray, float]


def _logs(problem: Problem, valid: np.ndarray) -> tuple[np.ndarray, list[Label]]:
    columns, labels = [], []
    for name, tensor, powers in _bases(problem):
        logs = np.broadcast_to(np.log(np.abs(tensor)), valid.shape)[valid]
        if np.all(np.isfinite(logs)) and np.ptp(logs) > 1e-9:
            for p in powers:
                columns.append(p * logs)
                labels.append((name, tensor, p))
    return np.array(columns).reshape(len(columns), int(valid.sum())), labels


def _near(ratio: np.ndarray, columns: np.ndarray, combos: np.ndarray) -> list[tuple[int, ...]]:
    """Return the combinations whose product follows the ratio closely enough to be looked at."""
    if not len(combos):
        return []
    first = np.ptp(ratio[:6] - columns[combos, :6].sum(1), axis=1)  # almost every one fails here
    near = combos[first < 1e-2]
    return [tuple(combo) for combo in near if np.ptp(ratio - columns[combo].sum(0)) < 1e-2]


def _powers(
    problem: Problem, labels: list[Label], near: list[tuple[int, ...]], tried: int
) -> Iterator[Candidate]:
    for combo in near:
        product = np.ones_like(problem.reference)
        for i in combo:
            _, tensor, p = labels[i]
            product = product * (tensor**p if p == int(p) else np.abs(tensor) ** p)
        fitted = problem.solve([problem.reference * product])
        if fitted is None:
            continue
        (c,), (uncertain,) = fitted
        for name, exact in numbers.names_of(c, uncertain, problem.sizes):
            text = " * ".join(f"{labels[i][0]}^{labels[i][2]:g}" for i in combo)
            times = "" if name == "1" else f"{name} * "
            yield Candidate(
                Kind.POWER,
                f"{times}{text}",
                f"{times}{_fraction(labels, combo)} times the right value: "
                + _meaning(labels, combo),
                "Which forward tensor multiplies this in the forward pass, and how often should it "
                "appear in the derivative?",
                exact * problem.reference * product,
                evidence="the ratio fits",
                tried=tried * numbers.count(problem.sizes),
            )


def _fraction(labels: list[Label], combo: tuple[int, ...]) -> str:
    """Return a product of powers as a person writes it."""
    above: list[str] = []
    below: list[str] = []
    for name, _, p in (labels[i] for i in combo):
        (above if p > 0 else below).append(name if abs(p) == 1 else f"{name}^{abs(p):g}")
    said = " * ".join(above) or "1"
    return f"{said} / {' / '.join(below)}" if below else said


def _meaning(labels: list[Label], combo: tuple[int, ...]) -> str:
    said = []
    for i in combo:
        name, _, p = labels[i]
        if p == -1:
            said.append(f"{name} is missing as a factor")
        elif p == 1:
            said.append(f"{name} is a factor too many")
        elif p == -2:
            said.append(f"divided by {name} where it should be multiplied")
        elif p == 2:
            said.append(f"multiplied by {name} where it should be divided, or squared once more")
        else:
            said.append(f"{name} has an exponent {abs(p):g} too {'high' if p > 0 else 'low'}")
    return ", ".join(said)


# One factor a row or a column, and functions of every element.


def slices(problem: Problem) -> Iterator[Candidate]:
    """One factor for each row, or each column: named if it is each slice's own norm, else given."""
    if not problem.same_shape or problem.got.ndim < 2:
        return
    got, reference = problem.got, problem.reference
    for axis in range(got.ndim):
        others = tuple(a for a in range(got.ndim) if a != axis)
        count = got.shape[axis]
        if got.size < 3 * count:
            continue
        weight = 1 / problem.yard(got) ** 2
        c = (got * reference * weight).sum(others, keepdims=True)
        c = c / np.maximum((reference**2 * weight).sum(others, keepdims=True), 1e-300)
        wrong = np.abs(c - 1).ravel() > 1e-4
        which = "all" if wrong.all() else ", ".join(map(str, np.flatnonzero(wrong)[:6]))
        zero = bool(np.all(c.ravel()[wrong] == 0))
        how = "zero" if zero else "scaled, each by its own factor"
        yield Candidate(
            Kind.SLICES,
            f"axis {axis}" + (" zero" if zero else ""),
            f"along axis {axis} the slices {which} are {how}",
            "Some slices are right and others are not: what do the wrong ones have in common?"
            if not wrong.all()
            else "Each slice has its own factor. Which tensor has one number a slice?",
            c * reference,
            evidence=f"factors {c.min():.4g} to {c.max():.4g}",
            free=int(count),
        )


def elementwise(problem: Problem) -> Iterator[Candidate]:
    """A function of every element of the right value."""
    if not problem.same_shape:
        return
    x = problem.reference
    limit = float(np.abs(problem.got).max(initial=0.0))
    functions: tuple[tuple[str, Callable[[np.ndarray], np.ndarray], int], ...] = (
        ("the absolute value", np.abs, 0),
        ("minus the absolute value", lambda x: -np.abs(x), 0),
        ("the sign", np.sign, 0),
        ("the square", np.square, 0),
        ("the square root", lambda x: np.sqrt(np.abs(x)), 0),
        ("the positive part", lambda x: np.maximum(x, 0), 0),
        ("the negative part", lambda x: np.minimum(x, 0), 0),
        ("the reciprocal", lambda x: 1 / x, 0),
        ("the exponential", np.exp, 0),
        ("the hyperbolic tangent", np.tanh, 0),
        ("the whole part", np.trunc, 0),
        ("the floor", np.floor, 0),
        (f"clipped at {limit:.6g}, that is,", lambda x: np.clip(x, -limit, limit), 1),
    )
    for name, function, free in functions:
        with np.errstate(all="ignore"):
            value = function(x)
        yield Candidate(
            Kind.ELEMENTWISE,
            name.split(" at ")[0].removeprefix("the "),
            f"{name} of the right value, element by element",
            "Is there a step after the last one that does not belong to the derivative?",
            value,
            free=free,
            tried=len(functions),
        )
