"""`parity reproduce`: the notebook's published figures beside ours. Training's figures follow."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import numpy as np

from parity.compare import ulps
from parity.data import load
from parity.exercises import CHUNKED
from parity.legs import call
from parity.notebook import FLOAT32, Options, batches

ULPS = 2
"""A figure published in full holds within this many float32 units in the last place."""


@dataclass(frozen=True)
class Figure:
    """One published number and ours."""

    name: str
    framework: str
    published: float
    ours: float

    @property
    def ulp(self) -> int:
        """How many float32 numbers lie between the two."""
        return int(ulps(np.array([self.published], FLOAT32), np.array([self.ours], FLOAT32))[0])

    @property
    def holds(self) -> bool:
        """Whether ours is the published one."""
        return self.ulp <= ULPS


def exercise_1_loss() -> list[Figure]:
    """Return the notebook's Exercise 1 loss, cross-entropy of the step-by-step logits, float32."""
    from parity.frameworks import jax_side, torch_side

    (batch,) = batches(Options(), load())
    figures = []
    for side in (jax_side, torch_side):
        params, chunked, ops = (
            import_module(f"{side.TWIN}.{name}") for name in ("params", "chunked", "ops")
        )

        def loss(*inputs, params=params, chunked=chunked, ops=ops):  # type: ignore[no-untyped-def]
            _, activations = chunked.forward(params.Params(*inputs[:7]), *inputs[7:])
            return {"loss": ops.cross_entropy_forward(activations.logits, inputs[8])[0]}

        inputs = CHUNKED.take(batch, FLOAT32)
        ours = float(call(side, FLOAT32, side.compiled(loss), inputs)["loss"])
        figures.append(Figure("Exercise 1 loss", side.HAND, 3.3360559940338135, ours))
    return figures
