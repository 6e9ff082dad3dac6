"""Two optimizers as two functions of one small tensor and its gradients: what parts them is sought.

As the user made them, of all that is in the models, but of one parameter and a few of its elements.
What depends on more than one tensor does not show. Finds no cause itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from parity.models.match import Match
from parity.models.sides import Whole
from parity.pairs.pair import Pair

LONG = 4
"""Elements along each axis."""
STEPS = 5, 12
"""At least, and at most: numbers of three turns or more are a series."""
GRADIENTS = "its gradients"


def alone(whole: Whole, match: Match) -> Pair:
    """Return both optimizers' steps as functions of one parameter and of its gradients."""
    name = match.layout.sources()[0]
    shape = tuple(min(n, LONG) for n in whole.torch.tensors[name].shape)
    optimizers = whole.given.optimizer
    adapter = import_module("parity.frameworks.torch_training")
    module = adapter.shrunk(whole.given.torch)
    start, step = import_module("parity.frameworks.jax_training").training(
        optimizers[0], whole.jax.tree, lambda gradient, leaves, douts: (gradient,)
    )

    def in_jax(parameter: Any, gradients: Any) -> Any:
        leaves = {match.leaf: parameter}
        state = start(leaves)
        for gradient in gradients:
            leaves, state = step(leaves, state, gradient, None)
        return leaves[match.leaf]

    def in_torch(parameter: Any, gradients: Any) -> Any:
        dtype = str(parameter.dtype).removeprefix("torch.")
        training = adapter.Training(module, optimizers[1], {name: parameter}, dtype)
        for gradient in gradients:
            training.step({name: gradient.clone()})  # which may be clipped in place
        return training.tensors()[name]

    count = min(max(whole.given.steps, STEPS[0]), STEPS[1])
    inputs = {name: shape, GRADIENTS: (count, *shape)}
    return Pair(jax=in_jax, torch=in_torch, inputs=inputs, forward_only=True)


def as_trained(
    pair: Pair, start: np.ndarray, gradients: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the inputs of such a pair as they were in training, around the largest gradient.

    Where more steps are asked for than were trained, the gradients come again.
    """
    shape, (count, *_) = pair.inputs.values()
    largest = np.unravel_index(np.argmax(np.abs(gradients[0])), start.shape)
    firsts = (min(int(i), n - k) for i, n, k in zip(largest, start.shape, shape, strict=True))
    some = tuple(slice(first, first + k) for first, k in zip(firsts, shape, strict=True))
    again = [gradients[step % len(gradients)][some] for step in range(count)]
    return dict(zip(pair.inputs, (start[some], np.stack(again)), strict=True))
