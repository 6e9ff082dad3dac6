"""The yardstick validated: it passes healthy pairs in both frameworks and sees small faults.

The actual float32 errors are the oracle: they come from neither yardstick.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from parity.frameworks import jax_side, jaxpr_noise, torch_noise, torch_side
from parity.judge.noise import BOUND, U0, sigma
from tests.shared.healthy import CASES

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)

QUICK = (
    "softmax, large logits",
    "layer norm, mean 1000",
    "scatter add",
    "solve",
)

# Where one framework's float64 kernel is good to half the digits: log1p near 0 and what is made
# of it, erfinv (JAX); the derivative of digamma (torch).
POOR_FLOAT64 = ("atanh", "erfinv", "digamma")

# Here float32's rounding itself moves the digits that a fault of 1e-3 would move: x - y of nearby
# x and y, sums that cancel, saturated probabilities, arguments next to a pole.
BLUNT = (
    "a-b, cancelling",
    "layer norm, mean 1000",
    "var, nearly constant",
    "dot, 1e5",
    "softmax, large logits",
    "lgamma, negative",
    "digamma, negative",
)


class Measured(NamedTuple):
    """One tensor of a case: an output or a gradient, in both frameworks."""

    reference: np.ndarray
    noise: tuple[np.ndarray, np.ndarray]
    """JAX's and torch's, in units of the roundoff."""
    exact: tuple[np.ndarray, np.ndarray]
    single: tuple[np.ndarray, ...]
    """float32: JAX jitted, torch, and JAX eager where asked for."""

    def sigma(self, dtype: np.dtype) -> np.ndarray:
        return sigma(np.hypot(*self.noise), dtype)


def cast(values: tuple[np.ndarray, ...], dtype: np.dtype) -> list[np.ndarray]:
    return [x.astype(dtype) if x.dtype.kind == "f" else x for x in values]


def run(side: Any, function: Any, values: tuple[np.ndarray, ...], dtype: np.dtype) -> Any:
    with side.exactly(dtype):
        return side.to_numpy(function(*side.from_numpy(tuple(cast(values, dtype)))))


def differentiated(side: Any, forward: Any) -> Any:
    def call(*values: Any) -> tuple[Any, ...]:
        named = {"y": values[-1]}
        out, grads = side.vjp(lambda *inputs: {"y": forward(*inputs)}, values[:-1], named)
        return (out["y"], *grads)

    return call


@lru_cache(maxsize=1)
def ways(name: str) -> tuple[Any, ...]:
    """A case in JAX, jitted, and in torch, then both yardsticks: traced once for all seeds."""
    by_jax = differentiated(jax_side, CASES[name].jax)
    by_torch = differentiated(torch_side, CASES[name].torch)
    yardsticks = jaxpr_noise.yardstick(by_jax), torch_noise.yardstick(by_torch)
    return by_jax, jax.jit(by_jax), by_torch, *yardsticks


def measure(name: str, seed: int, eager: bool = False) -> list[Measured]:
    case, rng = CASES[name], np.random.default_rng(seed)
    inputs = case.inputs(rng)
    with torch_side.exactly(FLOAT32):
        shape = case.torch(*map(torch.tensor, inputs)).shape
    values = (*inputs, np.asarray(rng.standard_normal(shape), np.float32))
    by_jax, jitted, by_torch, jax_yardstick, torch_yardstick = ways(name)
    _, jax_noise = run(jax_side, jax_yardstick, values, FLOAT64)
    _, torchs_noise = run(torch_side, torch_yardstick, values, FLOAT64)
    exact = run(jax_side, jitted, values, FLOAT64), run(torch_side, by_torch, values, FLOAT64)
    single = [run(jax_side, jitted, values, FLOAT32), run(torch_side, by_torch, values, FLOAT32)]
    if eager:
        single.append(run(jax_side, by_jax, values, FLOAT32))
    return [
        Measured((a + b) / 2, (m, n), (a, b), s)
        for a, b, m, n, *s in zip(*exact, jax_noise, torchs_noise, *single, strict=True)
    ]


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.asarray(x, np.float64) ** 2)))


def check(name: str, seed: int, eager: bool = False) -> list[Measured]:
    """Fail unless the case passes with a third to spare and faults in it do not."""
    measured = measure(name, seed, eager)
    for m in measured:
        assert m.exact[0].shape == m.exact[1].shape
        assert all(np.all(np.isfinite(n)) for n in m.noise)
        for single in m.single:
            far = np.abs(single.astype(FLOAT64) - m.reference) / m.sigma(FLOAT32)
            assert far.max() < BOUND * 2 / 3
        for single, noise in zip(m.single, m.noise, strict=False):
            assert rms(single.astype(FLOAT64) - m.reference) < 5 * U0 * rms(noise) + 1e-37
        far = np.abs(m.exact[0] - m.exact[1]) / m.sigma(FLOAT64)
        assert far.max() < BOUND * 2 / 3 or name.startswith(POOR_FLOAT64)
        size = np.abs(m.reference)
        assert np.max(1e-10 * size / m.sigma(FLOAT64)) > BOUND or not size.any()
        if not name.startswith(BLUNT):
            assert np.max(1e-3 * size / m.sigma(FLOAT32)) > BOUND or not size.any()
    return measured


@pytest.mark.parametrize("name", QUICK)
def test_a_healthy_pair_passes_and_a_fault_does_not(name):
    check(name, seed=0)


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_every_healthy_pair_passes_and_its_rounding_is_as_large_as_the_noise(name):
    """Over three draws; and rms(error) / rms(noise) is near 1, not only below 32."""
    errors: dict[int, list[float]] = {0: [], 1: []}
    for seed in (1, 2, 3):
        for m in check(name, seed, eager=seed == 1):
            for side, noise in enumerate(m.noise):
                if rms(noise):
                    error = rms(m.single[side].astype(FLOAT64) - m.reference)
                    errors[side].append(error / (U0 * rms(noise)))
    for side, ratios in errors.items():
        exact = not any(ratios)  # max divides by the number of maxima, 1
        assert exact or "," in name or 0.02 < max(ratios) < 5, (name, side, ratios)


def test_the_two_frameworks_agree_on_the_noise_of_the_same_operations():
    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(size=(40, 40))
        _, ours = jaxpr_noise.yardstick(lambda x: jnp.tanh(x @ x) * 0.3)(jnp.array(x))
    _, theirs = torch_noise.yardstick(lambda x: torch.tanh(x @ x) * 0.3)(torch.tensor(x))
    assert rms(np.asarray(ours)) == pytest.approx(rms(theirs.numpy()), rel=0.05)
