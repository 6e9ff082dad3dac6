"""Where NaN and infinities come from, step by step: marks on arrays that hold some.

`jaxpr_nonfinite.py` and `torch_nonfinite.py` run a function operation by operation and answer to
the same name; what each step makes of what it is given is decided here, with NumPy alone. Keeps a
few numbers of an operation and no array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

ELEMENTWISE = frozenset(
    """abs acos acosh add add_any addcdiv addcmul asin asinh atan atan2 atanh cbrt clamp clamp_max
    clamp_min convert_element_type cos cosh digamma div erf erf_inv erfc erfinv exp exp2 expm1 fmax
    fmin fmod hypot lgamma log log10 log1p log2 logaddexp logistic logit masked_fill maximum minimum
    mul mvlgamma neg pow reciprocal rem remainder rsqrt rsub select_n sigmoid sigmoid_backward sign
    silu silu_backward sin sinh softplus softplus_backward sqrt square sub tan tanh tanh_backward
    threshold_backward true_divide where xlog1py xlogy""".split()
)
"""What goes element by element, operands broadcast."""

SELECTING = frozenset("where select_n masked_fill".split())
"""What leaves elements of an operand out."""


GIVEN = frozenset({"input", "constant"})
"""No operations: what was there before, its name in place of a line."""


class Step(NamedTuple):
    """One operation that was run: what, at which line, and of what it is the derivative."""

    operation: str
    line: str
    """file:line; empty where it is not the user's."""
    backward: bool = False
    """Whether it belongs to a derivative that the framework made."""
    derivative: str = ""
    """Of which operation, where that is known."""


@dataclass(frozen=True)
class Origin:
    """Where values that are not finite come from."""

    step: Step
    result: str
    """What the operation gave: NaN, inf or -inf."""
    operands: tuple[float, ...] = ()
    """Of one such element; empty where the operation does not go element by element."""
    of: Origin | None = None
    """Where the infinity comes from that this turned into NaN."""


Marks = dict[str, Origin]
"""By NaN, inf and -inf: where the first of them comes from."""


class Held(NamedTuple):
    """An operand or a result: its value and its marks."""

    value: Any
    marks: Marks
    derivative: str = ""
    """Of which operation it is the derivative, where that is known."""


class Trace:
    """What is known of one run."""

    def __init__(self) -> None:
        self.born: list[Origin] = []
        """Forward, in order."""
        self.taken: set[Origin] = set()
        self.left_out: dict[Origin, Step] = {}
        """Origins of which a step took nothing at all."""

    def given(self, value: Any, what: str = "") -> Marks:
        """Return the marks of what was there before: an input, said to be ``what``; a constant."""
        step = Step("input", what) if what else Step("constant", "")
        return {kind: Origin(step, kind) for kind in kinds(value)}

    def results(self, step: Step, operands: Sequence[Held], results: Sequence[Any]) -> list[Marks]:
        """Return the marks of what a step gave."""
        self._selected(step, operands, results)
        return [
            {kind: self._origin(step, kind, operands, result) for kind in kinds(result)}
            for result in results
        ]

    def _origin(self, step: Step, kind: str, operands: Sequence[Held], result: Any) -> Origin:
        at = np.unravel_index(int(np.argmax(_is(kind, result))), np.shape(result))
        numbers: list[Any] = []
        if step.operation in ELEMENTWISE:
            numbers = [_element(held.value, at, np.shape(result)) for held in operands]
        if numbers and all(number is not None for number in numbers):
            sources = [
                held.marks[_kind(n)]
                for held, n in zip(operands, numbers, strict=True)
                if n is not None and _kind(n) in held.marks
            ]
            values = tuple(complex(n).real for n in numbers if n is not None)
        else:
            marks = [held.marks for held in operands]
            sources = [m[k] for k in (kind, "NaN", "inf", "-inf") for m in marks if k in m]
            values = ()
        if not sources:
            origin = Origin(step, kind, values)
            if not step.backward:
                self.born.append(origin)
            return origin
        source = next((s for s in sources if s.result == "NaN"), sources[0])
        if kind == "NaN" and source.result != "NaN":
            return Origin(step, kind, values, of=source)
        return source

    def _selected(self, step: Step, operands: Sequence[Held], results: Sequence[Any]) -> None:
        """Note of which origins a selection takes nothing."""
        if step.operation not in SELECTING or step.backward:
            return
        shape = np.shape(results[0])
        for held in operands:
            for kind, origin in held.marks.items():
                if np.ndim(held.value) and np.shape(held.value) == shape:
                    taken = np.any(_is(kind, held.value) & _is(kind, results[0]))
                    for one in (origin, origin.of) if origin.of else (origin,):
                        if taken:
                            self.taken.add(one)
                        else:
                            self.left_out.setdefault(one, step)

    def beside(self, step: Step) -> Origin | None:
        """Return what was born forward in the operation that a step is the derivative of, unused.

        The line tells where the operation is not known.
        """
        alike = (
            o
            for o in self.born
            if step.backward
            and step.line
            and o.step.line == step.line
            and step.derivative in ("", o.step.operation)
            and self.unused(o)
        )
        return next(alike, None)

    def unused(self, origin: Origin) -> Step | None:
        """Return the selection that leaves out all that comes from an origin."""
        return None if origin in self.taken else self.left_out.get(origin)


def kinds(value: Any) -> list[str]:
    """Return which of NaN, inf and -inf an array holds."""
    if not _is_numeric(value) or np.all(np.isfinite(value)):
        return []
    return [kind for kind in ("NaN", "inf", "-inf") if np.any(_is(kind, value))]


def _is(kind: str, value: Any) -> np.ndarray:
    value = np.asarray(value)
    if kind == "NaN":
        return np.isnan(value)
    real = value.real if value.dtype.kind == "c" else value
    sign = real < 0 if kind == "-inf" else ~(real < 0)
    return np.isinf(value) & sign & ~np.isnan(value)


def _kind(number: Any) -> str:
    return next((kind for kind in ("NaN", "inf", "-inf") if _is(kind, number).any()), "")


def _is_numeric(value: Any) -> bool:
    if isinstance(value, float | complex):
        return True
    dtype = getattr(value, "dtype", None)
    return dtype is not None and (dtype.kind in "fc" or dtype.name == "bfloat16")


def _element(value: Any, at: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Return the element of an operand, broadcast, that goes into one of the result; or None."""
    if isinstance(value, bool | int | float | complex):
        return value
    if value is None or np.ndim(value) > len(shape):
        return None
    own = np.shape(value)
    place = at[len(shape) - len(own) :]
    if any(n not in (1, m) for n, m in zip(own, shape[len(shape) - len(own) :], strict=True)):
        return None
    return np.asarray(value)[tuple(0 if n == 1 else i for n, i in zip(own, place, strict=True))]
