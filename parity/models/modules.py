"""The tree of a torch module's parts: each right, or where a difference is introduced.

What a part returns is looked for, by its numbers, among all values of the JAX model; its weights'
gradients come judged. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from parity.errors import ParityError, UsageError
from parity.judge.compare import FLOAT64
from parity.judge.verdict import Row, Status, Verdict, worst_of
from parity.models.layout import told
from parity.models.sides import Whole
from parity.models.weights import Weights
from parity.pairs.legs import Legs
from parity.where.alignment import side_of
from parity.where.matching import Index, Print, print_of
from parity.where.regions import UNFIT

APART = "apart"
"""Of a part whose gradients differ, where nothing is known of what it returns."""
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
            passed = watch(whole.module, corner.forward, corner.side.from_numpy(leaves))
    except (*UNFIT, UsageError, ParityError):
        return {}
    index = Index(jax.prints)
    found = {}
    for name, (ins, outs) in passed.items():
        came, made = (_all_in(index, arrays) for arrays in (ins, outs))
        if made is not None:
            wrong = Status.INHERITED if came is False else Status.INTRODUCED
            found[name] = str(Status.RIGHT if made else wrong)
    return found


def _all_in(index: Index, arrays: Sequence[np.ndarray]) -> bool | None:
    """Return whether all arrays are among the other side's values; None if none of them tells."""
    prints = [print_of(x, SLACK * float(np.sqrt(np.mean(np.square(x))))) for x in arrays if x.size]
    telling: list[Print] = [p for p in prints if p is not None and p.telling]
    if not telling:
        return None
    return all(bool(index.find(p)) for p in telling)
