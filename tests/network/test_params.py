"""The door between NumPy and the frameworks: a copy, with its dtype, in both directions."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch

from tests.shared import cases
from tests.shared.cases import FLOAT64, twin

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array(0.1, np.float32),
    np.zeros((0, 3), np.float32),
    np.arange(4, dtype=np.int32),
    np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous
]
KIND = {"jax_impl": jax.Array, "torch_ref": torch.Tensor}


@pytest.mark.parametrize("package", cases.PACKAGES)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_there_and_back(package: str, array: np.ndarray) -> None:
    params = twin(package, "params")
    there = params.from_numpy(array)
    assert isinstance(there, KIND[package])
    np.testing.assert_array_equal(params.to_numpy(there), array, strict=True)


@pytest.mark.parametrize("package", cases.PACKAGES)
def test_float64_stays_float64(package: str) -> None:
    with cases.inside(package, FLOAT64):
        params = twin(package, "params")
        back = params.to_numpy(params.from_numpy(np.array([1 / 3])))
    np.testing.assert_array_equal(back, np.array([1 / 3]), strict=True)


def test_jax_says_that_it_would_lose_float64() -> None:
    with pytest.raises(TypeError, match=r"float64 array became float32.*jax\.enable_x64\(True\)"):
        twin("jax_impl", "params").from_numpy(np.array([1 / 3]))


@pytest.mark.parametrize("package", cases.PACKAGES)
def test_both_directions_copy(package: str) -> None:
    params = twin(package, "params")
    source = np.ones(3, np.float32)
    there = params.from_numpy(source)
    source[:] = 2
    first = params.to_numpy(there)
    first[:] = 3  # and may be written to
    np.testing.assert_array_equal(params.to_numpy(there), np.ones(3, np.float32))


@pytest.mark.parametrize("package", cases.PACKAGES)
def test_a_read_only_array_is_taken(package: str) -> None:
    array = np.ones(3, np.float32)
    array.flags.writeable = False
    assert twin(package, "params").to_numpy(twin(package, "params").from_numpy(array)).sum() == 3


def test_a_tensor_that_awaits_its_gradient_can_leave() -> None:
    tensor: Any = torch.ones(2, requires_grad=True)
    np.testing.assert_array_equal(twin("torch_ref", "params").to_numpy(tensor * 2), [2, 2])


@pytest.mark.parametrize("package", cases.PACKAGES)
def test_the_notebooks_names_and_epsilon(package: str) -> None:
    params = twin(package, "params")
    assert params.Params._fields == ("C", "W1", "b1", "W2", "b2", "bngain", "bnbias")
    assert params.EPS == 1e-5
