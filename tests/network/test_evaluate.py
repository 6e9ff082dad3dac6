"""After training: the statistics, the losses and the names, in both packages and in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.shared import cases
from tests.shared.cases import FLOAT64, Sizes, twin

SIZES = Sizes(40, 3, 2, 5, 6)
*PARAMS, X, Y = cases.network(SIZES)


def hidden(X: np.ndarray) -> np.ndarray:
    """The hidden pre-activations in NumPy, float64."""
    C, W1, b1 = cases.cast(PARAMS[:3], FLOAT64)
    rows = [np.concatenate([C[letter] for letter in context]) for context in X]
    return np.array(rows) @ W1 + b1


def probabilities(X: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """The next letter's probabilities in NumPy, float64, with the statistics of all of ``X``."""
    W2, b2, bngain, bnbias = cases.cast(PARAMS[3:], FLOAT64)
    everything = hidden(globals()["X"])
    bnmean, bnvar = everything.mean(0), everything.var(0, ddof=1)
    h = np.tanh(bngain * (hidden(X) - bnmean) / np.sqrt(bnvar + eps) + bnbias)
    exp = np.exp(h @ W2 + b2)
    return np.asarray(exp / exp.sum(1, keepdims=True))


def evaluated(package: str, dtype: np.dtype, function: Callable[..., Any]) -> Any:
    """Call function(evaluate, params, statistics, X, Y) in one of the packages."""
    evaluate, params = twin(package, "evaluate"), twin(package, "params").Params

    def run(*arrays: Any) -> Any:
        statistics = evaluate.calibrate(params(*arrays[:7]), arrays[7])
        return function(evaluate, params(*arrays[:7]), statistics, *arrays[7:])

    return cases.call(package, run, (*PARAMS, X, Y), dtype)


@pytest.fixture(params=cases.PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_calibrate_is_the_mean_and_the_unbiased_variance(package: str, dtype: np.dtype) -> None:
    statistics = evaluated(package, dtype, lambda evaluate, params, statistics, X, Y: statistics)
    expected = hidden(X).mean(0, keepdims=True), hidden(X).var(0, ddof=1, keepdims=True)
    rtol = 20 * np.finfo(dtype).eps
    for found, right in zip(statistics, expected, strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, right, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_split_loss_is_the_mean_of_minus_log_probability(package: str, dtype: np.dtype) -> None:
    loss = evaluated(package, dtype, lambda evaluate, *args: evaluate.split_loss(*args))
    assert loss.dtype == dtype
    assert loss.shape == ()
    right = -np.log(probabilities(X)[np.arange(len(Y)), Y]).mean()
    assert loss == pytest.approx(right, rel=20 * float(np.finfo(dtype).eps))


def test_statistics_come_from_calibrate_not_from_the_batch(package: str) -> None:
    """One context alone has no variance; its loss is that of the same context among others."""
    losses = evaluated(
        package,
        FLOAT64,
        lambda evaluate, params, statistics, X, Y: tuple(
            evaluate.split_loss(params, statistics, X[i : i + 1], Y[i : i + 1]) for i in range(3)
        ),
    )
    rows = np.arange(3)
    np.testing.assert_allclose(losses, -np.log(probabilities(X[:3])[rows, Y[:3]]), rtol=1e-12)


@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_inference_logits_are_the_networks(package: str, eps: float) -> None:
    logits = evaluated(
        package,
        FLOAT64,
        lambda evaluate, params, statistics, X, Y: evaluate.inference_logits(
            params, statistics, X, eps
        ),
    )
    exp = np.exp(logits)
    np.testing.assert_allclose(exp / exp.sum(1, keepdims=True), probabilities(X, eps), rtol=1e-12)


def sampled(package: str, choose: Callable[[np.ndarray], int], *args: int) -> Any:
    return evaluated(
        package,
        FLOAT64,
        lambda evaluate, params, statistics, X, Y: evaluate.sample(
            params, statistics, choose, *args
        ),
    )


def from_uniforms() -> Callable[[np.ndarray], int]:
    """The rule that inverts the cumulated probabilities at the same uniforms every time."""
    rng = np.random.default_rng(4)
    return lambda p: int(np.searchsorted(np.cumsum(p[:-1]), rng.random()))


def test_the_same_choices_give_the_same_names() -> None:
    names = [sampled(package, from_uniforms(), 12, SIZES.block) for package in cases.PACKAGES]
    assert names[0] == names[1]
    assert len(names[0]) == 12
    assert all(name[-1] == 0 and 0 not in name[:-1] for name in names[0])
    assert max(map(len, names[0])) > SIZES.block + 1, "some context holds letters alone"
    assert len({*map(tuple, names[0])}) > 6


def test_each_letter_is_chosen_by_what_came_before(package: str) -> None:
    """Every name starts from a blank context that moves on by a letter a time."""
    context, follow = [0] * SIZES.block, from_uniforms()

    def choose(found: np.ndarray) -> int:
        nonlocal context
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, probabilities(np.array([context]))[0], rtol=1e-10)
        letter = follow(found)
        context = [*context[1:], letter] if letter else [0] * SIZES.block
        return letter

    assert len(sampled(package, choose, 4, SIZES.block)) == 4


@pytest.mark.parametrize("longest", [1, 2, 5])
def test_a_name_that_never_ends_is_cut(package: str, longest: int) -> None:
    names = sampled(package, lambda p: 3, 2, SIZES.block, longest)
    assert names == [[3] * longest] * 2


def test_an_empty_name_and_no_names(package: str) -> None:
    assert sampled(package, lambda p: 0, 2, SIZES.block) == [[0], [0]]
    assert sampled(package, lambda p: 0, 0, SIZES.block) == []
