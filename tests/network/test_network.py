"""The whole network by hand, step by step and layer by layer, against three other ways.

They are `jax.grad`, autograd, and a network put together from torch's own layers alone, so that a
mistake in a forward pass that all the others share is seen too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from parity.frameworks.jaxpr_noise import yardstick
from tests.shared import cases
from tests.shared.cases import FLOAT32, FLOAT64, NOTEBOOK, ODD, SMALLEST, Sizes, call, twin
from tests.shared.sampled import few

NAMES = ("C", "W1", "b1", "W2", "b2", "bngain", "bnbias")
SMALL = [SMALLEST, ODD]
WAYS = ("chunked", "autodiff.chunked_grads", "mlp", "autodiff.loss_and_grads")
Values = dict[str, Any]
"""Each tensor of the forward pass by its name, each gradient by d + name."""


def named(loss: Any, params: Any, activations: Any = None, dactivations: Any = None) -> Values:
    found = {"loss": loss} | {f"d{name}": g for name, g in params._asdict().items()}
    if activations is not None:
        found |= activations._asdict()
        found |= {f"d{name}": g for name, g in dactivations._asdict().items()}
    return found


def way(package: str, name: str, eps: float | None = None) -> Callable[..., Values]:
    """Return one way to a gradient as a function of C W1 b1 W2 b2 bngain bnbias Xb Yb."""
    params_type, keywords = twin(package, "params").Params, {} if eps is None else {"eps": eps}

    def run(*arrays: Any) -> Values:
        params, data = params_type(*arrays[:7]), arrays[7:]
        if name == "chunked":
            loss, activations = twin(package, name).forward(params, *data, **keywords)
            grads = twin(package, name).backward(params, activations, *data, **keywords)
            return named(loss, grads[0], activations, grads[1])
        if name == "mlp":
            return named(*twin(package, name).loss_and_grads(params, *data))
        function = getattr(twin(package, "autodiff"), name.removeprefix("autodiff."))
        loss, *found = function(params, *data, **keywords)
        return named(loss, *found) if len(found) == 1 else named(loss, found[1], found[0], found[2])

    return run


def torchs_own(
    C: Any, W1: Any, b1: Any, W2: Any, b2: Any, bngain: Any, bnbias: Any, Xb: Any, Yb: Any
) -> Values:
    """The same network out of torch's layers, differentiated by autograd.

    F.batch_norm divides by n where the notebook divides by n - 1, so that its gain and its eps
    have to be smaller: x / sqrt(v n/(n-1) + eps) = sqrt((n-1)/n) x / sqrt(v + eps (n-1)/n).
    """
    leaves = [x.clone().requires_grad_() for x in (C, W1, b1, W2, b2, bngain, bnbias)]
    C, W1, b1, W2, b2, bngain, bnbias = leaves
    shrink = (len(Xb) - 1) / len(Xb)
    embcat = F.embedding(Xb, C).flatten(1)
    hprebn = F.linear(embcat, W1.T, b1)
    gain = bngain[0] * shrink**0.5
    hpreact = F.batch_norm(hprebn, None, None, gain, bnbias[0], training=True, eps=1e-5 * shrink)
    h = F.tanh(hpreact)
    logits = F.linear(h, W2.T, b2)
    loss = F.cross_entropy(logits, Yb)
    inner = {"embcat": embcat, "hprebn": hprebn, "hpreact": hpreact, "h": h, "logits": logits}
    grads = torch.autograd.grad(loss, (*leaves, *inner.values()))
    found = {"loss": loss} | inner
    found |= {f"d{name}": g for name, g in zip((*NAMES, *inner), grads, strict=True)}
    return {name: value.detach() for name, value in found.items()}


@cache
def reference(sizes: Sizes) -> tuple[Values, Values]:
    """Return every tensor by `jax.grad` in float64, and its noise."""
    measured = yardstick(way("jax_impl", "autodiff.chunked_grads"))
    found: tuple[Values, Values] = call("jax_impl", measured, cases.network(sizes), FLOAT64)
    return found


def agree(found: Values, sizes: Sizes, dtype: np.dtype) -> None:
    values, noise = reference(sizes)
    wrong = {
        name: cases.disagreement(value, values[name], noise[name], dtype)
        for name, value in found.items()
    }
    assert {name: sentence for name, sentence in wrong.items() if sentence} == {}


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("sizes", SMALL, ids=str)
@pytest.mark.parametrize("name", WAYS)
def test_torch(name: str, sizes: Sizes, dtype: np.dtype) -> None:
    agree(call("torch_ref", way("torch_ref", name), cases.network(sizes), dtype), sizes, dtype)


@pytest.mark.parametrize(
    ("sizes", "dtype"),
    few(
        [(sizes, dtype) for sizes in SMALL for dtype in cases.DTYPES],
        (SMALLEST, FLOAT64),
        (ODD, FLOAT32),
    ),
    ids=str,
)
def test_jax(sizes: Sizes, dtype: np.dtype) -> None:
    ways = [way("jax_impl", name) for name in ("chunked", "mlp")]
    jitted = jax.jit(lambda *arrays: tuple(one(*arrays) for one in ways))
    for found in call("jax_impl", jitted, cases.network(sizes), dtype):
        agree(found, sizes, dtype)


def test_jax_without_jit() -> None:
    for name in ("chunked", "mlp"):
        found = call("jax_impl", way("jax_impl", name), cases.network(ODD), FLOAT64)
        agree(found, ODD, FLOAT64)


@pytest.mark.full
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("package", cases.PACKAGES)
@pytest.mark.parametrize("name", WAYS)
def test_at_the_notebooks_size(package: str, name: str, dtype: np.dtype) -> None:
    function = way(package, name)
    function = jax.jit(function) if package == "jax_impl" else function
    agree(call(package, function, cases.network(NOTEBOOK), dtype), NOTEBOOK, dtype)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_the_network_is_the_one_that_torchs_own_layers_make(sizes: Sizes, dtype: np.dtype) -> None:
    agree(call("torch_ref", torchs_own, cases.network(sizes), dtype), sizes, dtype)


@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_zeros_would_not_pass(sizes: Sizes) -> None:
    values, noise = reference(sizes)
    blind = {
        name
        for name, value in values.items()
        if not cases.disagreement(np.zeros_like(value), value, noise[name], FLOAT64)
    }
    # batchnorm takes b1 away, softmax a shift of the logits: these are 0 but for rounding
    assert blind <= {"db1", "dlogit_maxes", "dbnmeani"}, blind
    assert {"db1", "dlogit_maxes"} <= blind


@pytest.mark.parametrize("package", cases.PACKAGES)
@pytest.mark.parametrize("name", WAYS)
def test_no_float32_hides_in_a_float64_run(package: str, name: str) -> None:
    function = way(package, name)
    assert cases.dtypes_inside(package, function, cases.network(ODD)) == {"float64"}


@pytest.mark.parametrize("package", cases.PACKAGES)
@pytest.mark.parametrize("eps", [0.1, 3.0])
def test_eps_reaches_both_passes(package: str, eps: float) -> None:
    arrays = cases.network(ODD)
    by_hand = call(package, way(package, "chunked", eps), arrays, FLOAT64)
    expected = call("torch_ref", way("torch_ref", "autodiff.chunked_grads", eps), arrays, FLOAT64)
    for name, value in expected.items():
        np.testing.assert_allclose(by_hand[name], value, rtol=1e-10, atol=1e-13, err_msg=name)
    assert abs(by_hand["loss"] - reference(ODD)[0]["loss"]) > 1e-3


@pytest.mark.parametrize("name", WAYS)
def test_torch_changes_nothing_that_goes_in(name: str) -> None:
    arrays = cases.fed("torch_ref", cases.network(ODD))
    before = cases.taken(arrays)
    way("torch_ref", name)(*arrays)
    for tensor, then in zip(arrays, before, strict=True):
        assert cases.taken(tensor).tobytes() == then.tobytes()
        assert not tensor.requires_grad
        assert tensor.grad is None


@pytest.mark.parametrize("name", WAYS)
def test_torch_differentiates_where_the_caller_has_switched_it_off(name: str) -> None:
    with torch.no_grad():
        agree(call("torch_ref", way("torch_ref", name), cases.network(ODD), FLOAT64), ODD, FLOAT64)
