"""A run as a list of operations with every value that they made, loops unrolled.

`jaxpr_recording.py` and `torch_recording.py` record a function and answer to the same name; what
was recorded is kept, and run again where that can be, here. Compares nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOVES = frozenset(
    """alias as_strided broadcast_in_dim broadcast_to clone concatenate cat chunk contiguous
    convert_element_type copy copy_p copy_to detach diagonal expand expand_dims flatten flip gather
    index_select lift_fresh lift_fresh_copy movedim narrow permute repeat reshape reshape_copy rev
    select slice split split_with_sizes squeeze stack stop_gradient t tile to to_copy transpose turn
    unbind unfold unsafe_split unsafe_view unsqueeze view""".split()
)
"""What changes where numbers stand, how often, or their dtype, and makes no number."""


MOST = 20_000
"""Operations that are recorded at most."""
BYTES = 2**30
"""What all that the operations of a recording make may take."""

Jitter = Callable[[tuple[int, ...]], Any]
"""Returns factors near 1 of a shape."""


@dataclass(frozen=True)
class Made:
    """One operation that was run: reads values by number, made others."""

    kind: str
    line: str
    """file:line of the user's; empty where there is none."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    inside: str = ""
    """What the line calls that is made of this and other operations: layer norm, softmax."""
    apply: Callable[[Sequence[Any]], list[Any]] | None = None
    """Runs it on other values; None where it cannot be run again."""
    back: bool = False
    """Whether it belongs to a backward pass."""
    within: str = ""
    """The module in whose forward it stands, in torch; empty of the outermost."""

    @property
    def moves(self) -> bool:
        """Whether it only moves numbers."""
        return self.kind in MOVES


@dataclass
class Recording:
    """What one function did with its inputs, in order."""

    operations: list[Made] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    """NumPy arrays, by number."""
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    makers: dict[int, int] = field(default_factory=dict)
    """{value: place of the operation that made it}; of inputs and constants there is none."""

    _held: dict[int, int] = field(default_factory=dict)
    """{address: bytes} of what was made: a view takes none of its own."""
    _bytes: int = 0
    _readers: dict[int, list[int]] = field(default_factory=dict)

    def hold(self, value: Any) -> int:
        """Return the number of a value that no operation made."""
        self.values.append(value)
        return len(self.values) - 1

    def add(
        self,
        kind: str,
        line: str,
        inputs: Sequence[int],
        results: Sequence[Any],
        inside: str = "",
        apply: Callable[[Sequence[Any]], list[Any]] | None = None,
        back: bool = False,
        within: str = "",
    ) -> tuple[int, ...]:
        """Write down an operation; return the numbers of what it made. RuntimeError: too much."""
        if len(self.operations) >= MOST:
            raise RuntimeError(f"more than {MOST} operations")
        for x in results:
            if isinstance(x, np.ndarray):
                address = x.__array_interface__["data"][0]
                held = self._held.get(address, 0)
                self._held[address] = max(x.nbytes, held)
                self._bytes += self._held[address] - held
        if self._bytes > BYTES:
            raise RuntimeError(f"values of more than {BYTES} bytes")
        outputs = tuple(self.hold(x) for x in results)
        self.makers |= dict.fromkeys(outputs, len(self.operations))
        made = Made(kind, line, tuple(inputs), outputs, inside, apply, back, within)
        self.operations.append(made)
        return outputs

    def maker(self, number: int) -> Made | None:
        """Return the operation that made a value."""
        place = self.makers.get(number)
        return None if place is None else self.operations[place]

    def again(
        self, given: Mapping[int, Any], edges: Mapping[tuple[int, int], Any] | None = None
    ) -> dict[int, Any]:
        """Return the values that change where others are ``given`` by number.

        ``edges`` gives what one operation reads: {(its place, which of its inputs): value}.
        """
        changed = dict(given)
        edges = edges or {}
        touched = {place for place, _ in edges}
        for place, operation in enumerate(self.operations):
            if place not in touched and changed.keys().isdisjoint(operation.inputs):
                continue
            if operation.apply is None or all(n in given for n in operation.outputs):
                continue
            read = [
                edges.get((place, i), changed.get(n, self.values[n]))
                for i, n in enumerate(operation.inputs)
            ]
            made = zip(operation.outputs, operation.apply(read), strict=True)
            changed |= {number: value for number, value in made if number not in given}
        return changed

    def next(
        self,
        numbers: Mapping[int, Any],
        edges: Mapping[tuple[int, int], Any],
        values: Sequence[Any],
    ) -> dict[int, Any]:
        """Return what is made first of others in the place of values, which may be moved before."""
        changed = dict(numbers)
        made: dict[int, Any] = {}
        readers = self.readers()
        places = {place for place, _ in edges} | {p for n in numbers for p in readers.get(n, ())}
        waiting = sorted(places)
        while waiting:
            place = waiting.pop(0)
            operation = self.operations[place]
            if operation.apply is None:
                continue
            read = [
                edges.get((place, i), changed.get(n, values[n]))
                for i, n in enumerate(operation.inputs)
            ]
            found = dict(zip(operation.outputs, operation.apply(read), strict=True))
            if operation.moves:
                changed |= found
                more = {p for n in found for p in readers.get(n, ())} - places
                places |= more
                waiting = sorted({*waiting, *more})
            else:
                made |= found
        return made

    def readers(self) -> dict[int, list[int]]:
        """Return {value: places of the operations that read it}."""
        if not self._readers:
            for number, place, _ in self.used():
                self._readers.setdefault(number, []).append(place)
        return self._readers

    def used(self) -> Iterator[tuple[int, int, int]]:
        """Yield (value, place of an operation that reads it, which of its inputs)."""
        for place, operation in enumerate(self.operations):
            for i, number in enumerate(operation.inputs):
                yield number, place, i
