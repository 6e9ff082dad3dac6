"""Where gradients part: the line of a wrong rule, in a network, and the line as it should be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import parity
from parity import Pair, Rule
from parity.checking import reasons
from parity.judge.compare import FLOAT64
from parity.pairs.legs import Legs
from parity.trial.exact import Exact
from parity.where.backward import gradient_places
from parity.where.culprits import Rules, Wanted, culprits
from parity.why.rule_mends import rules_mended
from tests.shared import jax_rules, torch_rules
from tests.shared.port_mistakes import marked
from tests.shared.sampled import few

FILES = {"jax": jax_rules, "torch": torch_rules}
WRONG = [(side, name) for side, file in FILES.items() for name in file.WRONG]

UNMENDED = {
    "layer_norm_without_its_mean",
    "weight_norm_held_still",
    "clip_passes_all",
    "straight_through_clipped",
    "norm_of_still_statistics",
    "reversal_without_its_sign",
}
"""A whole term is missing, or another path is meant."""


def solved(pair):
    """Return a pair's legs and its float64 problem, with a guess at its noise, nothing judged."""
    rng = np.random.default_rng(0)
    arguments = pair.arguments(rng)
    legs = Legs(pair, arguments)
    legs.check_structure(arguments.leaves)
    above = tuple(rng.standard_normal(x.shape) for x in legs.cotangents().values())
    values = (*arguments.leaves, *above)
    outcomes = {c: legs.run("written", legs.corners[c], FLOAT64, values) for c in legs.corners}

    def noise(outcome):
        return tuple(
            {name: np.full(x.shape, 1e3 * np.abs(x).max()) for name, x in part.items()}
            for part in outcome
        )

    own = {corner: noise(outcome) for corner, outcome in outcomes.items()}
    return legs, Exact(values, outcomes, own)


class Found:
    """What is said of one wrong side: places, and edits."""

    def __init__(self, side, pair):
        legs, problem = solved(pair)
        self.places = gradient_places(legs, problem, {side})
        self.lines = {line for place in self.places for line in place.lines}
        other = "jax" if side == "torch" else "torch"
        right = problem.outcomes[other][1]
        right_in = {name: (other,) for name in right}
        self.mends = rules_mended(side, legs, problem, right, right_in, self.lines)


@pytest.mark.parametrize(
    ("side", "name"),
    few(WRONG, ("torch", "gru_gate_of_the_wrong_sign"), ("jax", "sigmoid_of_the_wrong_sign")),
)
def test_a_wrong_rule_has_its_line(side, name):
    file = FILES[side]
    found, lines = Found(side, file.WRONG[name]), marked(name, file.__file__)
    said = [cause.sentence for cause in found.mends]
    mended = {cause.line for cause in found.mends}
    assert mended <= lines, said
    assert bool(mended) == (name not in UNMENDED)
    if mended:
        assert any(f"`{line}`" in said[0] for line in file.MENDED[name]), said
    else:
        assert found.lines & lines, [place.sentence for place in found.places]


def test_nine_in_ten_have_theirs():
    assert len(WRONG) - len(UNMENDED) >= 0.8 * len(WRONG)


def test_it_is_in_the_first_line_and_in_json():
    report = parity.check(torch_rules.WRONG["embedding_overwritten"], dtypes=("float64",))
    (line,) = marked("embedding_overwritten", torch_rules.__file__)
    assert f"right if {line} reads `dtable = empty.scatter_add(0, pla" in report.summary()
    assert f"; first at scatter in Embedding.backward, {line} (torch) against" in report.summary()
    (place,) = report.as_dict()["sections"][0]["places"]
    assert ("torch", "scatter") in [(row["side"], row["operation"]) for row in place["operations"]]


RIGHT = {name: pair for file in FILES.values() for name, pair in file.RIGHT.items()}


@pytest.mark.parametrize("name", few(RIGHT, "tanh"))
def test_where_gradients_agree_nothing_is_run(name, monkeypatch):
    monkeypatch.setattr(reasons, "gradient_places", pytest.fail)
    assert parity.check(RIGHT[name], dtypes=("float64",))


@pytest.mark.parametrize(
    ("side", "name"), few([("torch", "layer norm"), ("jax", "softmax")], ("jax", "softmax"))
)
def test_a_right_rule_is_never_the_culprit(side, name):
    legs, problem = solved(RIGHT[name])
    doubled = {key: 2 * x for key, x in problem.outcomes[side][1].items()}
    assert not culprits(legs, side, Wanted(problem.values, doubled, problem.noises(1)))
    calls = Rules(legs, side).calls(problem.values)
    assert calls
    assert all(call.agrees(call.got) for call in calls)


def two_torch(x, w, v):
    h = torch_rules.Tanh.apply(x @ w / 2)
    return torch_rules.Softmax.apply(h @ v) @ v.T


def two_right(x, w, v):
    return jax.nn.softmax(jnp.tanh(x @ w / 2) @ v) @ v.T


@pytest.mark.full
def test_two_wrong_rules_are_both_said_and_mended():
    pair = Pair(jax=two_right, torch=two_torch, inputs={"x": (3, 4), "w": (4, 5), "v": (5, 3)})
    found = Found("torch", pair)
    assert [p.sentence.split(",")[0] for p in found.places] == [
        "in Softmax.backward",
        "in Tanh.backward",
    ]
    lines = [*marked("tanh_without_its_square", torch_rules.__file__)]
    lines += marked("softmax_along_the_other_axis", torch_rules.__file__)
    assert sorted(cause.line for cause in found.mends) == sorted(lines)


def test_the_users_rule_is_what_it_was():
    before = torch_rules.Tanh.backward, torch_rules.Tanh.forward, jax_rules.softmax.bwd
    Found("torch", torch_rules.WRONG["tanh_without_its_square"])
    assert before == (torch_rules.Tanh.backward, torch_rules.Tanh.forward, jax_rules.softmax.bwd)


def cube_backward(x, dout):
    return (dout * x**2,)  # <- a_rule_of_the_pair


@pytest.mark.full
def test_a_rule_of_the_pair_has_a_place():
    rule = Rule(lambda x: (torch.sin(x) * x**3 / 3, x), cube_backward)
    pair = Pair(jax=lambda x: jnp.sin(x) * x**3 / 3, torch=rule, inputs={"x": (2, 3)})
    (place,) = gradient_places(*solved(pair), {"torch.rule"})
    assert marked("a_rule_of_the_pair", __file__) & place.lines or "backward" in place.sentence
