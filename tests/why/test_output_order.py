"""Outputs in a dictionary are paired by name: the order of their keys decides nothing."""

import jax.numpy as jnp
import pytest
import torch

import parity
from parity import Pair
from tests.shared.sampled import few


def rms(x, eps, sqrt, **axis):
    return x / sqrt((x * x).mean(-1, **axis) + eps)


def jax_rms(x):
    return {"b": rms(x, 1e-3, jnp.sqrt, keepdims=True), "a": jnp.sin(x)}


def torch_rms(x):
    return {"b": rms(x, 1e-5, torch.sqrt, keepdim=True), "a": torch.sin(x)}


def torch_rms_sorted(x):
    return {"a": torch.sin(x), "b": rms(x, 1e-5, torch.sqrt, keepdim=True)}


def jax_nested(x):
    return {"z": {"q": 2 * jnp.sin(x), "b": x * x}, "a": jnp.cumsum(x, 0)}


def torch_nested(x):
    return {"z": {"b": x * x, "q": torch.sin(x)}, "a": torch.cumsum(x, 0)}


def jax_flipped(x):
    return {"b": jnp.tanh(x), "a": x[:, ::-1] ** 2}


def torch_plain(x):
    return {"b": torch.tanh(x), "a": x**2}


@pytest.mark.parametrize(
    ("jax_side", "torch_side", "cause"),
    few(
        [
            (jax_rms, torch_rms, "epsilon = 1e-5 (jax side has 0.001"),
            (jax_nested, torch_nested, "only jax multiplies by 2"),
            (jax_rms, torch_rms_sorted, "epsilon = 1e-5 (jax side has 0.001"),
            (jax_flipped, torch_plain, "only jax flips x"),
        ],
        (jax_rms, torch_rms, "epsilon = 1e-5 (jax side has 0.001"),
        (jax_nested, torch_nested, "only jax multiplies by 2"),
    ),
)
def test_the_order_of_keys_decides_nothing(jax_side, torch_side, cause):
    report = parity.check(
        Pair(jax=jax_side, torch=torch_side, inputs={"x": (4, 5)}), dtypes=["float64"]
    )
    assert cause in report.told()
