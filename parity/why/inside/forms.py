"""What an operation of the second side does to one of its operands, put in on the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.recordings import Made
from parity.why.conventions.spelling import written
from parity.why.inside.edit import Put, Step, Values
from parity.why.inside.functions import ALONG, BINARY, UNARY, Unary
from parity.why.inside.ground import CLOSE, Ground, near, only
from parity.why.inside.points import Point
from parity.why.inside.words import called, does

FLIPS = ("flip", "rev")
BIASED = {"addmm": 0, "baddbmm": 0, "convolution": 2, "addmv": 0}
"""Which input is added to a product."""


class Form(NamedTuple):
    """What an operation of the second side does to one of its operands."""

    said: str
    function: Any
    """Of what stands there, and of the other operand where there is one."""
    donor: int | None = None


def forms(ground: Ground, operation: Made) -> Iterator[Form]:
    """Yield what an operation of the second side does to each of its operands."""
    side, kind = ground.other, operation.kind
    out = side.values[operation.outputs[0]]
    read = [side.values[n] for n in operation.inputs]
    if not read or getattr(out, "dtype", np.dtype("O")).kind not in "fc":
        return
    if kind in UNARY and len(read) == 1:
        yield Form(does(kind), UNARY[kind])
    elif kind in FLIPS:
        what = f"flips {called(side, operation.inputs[0])}"
        yield from _along(np.flip, what, read[0], out)
    elif kind in ALONG and len(read) == 1:
        yield from _along(ALONG[kind], does(kind), read[0], out)
    elif kind in BIASED and len(read) > 2:
        donor = operation.inputs[BIASED[kind]]
        yield Form(f"adds {called(side, donor)}", np.add, donor)
    elif kind == "where" and len(read) == 3:
        yield from _chosen(ground, operation)
    elif kind == "masked_fill" and len(read) > 1:
        fill = only(np.asarray(out)[np.broadcast_to(np.asarray(read[1], bool), np.shape(out))])
        if fill is not None:
            said = f"masks with {written(fill)}"
            yield Form(said, lambda x, mask: np.where(mask, fill, x), operation.inputs[1])
    elif len(read) == 1 or (len(read) == 2 and side.fixed[operation.inputs[1]]
                            and not np.ndim(read[1])):  # fmt: skip
        yield from _by_a_number(kind, read[0], out)
    elif len(read) == 2 and kind in BINARY:
        yield from _of_two(ground, operation)


def _along(function: Any, said: str, x: Any, out: Any) -> Iterator[Form]:
    for axis in range(np.ndim(x)):
        if near(function(x, axis), out):
            yield Form(said, lambda y, axis=axis: function(y, axis))
            return


def _chosen(ground: Ground, operation: Made) -> Iterator[Form]:
    which, one, other = operation.inputs
    for kept, filled in ((one, other), (other, one)):
        fill = only(ground.other.values[filled])
        if fill is None:
            continue

        def function(x: Any, mask: Any, fill: float = fill, keep: bool = kept == one) -> Any:
            return np.where(np.asarray(mask, bool) == keep, x, fill)

        yield Form(f"masks with {written(fill)}", function, which)


def _by_a_number(kind: str, x: Any, out: Any) -> Iterator[Form]:
    """Yield an operation with a number that its recording does not hold."""
    x, out = np.asarray(x), np.asarray(out)
    if x.shape != out.shape or x.dtype.kind not in "fc":
        return
    ways: dict[str, tuple[Any, Any]] = {
        "add": (out - x, np.add),
        "sub": (x - out, np.subtract),
        "rsub": (out + x, lambda y, c: c - y),
        "mul": (_ratio(out, x), np.multiply),
        "div": (_ratio(x, out), np.true_divide),
    }
    number: float | None = None
    function: Any = None
    if kind == "pow":
        number, function = exponent(x, out), BINARY["pow"]
    elif kind in ways:
        found, function = ways[kind]
        number = only(found)
    elif kind in ("clamp_min", "clamp"):
        number, function = float(out.min()), BINARY["maximum"]
        number = number if near(np.maximum(x, number), out) else None
    if number is not None:
        number = plain(number, kind in ("mul", "div"))
        yield Form(does(kind, written(number)), lambda y, c=number, f=function: f(y, c))


def plain(number: float, exact: bool = True) -> float:
    """Return the number that was meant: in six digits if it is that, else in all that are known."""
    short, long = float(f"{number:.6g}"), float(f"{number:.12g}")
    if abs(short - number) <= CLOSE * abs(number):
        return short
    return number if exact and abs(long - number) > 1e-15 * abs(number) else long


def _ratio(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x[y != 0] / y[y != 0]


def exponent(x: Any, out: Any) -> float | None:
    """Return the power that makes one array of another; None where none does."""
    x, out = np.asarray(x), np.asarray(out)
    if x.shape != out.shape or "c" in (x.dtype.kind, out.dtype.kind):
        return None
    fine = (np.abs(x) > 0) & (np.abs(np.log(np.abs(x))) > 1e-3) & (np.abs(out) > 0)
    power = np.log(np.abs(out[fine])) / np.log(np.abs(x[fine]))
    found = only(power) if power.size else None
    return None if found is None else round(found, 9)


def _of_two(ground: Ground, operation: Made) -> Iterator[Form]:
    side, kind = ground.other, operation.kind
    if kind == "mul" and len({*operation.inputs}) == 1:
        yield Form("squares", np.square)
        return
    a, b = (np.asarray(side.values[n]) for n in operation.inputs)
    out = np.asarray(side.values[operation.outputs[0]])
    scale = 1.0
    if kind in ("add", "sub"):
        found = only(_ratio(*np.broadcast_arrays(out - a, b)))  # alpha times the second
        if found is None:
            return
        scale = plain(found, exact=False)
    elif not near(BINARY[kind](a, b), out):
        return
    first, second = operation.inputs
    times = "" if abs(scale) == 1 else f"{written(abs(scale))} times "
    verb = "add" if scale > 0 else "sub"
    if kind in ("add", "sub"):
        yield Form(does(verb, times + called(side, second)), lambda x, d: x + scale * d, second)
        if abs(scale) != 1:
            said = f"multiplies {called(side, second)} by {written(scale)}"
            yield Form(said, lambda x: scale * x)
        onto = "" if scale == 1 else f" to {written(scale)} times it"
        said = f"adds {called(side, first)}{onto}"
        yield Form(said, lambda x, d: d + scale * x, first)
    else:
        function = BINARY[kind]
        yield Form(does(kind, called(side, second)), function, second)
        if kind == "mul":
            yield Form(does(kind, called(side, first)), function, first)


def puts(ground: Ground, form: Form, point: Point) -> Iterator[list[Put]]:
    """Yield what puts a form in at a point, turn by turn, as the shapes allow."""
    shape = np.shape(ground.value(point.number))
    if getattr(ground.value(point.number), "dtype", np.dtype("O")).kind not in "fc":
        return
    if form.donor is None:
        yield [_alone(form.function, shape)] * len(point.places)
        return
    for sources in ground.donors(form.donor, point.places):
        for axes in fitting(np.shape(ground.other.values[form.donor]), shape):
            yield [_with(form.function, source, axes, shape) for source in sources]


def fitting(shape: tuple[int, ...], whole: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the shapes in which an array can be spread over a whole one."""
    if fits(shape, whole):
        yield shape
    bare = tuple(n for n in shape if n != 1)
    if bare != shape and fits(bare, whole):
        yield bare
    if len(bare) == 1:
        for axis, n in enumerate(whole[:-1]):
            if n == bare[0]:
                yield tuple(n if k == axis else 1 for k in range(len(whole)))


def fits(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Return whether an array can be spread over a whole one."""
    try:
        return np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        return False


def _alone(function: Unary, shape: tuple[int, ...]) -> Put:
    def put(x: Any, values: Values) -> Any:
        made = np.asarray(function(np.asarray(x)))
        if made.shape != shape:
            raise ValueError("another shape")
        return made

    return put


def _with(function: Any, source: Step, axes: tuple[int, ...], shape: tuple[int, ...]) -> Put:
    def put(x: Any, values: Values) -> Any:
        donor = np.asarray(source((), values)).reshape(axes)
        return np.broadcast_to(function(np.asarray(x), donor), shape)

    return put
