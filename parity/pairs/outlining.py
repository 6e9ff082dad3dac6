"""The first run of a corner: what it returns, and of what its framework has no gradient.

What has none is let be: an input is held still, an output gets no cotangent. Compares nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from parity.judge.compare import alike
from parity.pairs.corners import Corner
from parity.pairs.structure import MisfitError

NO_DERIVATIVE = re.compile("derivative|differentia", re.I)
"""What a framework says of an operation that it cannot differentiate."""

Outline = tuple[dict[str, Any], set[str], set[str]]
"""{output: something with a shape and a dtype}; inputs and outputs without a gradient."""


def outlined(corner: Corner, leaves: tuple[np.ndarray, ...]) -> Outline:
    """Return a corner's outline; MisfitError where it changes its own inputs.

    An input of which the framework has no derivative shows by this: with a gradient asked of it
    alone the function raises, and with none asked of such inputs it runs. They are held still from
    here on. What it raises all the same, or of anything but derivatives, is raised.
    """
    try:
        return _outline(corner, leaves, set())
    except MisfitError:
        raise
    except Exception as error:
        held, floating = corner.arguments.held, {*corner.arguments.floating}
        own = {*held}

        def runs(still: set[str]) -> bool:
            held.clear()
            held.update(own | still)
            try:
                _outline(corner, leaves, set())
            except MisfitError:
                raise
            except Exception:
                return False
            return True

        found = set[str]()
        if runs(floating) and NO_DERIVATIVE.search(str(error)):
            found = {name for name in floating if not runs(floating - {name})}
        if not found or not runs(found):
            held.clear()
            held.update(own)
            raise
        return _outline(corner, leaves, found)


def _outline(corner: Corner, leaves: tuple[np.ndarray, ...], without: set[str]) -> Outline:
    inputs = corner.side.from_numpy(leaves)
    found, cut = corner.side.outline(corner.forward, inputs)
    after = corner.side.to_numpy(inputs)
    if not alike(after, leaves):
        names = corner.arguments.names
        raise MisfitError("inputs", changed(corner.name, names, leaves, after))
    return found, without, {*cut}


def changed(
    corner: str, names: Sequence[str], before: Sequence[np.ndarray], after: Sequence[np.ndarray]
) -> str:
    """Say which of its inputs a function changed in place."""
    found = [name for name, x, y in zip(names, before, after, strict=False) if not alike([x], [y])]
    which = f"input{'s' * (len(found) > 1)} {' and '.join(found)}" if found else "inputs"
    return f"{corner} changed its own {which}; work on a copy, or return new arrays"
