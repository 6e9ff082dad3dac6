"""The tree of a torch module's parts: each right, or where a difference is introduced.

What a part returns, or the gradient that it passes on, is looked for, by its numbers, among all
values of the JAX model; its weights' gradients come judged. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import permutations

import numpy as np

from parity.errors import ParityError, UsageError
from parity.judge.compare import FLOAT64
from parity.judge.noise import BOUND
from parity.judge.verdict import Row, Status, Verdict, worst_of
from parity.models.layout import told
from parity.models.match import Weights
from parity.models.sides import Whole
from parity.pairs.legs import Legs
from parity.where.alignment import side_of
from parity.where.backward import both_ways
from parity.where.matching import Index, Print, print_of
from parity.where.parting import Side
from parity.where.regions import UNFIT

APART = "apart"
"""Of a part whose gradients differ, where nothing is known of what it returns or passes on."""
PARTS = (2, 3, 4)
"""In how many parts one side may make at once what the other makes apart."""
MOST_AXES, CLOSE = 6, 1e-9
SLACK = 2.0**-46
"""Of a value's size: how well a part's output is known, in float64."""


@dataclass(frozen=True)
class Weight:
    """One tensor of torch's in the table of a part."""

    name: str
    path: str
    layout: str
    decided: str
    verdict: str


@dataclass(frozen=True)
class Part:
    """One module of the tree."""

    name: str
    kind: str
    status: str
    """right, introduced, inherited, or apart; empty where nothing is known."""
    sigmas: float
    """The largest of its gradients, and of those of the parts within; NaN without any."""
    weights: tuple[Weight, ...]
    """Its own."""


def parts(
    whole: Whole, legs: Legs, rows: Sequence[Row], values: Sequence[np.ndarray]
) -> list[Part]:
    """Return every module in the order in which it was made, the whole first."""
    judged: dict[str, Row] = {}
    for row in rows:
        known = judged.get(row.name)
        judged[row.name] = row if known is None else worst_of((known, row))
    forward = [judged[name] for name in legs.outputs if name in judged]
    apart = (Verdict.CONVENTION, Verdict.DIFFERENT)
    seen: Mapping[str, str] = {}
    if any(row.verdict in apart for row in forward):
        seen = statuses(whole, legs, values)
    elif any(row.dtype == "float64" and row.verdict in apart for row in rows):
        seen = statuses_back(whole, legs, rows, values)
    return [_part(whole, name, kind, judged, seen) for name, kind in whole.torch.modules.items()]


def _part(
    whole: Whole, name: str, kind: str, judged: Mapping[str, Row], seen: Mapping[str, str]
) -> Part:
    under = f"{name}." if name else ""
    inside = [row for tensor, row in judged.items() if tensor.startswith(under)]
    inside = [row for row in inside if row.name in whole.torch.tensors]
    own = [n for n in whole.torch.tensors if n.rpartition(".")[0] == name]
    sigmas = max((row.sigmas for row in inside if row.distances), default=float("nan"))
    fails = any(not row.verdict.passes for row in inside)
    status = seen.get(name, "")
    if not seen:
        status = APART if fails else str(Status.RIGHT)
    weights = tuple(_weight(whole.weights, tensor, judged.get(tensor)) for tensor in own)
    return Part(name, kind, status, sigmas, weights)


def _weight(weights: Weights, name: str, row: Row | None) -> Weight:
    found = weights.of(name)
    paths = " and ".join(match.leaf for match in found)
    how = "; ".join(dict.fromkeys(told(m.layout, weights.shapes, name) for m in found))
    decided = " and ".join(dict.fromkeys(str(match.decided) for match in found))
    return Weight(name, paths, how, decided, str(row.verdict) if row else "")


def statuses(whole: Whole, legs: Legs, values: Sequence[np.ndarray]) -> dict[str, str]:
    """Return {module: status} by what goes in and comes out; nothing where JAX keeps no record."""
    leaves = tuple(values[: len(legs.arguments.names)])
    try:
        with np.errstate(all="ignore"):
            jax = side_of(legs, "jax", values)
        corner = legs.corners["torch"]
        watch = import_module("parity.frameworks.torch_modules").watched
        with corner.side.exactly(FLOAT64):
            passed = watch(whole.given.torch, corner.forward, corner.side.from_numpy(leaves))
    except (*UNFIT, UsageError, ParityError):
        return {}
    return _judged(jax, passed)


def statuses_back(
    whole: Whole, legs: Legs, rows: Sequence[Row], values: Sequence[np.ndarray]
) -> dict[str, str]:
    """Return {module: status} by the gradients that come from above and that it passes on.

    Where a weight's gradient is wrong, what its module passes on is. ``values`` are inputs, then
    the gradients of outputs from above.
    """
    count = len(legs.arguments.names)
    corner = legs.corners["torch"]
    watch = import_module("parity.frameworks.torch_modules").watched_back
    try:
        with np.errstate(all="ignore"):
            jax = both_ways(legs, "jax", values)
        with corner.side.exactly(FLOAT64):
            leaves, above = (corner.side.from_numpy(x) for x in (values[:count], values[count:]))
            douts = dict(zip(legs.cotangents(), above, strict=True))
            passed = watch(whole.given.torch, corner.gradients, leaves, douts)
    except (*UNFIT, UsageError, ParityError):
        return {}
    wrong = {row.name for row in rows if row.dtype == "float64" and not row.verdict.passes}
    known, weights = Index(jax.prints), {row.name for row in rows} & {*whole.torch.tensors}
    own = {
        name: (above, wholes if _all_in(known, wholes) else passed_on)
        for name, (above, passed_on, wholes) in passed.items()
    }  # what flows together may be added up before a part's own share is complete
    right = {name.rpartition(".")[0]: str(Status.RIGHT) for name in weights - wrong}
    return right | _judged(jax, own, wrong & weights)


Passed = Mapping[str, tuple[list[np.ndarray], list[np.ndarray]]]


def _judged(jax: Side, passed: Passed, wrong: Collection[str] = ()) -> dict[str, str]:
    """Return {module: status} by what goes in and comes out, and by ``wrong`` weights in it."""
    index = Index(jax.prints)
    found = {}
    for name, (ins, outs) in passed.items():
        came, made = (_all_in(index, arrays) for arrays in (ins, outs))
        if any(weight.startswith(f"{name}." if name else "") for weight in wrong):
            made = False
        if made is not None:
            status = Status.INHERITED if came is False and name else Status.INTRODUCED
            unknown = not made and came and any(_is_rearranged(jax, index, x) for x in ins)
            found[name] = "" if unknown else str(Status.RIGHT if made else status)
    return {n: "" if _is_harmless(n, passed, found) else status for n, status in found.items()}


def _is_rearranged(jax: Side, index: Index, x: np.ndarray) -> bool:
    """Return whether an array's numbers are on the other side in its shape, but in other places.

    Axes may be in another order.
    """
    alike = [
        y
        for number in index.find(_known(x))
        if sorted(np.shape(y := np.asarray(jax.values[number]))) == sorted(x.shape)
    ]
    orders = [*permutations(range(x.ndim))] if x.ndim <= MOST_AXES else []
    return bool(alike and orders) and not any(
        y.shape == tuple(x.shape[a] for a in order)
        and np.allclose(y, x.transpose(order), CLOSE, CLOSE)
        for y in alike
        for order in orders
    )


def _is_harmless(name: str, passed: Passed, found: Mapping[str, str]) -> bool:
    """Return whether what a part makes is nowhere in JAX, and all that it goes into is right.

    JAX then comes to the same by another way: a convolution and its norm in one.
    """
    made = {(x.shape, x.tobytes()) for x in passed[name][1]}
    readers = [
        other
        for other, (ins, _) in passed.items()
        if other != name
        and not f"{name}.".startswith(f"{other}." if other else "")
        and any((x.shape, x.tobytes()) in made for x in ins)
    ]
    right = [found.get(reader) == Status.RIGHT for reader in readers]
    return found[name] != Status.RIGHT and bool(right) and all(right)


def _all_in(index: Index, arrays: Sequence[np.ndarray]) -> bool | None:
    """Return whether all arrays are among the other side's values; None if none of them tells."""
    known = [(x, p) for x in arrays if (p := _known(x)) is not None and p.telling]
    if not known:
        return None
    return all(
        bool(index.find(p)) or _in_parts(index, x) or _within_others(index, p) for x, p in known
    )


def _known(x: np.ndarray) -> Print | None:
    return print_of(x, SLACK * float(np.sqrt(np.mean(np.square(x)))))


def _in_parts(index: Index, x: np.ndarray) -> bool:
    """Return whether an array is there in equal parts: queries, keys and values, made apart."""
    for axis in {x.ndim - 1, min(1, x.ndim - 1)} if x.ndim else ():
        for count in PARTS:
            if x.shape[axis] % count == 0 and x.shape[axis] > count:
                parts = [_known(part) for part in np.split(x, count, axis)]
                if all(p is not None and index.find(p) for p in parts):
                    return True
    return False


def _within_others(index: Index, known: Print) -> bool:
    """Return whether an array is a part of another, made at once: of queries, keys and values."""
    for other in index.prints:
        if other is None or other.count not in [known.count * count for count in PARTS]:
            continue
        bound = BOUND * float(np.hypot(known.sigma, other.sigma))
        if not np.any(np.abs(other.value - known.value.flat[0]) <= bound):
            continue
        numbers = other.numbers()
        at = np.searchsorted(numbers, known.ordered - bound)
        near = numbers[np.minimum(at, len(numbers) - 1)]
        if np.all(np.abs(near - known.ordered) <= bound):
            return True
    return False
