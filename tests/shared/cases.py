"""Small seeded inputs for the layers and the network, and how to run either twin on them.

NumPy in, NumPy out: every corner is fed the same numbers, which float32 holds exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from parity.judge.noise import BOUND, sigma

PACKAGES = ("jax_impl", "torch_ref")
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
DTYPES = (FLOAT32, FLOAT64)


class Sizes(NamedTuple):
    """The five sizes of the network."""

    n: int
    block: int
    embd: int
    hidden: int
    vocab: int


SMALLEST = Sizes(2, 1, 1, 1, 2)
ONE_LETTER = Sizes(3, 2, 4, 6, 1)
ODD = Sizes(7, 3, 2, 5, 11)  # pairwise different, and 1/7 is no binary fraction
NOTEBOOK = Sizes(32, 3, 10, 64, 27)

Arrays = tuple[np.ndarray, ...]


class Layer(NamedTuple):
    """The inputs of one pair of `ops`, and a cotangent of its output."""

    inputs: Arrays
    dout: np.ndarray


def layers(sizes: Sizes, seed: int = 0) -> dict[str, Layer]:
    """Return random inputs for each of the five layers, floats as float32."""
    rng = np.random.default_rng(seed)
    n, block, embd, hidden, vocab = sizes

    def draw(*shape: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
        return np.asarray(shift + scale * rng.standard_normal(shape), np.float32)

    Xb, Yb = rng.integers(0, vocab, (n, block)), rng.integers(0, vocab, n)
    feat = block * embd
    return {
        "embedding": Layer((draw(vocab, embd), Xb), draw(n, feat)),
        "linear": Layer((draw(n, feat), draw(feat, hidden), draw(hidden)), draw(n, hidden)),
        "batchnorm": Layer(
            (draw(n, hidden, shift=0.5), draw(1, hidden, shift=1.0, scale=0.3), draw(1, hidden)),
            draw(n, hidden),
        ),
        "tanh": Layer((draw(n, hidden),), draw(n, hidden)),
        "cross_entropy": Layer((draw(n, vocab, scale=2.0), Yb), draw(shift=1.5, scale=0.1)),
    }


def network(sizes: Sizes, seed: int = 0) -> Arrays:
    """Return C W1 b1 W2 b2 bngain bnbias Xb Yb, at random, floats as float32."""
    rng = np.random.default_rng(seed)
    n, block, embd, hidden, vocab = sizes
    shapes: list[tuple[int, ...]] = [(vocab, embd), (block * embd, hidden), (hidden,)]
    shapes += [(hidden, vocab), (vocab,), (1, hidden), (1, hidden)]
    floats = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    return (*floats, rng.integers(0, vocab, (n, block)), rng.integers(0, vocab, n))


def twin(package: str, name: str) -> ModuleType:
    """Return a module of one of the packages."""
    return import_module(f"{package}.{name}")


def inside(package: str, dtype: np.dtype) -> AbstractContextManager[Any]:
    """Let JAX compute in ``dtype``; torch needs no leave."""
    return jax.enable_x64(dtype == FLOAT64) if package == "jax_impl" else nullcontext()


def cast(arrays: Sequence[np.ndarray], dtype: np.dtype) -> Arrays:
    """Return the floats in ``dtype``, integers as they are."""
    return tuple(x.astype(dtype) if x.dtype.kind == "f" else x for x in arrays)


def fed(package: str, arrays: Sequence[np.ndarray]) -> tuple[Any, ...]:
    """Return the framework's copies of NumPy arrays."""
    return tuple(map(twin(package, "params").from_numpy, arrays))


def taken(value: Any) -> Any:
    """Return NumPy arrays for the arrays of either framework, through tuples and dicts."""
    if isinstance(value, torch.Tensor | jax.Array):
        package = "torch_ref" if isinstance(value, torch.Tensor) else "jax_impl"
        return twin(package, "params").to_numpy(value)
    if isinstance(value, dict):
        return {key: taken(item) for key, item in value.items()}
    return tuple(map(taken, value)) if isinstance(value, tuple) else value


def call(
    package: str, function: Callable[..., Any], arrays: Sequence[np.ndarray], dtype: np.dtype
) -> Any:
    """Call a twin's function on arrays cast to ``dtype``; what it returns becomes NumPy."""
    with inside(package, dtype):
        return taken(function(*fed(package, cast(arrays, dtype))))


class _Dtypes(TorchDispatchMode):
    """Notes the dtype of every tensor that any torch operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in jax.tree.leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.seen.add(str(leaf.dtype).removeprefix("torch."))
        return out


def dtypes_inside(
    package: str, function: Callable[..., Any], arrays: Sequence[np.ndarray]
) -> set[str]:
    """Return the dtype of every value that the function makes of float64 inputs."""
    if package == "jax_impl":
        with jax.enable_x64(True):
            traced = jax.make_jaxpr(function)(*fed(package, cast(arrays, FLOAT64)))
        return {
            name
            for short, name in {"f32": "float32", "f64": "float64"}.items()
            if re.search(rf"\b{short}\[", str(traced))
        }
    with _Dtypes() as noted:
        function(*fed(package, cast(arrays, FLOAT64)))
    return {name for name in noted.seen if name.startswith("float")}


def of_floats(forward: Callable[..., Any], inputs: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Return (x_forward's output as a function of the float inputs, those inputs).

    The integer inputs come last in every layer.
    """
    floats = [x for x in inputs if "float" in str(x.dtype)]
    rest = inputs[len(floats) :]
    return lambda *values: forward(*values, *rest)[0], floats


def vjp(
    package: str, forward: Callable[..., Any], inputs: Sequence[Any], dout: Any
) -> tuple[Any, ...]:
    """Return (output, gradient of each float input) by the framework's own differentiation."""
    function, floats = of_floats(forward, inputs)
    if package == "jax_impl":
        out, pull = jax.vjp(function, *floats)
        return out, *pull(dout)
    leaves = [x.clone().requires_grad_() for x in floats]
    out = function(*leaves)
    return out.detach(), *torch.autograd.grad(out, leaves, dout)


def disagreement(
    value: Any, reference: np.ndarray, noise: np.ndarray, dtype: np.dtype
) -> str | None:
    """Return why ``value`` is not ``reference`` up to 32 sigma of rounding, None where it is."""
    if not isinstance(value, np.ndarray):
        return f"{value!r} is no array"
    if value.shape != reference.shape:
        return f"shape {value.shape} for {reference.shape}"
    if value.dtype != dtype:
        return f"{value.dtype} in a {dtype} run"
    if not np.all(np.isfinite(value)):
        return "not finite"
    far = np.max(np.abs(value.astype(FLOAT64) - reference) / sigma(noise, dtype), initial=0.0)
    return f"{far:.3g} sigma" if far > BOUND else None
