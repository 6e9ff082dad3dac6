"""What a searched seed must print first: one loss that depends on bngain and bnbias alone.

Everything else in it is known: the other parameters and the minibatch come from the seeded stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.errors import UsageError
from parity.judge.compare import FLOAT32
from parity.makemore import recipe
from parity.makemore.data import Dataset
from parity.makemore.figures import ULPS
from parity.makemore.notebook import batches
from parity.makemore.published import Published, Run, decimals
from parity.makemore.training import Arrays, initial

CLOSE = 2e-6
"""How far a loss of approximate normals may lie from torch's; ten times what was seen."""

EXACT = 5e-7
"""The same of exact normals: two units of float32 at a loss of 3."""


@dataclass(frozen=True)
class Target:
    """A loss before any training: its batch, its parameters, and where in the stream they begin."""

    name: str
    published: Published
    hidden: int
    skip: int
    batch: Arrays
    """The parameters (bngain and bnbias of any seed), Xb and Yb."""

    def loss(self) -> Callable[[Any, Any], Any]:
        """Return (normals of bngain, normals of bnbias) -> loss, for JAX."""
        from jax_impl import ops
        from parity.frameworks import jax_side

        with jax_side.exactly(FLOAT32):
            names = "C", "W1", "b1", "W2", "b2", "Xb", "Yb"
            C, W1, b1, W2, b2, Xb, Yb = jax_side.from_numpy(tuple(self.batch[n] for n in names))
            embcat, _ = ops.embedding_forward(C, Xb)
            hprebn, _ = ops.linear_forward(embcat, W1, b1)
            _, batchnorm = ops.batchnorm_forward(hprebn, 0 * b1[None] + 1, 0 * b1[None])

        def loss(gain: Any, bias: Any) -> Any:
            bngain, bnbias = recipe.gain_and_bias(gain, bias)
            h, _ = ops.tanh_forward(bngain * batchnorm.bnraw + bnbias)
            logits, _ = ops.linear_forward(h, W2, b2)
            return ops.cross_entropy_forward(logits, Yb)[0]

        return loss


def bounds(published: Published, slack: float) -> tuple[float, float]:
    """Return between which losses the published figure may lie, ``slack`` being their own error."""
    if isinstance(published, str):
        width = 0.5 * 10.0 ** -decimals(published)
    else:
        width = ULPS * float(np.spacing(FLOAT32.type(published)))
    return float(published) - width - slack, float(published) + width + slack


def fits(published: Published, losses: Any, slack: float) -> Any:
    """Return whether losses may be the published figure, ``slack`` being their own error."""
    low, high = bounds(published, slack)
    losses = np.asarray(losses, np.float64)
    return (low <= losses) & (losses <= high)


def of_exercise_1(run: Run, dataset: Dataset) -> Target | None:
    """Return the loss of Exercise 1, the more exact of the two, if one is published."""
    losses = run.exercise_1_loss, run.exercise_1_printed
    published = [x for x in losses if isinstance(x, float)] + [x for x in losses if x is not None]
    if run.exercise_1 is None or not published:
        return None
    hidden, skip = run.exercise_1.n_hidden, run.exercise_1.global_skip
    batch = next(batches(run.exercise_1, dataset))
    return Target("the loss of Exercise 1", published[0], hidden, skip, batch)


def of_step_0(run: Run, dataset: Dataset, skip: int) -> Target | None:
    """Return the loss of the first step of training, if it is published."""
    if 0 not in run.losses:
        return None
    config = run.training
    params, generator = initial(config, dataset)
    Xb, Yb = recipe.minibatch(generator, dataset.train, config.batch_size)
    batch = params | {"Xb": Xb, "Yb": Yb}
    return Target("the loss of step 0", run.losses[0], config.n_hidden, skip, batch)


def require_long(hidden: int) -> None:
    """Raise UsageError for a width at which torch draws its normals in another way."""
    if hidden < 16:
        raise UsageError(f"n_hidden is {hidden}; below 16 torch draws otherwise, and none is found")
