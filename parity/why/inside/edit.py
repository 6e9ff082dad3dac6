"""One small change to what the first side does in a region, and its recording run again with it.

In NumPy, on the values that were recorded; the other side's are at hand. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks.recordings import Recording
from parity.where.region import Forced

NOTHING = Forced({}, {})


class Values(NamedTuple):
    """What both sides' values are now, by number."""

    ours: Callable[[int], Any]
    theirs: Callable[[int], Any]


Step = Callable[[Sequence[Any], Values], Any]
"""(what an operation reads, all values) -> what it makes, if that is one value; or a list."""


Put = Callable[[Any, Values], Any]
"""(what stood there, all values) -> what stands there instead."""


@dataclass(frozen=True)
class Edit:
    """What is done otherwise on the first side; and that in words."""

    said: str
    steps: Mapping[int, Step] = field(default_factory=dict)
    """By the place of an operation: what it makes."""
    reads: Mapping[tuple[int, int], Put] = field(default_factory=dict)
    """By the place of an operation, and which of its inputs: what is read."""
    family: str = ""
    """Which kinds of changes it is of."""

    def __or__(self, other: Edit) -> Edit:
        """Return both changes as one."""
        said = self.said if self.said == other.said else f"{self.said}; {other.said}"
        both = {**self.steps, **other.steps}, {**self.reads, **other.reads}
        families = dict.fromkeys(filter(None, (self.family, other.family)))
        return Edit(said.removeprefix("; "), *both, " ".join(families))

    @property
    def first(self) -> int:
        """Return the place of the first operation that is changed."""
        return min((*self.steps, *(place for place, _ in self.reads)))


def together(edits: Iterable[Edit]) -> Edit:
    """Return several changes as one."""
    return reduce(or_, edits, Edit(""))


def in_the_dtype_of(like: Any, new: Any) -> np.ndarray:
    """Return ``new`` in the dtype of what it replaces; TypeError where numbers would be lost."""
    dtype, new = np.asarray(like).dtype, np.asarray(new)
    if new.dtype.kind == "c" and dtype.kind != "c":
        raise TypeError(f"{new.dtype} in the place of {dtype}")
    return new.astype(dtype, copy=False)


def replayed(
    recording: Recording,
    edit: Edit,
    theirs: Sequence[Any],
    forced: Forced = NOTHING,
    end: int | None = None,
) -> dict[int, Any]:
    """Return the values that change by an edit; up to ``end``.

    ``forced`` is put in the place of others whatever is done.
    """
    changed = dict(forced.given)
    given = set(forced.given)

    def ours(number: int) -> Any:
        return changed.get(number, recording.values[number])

    values = Values(ours, theirs.__getitem__)
    edited = {*edit.steps, *(place for place, _ in (*edit.reads, *forced.edges))}
    for place, operation in enumerate(recording.operations[:end]):
        if place not in edited and changed.keys().isdisjoint(operation.inputs):
            continue
        if operation.apply is None or given.issuperset(operation.outputs):
            continue
        read = [forced.edges.get((place, i), ours(n)) for i, n in enumerate(operation.inputs)]
        for i, x in enumerate(read):
            if (place, i) in edit.reads and (place, i) not in forced.edges:
                read[i] = in_the_dtype_of(x, edit.reads[place, i](x, values))
        if place in edit.steps:
            made = edit.steps[place](read, values)
            made = made if isinstance(made, list) else [np.asarray(made)]
        else:
            made = operation.apply(read)
        outputs = zip(operation.outputs, made, strict=True)
        changed |= {n: x for n, x in outputs if n not in given}
    return changed
