"""What matrix products in TF32 cost: the gradients of a run's first step, in sigmas.

The yardstick is that of every comparison here: float64, and how far float32's rounding moves it.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from parity.judge.compare import FLOAT32, FLOAT64, distance
from parity.judge.noise import BOUND, sigma
from parity.makemore import recipe
from parity.makemore.data import Dataset
from parity.makemore.training import Config, initial, side_of, to_params


def cost(config: Config, dataset: Dataset) -> str:
    """Say how far TF32 carries the first step's gradients, beside full precision."""
    from parity.frameworks import jax_side, jaxpr_noise

    params, generator = initial(config, dataset)
    batch = recipe.minibatch(generator, dataset.train, config.batch_size)

    def run(side: Any, function: Any, dtype: np.dtype, products: str = "highest") -> Any:
        with side.exactly(dtype, products):
            own = to_params(side, {name: value.astype(dtype) for name, value in params.items()})
            return side.to_numpy(function(own, *side.from_numpy(batch)))

    side = side_of(config.framework)
    computed = partial(run, side, side.compiled(_gradients_of(side)), FLOAT32)
    coarse, fine = computed("tf32"), computed("highest")
    if all(map(np.array_equal, coarse, fine)):
        return "tf32 changes nothing: products are computed at full precision here"
    exact, noise = run(jax_side, jaxpr_noise.yardstick(_gradients_of(jax_side)), FLOAT64)
    far, near = (
        [
            distance(x, value, sigma(rms, FLOAT32)).sigmas
            for x, value, rms in zip(found, exact, noise, strict=True)
        ]
        for found in (coarse, fine)
    )
    most = max(far)
    return (
        f"tf32: the first step's gradients are up to {most:,.0f} sigma from float64 "
        f"(d{recipe.NAMES[far.index(most)]}), at full precision {max(near):.1f} "
        f"(rounding ends at {BOUND:.0f}): {np.log10(most / max(near)):.1f} decimal digits are lost"
    )


def _gradients_of(side: Any) -> Any:
    loss_and_grads = import_module(f"{side.TWIN}.mlp").loss_and_grads
    return lambda *arguments: tuple(loss_and_grads(*arguments)[1])
