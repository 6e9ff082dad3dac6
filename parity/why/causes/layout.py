"""The right numbers in another shape, another order, or added up along another axis."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple

import numpy as np

from parity.judge.cause import Kind
from parity.judge.noise import BOUND
from parity.why.causes import numbers
from parity.why.causes.fitting import Candidate, Problem

SHAPE_HINT = "A gradient has the shape of its tensor, always. Which axis is in the way?"
ORDER_HINT = (
    "Write down which index of the input each index of the output came from. Is it the same order?"
)
SUM_HINT = (
    "One number was broadcast over that axis in the forward pass. What must the backward pass do "
    "with all its copies?"
)


def shape(problem: Problem) -> Iterator[Candidate]:
    """Another shape: would the transpose, a reshape, a sum or a broadcast be right?"""
    got, reference = problem.got, problem.reference
    if problem.same_shape:
        return
    said = f"shape {got.shape} instead of {reference.shape}"
    if got.ndim == reference.ndim:
        for axes in permutations(range(got.ndim)):
            if reference.transpose(axes).shape == got.shape:
                yield Candidate(
                    Kind.SHAPE,
                    "transposed",
                    f"{said}: transposed, the numbers are right",
                    "Which of the two factors has to come first, so that the shapes fit?",
                    reference.transpose(axes),
                )
    if got.size == reference.size:
        kept = (
            "an axis of size 1 is kept or dropped"
            if _squeezed(got) == _squeezed(reference)
            else "reshaped"
        )
        yield Candidate(
            Kind.SHAPE,
            "reshape",
            f"{said}: the numbers are right, {kept}",
            SHAPE_HINT,
            reference.reshape(got.shape),
        )
    yield from _not_reduced(problem, said)
    yield from _not_broadcast(problem, said)


def _squeezed(array: np.ndarray) -> tuple[int, ...]:
    return tuple(size for size in array.shape if size != 1)


def _not_reduced(problem: Problem, said: str) -> Iterator[Candidate]:
    """A sum that was left out: ``got`` itself cannot be predicted, its sum can."""
    got, reference = problem.got, problem.reference
    if got.size <= reference.size:
        return
    for axis in range(got.ndim):
        for keep in (True, False):
            total = got.sum(axis, keepdims=keep)
            yard = BOUND * problem.yard(got).sum(axis, keepdims=keep)
            if total.shape == reference.shape and np.all(np.abs(total - reference) <= yard):
                yield Candidate(
                    Kind.SHAPE,
                    f"sum {axis}",
                    f"{said}: its sum over axis {axis} is right",
                    SUM_HINT,
                    got,
                )


def _not_broadcast(problem: Problem, said: str) -> Iterator[Candidate]:
    got, reference = problem.got, problem.reference
    try:
        spread = np.broadcast_to(got, reference.shape)
    except ValueError:
        return
    if got.size < reference.size and problem.got.size:
        where = tuple(
            slice(0, size) if size == whole else slice(0, 1)
            for size, whole in zip(_padded(got.shape, reference.ndim), reference.shape, strict=True)
        )
        same = np.ptp(reference - spread) <= 64 * problem.sigma.max()
        yield Candidate(
            Kind.SHAPE,
            "broadcast",
            f"{said}: every slice should hold these numbers",
            "Every copy of the broadcast tensor has a gradient of its own. Where are they?",
            reference[where].reshape(got.shape) if same else np.full(got.shape, np.nan),
        )


def _padded(shape: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    return (1,) * (ndim - len(shape)) + shape


def order(problem: Problem) -> Iterator[Candidate]:
    """The right numbers in other places: axes exchanged, flipped, shifted, rows shuffled."""
    if not problem.same_shape or problem.got.size < 2:
        return
    found = [
        Candidate(
            Kind.ORDER,
            key,
            f"the right numbers in the wrong places: {sentence}",
            ORDER_HINT,
            value,
            tried=60,
        )
        for key, sentence, value in reordered(problem.reference)
    ]
    fitting = [candidate for candidate in found if problem.accepts(candidate)]
    yield from fitting[:1] or _matched_slices(problem)


def reordered(x: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield (key, in words, value) for every plain rearrangement of an array."""
    for axes in permutations(range(x.ndim)):
        if axes != tuple(range(x.ndim)):
            moved = x.transpose(axes)
            if moved.shape == x.shape:
                yield f"transpose {axes}", f"axes in the order {axes}", moved
            yield (
                f"reshape {axes}",
                f"reshaped where axes {axes} should be moved",
                moved.reshape(x.shape),
            )
            viewed = x.reshape(moved.shape).transpose(np.argsort(axes))
            yield f"view {axes}", f"reshaped before axes {axes} were moved", viewed
    for axis in range(x.ndim):
        yield f"flip {axis}", f"flipped along axis {axis}", np.flip(x, axis)
        for shift in (1, -1, 2, -2):
            moved = np.roll(x, shift, axis)
            yield f"roll {axis} {shift}", f"shifted by {shift} along axis {axis}", moved
            cut = moved.copy()
            edge = slice(0, shift) if shift > 0 else slice(shift, None)
            np.moveaxis(cut, axis, 0)[edge] = 0
            yield (
                f"shift {axis} {shift}",
                f"shifted by {shift} along axis {axis}, zeros behind",
                cut,
            )
    if x.ndim > 1:
        yield "flip all", "flipped along every axis", np.flip(x)


def _matched_slices(problem: Problem) -> Iterator[Candidate]:
    """Slices of the right value, each where another belongs."""
    got, x = problem.got, problem.reference
    for axis in range(x.ndim):
        count = x.shape[axis]
        if x.ndim < 2 or not 2 < count <= 512:
            continue
        a, b = (np.moveaxis(t, axis, 0).reshape(count, -1) for t in (got, x))
        nearest = np.array([np.abs(b - row).max(1).argmin() for row in a])
        if len(set(nearest)) == count and np.any(nearest != np.arange(count)):
            yield Candidate(
                Kind.ORDER,
                f"permuted {axis}",
                f"the right slices along axis {axis} in another order: {nearest[:8].tolist()}",
                "Something was sorted or shuffled. Is its partner in the same order?",
                np.take(x, nearest, axis),
                free=count,
            )


class Reduced(NamedTuple):
    """One way to add a tensor up."""

    how: str
    value: np.ndarray


def _reductions(tensor: np.ndarray) -> Iterator[Reduced]:
    yield Reduced("not added up", tensor)
    for axis in range(tensor.ndim):
        for keep in (False, True):
            yield Reduced(f"summed over axis {axis}", tensor.sum(axis, keepdims=keep))
            yield Reduced(f"averaged over axis {axis}", tensor.mean(axis, keepdims=keep))
            yield Reduced(f"the maximum over axis {axis}", tensor.max(axis, keepdims=keep))
    yield Reduced("summed over everything", np.asarray(tensor.sum()))
    if tensor.ndim:
        yield Reduced("its first slice alone", tensor[0])
        yield Reduced("its last slice alone", tensor[-1])


def reduction(problem: Problem) -> Iterator[Candidate]:
    """A tensor whose sum over one axis is right, up to a factor, added up in another way."""
    for name, tensor in problem.context.gradients.items():
        if not 0 < tensor.ndim <= 4 or not tensor.size:
            continue
        ways = list(_reductions(tensor.astype(np.float64)))
        right = next(filter(None, (_right_way(problem, way) for way in ways[1:])), None)
        if right is None:
            continue
        for other in ways:
            value = _fitted(right.factor * other.value, problem.got.shape)
            if value is not None and other.how != right.how:
                yield Candidate(
                    Kind.REDUCTION,
                    f"{other.how}, not {right.how}",
                    f"the gradient of {name} is {other.how}, where it should be {right.how}",
                    "Along which axis was this tensor broadcast in the forward pass?",
                    value,
                    tried=len(ways) * len(problem.context.gradients),
                )


class _Right(NamedTuple):
    how: str
    factor: float


def _right_way(problem: Problem, way: Reduced) -> _Right | None:
    """Return the way and its factor if this way of adding up is the right one."""
    x, reference = way.value, problem.reference
    if x.shape != reference.shape or not np.any(x):
        return None
    factor = float((x * reference).sum() / (x * x).sum())
    close = np.abs(factor * x - reference) <= BOUND * problem.yard(reference)
    return _Right(way.how, factor) if reference.size > 1 and np.all(close) else None


def _fitted(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return a value in another shape, if it has as many elements or one."""
    if value.size == np.prod(shape):
        return value.reshape(shape)
    return np.broadcast_to(value, shape) if value.ndim == 0 else None


def same(problem: Problem) -> Iterator[Candidate]:
    """Another tensor or its reciprocal, or another gradient, times a number with a name."""
    context = problem.context
    forms = [f for k, v in context.gradients.items() for f in _sums(f"the gradient of {k}", v)]
    forms += [f for k, v in context.tensors.items() if v.dtype.kind == "f" for f in _forms(k, v)]
    tried = len(forms) * numbers.count(problem.sizes)
    if forms:
        for text, value in forms:
            if value.shape != problem.got.shape or not np.all(np.isfinite(value)):
                continue
            fitted = problem.solve([value])
            if fitted is None:
                continue
            (c,), (uncertain,) = fitted
            for number, exact in numbers.names_of(c, uncertain, problem.sizes):
                if exact == 0 or (problem.same_shape and _parallel(value, problem.reference)):
                    continue
                times = "" if number == "1" else f"{number} times "
                yield Candidate(
                    Kind.SAME,
                    f"{times}{text}",
                    f"this is {times}{text}",
                    "This is right, but for another tensor. Which step lies between the two?",
                    exact * value,
                    tried=tried,
                )


def _sums(name: str, gradient: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    value = gradient.astype(np.float64)
    yield name, value
    for axis in range(value.ndim):
        for keep in (False, True):
            yield f"{name} summed over axis {axis}", value.sum(axis, keepdims=keep)


def _forms(name: str, tensor: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    value = tensor.astype(np.float64)
    yield name, value
    with np.errstate(all="ignore"):
        yield f"1/{name}", 1 / value
        yield f"{name}^2", value**2


def _parallel(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays are the same but for a factor, so that one explains no more."""
    product = abs(float((a * b).sum()))
    return product >= (1 - 1e-12) * float(np.linalg.norm(a) * np.linalg.norm(b))
