"""The paths of a torch function: they add up to autograd's gradient, and are JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from parity.frameworks import jaxpr_paths, torch_paths

X = np.random.default_rng(0).standard_normal((7, 5))
CLOSED_OVER = torch.tensor(np.linspace(1, 2, 5))


def normalised(x):
    d = x - x.mean(0)
    return d * ((d * d).sum(0) / 6 + 1e-5) ** -0.5


def in_place(x):
    y = x.clone()
    y += x**2
    y.mul_(CLOSED_OVER)
    y.mul_(x)
    return y * x


FUNCTIONS = {
    "normalised": normalised,
    "in place": in_place,
    "fused": lambda x: F.layer_norm(x, (5,)) + x,
    "one path": torch.tanh,
    "a reshape": lambda x: x.T.reshape(7, 5) * x,
    "several outputs": lambda x: torch.stack([*torch.split(x, 1, dim=1)][::-1]) * x.sum(),
}


def of_torch(function, dout):
    found = torch_paths.paths(
        lambda given: {"y": function(given["x"])}, {"x": torch.tensor(X)}, {"y": dout}
    )
    return {label: term.numpy() for label, term in found["x"].items()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_terms_add_up_to_the_gradient(name):
    x = torch.tensor(X, requires_grad=True)
    out = FUNCTIONS[name](x)
    dout = torch.tensor(np.random.default_rng(1).standard_normal(tuple(out.shape)))
    (right,) = torch.autograd.grad(out, x, dout)
    terms = of_torch(FUNCTIONS[name], dout)
    np.testing.assert_allclose(sum(terms.values()), right, rtol=1e-12, atol=1e-12)
    assert all(label.endswith("y") for label in terms)
    assert (len(terms) == 1) == (name == "one path")


def test_they_are_jaxs_own():
    dout = np.random.default_rng(1).standard_normal(X.shape)
    theirs = of_torch(normalised, torch.tensor(dout))
    with jax.enable_x64(True):
        found = jaxpr_paths.paths(
            lambda given: {"y": normalised(given["x"])}, {"x": jnp.array(X)}, {"y": jnp.array(dout)}
        )
        ours = [np.asarray(term) for term in found["x"].values()]
    assert len(theirs) == len(ours)
    for term in theirs.values():
        assert min(np.abs(term - other).max() for other in ours) < 1e-12
    line = normalised.__code__.co_firstlineno
    assert any(f"test_torch_paths.py:{line + 2}" in label for label in theirs)
