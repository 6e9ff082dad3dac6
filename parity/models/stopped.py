"""In which of torch's modules a gradient is stopped, where one side detaches a value.

Known by what reads that value: JAX's is found in torch's run by its numbers, and torch knows in
which module each operation stood. Finds no cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from parity.errors import ParityError, UsageError
from parity.judge.verdict import Status
from parity.models.modules import Part
from parity.pairs.legs import Legs
from parity.where.alignment import side_of
from parity.where.parting import Side
from parity.where.regions import UNFIT
from parity.why.detached import DETACHING


def marked(
    parts: Sequence[Part], legs: Legs, values: Sequence[np.ndarray], said: str
) -> tuple[Part, ...]:
    """Return the modules, those in which a gradient is stopped as introducing what differs.

    ``said`` is the sentence that names the lines; nothing changes where a side is not recorded.
    """
    try:
        with np.errstate(all="ignore"):
            sides = [side_of(legs, name, values, runs=1) for name in ("jax", "torch")]
    except (*UNFIT, UsageError, ParityError):
        return tuple(parts)
    torch = sides[1]
    found = set()
    for side in sides:
        for number in _read(side, said):
            (twin,) = torch.index.find(side.prints[number])[:1] or (None,)
            maker = None if twin is None else torch.maker(twin)
            found |= {maker.within} if maker is not None else set()
    return tuple(
        replace(part, status=str(Status.INTRODUCED)) if part.name in found else part
        for part in parts
    )


def _read(side: Side, said: str) -> list[int]:
    """Return what is made first of each value that is detached in one of the lines."""
    recording, readers = side.recording, side.recording.readers()
    waiting = [
        n
        for o in recording.operations
        if o.kind in DETACHING and o.line and o.line.split(" ")[0] in said
        for n in o.outputs
    ]
    found: list[int] = []
    for number in waiting:
        for reader in (recording.operations[place] for place in readers.get(number, [])):
            (waiting if reader.moves else found).extend(reader.outputs)
    return found
