"""Guesses about equal weights put right by how they are used: each has its own gradient.

Where all values agree and only gradients of guessed weights do not, the gradients say which is
which. Runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from parity.models.layout import renamed
from parity.models.match import Decided, Weights

CLOSE = 1e-9
"""Of a gradient's size, in float64."""


def by_use(
    weights: Weights, torch: Mapping[str, np.ndarray], jax: Mapping[str, np.ndarray]
) -> Weights | None:
    """Return the weights with guesses exchanged so that both sides' gradients agree, else None.

    ``torch`` and ``jax`` are the gradients of both sides by torch's names.
    """
    guessed = {
        name: match
        for match in weights.guessed
        for name in match.layout.sources()
        if len(weights.of(name)) == 1 and len(match.layout.sources()) == 1
    }
    apart = [name for name in torch if name in jax and not _close(torch[name], jax[name])]
    if not apart or not {*apart} <= {*guessed}:
        return None
    matches, left = dict(weights.matches), {*apart}
    for name in apart:
        held = guessed[name]
        options = {x.sources()[0] for x in held.others} & left
        found = [x for x in sorted(options) if _close(torch[x], jax[name])]
        if len(found) != 1:
            return None
        layout = renamed(held.layout, {name: found[0]})
        matches[held.leaf] = replace(held, layout=layout, decided=Decided.USE)
        left.discard(found[0])
    return replace(weights, matches=matches)


def _close(x: np.ndarray, y: np.ndarray) -> bool:
    if x.shape != y.shape:
        return False
    size = max(float(np.sqrt(np.mean(x**2))), float(np.sqrt(np.mean(y**2))))
    return bool(np.all(np.abs(x - y) <= CLOSE * size))
