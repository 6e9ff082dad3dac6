"""Two models trained alike: right optimizers agree, others part at a step that is named.

What each case should come to stood here before any was run.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch import nn

import parity
from parity.errors import UsageError
from parity.models.sides import is_of_models, whole
from parity.models.training import trained
from parity.trial.trial import Trial
from tests.shared.sampled import few


class Tied(nn.Module):
    """A norm between an embedding and a head that is the embedding."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm = nn.Embedding(4, 3), nn.LayerNorm(3)

    def forward(self, ids):
        return self.norm(self.embed(ids)) @ self.embed.weight.T


def apply(params, ids):
    x = params["table"][ids]
    x = x - x.mean(-1, keepdims=True)
    x = x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * params["scale"] + params["bias"]
    return x @ params.get("head", params["table"].T)


def descent(rate):
    return lambda module: torch.optim.SGD(module.parameters(), rate, momentum=0.9)


def adam(module):
    return torch.optim.Adam(module.parameters(), 1e-3)


def decayed(module):
    return torch.optim.AdamW(module.parameters(), 1e-3)


CASES = {
    "momentum": (optax.sgd(0.1, momentum=0.9), descent(0.1), {}),
    "another rate": (optax.sgd(0.1, momentum=0.9), descent(0.11), dict.fromkeys("ens", 1)),
    "nesterov": (optax.sgd(0.1, 0.9, nesterov=True), descent(0.1), dict.fromkeys("ens", 1)),
    "adam": (optax.adam(1e-3), adam, {}),
    "another epsilon": (optax.adam(1e-3, eps=1e-6), adam, dict.fromkeys("ens", 1)),
    "decay": (optax.adamw(1e-3, weight_decay=1e-2), decayed, {}),
    # what is 0 at first does not decay in the first step
    "another decay": (optax.adamw(1e-3), decayed, {"e": 1, "n": 1, "s": 2}),
}
NAMES = {"e": "embed.weight", "n": "norm.weight", "s": "norm.bias"}


def cross_entropy(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


LOSS = (cross_entropy, lambda logits, labels: nn.functional.cross_entropy(logits, labels.long()))


def models(optimizer, head=False, **options):
    torch.manual_seed(0)
    module = Tied()
    w = {name: x.detach().numpy() for name, x in module.named_parameters()}
    params = {"table": w["embed.weight"], "scale": w["norm.weight"], "bias": w["norm.bias"]}
    if head:
        params["head"] = w["embed.weight"].T
    return parity.Pair(
        jax=parity.Model(apply, params),
        torch=module,
        inputs={"ids": np.array([0, 3, 1, 2, 2])},
        targets={"labels": np.array([3, 1, 1, 0, 2])},
        loss=LOSS,
        optimizer=optimizer,
        **options,
    )


def rows(pair, dtypes=("float64",)):
    found = whole(pair)
    trial = Trial(found.pair, 0, dtypes)
    return trained(found, trial.legs, trial.solved[0], dtypes)[0]


@pytest.mark.parametrize("case", few(CASES, "another decay"))
def test_the_step_at_which_a_parameter_parts_is_named(case):
    *optimizer, parted = CASES[case]
    found = rows(models(tuple(optimizer), steps=3))
    failed = [row.name for row in found if not row.verdict.passes]
    steps = {f"{NAMES[name]} after step {step}" for name, step in parted.items()}
    assert {*failed} == steps
    assert [int(name[-1]) for name in failed] == sorted(int(name[-1]) for name in failed)
    if failed:
        assert "in float64" in found[0].reason


@pytest.mark.full
def test_a_tied_weight_that_the_port_holds_twice_parts_at_the_first_step():
    found = rows(
        models((optax.sgd(0.1), lambda m: torch.optim.SGD(m.parameters(), 0.1)), head=True)
    )
    failed = {row.name for row in found if row.name.endswith("after step 1")}
    assert failed == {f"embed.weight in {leaf} after step 1" for leaf in ("table", "head")}


@pytest.mark.full
def test_a_check_says_it_and_trains_nothing_where_gradients_differ():
    report = parity.check(models(CASES["another rate"][:2], steps=2), dtypes=["float64"])
    said = "first in embed.weight after step 1, and in 2 more: Matches if factor = -0.11"
    assert report.told().startswith(said)
    assert (
        report.fault() == "fault: the two optimizers, which part; all outputs and gradients agree"
    )
    assert report.as_dict()["sections"][1]["steps"] == 2
    assert report.text().count("different: first in") == 1
    report = parity.check(models(CASES["momentum"][:2], steps=2), dtypes=["float64"])
    assert report, report.text()
    assert "and parameters over 2 steps of training" in report.told()
    wrong = parity.Model(lambda p, ids: apply(p, ids) * 2, models(None).jax.params)
    pair = models(CASES["momentum"][:2])
    report = parity.check(parity.Pair(**{**vars(pair), "jax": wrong}), dtypes=["float64"], budget=0)
    assert "nothing was trained: what is checked first has to agree" in report.notes


def test_what_makes_no_sense_is_said():
    with pytest.raises(UsageError, match=r"optimizer= is \(JAX's, torch's\)"):
        is_of_models(models(optax.sgd(0.1)))
    with pytest.raises(UsageError, match=r"steps=0: give 1 or more"):
        is_of_models(models((optax.sgd(0.1), decayed), steps=0))
    with pytest.raises(UsageError, match=r"targets= are for a loss"):
        is_of_models(parity.Pair(**{**vars(models(None)), "loss": None}))
    with pytest.raises(UsageError, match=r"loss= is for two models"):
        is_of_models(parity.Pair(jax=jnp.sin, torch=torch.sin, inputs=(), loss=LOSS))

    def lbfgs(module):
        return torch.optim.LBFGS(module.parameters())

    with pytest.raises(UsageError, match=r"optimizer=: torch's could not step: TypeError"):
        rows(models((optax.sgd(0.1), lbfgs)))


@pytest.mark.full
def test_the_tree_that_an_optimizer_is_given_has_what_is_trained_alone():
    seen = []

    def init(params):
        seen.append(jax.tree.map(jnp.shape, params))
        return optax.EmptyState()

    optimizer = optax.GradientTransformation(init, lambda g, state, params: (g, state))
    pair = models(
        (optimizer, lambda m: torch.optim.SGD(m.parameters(), 1.0, maximize=True)), steps=1
    )
    pair.torch.norm.bias.requires_grad_(False)
    assert all(row.verdict.passes for row in rows(pair))
    assert seen[0] == {"table": (4, 3), "scale": (3,), "bias": None}
