"""The tree of modules: where a difference begins, there or back; nothing of mere other ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import parity
from parity.models.modules import parts, statuses
from parity.models.sides import whole
from parity.pairs.legs import Legs
from parity.trial.trial import Trial
from tests.shared.sampled import few


class Fused(nn.Module):
    """Three parts of one matrix, a scale that another may fold into it, and a last layer."""

    def __init__(self):
        super().__init__()
        self.fused, self.norm, self.last = nn.Linear(4, 6), nn.LayerNorm(2), nn.Linear(2, 3)
        self.norm.weight.data = torch.tensor([0.7, 1.3])

    def forward(self, x):
        q, k, v = self.fused(x).chunk(3, -1)
        return self.last(self.norm(torch.tanh(q) * torch.sigmoid(k) + v))


def apply(params, x, fault=0.0):
    w = params["fused.weight"].reshape(3, 2, 4)
    b = params["fused.bias"].reshape(3, 2)
    q, k, v = (x @ w[i].T + b[i] for i in range(3))
    h = jnp.tanh(q) / (1 + jnp.exp(-k)) + v
    centred = h - h.mean(-1, keepdims=True)
    h = centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5 + fault)
    h = h * params["norm.weight"] + params["norm.bias"]
    return h @ params["last.weight"].T + params["last.bias"]


def set_up(function):
    torch.manual_seed(0)
    module = Fused()
    params = {name: x.numpy() for name, x in module.state_dict().items()}
    models = whole(
        parity.Pair(jax=parity.Model(function, params), torch=module, inputs={"x": (5, 4)})
    )
    arguments = models.pair.arguments(np.random.default_rng(0))
    legs = Legs(models.pair, arguments)
    legs.check_structure(arguments.leaves)
    return models, legs


def found_in(function):
    models, legs = set_up(function)
    return statuses(models, legs, legs.arguments.leaves)


def test_what_is_made_in_parts_is_right_and_what_follows_a_fault_is_inherited():
    status = found_in(lambda params, x: apply(params, x, fault=1e-3))
    assert status == {
        "fused": "right",
        "norm": "introduced",
        "last": "inherited",
        "": "introduced",
    }


def test_what_is_nowhere_in_jax_is_not_said_to_be_wrong_where_all_it_goes_into_is_right():
    def folded(params, x):
        last = params["last.weight"] * params["norm.weight"]  # the scale is the next layer's
        bias = params["last.bias"] + params["last.weight"] @ params["norm.bias"]
        new = {"last.weight": last, "last.bias": bias, "norm.weight": jnp.ones(2) * 2}
        new |= {"norm.bias": jnp.zeros(2)}
        return apply({**params, **new, "last.weight": last / 2}, x)

    assert found_in(folded) == {"fused": "right", "norm": "", "last": "right", "": "right"}


@jax.custom_vjp
def doubled_back(x):
    return x


doubled_back.defvjp(lambda x: (x, None), lambda _, g: (2 * g,))


def test_on_the_way_back_a_wrong_gradient_has_its_module():
    def wrong(params, x):
        w, b = params["fused.weight"].reshape(3, 2, 4), params["fused.bias"].reshape(3, 2)
        q, k, v = (x @ w[i].T + b[i] for i in range(3))
        h = jnp.tanh(q) * jax.nn.sigmoid(k) + v
        h = doubled_back(h - h.mean(-1, keepdims=True))
        h = h / jnp.sqrt((h**2).mean(-1, keepdims=True) + 1e-5)
        h = h * params["norm.weight"] + params["norm.bias"]
        return h @ params["last.weight"].T + params["last.bias"]

    models, legs = set_up(wrong)
    trial = Trial(models.pair, 0, ("float64",), legs)
    rows = [*trial.forward(), *trial.gradients()]
    status = {p.name: p.status for p in parts(models, legs, rows, trial.solved[0].values)}
    assert status == {
        "": "introduced",
        "fused": "inherited",
        "norm": "introduced",
        "last": "right",
    }


class Square(nn.Module):
    """Two norms whose numbers are the same, and a square."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.LayerNorm(3), nn.LayerNorm(3), nn.Linear(3, 3)

    def forward(self, x):
        return self.b(self.fc(self.a(x)))


def normed(x, p):
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p["w"] + p["b"]


@pytest.mark.parametrize("turned", few([False, True], False))
def test_a_check_of_models_from_end_to_end(turned):
    torch.manual_seed(0)
    module = Square()
    w = {name: x.numpy() for name, x in module.state_dict().items()}
    params = {n: {"w": w[f"{n}.weight"], "b": w[f"{n}.bias"]} for n in "ab"}
    params["fc"] = {"w": w["fc.weight"] if turned else w["fc.weight"].T, "b": w["fc.bias"]}

    def exchanged(p, x):  # by its names a is the first norm, by its use the second
        return normed(normed(x, p["b"]) @ p["fc"]["w"] + p["fc"]["b"], p["a"])

    model = parity.Model(exchanged, params)
    report = parity.check(
        parity.Pair(jax=model, torch=module, inputs={"x": (4, 3)}), dtypes=["float64"], budget=9
    )
    section = report.as_dict()["sections"][0]
    weights = {x["name"]: x for part in section["modules"] for x in part["weights"]}
    assert [*weights] == ["a.weight", "a.bias", "b.weight", "b.bias", "fc.weight", "fc.bias"]
    assert weights["fc.weight"]["path"] == "fc/w"
    if turned:
        said = "fc/w holds fc.weight [3, 3] as it is; transposed, all outputs agree"
        assert said in report.told()
        assert weights["a.weight"]["decided"] == "name"
        assert "matched by name or order" in report.notes[-1]
        return
    assert report, report.text()
    assert weights["a.weight"]["path"] == "b/w"
    assert weights["a.weight"]["decided"] == "use"
    assert {part["status"] for part in section["modules"]} == {"right"}
