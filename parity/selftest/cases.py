"""What the healthy functions are fed, the awkward inputs among them. NumPy only."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from parity.pairs.pair import Pair

Rng = np.random.Generator
Inputs = Callable[[Rng], dict[str, np.ndarray]]


def normal(mean: float = 0.0, size: float = 1.0, **shapes: tuple[int, ...]) -> Inputs:
    """Return a maker of normal arrays of these names and shapes."""
    return lambda rng: {
        name: mean + size * rng.normal(size=shape) for name, shape in shapes.items()
    }


def labelled(rows: int, classes: int, size: float) -> Inputs:
    """Return a maker of logits and labels."""
    return lambda rng: {
        "logits": size * rng.normal(size=(rows, classes)),
        "labels": rng.integers(0, classes, rows),
    }


def _binary(rng: Rng) -> dict[str, np.ndarray]:
    return {"x": 4 * rng.normal(size=(9, 5)), "y": rng.uniform(size=(9, 5))}


def _network(rng: Rng) -> dict[str, np.ndarray]:
    """A third of the units are dead, one is exactly at its kink for an all-zero row."""
    inputs = normal(x=(12, 7), w1=(7, 30), b1=(30,), w2=(30, 4), b2=(4,))(rng)
    inputs["b1"][:10] = -30
    inputs["b1"][10] = 0
    inputs["x"][0] = 0
    return inputs


def _scaled(size: float, rows: int, depth: int, columns: int) -> Inputs:
    """Return a maker of two factors whose second is scaled to keep what comes of it near 1."""
    return lambda rng: {
        "x": rng.normal(size=(rows, depth)),
        "w": size * rng.normal(size=(depth, columns)),
    }


def _lstm(steps: int, batch: int, width: int, size: int) -> Inputs:
    gates = 4 * size
    return normal(size=0.4, x=(steps, batch, width), w=(width, gates), u=(size, gates), b=(gates,))


def _ids(rng: Rng) -> dict[str, np.ndarray]:
    return {"table": rng.normal(size=(11, 4)), "ids": rng.integers(0, 6, (13, 3))}


def _complex(rng: Rng) -> dict[str, np.ndarray]:
    def draw() -> np.ndarray:
        return rng.normal(size=(6, 5)) + 1j * rng.normal(size=(6, 5))

    return {"z": draw(), "w": draw()}


def _factors(rng: Rng) -> dict[str, np.ndarray]:
    return {"x": rng.uniform(0.8, 1.25, (4, 300))}


def _ties(rng: Rng) -> dict[str, np.ndarray]:
    """Rows of few different numbers, so that most are tied with two or more."""
    return {"x": rng.integers(0, 3, (2, 5)).astype(float)}


def _tied_triples(rng: Rng) -> dict[str, np.ndarray]:
    return {name: rng.integers(0, 2, 4).astype(float) for name in ("x", "y", "z")}


NORM: dict[str, Any] = {"gain": (6,), "bias": (6,)}

CASES: dict[str, tuple[str, Inputs]] = {
    "matmul": ("matmul", normal(x=(7, 5), w=(5, 3))),
    "matmul, 1,000 terms": ("matmul", _scaled(0.03, 8, 1000, 5)),
    "matmul, 100,000 terms": ("matmul", _scaled(0.003, 3, 100_000, 2)),
    "matmul of one sign, 10,000 terms": ("matmul", normal(mean=1, x=(3, 10_000), w=(10_000, 2))),
    "total, 100,000 terms": ("total", normal(x=(100_000,))),
    "total, 100,000 terms of mean 1000": ("total", normal(mean=1000, x=(100_000,))),
    "mean_square": ("mean_square", normal(x=(32, 6))),
    "cumulative": ("cumulative", normal(x=(3, 500))),
    "product": ("product", _factors),
    "softmax": ("softmax", normal(x=(7, 27))),
    "softmax of large logits": ("softmax", normal(mean=200, size=40, x=(7, 27))),
    "log_softmax of large logits": ("log_softmax", normal(mean=200, size=40, x=(7, 27))),
    "logsumexp": ("logsumexp", normal(x=(7, 27))),
    "logsumexp near zero": ("logsumexp", normal(mean=-3.3, size=0.01, x=(7, 27))),
    "cross_entropy": ("cross_entropy", labelled(7, 27, 2)),
    "cross_entropy, nearly certain": ("cross_entropy", labelled(32, 5, 30)),
    "binary_cross_entropy": ("binary_cross_entropy", _binary),
    "layer_norm": ("layer_norm", normal(x=(7, 6), **NORM)),
    "layer_norm at mean 1000": ("layer_norm", normal(mean=1000, x=(7, 6), **NORM)),
    "layer_norm of small numbers": ("layer_norm", normal(size=1e-3, x=(7, 6), **NORM)),
    "batch_norm": ("batch_norm", normal(x=(32, 6), **NORM)),
    "batch_norm of 7": ("batch_norm", normal(mean=3, x=(7, 6), **NORM)),
    "rms_norm": ("rms_norm", normal(x=(7, 6), gain=(6,))),
    "variance": ("variance", normal(x=(33, 6))),
    "variance of nearly constant data": ("variance", normal(mean=1, size=1e-4, x=(33, 6))),
    "deviation of nearly constant data": ("deviation", normal(mean=1, size=1e-4, x=(33, 6))),
    "unit": ("unit", normal(x=(9, 8))),
    "gelu": ("gelu", normal(size=3, x=(64,))),
    "silu": ("silu", normal(size=3, x=(64,))),
    "softplus": ("softplus", normal(size=3, x=(64,))),
    "deep_tanh": ("deep_tanh", _scaled(0.3, 7, 10, 10)),
    "relu_network, dead units": ("relu_network", _network),
    "attention": ("attention", normal(q=(2, 2, 7, 8), k=(2, 2, 7, 8), v=(2, 2, 7, 8))),
    "attention, sharp": (
        "attention",
        normal(size=4, q=(1, 2, 7, 8), k=(1, 2, 7, 8), v=(1, 2, 7, 8)),
    ),
    "causal_attention": (
        "causal_attention",
        normal(q=(2, 1, 9, 4), k=(2, 1, 9, 4), v=(2, 1, 9, 4)),
    ),
    "lstm": ("lstm", _lstm(20, 3, 5, 6)),
    "convolution": ("convolution", normal(x=(2, 3, 8, 6), w=(4, 3, 3, 3))),
    "mean_pool": ("mean_pool", normal(x=(2, 3, 8, 6))),
    "max_pool": ("max_pool", normal(x=(2, 3, 8, 6))),
    "embedding": ("embedding", _ids),
    "ordered": ("ordered", normal(x=(5, 12))),
    "distances": ("distances", normal(x=(6, 5), y=(4, 5))),
    "solve": ("solve", normal(a=(6, 6), b=(6, 2))),
    "log_det": ("log_det", normal(a=(6, 6))),
    "spectrum": ("spectrum", normal(x=(3, 48))),
    "rotation": ("rotation", _complex),
    "largest two, ties": ("largest_two", _ties),
    "difference of maxima, ties": ("difference_of_maxima", _tied_triples),
    "polynomial near its root": ("polynomial", normal(mean=1, size=0.05, x=(64,))),
}
"""{name: (function, inputs)}"""


def healthy(name: str, torch: Any = None) -> Pair:
    """Return a case as a pair; ``torch`` takes the place of the right torch function."""
    function, inputs = CASES[name]
    right = [import_module(f"parity.selftest.{side}_healthy") for side in ("jax", "torch")]
    given = torch if torch is not None else getattr(right[1], function)
    return Pair(jax=getattr(right[0], function), torch=given, inputs=inputs, name=name)
