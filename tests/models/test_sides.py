"""Two models become two functions of the same inputs and of torch's weights, whatever the library.

The functions are run; nothing is judged here.
"""

import sys

import equinox as eqx
import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

import parity
from parity.errors import UsageError
from parity.models.sides import is_of_models, whole
from parity.pairs.tree import constants


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.bn = nn.Linear(3, 4), nn.BatchNorm1d(4)

    def forward(self, x, shift=None):
        x = self.bn(self.fc(x))
        return {"y": x if shift is None else x + shift, "nothing": None}


def small():
    torch.manual_seed(0)
    module = Small()
    module(torch.randn(9, 3))
    return module.eval()


def arrays(module):
    return {name: x.numpy() for name, x in module.state_dict().items()}


class Linen(fnn.Module):
    @fnn.compact
    def __call__(self, x, shift):
        x = fnn.Dense(4)(x)
        norm = fnn.BatchNorm(use_running_average=True, use_fast_variance=False)
        return {"y": norm(x) + shift, "nothing": None}


class NNX(nnx.Module):
    def __init__(self, w):
        self.fc = nnx.Linear(3, 4, rngs=nnx.Rngs(0))
        self.bn = nnx.BatchNorm(4, use_running_average=True, rngs=nnx.Rngs(0))
        self.fc.kernel[...], self.fc.bias[...] = w["fc.weight"].T, w["fc.bias"]
        self.bn.mean[...], self.bn.var[...] = w["bn.running_mean"], w["bn.running_var"]

    def __call__(self, x, shift):
        return {"y": self.bn(self.fc(x)) + shift, "nothing": None}


class Equinox(eqx.Module):
    fc: eqx.nn.Linear
    statistics: dict
    scale: jax.Array
    offset: jax.Array

    def __init__(self, w):
        fc = eqx.nn.Linear(3, 4, key=jax.random.key(0))
        new = jnp.asarray(w["fc.weight"]), jnp.asarray(w["fc.bias"])
        self.fc = eqx.tree_at(lambda m: (m.weight, m.bias), fc, new)
        self.statistics = {part: jnp.asarray(w[f"bn.running_{part}"]) for part in ("mean", "var")}
        self.scale, self.offset = jnp.asarray(w["bn.weight"]), jnp.asarray(w["bn.bias"])

    def __call__(self, x, shift):
        x = jax.vmap(self.fc)(x) - self.statistics["mean"]
        x = x / jnp.sqrt(self.statistics["var"] + 1e-5) * self.scale + self.offset
        return {"y": x + shift, "nothing": None}


def function(params, x, shift):
    fc, bn = params["fc"], params["bn"]
    x = (x @ fc["w"] + fc["b"] - bn["mean"]) / jnp.sqrt(bn["var"] + 1e-5)
    return {"y": x * bn["scale"] + bn["offset"] + shift, "nothing": None}


def tree(w):
    return {
        "fc": {"w": w["fc.weight"].T, "b": w["fc.bias"]},
        "bn": {
            "scale": w["bn.weight"],
            "offset": w["bn.bias"],
            "mean": w["bn.running_mean"],
            "var": w["bn.running_var"],
        },
    }


class Transformed:
    """What haiku.transform returns can do."""

    def init(self, key, x, shift):
        raise AssertionError("nobody initialises a model that has its weights")

    def apply(self, params, rng, x, shift):
        assert rng is None
        return function(params, x, shift)


class Stateful:
    """What haiku.transform_with_state returns can do."""

    def init(self, key, x, shift):
        raise AssertionError("nobody initialises a model that has its weights")

    def apply(self, params, state, rng, x, shift):
        assert rng is None
        both = {"fc": params["fc"], "bn": params["bn"] | state["bn"]}
        return function(both, x, shift), state


def stateful(w):
    params, state = tree(w), {}
    state["bn"] = {part: params["bn"].pop(part) for part in ("mean", "var")}
    return Stateful(), params, state


def linen(w):
    params = {"Dense_0": {"kernel": w["fc.weight"].T, "bias": w["fc.bias"]}}
    params["BatchNorm_0"] = {"scale": w["bn.weight"], "bias": w["bn.bias"]}
    statistics = {"mean": w["bn.running_mean"], "var": w["bn.running_var"]}
    return Linen(), {"params": params, "batch_stats": {"BatchNorm_0": statistics}}


KINDS = {
    "linen": linen,
    "nnx": NNX,
    "equinox": Equinox,
    "haiku": lambda w: (Transformed(), tree(w)),
    "haiku with a state": stateful,
    "function": lambda w: parity.Model(function, tree(w)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_each_kind_is_a_function_of_torchs_weights(kind):
    module = small()
    model = KINDS[kind](arrays(module))
    inputs = {"x": (5, 3), "shift": (4,)}
    found = whole(parity.Pair(jax=model, torch=module, inputs=inputs, pick="y"))
    assert not found.weights.unfed
    assert not found.weights.unread
    arguments = found.pair.arguments(np.random.default_rng(0))
    own = ("x", "shift", "fc.weight", "fc.bias", "bn.weight", "bn.bias")
    assert arguments.floating == own
    statistics = {name: x for name, x in zip(arguments.names, arguments.structure, strict=True)}
    assert all(constants(statistics[f"bn.running_{part}"], "c") for part in ("mean", "var"))
    rng = np.random.default_rng(1)  # other weights than either model holds
    leaves = [x + 0.1 * rng.random(x.shape) for x in arguments.leaves]
    leaves = [x.astype(np.float32) for x in leaves]
    one = found.pair.torch(*map(torch.from_numpy, leaves))
    other = found.pair.jax(*map(jnp.asarray, leaves))
    np.testing.assert_allclose(one.numpy(), np.asarray(other), rtol=2e-5, atol=2e-6)
    assert np.array_equal(module.fc.weight.detach().numpy(), arrays(small())["fc.weight"])


def test_torchs_gradients_come_out_of_the_jax_function_in_torchs_layout():
    module = small()
    pair = parity.Pair(
        jax=linen(arrays(module)), torch=module, inputs={"x": (5, 3), "shift": (4,)}, pick="y"
    )
    found = whole(pair)
    leaves = found.pair.arguments(np.random.default_rng(0)).leaves
    leaves = [x.astype(np.float32) for x in leaves]
    ours = jax.grad(lambda *x: (found.pair.jax(*x) ** 2).sum(), argnums=(2,))(*leaves)[0]
    tensors = [*map(torch.from_numpy, leaves)]
    weight = tensors[2].requires_grad_()
    (found.pair.torch(*tensors) ** 2).sum().backward()
    np.testing.assert_allclose(np.asarray(ours), weight.grad.numpy(), rtol=1e-4, atol=1e-4)


class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Linear(5, 4), nn.Linear(5, 4)

    def forward(self, x):
        return self.q(x) @ self.k(x).T / 4**0.5


@pytest.mark.full
def test_a_scale_that_is_in_the_weights_and_not_in_the_code_is_no_difference():
    module = Scores()
    w = {name: x.numpy() for name, x in module.state_dict().items()}
    params = {n: (w[f"{n}.weight"].T, w[f"{n}.bias"]) for n in "qk"}
    params["q"] = tuple(x * np.float32(0.5) for x in params["q"])

    def apply(p, x):
        return (x @ p["q"][0] + p["q"][1]) @ (x @ p["k"][0] + p["k"][1]).T

    pair = parity.Pair(jax=parity.Model(apply, params), torch=module, inputs={"x": (3, 5)})
    assert parity.check(pair)


def test_training_mode_changes_neither_inputs_nor_the_module():
    module = small().train()
    found = whole(
        parity.Pair(
            jax=parity.Model(function, tree(arrays(module))),
            torch=module,
            inputs={"x": (5, 3), "shift": (4,)},
            pick="y",
        )
    )
    before = arrays(module)["bn.running_mean"].copy()
    leaves = found.pair.arguments(np.random.default_rng(0)).leaves
    tensors = [torch.from_numpy(x.astype(np.float32)) for x in leaves]
    kept = [x.clone() for x in tensors]
    found.pair.torch(*tensors)
    assert all(torch.equal(x, y) for x, y in zip(tensors, kept, strict=True))
    assert np.array_equal(arrays(module)["bn.running_mean"], before)


def test_inputs_go_by_name_where_both_know_them_and_in_order_where_one_does_not():
    module = nn.Bilinear(2, 3, 4)

    def apply(params, right, left):
        return jnp.einsum("bi,kij,bj->bk", left, params["w"], right) + params["b"]

    params = {"w": module.weight.detach().numpy(), "b": module.bias.detach().numpy()}
    model = parity.Model(apply, params)
    inputs = {"input1": (5, 2), "input2": (5, 3)}
    found = whole(parity.Pair(jax=model, torch=module, inputs=inputs))
    leaves = found.pair.arguments(np.random.default_rng(0)).leaves
    with pytest.raises(ValueError, match="does not match"):  # the first is `right`, of another size
        found.pair.jax(*leaves)

    def renamed(params, input2, input1):
        return apply(params, input2, input1)

    found = whole(parity.Pair(jax=parity.Model(renamed, params), torch=module, inputs=inputs))
    leaves = [x.astype(np.float32) for x in found.pair.arguments(np.random.default_rng(0)).leaves]
    one = found.pair.torch(*map(torch.from_numpy, leaves)).numpy()
    np.testing.assert_allclose(one, np.asarray(found.pair.jax(*leaves)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["linen", "equinox"])
def test_models_initialised_apart_are_given_torchs_weights(kind):
    module = small()
    apart = {name: np.random.default_rng(0).random(x.shape) for name, x in arrays(module).items()}
    inputs = {"x": (5, 3), "shift": (4,)}
    pair = {"torch": module, "inputs": inputs, "pick": "y", "jax": KINDS[kind](apart)}
    assert len(whole(parity.Pair(**pair)).weights.unfed) == 6
    found = whole(parity.Pair(**pair, weights="structure"))
    assert not found.weights.unfed
    leaves = [x.astype(np.float32) for x in found.pair.arguments(np.random.default_rng(0)).leaves]
    one = found.pair.torch(*map(torch.from_numpy, leaves)).numpy()
    np.testing.assert_allclose(one, np.asarray(found.pair.jax(*leaves)), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ({"jax": (1, 2)}, "a tuple that is no model"),
        ({"jax": parity.Model(function, {}), "torch": torch.tanh}, "is a model and torch= is not"),
        ({"jax": jnp.tanh, "torch": torch.tanh, "pick": "y"}, "pick= is for two models"),
        ({"jax": jnp.tanh, "torch": nn.GELU(), "weights": "structure"}, "weights= is for two"),
    ],
)
def test_what_is_no_pair_of_models_is_said(pair, said):
    with pytest.raises(UsageError, match=said):
        is_of_models(parity.Pair(**{"torch": small(), "inputs": {"x": (2, 3)}} | pair))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ((Stateful(), {}), r"give \(transformed, params, state\)"),
        ((Transformed(), {}, {}), r"give \(transformed, params\)"),
    ],
)
def test_a_state_that_is_forgotten_or_not_asked_for_is_said(model, said):
    with pytest.raises(UsageError, match=said):
        whole(parity.Pair(jax=model, torch=small(), inputs={"x": (5, 3), "shift": (4,)}))


def test_a_module_against_a_plain_function_is_what_it_was():
    assert not is_of_models(parity.Pair(jax=jax.nn.gelu, torch=nn.GELU(), inputs={"x": (3,)}))


def test_a_key_that_is_not_there_is_said_with_those_that_are():
    module = small()
    inputs = {"x": (5, 3), "shift": (4,)}
    found = whole(
        parity.Pair(jax=linen(arrays(module)), torch=module, inputs=inputs, pick="logits")
    )
    leaves = [x.astype(np.float32) for x in found.pair.arguments(np.random.default_rng(0)).leaves]
    with pytest.raises(UsageError, match="'logits' is not in the output; there is y, nothing"):
        found.pair.torch(*map(torch.from_numpy, leaves))


def test_no_library_is_imported_that_the_models_do_not_use(monkeypatch):
    libraries = ("flax", "equinox", "haiku", "transformers", "optax")
    for name in [*sys.modules]:
        if name.partition(".")[0] in libraries:
            monkeypatch.delitem(sys.modules, name)
    for name in libraries:  # whoever imports one now fails
        monkeypatch.setitem(sys.modules, name, None)
    module = small()
    model = parity.Model(function, tree(arrays(module)))
    found = whole(parity.Pair(jax=model, torch=module, inputs={"x": (4, 3), "shift": (4,)}))
    assert not found.weights.unfed
