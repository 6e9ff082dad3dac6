"""What to say when no explanation fits: where the wrong entries are, and one of them in full."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.judge.cause import Cause, Kind
from parity.judge.noise import BOUND
from parity.why.causes.fitting import Problem

SHAPE_HINT = "A gradient has the shape of its tensor, always. What is this tensor's shape?"
FORWARD_HINT = "Whose forward pass is this? Were sizes changed since its tensors were kept?"
HINT = "Take the smallest case below and compute that one entry by hand: which term is it short of?"


def unknown(problem: Problem) -> Cause:
    """Return where the values are wrong, from the values alone, and the worst entry."""
    got, reference = problem.got, problem.reference
    if not problem.same_shape:
        return _misshapen(problem)
    with np.errstate(invalid="ignore"):
        far = np.abs(got - reference) / problem.sigma
        wrong = ~(far <= BOUND)
    worst = tuple(
        int(i) for i in np.unravel_index(np.argmax(np.nan_to_num(far, nan=np.inf)), far.shape)
    )
    where = "; ".join(_described(problem, wrong)) or "with no pattern that was looked for"
    sentence = f"{int(wrong.sum())} of {wrong.size} entries are wrong, {where}"
    evidence = f"at {list(worst)} {got[worst]!r}, float64 says {reference[worst]!r}".replace(
        "np.float64", ""
    )
    return Cause(Kind.UNKNOWN, "", sentence, HINT, evidence, problem.context.tensor)


def _misshapen(problem: Problem) -> Cause:
    got, reference, tensor = problem.got.shape, problem.reference.shape, problem.context.tensor
    sentence = f"shape {got} instead of {reference}, and no rearrangement is right"
    if len(got) != len(reference) or 1 in got:
        return Cause(Kind.UNKNOWN, "shape", sentence, SHAPE_HINT, tensor=tensor)
    axes = [i for i, (a, b) in enumerate(zip(got, reference, strict=True)) if a != b]
    key = "size of axis " + " and ".join(map(str, axes))
    return Cause(Kind.SHAPE, key, f"{sentence}: another {key}", FORWARD_HINT, tensor=tensor)


def _described(problem: Problem, wrong: np.ndarray) -> Iterator[str]:
    """Yield every pattern that separates the wrong entries from the right ones."""
    if wrong.all():
        yield "all of them"
        return
    for axis in range(wrong.ndim):
        others = tuple(a for a in range(wrong.ndim) if a != axis)
        some = np.flatnonzero(wrong.any(others)) if others else np.flatnonzero(wrong)
        if some.size <= wrong.shape[axis] // 2:
            yield f"all within axis {axis} at {', '.join(map(str, some[:8]))}"
    for name, tensor in problem.context.tensors.items():
        if tensor.dtype.kind in "iu":
            yield from _by_index(name, tensor, wrong)
        elif tensor.shape == wrong.shape:
            yield from _by_value(name, np.abs(tensor.astype(np.float64)), wrong)


def _by_index(name: str, index: np.ndarray, wrong: np.ndarray) -> Iterator[str]:
    rows = np.asarray(wrong.any(tuple(range(1, wrong.ndim))))
    if index.size and index.min() >= 0 and index.max() < len(rows):
        uses = np.bincount(index.ravel(), minlength=len(rows))
        if rows.any() and np.array_equal(rows, uses > 1):
            yield f"exactly the rows that {name} reads more than once"
        elif rows.any() and np.array_equal(rows, uses > 0):
            yield f"exactly the rows that {name} reads"
    one_a_row = wrong.ndim == 2 and index.ndim == 1 and len(index) == wrong.shape[0] > 0
    if one_a_row and index.min() >= 0 and index.max() < wrong.shape[1]:
        picked = np.zeros_like(wrong)
        picked[np.arange(len(index)), index] = True
        if np.array_equal(picked, wrong):
            yield f"exactly the entries that {name} picks, one a row"
        elif np.array_equal(~picked, wrong):
            yield f"all but the entries that {name} picks"


def _by_value(name: str, size: np.ndarray, wrong: np.ndarray) -> Iterator[str]:
    right = size[~wrong]
    if size[wrong].min() > right.max():
        yield f"exactly where {name} is largest (from {size[wrong].min():.3g} in magnitude)"
    elif size[wrong].max() < right.min():
        yield f"exactly where {name} is smallest (up to {size[wrong].max():.3g} in magnitude)"
