"""Training in JAX, with whatever has an optax optimizer's `init` and `update`.

Imports no optax: an optimizer is known by what it can do. The gradients are given by a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

Tree = Callable[[Mapping[str, Any]], Any]
"""{name: leaf} -> the tree that the optimizer is given, its leaves in the order of the names."""
Gradients = Callable[[Sequence[Any], Mapping[str, Any], Mapping[str, Any]], Sequence[Any]]


def training(
    optimizer: Any, tree: Tree, gradients: Gradients
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return ``start(leaves) -> state`` and ``step(leaves, state, batch, cotangents)``.

    A step returns (leaves, state). Leaves are dictionaries in the order of the tree;
    ``gradients(batch, leaves, cotangents)`` are in that order, too.
    """

    def start(leaves: Mapping[str, Any]) -> Any:
        return optimizer.init(tree(leaves))

    def step(leaves: Mapping[str, Any], state: Any, batch: Any, douts: Any) -> Any:
        grads = dict(zip(leaves, gradients(batch, leaves, douts), strict=True))
        updates, state = optimizer.update(tree(grads), state, tree(leaves))
        moves = zip(leaves.items(), jax.tree.leaves(updates), strict=True)
        return {name: (p + move).astype(p.dtype) for (name, p), move in moves}, state

    return start, step
