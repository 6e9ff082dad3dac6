"""What is said of weights that have no counterpart: a sentence each, with the nearest candidate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from parity.models.likeness import alike

Arrays = Mapping[str, np.ndarray]


def nearest(leaf: str, x: np.ndarray, tensors: Arrays, by_value: bool) -> str:
    """Return what is known of a leaf that no tensor of torch's is."""
    said = f"{leaf} {list(x.shape)} is in no tensor of the torch module"
    fitting = {name: y for name, y in tensors.items() if y.size == x.size}
    if not fitting:
        return f"{said}; none has {x.size} elements"
    if not by_value:
        return f"{said}; {_named(fitting)} {'have' if len(fitting) > 1 else 'has'} as many elements"
    return f"{said}; {_compared(leaf, x, fitting)}"


def remainders(taken: Mapping[str, np.ndarray], tensors: Arrays, leaves: Arrays) -> dict[str, str]:
    """Return {tensor: a sentence} for those that are in no leaf, or not wholly."""
    found = {}
    for name, marks in taken.items():
        x = tensors[name]
        if marks.all():
            continue
        said = f"{name} {list(x.shape)} is in no leaf of the JAX model"
        if marks.any():
            said = f"{np.sum(~marks)} of {x.size} elements of {name} are in no leaf"
            found[name] = said
            continue
        fitting = {leaf: y for leaf, y in leaves.items() if y.size == x.size}
        found[name] = f"{said}; {_compared(name, x, fitting)}" if fitting else said
    return found


def _compared(name: str, x: np.ndarray, others: Arrays) -> str:
    """Return which of these is nearest by its numbers, sorted, and then by its name."""
    wide = np.sort(np.asarray(x, np.float64), None)

    def far(other: str) -> tuple[float, float]:
        apart = np.abs(np.sort(np.asarray(others[other], np.float64), None) - wide)
        return float(np.max(apart, initial=0.0)), -alike(name, other)

    best = min(others, key=far)
    size = list(others[best].shape)
    apart = far(best)[0]
    if apart == 0:
        return f"{best} {size} has the same numbers in another order"
    named = max(others, key=lambda other: alike(name, other))
    told = f"nearest {best} {size}, whose numbers, sorted, differ by up to {apart:.2g}"
    return told if named == best else f"{told}; by name {named} {list(others[named].shape)}"


def _named(names: Mapping[str, object], most: int = 3) -> str:
    shown = [*names][:most]
    return " and ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
