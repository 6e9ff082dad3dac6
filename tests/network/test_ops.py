"""Each of the five layers by itself: its backward pass against both frameworks, and what must hold.

The reference is `jax.vjp` of the forward in float64; the bound is 32 sigma of its rounding noise,
for every tensor in float32 and in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.frameworks.jaxpr_noise import yardstick
from tests.shared import cases
from tests.shared.cases import (
    FLOAT64,
    NOTEBOOK,
    ODD,
    ONE_LETTER,
    SMALLEST,
    Sizes,
    call,
    taken,
    twin,
)
from tests.shared.sampled import few

OPS = ("embedding", "linear", "batchnorm", "tanh", "cross_entropy")
CORNERS = ("jax_impl", "torch_ref", "torch_ref autograd")
Results = dict[str, tuple[Any, ...]]
"""Each layer's output, then one gradient an input (autodiff: one a float input)."""


def flat(sizes: Sizes) -> list[np.ndarray]:
    return [x for inputs, dout in cases.layers(sizes).values() for x in (*inputs, dout)]


def layer_by_layer(one: Callable[..., tuple[Any, ...]]) -> Callable[..., Results]:
    """Return ``(*flat) -> {layer: one(layer, inputs, dout)}``: five layers, compiled as one."""
    counts = {op: len(inputs) for op, (inputs, _) in cases.layers(SMALLEST).items()}

    def run(*arrays: Any) -> Results:
        values = iter(arrays)
        found = {}
        for op, count in counts.items():
            inputs = [next(values) for _ in range(count)]
            found[op] = one(op, inputs, next(values))
        return found

    return run


def by_hand(ops: Any) -> Callable[..., Results]:
    def one(op: str, inputs: list[Any], dout: Any) -> tuple[Any, ...]:
        out, residual = getattr(ops, f"{op}_forward")(*inputs)
        return out, *getattr(ops, f"{op}_backward")(residual, dout)

    return layer_by_layer(one)


def by_autodiff(package: str) -> Callable[..., Results]:
    ops = twin(package, "ops")
    return layer_by_layer(
        lambda op, inputs, dout: cases.vjp(package, getattr(ops, f"{op}_forward"), inputs, dout)
    )


@cache
def reference(sizes: Sizes) -> tuple[Results, Results]:
    """Return the results in float64 and their noise."""
    measured = yardstick(by_autodiff("jax_impl"))
    found: tuple[Results, Results] = call("jax_impl", measured, flat(sizes), FLOAT64)
    return found


@cache
def computed(corner: str, sizes: Sizes, dtype: np.dtype) -> Results:
    package, _, how = corner.partition(" ")
    function = by_autodiff(package) if how == "autograd" else by_hand(twin(package, "ops"))
    if corner == "jax_impl":
        function = jax.jit(function)
    found: Results = call(package, function, flat(sizes), dtype)
    return found


def complaints(found: tuple[Any, ...], op: str, sizes: Sizes, dtype: np.dtype) -> list[str]:
    """Say what is wrong with a layer's output and gradients; nothing if all is right."""
    inputs = cases.layers(sizes)[op].inputs
    floats = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]
    sentences = []
    if len(found) > 1 + len(floats):  # autodiff is asked for the floats alone
        rest = found[1 + len(floats) :]
        if len(rest) != len(inputs) - len(floats) or any(g is not None for g in rest):
            sentences = [f"{op} has a gradient for an integer input"]
        found = found[: 1 + len(floats)]
    values, noises = (group[op] for group in reference(sizes))
    names = ["output", *(f"gradient {i}" for i in floats)]
    for name, value, expected, noise in zip(names, found, values, noises, strict=True):
        if sentence := cases.disagreement(value, expected, noise, dtype):
            sentences.append(f"{op}'s {name}: {sentence}")
    return sentences


def agree(corner: str, sizes: Sizes, dtype: np.dtype) -> None:
    found = computed(corner, sizes, dtype)
    assert [c for op in OPS for c in complaints(found[op], op, sizes, dtype)] == []


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("sizes", few([SMALLEST, ONE_LETTER, ODD, NOTEBOOK], ODD), ids=str)
@pytest.mark.parametrize("corner", CORNERS)
def test_every_corner_gives_the_same_gradients(corner: str, sizes: Sizes, dtype: np.dtype) -> None:
    agree(corner, sizes, dtype)


@pytest.mark.parametrize("dtype", few(cases.DTYPES, FLOAT64), ids=str)
def test_jax_gives_the_same_gradients_without_jit(dtype: np.dtype) -> None:
    agree("jax_impl eager", ODD, dtype)


@pytest.mark.full
@settings(max_examples=6, deadline=None)
@given(
    st.builds(
        Sizes, st.integers(2, 33), st.integers(1, 4), *[st.integers(1, 9)] * 2, st.integers(1, 30)
    )
)
def test_every_corner_gives_the_same_gradients_at_any_size(sizes: Sizes) -> None:
    for dtype in cases.DTYPES:
        for corner in CORNERS:
            agree(corner, sizes, dtype)


@pytest.mark.parametrize("sizes", few([SMALLEST, ODD, NOTEBOOK], ODD), ids=str)
def test_zeros_would_not_pass(sizes: Sizes) -> None:
    for op in OPS:
        zeros = tuple(np.zeros_like(value) for value in reference(sizes)[0][op])
        wrong = complaints(zeros, op, sizes, FLOAT64)
        assert len(wrong) == len(zeros), wrong


def broken(package: str, op: str) -> dict[str, Callable[..., tuple[Any, ...]]]:
    """Wrong backwards of one layer, each by one mistake."""
    right = getattr(twin(package, "ops"), f"{op}_backward")

    def double_precision_lost(residual: Any, dout: Any) -> tuple[Any, ...]:
        n = residual.logprobs.shape[0]  # an integer one-hot divided is a float32 in torch
        target = torch.nn.functional.one_hot(residual.Yb, residual.logprobs.shape[1])
        return (torch.exp(residual.logprobs) / n + -1.0 / n * target) * dout, None

    def biased_variance(residual: Any, dout: Any) -> tuple[Any, ...]:
        bnraw, bnvar_inv, bngain = residual
        n = bnraw.shape[0]
        inner = n * dout - dout.sum(0) - bnraw * (dout * bnraw).sum(0)
        return bngain * bnvar_inv / n * inner, *right(residual, dout)[1:]

    def kept_axis_lost(residual: Any, dout: Any) -> tuple[Any, ...]:
        dx, dgain, dbias = right(residual, dout)
        return dx, dgain.reshape(-1), dbias

    def narrowed(residual: Any, dout: Any) -> tuple[Any, ...]:
        return tuple(g if g is None else g.to(torch.float32) for g in right(residual, dout))

    def an_integer_gradient(residual: Any, dout: Any) -> tuple[Any, ...]:
        return right(residual, dout)[0], residual[1]

    def set_not_added(residual: Any, dout: Any) -> tuple[Any, ...]:
        C, Xb = residual
        dC = torch.zeros_like(C).index_put((Xb,), dout.reshape(*Xb.shape, C.shape[1]))
        return dC, None

    return {
        "embedding": {"set": set_not_added, "integer": an_integer_gradient},
        "batchnorm": {"biased": biased_variance, "axis": kept_axis_lost, "narrowed": narrowed},
        "cross_entropy": {"float32": double_precision_lost, "integer": an_integer_gradient},
    }[op]


@pytest.mark.parametrize(
    ("op", "mistake", "sentence"),
    [
        ("embedding", "set", "embedding's gradient 0: "),
        ("embedding", "integer", "embedding has a gradient for an integer input"),
        ("batchnorm", "biased", "batchnorm's gradient 0: "),
        ("batchnorm", "axis", "batchnorm's gradient 1: shape (5,) for (1, 5)"),
        ("batchnorm", "narrowed", "batchnorm's gradient 0: float32 in a float64 run"),
        ("cross_entropy", "float32", "cross_entropy's gradient 0: "),
        ("cross_entropy", "integer", "cross_entropy has a gradient for an integer input"),
    ],
)
def test_a_wrong_backward_is_found(op: str, mistake: str, sentence: str) -> None:
    ops = SimpleNamespace(**vars(twin("torch_ref", "ops")))
    setattr(ops, f"{op}_backward", broken("torch_ref", op)[mistake])
    found = call("torch_ref", by_hand(ops), flat(ODD), FLOAT64)
    wrong = [c for name in OPS for c in complaints(found[name], name, ODD, FLOAT64)]
    assert wrong[0].startswith(sentence)
    assert all(c.startswith(op) for c in wrong), "the other layers are right"


@pytest.mark.parametrize("package", cases.PACKAGES)
def test_no_float32_hides_in_a_float64_run(package: str) -> None:
    """A mask of float32 ones would go unseen in the values."""
    function = by_hand(twin(package, "ops"))
    assert cases.dtypes_inside(package, function, flat(ODD)) == {"float64"}


@pytest.mark.parametrize("package", cases.PACKAGES)
def test_a_hidden_float32_is_found(package: str) -> None:
    def hidden(*arrays: Any) -> Any:
        mask = jax.nn.one_hot if package == "jax_impl" else torch.nn.functional.one_hot
        short = mask(arrays[1], 11)
        short = short.astype("float32") if package == "jax_impl" else short.float()
        return arrays[0][0, 0] * short

    found = cases.dtypes_inside(package, hidden, flat(ODD))
    assert found == {"float32", "float64"}


@pytest.fixture(params=cases.PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("op", OPS)
def test_a_backward_is_linear_and_leaves_its_inputs_alone(
    package: str, op: str, dtype: np.dtype
) -> None:
    forward, backward = (
        getattr(twin(package, "ops"), f"{op}_{way}") for way in ("forward", "backward")
    )
    layer = cases.layers(ODD)[op]
    with cases.inside(package, dtype):
        *inputs, dout = cases.fed(package, cases.cast((*layer.inputs, layer.dout), dtype))
        before = taken((*inputs, dout))
        _, residual = forward(*inputs)
        kept = taken(tuple(residual))
        once, twice, none = (
            taken(tuple(g for g in backward(residual, u) if g is not None))
            for u in (dout, 2 * dout, 0 * dout)
        )
        after, kept_after = taken((*inputs, dout)), taken(tuple(residual))
    for first, second, zero in zip(once, twice, none, strict=True):
        np.testing.assert_array_equal(second, 2 * first)  # doubling rounds nothing
        np.testing.assert_array_equal(zero, 0 * first)
    for then, now in zip((*before, *kept), (*after, *kept_after), strict=True):
        assert then.tobytes() == now.tobytes()


def run(
    package: str, op: str, inputs: tuple[np.ndarray, ...], dout: np.ndarray, **keywords: Any
) -> tuple[Any, ...]:
    """Return (output, *gradients) of one layer in the dtype of ``dout``."""
    ops = twin(package, "ops")

    def one(*arrays: Any) -> tuple[Any, ...]:
        *values, cotangent = arrays
        out, residual = getattr(ops, f"{op}_forward")(*values, **keywords)
        return out, *getattr(ops, f"{op}_backward")(residual, cotangent)

    found: tuple[Any, ...] = call(package, one, (*inputs, dout), dout.dtype)
    return found


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_rows_of_dlogits_sum_to_zero(package: str, dtype: np.dtype) -> None:
    dlogits = computed(package, ODD, dtype)["cross_entropy"][1]
    scale = np.abs(dlogits).sum(1)
    assert np.all(scale > 1e-3)
    assert np.all(np.abs(dlogits.sum(1)) <= 8 * np.finfo(dtype).eps * scale)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_columns_of_dhprebn_sum_to_zero(package: str, dtype: np.dtype) -> None:
    dhprebn = computed(package, ODD, dtype)["batchnorm"][1]
    scale = np.abs(dhprebn).sum(0)
    assert np.all(scale > 1e-3)
    assert np.all(np.abs(dhprebn.sum(0)) <= 16 * np.finfo(dtype).eps * scale)


@pytest.mark.parametrize("eps", few([1e-5, 0.1, 1.0], 0.1))
def test_dhprebn_is_orthogonal_to_bnraw_but_for_eps(package: str, eps: float) -> None:
    """Scaling a column changes nothing but the share of eps: <dx, x^> = gain s^3 eps <dy, x^>."""
    (hprebn, bngain, bnbias), dhpreact = cases.layers(ODD)["batchnorm"]
    hprebn, bngain, bnbias, dhpreact = cases.cast((hprebn, bngain, bnbias, dhpreact), FLOAT64)
    _, dhprebn, *_ = run(package, "batchnorm", (hprebn, bngain, bnbias), dhpreact, eps=eps)
    s = 1 / np.sqrt(np.var(hprebn, 0, ddof=1) + eps)
    bnraw = (hprebn - hprebn.mean(0)) * s
    expected = bngain[0] * s**3 * eps * (dhpreact * bnraw).sum(0)
    np.testing.assert_allclose((dhprebn * bnraw).sum(0), expected, rtol=1e-9, atol=1e-15)
    assert np.all(np.abs(expected) > 1e-8)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_a_constant_column_has_a_gradient(package: str, dtype: np.dtype) -> None:
    layer = cases.layers(ODD._replace(n=8))["batchnorm"]  # the mean of 8 equal numbers is exact
    hprebn, ones, _, dhpreact = cases.cast((*layer.inputs, layer.dout), dtype)
    hprebn[:, 0], ones[:] = 3, 1
    hpreact, dhprebn, dbngain, _ = run(package, "batchnorm", (hprebn, ones, 0 * ones), dhpreact)
    column = dhpreact[:, 0].astype(FLOAT64)
    np.testing.assert_array_equal(hpreact[:, 0], 0)
    np.testing.assert_array_equal(dbngain[:, 0], 0)
    np.testing.assert_allclose(
        dhprebn[:, 0], (column - column.mean()) * 1e-5**-0.5, rtol=0, atol=8e3 * np.finfo(dtype).eps
    )
    assert np.all(np.isfinite(dhprebn))


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_a_saturated_tanh_passes_nothing_and_zero_passes_all(package: str, dtype: np.dtype) -> None:
    hpreact = np.array([[-1e4, -30, 0, 30, 1e30]], dtype)
    dh = np.array([[1, 2, 3, 4, 5]], dtype)
    h, dhpreact = run(package, "tanh", (hpreact,), dh)
    np.testing.assert_array_equal(h, [[-1, -1, 0, 1, 1]])
    np.testing.assert_array_equal(dhpreact, [[0, 0, 3, 0, 0]])


def test_a_letter_gathers_the_gradients_of_all_its_uses(package: str) -> None:
    Xb = np.array([[4, 1], [1, 1], [4, 0]])  # 1 three times, 4 twice, 0 once, 2 and 3 never
    dembcat = np.array([[1, 2, 4, 8], [16, 32, 64, 128], [256, 512, 1024, 2048]], np.float32)
    C = np.arange(10, dtype=np.float32).reshape(5, 2)
    embcat, dC, nothing = run(package, "embedding", (C, Xb), dembcat)
    np.testing.assert_array_equal(embcat, [[8, 9, 2, 3], [2, 3, 2, 3], [8, 9, 0, 1]])
    np.testing.assert_array_equal(
        dC, [[1024, 2048], [4 + 16 + 64, 8 + 32 + 128], [0, 0], [0, 0], [1 + 256, 2 + 512]]
    )
    assert nothing is None


def test_logits_of_ten_thousand(package: str) -> None:
    logits = np.array([[1e4, 0, -1e4], [1e4, 0, -1e4], [0, 0, 0]], np.float32)
    loss, dlogits, _ = run(
        package, "cross_entropy", (logits, np.array([0, 1, 2])), np.array(3, np.float32)
    )
    third = 1 / 3
    assert loss == pytest.approx((0 + 1e4 + np.log(3)) / 3, rel=1e-6)
    np.testing.assert_allclose(
        dlogits, [[0, 0, 0], [1, -1, 0], [third, third, third - 1]], rtol=1e-6
    )


@pytest.mark.parametrize("shift", [100.0, -100.0, 1e4])
def test_logits_far_from_zero(package: str, shift: float) -> None:
    """Alone, exp(100) is infinite in float32, and exp(-100) vanishes."""
    (logits, Yb), dloss = cases.layers(ODD)["cross_entropy"]
    logits = logits + np.float32(shift)  # rounds; from here on these are the logits
    loss, dlogits, _ = run(package, "cross_entropy", (logits, Yb), dloss)
    exact = logits.astype(FLOAT64) - shift
    probs = np.exp(exact) / np.exp(exact).sum(1, keepdims=True)
    rows = np.arange(len(Yb))
    assert loss == pytest.approx(-np.log(probs[rows, Yb]).mean(), rel=1e-5)
    probs[rows, Yb] -= 1
    np.testing.assert_allclose(dlogits, probs / len(Yb) * dloss, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_one_letter_has_nothing_to_learn(package: str, dtype: np.dtype) -> None:
    loss, dlogits, _ = computed(package, ONE_LETTER, dtype)["cross_entropy"]
    assert loss == 0
    np.testing.assert_array_equal(dlogits, np.zeros((3, 1)))
