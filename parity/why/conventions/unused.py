"""Inputs that one side does not use at all: read off its program, and taken from the other side.

A fact about a program, not a guess: nothing leads from the input to any output.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from parity.judge.noise import BOUND
from parity.why.conventions.change import Change
from parity.why.conventions.layouts import filled
from parity.why.conventions.rerun import Rerun

MOST = 3
"""Unused inputs of which each may be neutral in its own way; more are zeros or ones together."""


def unused_by(rerun: Rerun, side: str) -> tuple[str, ...]:
    """Return the inputs that a side does not use and the other side does."""
    own, others = (_read(rerun, s) for s in (side, rerun.other(side)))
    if own is None or others is None:
        return ()
    names = (name for name in rerun.legs.arguments.names if name in others - own)
    return tuple(name for name in names if _is_idle(rerun, side, name))


def _is_idle(rerun: Rerun, side: str, name: str) -> bool:
    """Return whether a side's outputs are the same, to the bit, for zeros as for ones.

    A program that writes through views does not show all that it reads.
    """
    if np.any((rerun.gradients(side, None) or {}).get(name, 0.0)):
        return False
    zeros, ones = (
        rerun.forward(side, Change(side, inputs=(filled(name, number),))) for number in (0.0, 1.0)
    )
    given = rerun.forward(side, None)
    if zeros is None or ones is None or rerun.distance(0, zeros, given, 0) > BOUND:
        return False
    return all(np.array_equal(ones[key], x, equal_nan=True) for key, x in zeros.items())


def _read(rerun: Rerun, side: str) -> set[str] | None:
    """Return the inputs that a side reads; None where it has no program."""
    programs = rerun.programs(side)
    names = rerun.legs.arguments.names
    read: list[set[str]] = [
        {n for n, s in zip(names, p.inputs, strict=True) if s in p.inputs_read()} for p in programs
    ]
    return set.intersection(*read) if read else None


def without(side: str, names: tuple[str, ...]) -> Iterator[Change]:
    """Yield the changes that take inputs from a side: zeros or ones, which change nothing."""
    each = 1 if len(names) > MOST else len(names)
    for chosen in product((0.0, 1.0), repeat=each):
        numbers = chosen if len(chosen) == len(names) else chosen * len(names)
        given = tuple(filled(n, x) for n, x in zip(names, numbers, strict=True))
        said = " and ".join(f"{x.words} for {x.tensor}" for x in given)
        yield Change(side, f"the {side} side has {said}", inputs=given)
