"""One wave of members, trained together: what each starts from, its minibatches, its chunks.

It writes nothing: `folder.py` keeps what it yields. A member that diverges does not stop the rest:
it goes on as NaN, at the same cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from parity.judge.compare import FLOAT32
from parity.makemore import recipe
from parity.makemore.data import Dataset
from parity.makemore.evaluation import SPLITS
from parity.makemore.seeds import Generator
from parity.makemore.training import Arrays, Config, initial, rates

AT_ONCE, LARGE_AT_ONCE = 250_000, 2**23
"""Member-steps of a device between two checkpoints, about: ten seconds of a processor's core.

So memory for minibatches is bounded, and that another process is gone is noticed soon. The larger
is for devices that are no processor's core: a second or so, and 5 GB.
"""

EVALUATED = 32
"""Members of a device that are evaluated in one call; as long again."""


class WaveChunk(NamedTuple):
    """Where a wave stands after some more steps. Every array has an axis of members in front."""

    step: int
    params: Arrays
    losses: np.ndarray
    """(members, steps just done)"""


class Orders:
    """Minibatch indices of several members; those of one stream are drawn once."""

    def __init__(self, members: Sequence[Config], generators: Sequence[Generator]) -> None:
        self._streams: dict[Any, Generator] = {}
        self._of_member = []
        for config, generator in zip(members, generators, strict=True):
            # without seeds of their own bngain and bnbias stand in the stream before the batches
            stream = config.batch_seed, None if config.batch_seed is not None else config.seed
            key = (*stream, config.global_seed is None)
            self._streams.setdefault(key, generator)
            self._of_member.append(key)

    def skip(self, words: int) -> None:
        """Pass over as many words of every stream."""
        for generator in self._streams.values():
            generator.skip(words)

    def draw(self, high: int, steps: int, room: int, size: int) -> np.ndarray:
        """Return the next indices, (members, room, size), of which ``steps`` are drawn."""
        drawn = {
            key: generator.randint(high, (steps, size)).astype(np.int32)
            for key, generator in self._streams.items()
        }
        ix = np.zeros((len(self._of_member), room, size), np.int32)
        for row, key in zip(ix, self._of_member, strict=True):
            row[:steps] = drawn[key]
        return ix


def steps_at_once(devices: Any, members: int, most: int, width: int) -> int:
    """Return the steps of a chunk: whole windows of ``width``, ``most`` if that is not too long."""
    of_a_device = devices.padded(members) // devices.count
    at_once = AT_ONCE if devices.kind == "cpu" else LARGE_AT_ONCE
    return max(width, min(most, at_once // of_a_device) // width * width)


def train_wave(
    devices: Any,
    members: Sequence[Config],
    dataset: Dataset,
    chunk: int,
    start: tuple[int, Arrays] | None = None,
) -> Iterator[WaveChunk]:
    """Yield a `WaveChunk` every ``chunk`` steps, from ``start`` (step, parameters) or step 0.

    All members have one width. Each process draws and holds those of its own devices.
    """
    from jax_impl.params import Params
    from jax_impl.train import train_members
    from parity.frameworks.jax_side import exactly

    own = [members[min(i, len(members) - 1)] for i in _own(devices, len(members))]
    begun = [initial(config, dataset) for config in own]
    orders = Orders(own, [generator for _, generator in begun])
    params = {name: np.stack([p[name] for p, _ in begun]) for name in recipe.NAMES}
    step, steps, size = 0, members[0].steps, members[0].batch_size
    if start is not None:
        step, kept = start
        rows = [min(i, len(members) - 1) for i in _own(devices, len(members))]
        params = {name: kept[name][rows] for name in recipe.NAMES}
        orders.skip(step * size)
    with exactly(FLOAT32):
        X, Y = devices.everywhere(tuple(x.astype(np.int32) for x in dataset.train))
        current = Params(*devices.spread(tuple(params[name] for name in recipe.NAMES)))
    while step < steps:
        last = min(step + chunk, steps)
        ix = orders.draw(len(dataset.train.Y), last - step, chunk, size)
        lr = np.zeros(ix.shape[:2], np.float32)
        lr[:, : last - step] = [rates(config.lr, step, last) for config in own]
        with exactly(FLOAT32, members[0].matmul_precision):
            ix, lr = devices.spread((ix, lr))
            current, losses = train_members(current, X, Y, ix, lr, last - step)
        *arrays, losses = (x[: len(members)] for x in devices.collected((*current, losses)))
        yield WaveChunk(
            last, dict(zip(recipe.NAMES, arrays, strict=True)), losses[:, : last - step]
        )
        step = last


def final_losses(devices: Any, params: Arrays, dataset: Dataset) -> dict[str, np.ndarray]:
    """Return every member's loss over each split, batchnorm calibrated on the training set."""
    from jax_impl.evaluate import member_losses
    from jax_impl.params import Params
    from parity.frameworks.jax_side import exactly

    found = []
    with exactly(FLOAT32):
        splits = devices.everywhere(
            tuple(tuple(x.astype(np.int32) for x in getattr(dataset, name)) for name in SPLITS)
        )
        for start in range(0, len(params["C"]), EVALUATED * devices.count):
            some = {n: params[n][start : start + EVALUATED * devices.count] for n in recipe.NAMES}
            members = len(some["C"])
            rows = [min(i, members - 1) for i in _own(devices, members)]
            spread = Params(*devices.spread(tuple(some[name][rows] for name in recipe.NAMES)))
            found.append(devices.collected(member_losses(spread, splits))[:members])
    return dict(zip(SPLITS, np.concatenate(found).T, strict=True))


def _own(devices: Any, members: int) -> range:
    """Return the rows that this process holds; those past the last member repeat it."""
    return devices.mine(devices.padded(members))
