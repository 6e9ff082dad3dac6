"""A trained network's final losses and its names, in either framework.

Everything framework-dependent is in the twins' `evaluate.py`; this feeds them NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from parity.judge.compare import FLOAT32
from parity.makemore.data import Dataset
from parity.makemore.training import Arrays, to_params

SPLITS = ("train", "val", "test")


def statistics(side: Any, params: Arrays, dataset: Dataset) -> Arrays:
    """Return bnmean and bnvar over the whole training set."""
    evaluate = import_module(f"{side.TWIN}.evaluate")
    with side.exactly(FLOAT32):
        (X,) = side.from_numpy((dataset.train.X,))
        found = evaluate.calibrate(to_params(side, params), X)
        return {name: side.to_numpy(value) for name, value in found._asdict().items()}


def split_losses(
    side: Any, params: Arrays, statistics: Arrays, dataset: Dataset
) -> dict[str, float]:
    """Return the mean loss over each split, batchnorm's statistics fixed."""
    evaluate = import_module(f"{side.TWIN}.evaluate")
    losses = {}
    with side.exactly(FLOAT32):
        network = to_params(side, params), _to_statistics(side, evaluate, statistics)
        for split in SPLITS:
            X, Y = side.from_numpy(getattr(dataset, split))
            losses[split] = float(side.to_numpy(evaluate.split_loss(*network, X, Y)))
    return losses


def sample(
    side: Any,
    params: Arrays,
    statistics: Arrays,
    choose: Callable[[np.ndarray], int],
    count: int,
    block_size: int,
) -> list[list[int]]:
    """Return ``count`` names as letter indices, each letter chosen by a rule of `sampling.py`."""
    evaluate = import_module(f"{side.TWIN}.evaluate")
    with side.exactly(FLOAT32):
        network = to_params(side, params), _to_statistics(side, evaluate, statistics)
        return evaluate.sample(*network, choose, count, block_size)


def _to_statistics(side: Any, evaluate: Any, statistics: Arrays) -> Any:
    names = evaluate.Statistics._fields
    return evaluate.Statistics(*side.from_numpy(tuple(statistics[name] for name in names)))
