"""Every use of a value has a term of its own, the terms add up to the gradient, and names cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_impl import ops
from parity.frameworks import jax_side
from parity.frameworks.jaxpr_paths import paths, totals
from parity.judge.noise import BOUND, sigma
from parity.makemore.network_walk import diagnosis_batch, network
from tests.shared import stepwise
from tests.shared.sampled import few

RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((5, 7)), RNG.standard_normal((7, 7))


def in_float64(function: Any, *arguments: Any) -> Any:
    with jax_side.exactly(np.dtype(np.float64)):
        return jax.tree.map(np.asarray, function(*arguments))


def norm(v: Mapping[str, Any]) -> dict[str, Any]:
    x = v["x"]
    return {"y": (x - x.mean(0)) / jnp.sqrt(x.var(0) + 0.1)}


def recurrent(v: Mapping[str, Any]) -> dict[str, Any]:
    def step(h: Any, x: Any) -> Any:
        return jnp.tanh(h @ v["w"] + x), h

    last, _ = jax.lax.scan(step, jnp.zeros(7), v["x"])
    return {"y": last * v["x"][0]}


@jax.jit
def inner(x: Any) -> Any:
    return jax.nn.relu(x) * jax.nn.softmax(x)


FUNCTIONS = {
    "a square": lambda v: {"y": v["x"] * v["x"]},
    "batch normalisation": norm,
    "softmax": lambda v: {"y": jax.nn.log_softmax(v["x"])},
    "a scan": recurrent,
    "inside jit and checkpoint": lambda v: {"y": jax.checkpoint(inner)(v["x"]) @ v["w"]},
    "one step with two results": lambda v: {"y": jnp.multiply(*jnp.split(v["x"][:4], 2))},
    "two results": lambda v: {"y": v["x"] ** 2, "z": v["x"].sum(0)},
    "an index": lambda v: {"y": v["x"][v["i"]], "z": v["x"].argmax(1)},
}


@pytest.mark.parametrize("name", few(FUNCTIONS, every=3))
def test_the_terms_add_up_to_the_gradient(name: str) -> None:
    function = FUNCTIONS[name]
    inputs = {"x": X, "w": W, "i": np.array([0, 2, 2])}
    out = in_float64(function, inputs)
    douts = {k: RNG.standard_normal(y.shape) for k, y in out.items() if y.dtype.kind == "f"}

    def loss(floats: Any) -> Any:
        out = function({**inputs, **floats})
        return sum((dout * out[k]).sum() for k, dout in douts.items())

    right = in_float64(jax.grad(loss), {"x": X, "w": W})
    terms = in_float64(paths, function, inputs, douts)
    whole = in_float64(totals, function, inputs, douts, {k: np.array(True) for k in douts})
    for tensor in ("x", "w"):
        total = sum(terms[tensor].values(), np.zeros_like(right[tensor]))
        np.testing.assert_allclose(total, right[tensor], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(whole[tensor], right[tensor], rtol=1e-12, atol=1e-12)


def test_both_factors_of_a_square_are_uses() -> None:
    terms = in_float64(paths, FUNCTIONS["a square"], {"x": X}, {"y": np.ones_like(X)})["x"]
    line = FUNCTIONS["a square"].__code__.co_firstlineno
    assert list(terms) == [f"mul at test_paths.py:{line}, factor {i} > y" for i in (1, 2)]
    for term in terms.values():
        np.testing.assert_array_equal(term, X)


def test_the_paths_of_batchnorm_are_itself_its_mean_and_its_variance() -> None:
    """The same terms as an argument for each use, differentiated by hand-made `jax.vjp`."""
    batch = diagnosis_batch()
    hidden = network().forward(batch)
    x, gain, dout = hidden["hprebn"], batch["bngain"], RNG.standard_normal(hidden["hprebn"].shape)

    def bn(itself: Any, mean: Any, variance: Any) -> Any:
        var = variance.var(0, keepdims=True, correction=1)
        return gain * (itself - mean.mean(0, keepdims=True)) * (var + stepwise.EPS) ** -0.5

    def by_use(x: Any) -> Any:
        return jax.vjp(bn, x, x, x)[1](jnp.asarray(dout))

    itself, mean, variance = in_float64(by_use, x)
    terms = network().paths(batch, {"hpreact": dout})["hprebn"]
    named = {label: term for label, term in terms.items() if np.abs(term).max() > 1e-9}
    found = {
        "bndiff > bnraw > hpreact": itself,
        "bnmeani > bnraw > hpreact": mean,
        "bndiff > bndiff2 > hpreact": variance,
    }
    assert named.keys() == found.keys()
    for label, term in found.items():
        np.testing.assert_allclose(named[label], term, rtol=1e-9, atol=1e-9)


def test_a_fused_rule_has_paths_without_names() -> None:
    def run(v: Mapping[str, Any]) -> dict[str, Any]:
        return {"y": ops.batchnorm_forward(v["x"], jnp.ones((1, 7)), jnp.zeros((1, 7)))[0]}

    terms = in_float64(paths, run, {"x": X}, {"y": W[:5]})["x"]
    assert len([t for t in terms.values() if np.abs(t).max() > 1e-9]) == 3


def test_every_step_is_that_of_the_source_line_by_line() -> None:
    """Against the derivative of each line of `chunked.forward`, executed by itself."""
    inputs = stepwise.batch(1)
    named = stepwise.activations(jax_side, inputs, stepwise.EPS)
    floats = {k: v for k, v in (inputs | named).items() if v.dtype.kind == "f" and k != "loss"}
    upstream = stepwise.cotangents(floats, 1)
    values = {**inputs, **named, **upstream, "dloss": np.array(1.0), "eps": np.array(stepwise.EPS)}
    right = stepwise.measured(jax_side, stepwise.line_by_line, values)
    held = {name: upstream[f"d{name}"] for name in floats} | {"loss": np.array(1.0)}
    found = network().answers(inputs, held)
    for name in floats:
        answer = right[f"d{name}"]
        far = np.abs(found[name].right - answer.right) / sigma(answer.noise, np.float64)
        assert far.max() <= BOUND, name
