"""Weights converted wrongly are named; right ones, squares above all, never are."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import parity
from parity.models.conversion import wrongly_converted
from parity.models.layout import whole as entire
from parity.models.match import Decided, Match, Weights
from parity.models.sides import whole
from parity.models.use import by_use
from parity.pairs.legs import Legs


class Tied(nn.Module):
    """An embedding, two square layers, and a head that is the embedding."""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(7, 4)
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, ids):
        return self.head(torch.tanh(self.b(torch.tanh(self.a(self.wte(ids))))))


def apply(params, ids):
    x = params["wte"][ids]
    for name in "ab":
        x = jnp.tanh(x @ params[name]["kernel"] + params[name]["bias"])
    return x @ params["head"]


def converted(module):
    w = {name: x.numpy() for name, x in module.state_dict().items()}
    layers = {n: {"kernel": w[f"{n}.weight"].T, "bias": w[f"{n}.bias"]} for n in "ab"}
    return {"wte": w["wte.weight"], "head": w["head.weight"].T, **layers}


def right(params, rng):
    """As it should be."""


def both_squares_as_they_are(params, rng):
    for name in "ab":
        params[name]["kernel"] = params[name]["kernel"].T


def tie_forgotten(params, rng):
    params["head"] = rng.normal(size=(4, 7)).astype(np.float32)


def exchanged(params, rng):
    params["a"], params["b"] = params["b"], params["a"]


def bias_forgotten(params, rng):
    params["b"]["bias"] = np.zeros(4, np.float32)


CASES = {
    both_squares_as_they_are: "a/kernel holds a.weight [4, 4] as it is, and so does b/kernel; "
    "transposed, all outputs agree",
    tie_forgotten: "head holds numbers of its own; with wte.weight, which torch ties to "
    "head.weight, transposed in its place, all outputs agree",
    exchanged: "a/bias holds b.bias and a/kernel holds b.weight and b/bias holds a.bias and "
    "b/kernel holds a.weight; exchanged, all outputs agree",
    bias_forgotten: "b/bias holds numbers of its own; with b.bias as it is in its place, all "
    "outputs agree",
}


def pair_of(mistake):
    torch.manual_seed(0)
    module = Tied()
    params = converted(module)
    mistake(params, np.random.default_rng(0))
    ids = np.array([[0, 3, 6], [5, 1, 2]])
    return parity.Pair(jax=parity.Model(apply, params), torch=module, inputs={"ids": ids})


@pytest.mark.parametrize("mistake", CASES)
def test_the_conversion_that_would_be_right_is_said(mistake):
    found = whole(pair_of(mistake))
    arguments = found.pair.arguments(np.random.default_rng(0))
    legs = Legs(found.pair, arguments)
    legs.check_structure(arguments.leaves)
    cause = wrongly_converted(found, legs, arguments.leaves)
    assert cause is not None
    assert cause.sentence == CASES[mistake]


@pytest.mark.full
def test_a_check_says_it_first_and_a_right_square_passes():
    report = parity.check(pair_of(both_squares_as_they_are), dtypes=["float64"])
    assert CASES[both_squares_as_they_are] in report.told()
    assert report.fault().startswith("fault: the conversion of weights")
    report = parity.check(pair_of(right), dtypes=["float64"])
    assert report, report.text()
    assert any("wte.weight, which torch ties to head.weight" in note for note in report.notes)


def test_a_guess_that_gradients_refute_is_put_right_by_them():
    shapes = dict.fromkeys(("p.weight", "q.weight", "r.weight"), (3,))
    layouts = {name: entire(name, (3,), (0,), (3,)) for name in shapes}
    others = tuple(layouts.values())
    matches = {
        leaf: Match(leaf, layouts[name], Decided.ORDER, others)
        for leaf, name in (("x", "p.weight"), ("y", "q.weight"), ("z", "r.weight"))
    }
    guessed = Weights(matches, {}, {}, shapes)
    rng = np.random.default_rng(0)
    p, q, r = rng.normal(size=(3, 3))
    ours = {"p.weight": p, "q.weight": q, "r.weight": r}
    theirs = {"p.weight": q, "q.weight": p, "r.weight": r}
    found = by_use(guessed, ours, theirs)
    assert [m.layout.sources() for m in found.matches.values()] == [
        ("q.weight",),
        ("p.weight",),
        ("r.weight",),
    ]
    assert [m.decided for m in found.matches.values()] == [Decided.USE, Decided.USE, Decided.ORDER]
    assert by_use(guessed, ours, ours) is None
    assert by_use(guessed, ours, {"p.weight": q + 1, "q.weight": p, "r.weight": r}) is None
    sure = {leaf: Match(leaf, m.layout, Decided.VALUE) for leaf, m in matches.items()}
    assert by_use(Weights(sure, {}, {}, shapes), ours, theirs) is None
