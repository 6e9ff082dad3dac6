"""The right rule on a wrong gradient from above, or the derivative where its transpose belongs.

Asks the right rule what it would give: for rules that cover several steps, where a factor that is
missing at the top is no factor of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from parity.judge.cause import Kind
from parity.why.causes.fitting import Candidate, Problem
from parity.why.causes.layout import reordered

MOST = 256
"""Elements up to which the derivative is written out as a matrix."""

Way = tuple[str, str, np.ndarray]
"""Key, sentence, the gradient from above as it may have been taken."""


def upstream(problem: Problem) -> Iterator[Candidate]:
    """``got`` is what the right rule gives for another gradient from above."""
    context = problem.context
    if context.right is None or not problem.same_shape:
        return
    for name in context.upstream:
        g = np.asarray(context.gradients[name], np.float64)
        ways = [*_scaled(problem, name, g), *_moved(name, g)]
        for key, sentence, taken in ways:
            yield Candidate(
                Kind.UPSTREAM,
                key,
                sentence,
                "What does the step right before this one send back? Is that what this step takes?",
                context.right({**context.gradients, name: taken}),
                tried=len(ways),
            )
        yield from _of_the_matrix(problem, name, g, context.right)


def _scaled(problem: Problem, name: str, g: np.ndarray) -> Iterator[Way]:
    for other, t in problem.context.tensors.items():
        if t.dtype.kind != "f" or t.size < 2 or np.any(t == 0):
            continue
        try:
            fits = np.broadcast_shapes(t.shape, g.shape) == g.shape
        except ValueError:
            continue
        if fits:
            above = f"the gradient of {name} from above"
            yield f"{other}^-1", f"{other} is missing as a factor of {above}", g / t
            yield f"{other}^1", f"{other} is a factor too many of {above}", g * t


def _moved(name: str, g: np.ndarray) -> Iterator[Way]:
    for key, sentence, value in reordered(g):
        verb = "has its" if key.startswith("transpose") else "is"
        yield key, f"the gradient of {name} from above {verb} {sentence}", value
    for axis in range(g.ndim if g.size > 1 else 0):
        said = f"the gradient of {name} from above is averaged over axis {axis}"
        yield f"mean {axis}", said, g.mean(axis, keepdims=True) + 0 * g
        for place, which in ((0, "first"), (-1, "last")):
            said = f"the gradient of {name} from above: its {which} slice of axis {axis} is taken "
            one = g.take([place], axis) + 0 * g
            yield f"{which} of {axis}", f"{said}for all", one


def _of_the_matrix(
    problem: Problem, name: str, g: np.ndarray, right: Callable[..., np.ndarray]
) -> Iterator[Candidate]:
    """The whole derivative, applied forwards or of each number by itself alone."""
    if g.shape != problem.reference.shape or not 1 < g.size <= MOST:
        return
    gradients = problem.context.gradients
    rows = []
    for i in range(g.size):
        unit = np.zeros(g.size)
        unit[i] = 1
        rows.append(right({**gradients, name: unit.reshape(g.shape)}).ravel())
    matrix = np.array(rows)
    yield Candidate(
        Kind.UPSTREAM,
        "forward",
        "the derivative is applied forwards, where its transpose belongs",
        "Which output does each input reach? That is where its gradient has to come from.",
        (matrix @ g.ravel()).reshape(g.shape),
    )
    yield Candidate(
        Kind.UPSTREAM,
        "diagonal",
        "what each input does to the other outputs is left out: the derivative's diagonal alone",
        "Does each output depend on one input only? What do the others send back?",
        (np.diag(matrix) * g.ravel()).reshape(g.shape),
    )
