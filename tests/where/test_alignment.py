"""Where two functions part, found by their values: the right operation, on the right line."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import parity
from parity import Pair
from parity.frameworks import torch_recording
from parity.frameworks.recordings import Recording
from parity.pairs.legs import Legs
from parity.where.alignment import places, side_of
from parity.where.matching import roundings
from parity.where.parting import agreeing, apart
from tests.shared import healthy
from tests.shared.port_mistakes import MISTAKES, marked
from tests.shared.sampled import few

MOST = 5
"""Operations of a side that a region may have to count as the place."""

LARGE = {"loss_smoothing_over_the_others"}
"""Two formulas with nothing in common but what goes in: one operation more, the whole target."""
BESIDE = {"gru_update_turned_round"}
"""The line that reads what the marked one made: `(1 - z) * n + z * h` after `z = 1 - z`."""


def found(pair, seed=0):
    arguments = pair.arguments(np.random.default_rng(seed))
    return places(Legs(pair, arguments), arguments.leaves, seconds=60.0)


def lines(place):
    """Return every line of a region, and those of what first reads what comes out of it."""
    operations = [o for part in place.parts for o in (*part.operations, *part.readers[:1])]
    return {o.line.split(" ")[0] for o in operations}


def size(place):
    """Return the operations of the larger side, what a line calls counted once."""
    return max(len({(o.inside or o.kind, o.line) for o in part.makes}) for part in place.parts)


@pytest.mark.parametrize(
    "name",
    few(MISTAKES, "gru_reset_before_the_product", "attention_heads_not_moved_back", "conv_dilated"),
)
def test_a_mistake_is_placed(name):
    said = found(MISTAKES[name])
    assert said, "nothing is said"
    if name in BESIDE:
        assert not marked(name) & lines(said[0])
        return
    assert marked(name) & lines(said[0]), said[0].sentence
    assert size(said[0]) <= MOST + (name in LARGE), said[0].sentence


def test_what_is_said_is_right_for_nine_in_ten():
    assert len(LARGE | BESIDE) <= 0.1 * len(MISTAKES)
    assert len(BESIDE) <= 1


ALIKE = (
    "attention",
    "transformer block",
    "convolutional net",
    "20 residual layers",
    "variational autoencoder",
    "cross entropy",
    "softmax",
    "layer norm",
)
HEALTHY = {**healthy.contractions(), **healthy.reductions(), **healthy.nets()}


def sides(pair):
    arguments = pair.arguments(np.random.default_rng(0))
    legs = Legs(pair, arguments)
    return [side_of(legs, name, arguments.leaves) for name in ("jax", "torch")]


def healthy_pair(name):
    case = HEALTHY[name]

    def inputs(rng):
        return {f"x{place}": x for place, x in enumerate(case.inputs(rng))}

    return Pair(jax=case.jax, torch=case.torch, inputs=inputs)


@pytest.mark.parametrize("name", few(ALIKE, "transformer block"))
def test_what_is_healthy_aligns(name):
    jax_side, torch_side = sides(healthy_pair(name))
    assert not apart(jax_side, torch_side)
    for one, other in ((jax_side, torch_side), (torch_side, jax_side)):
        do, should = agreeing(one, other)
        assert do >= 0.9 * should > 0, f"{one.name}: {do} of {should}"


@pytest.fixture(scope="module")
def report():
    pair = MISTAKES["rms_norm_weight_without_one"]
    return parity.check(pair, dtypes=("float64",), budget=0.0)


def test_the_place_is_in_the_first_line(report):
    assert "first at add, port_mistakes.py:" in report.summary()
    assert "(torch), which jax does not do before mul, port_mistakes.py:" in report.summary()


def test_the_place_is_in_json(report):
    (place,) = report.as_dict()["sections"][0]["places"]
    assert place["sentence"] in report.summary()
    assert ("torch", "add") in [(row["side"], row["operation"]) for row in place["operations"]]


def named_jax(x, g):
    h = parity.name(x * 2, "h")
    return jnp.sin(h * g)


def named_torch(x, g):
    h = parity.name(x * 3, "h")
    return torch.sin(h * g)


def test_a_name_decides_where_it_is_given():
    pair = Pair(jax=named_jax, torch=named_torch, inputs={"x": (3,), "g": (3,)})
    found = parity.check(pair, dtypes=("float64",), budget=0.0)
    assert "introduced in h" in found.summary()
    assert found.as_dict()["sections"][0]["places"] == []


def test_a_region_is_looked_for_as_long_as_recording_took_some_times():
    pair = Pair(
        jax=lambda x: jnp.exp(jnp.sin(x)), torch=lambda x: x.cos().exp(), inputs={"x": (3,)}
    )
    arguments = pair.arguments(np.random.default_rng(0))
    assert len(places(Legs(pair, arguments), arguments.leaves, seconds=1e-9)) == 1


def test_two_mistakes_are_both_placed_in_order():
    def one(x, w):
        h = jnp.exp(jnp.tanh(x @ w + 1) @ w)
        return jnp.exp(jnp.cos(h) @ w)

    def other(x, w):
        h = torch.exp(torch.tanh(x @ w) @ w)
        return torch.exp(torch.sin(h) @ w)

    said = found(Pair(jax=one, torch=other, inputs={"x": (3, 4), "w": (4, 4)}))
    assert [place.sentence.split(",")[0] for place in said] == ["first at add", "first at cos"]


def test_what_two_sides_write_in_place_is_followed():
    def one(x):
        return jnp.stack([jnp.sin(x[0]), jnp.cos(x[1])]) * 2

    def other(x):
        out = torch.zeros_like(x)
        out[0] = torch.sin(x[0])
        out[1] = torch.sin(x[1])
        return out.mul_(2)

    (place,) = found(Pair(jax=one, torch=other, inputs={"x": (2, 3)}))
    assert "first at cos" in place.sentence
    assert "against sin" in place.sentence


def test_what_was_there_before_it_was_written_over_is_kept():
    def function(x):
        first = torch.sin(x)
        second = first.view(6)
        first.mul_(2)
        return {"out": first, "view": second}

    recording = torch_recording.recorded(function, [torch.ones(2, 3)], ["x"])
    kept = {o.kind: recording.values[o.outputs[0]] for o in recording.operations}
    np.testing.assert_array_equal(kept["sin"], np.full((2, 3), np.float32(np.sin(1))))
    np.testing.assert_array_equal(kept["mul"], 2 * kept["sin"])


def test_views_of_large_values_take_no_memory_of_their_own():
    def function(x):
        y = torch.sin(x)
        for _ in range(12):
            y = y.view(-1).view(x.shape)
        return {"out": y.t()}

    large = torch.ones(2**12, 2**14)  # a quarter of what a recording may hold
    recording = torch_recording.recorded(function, [large], ["x"])
    assert len({id(v) for v in recording.values}) > 20


def test_however_large_numbers_are_nothing_overflows():
    one, other = Recording(), Recording()
    one.hold(np.array([1e300, 1.0]))
    other.hold(np.array([-1e300, 1.0]))
    (far,) = roundings(one, [other], 2.0**-30)
    assert 0 < far < np.inf


@pytest.fixture
def memory_of_nan():
    """torch.empty takes memory that is full of NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_memory_that_nothing_has_written_is_recorded_as_zeros(memory_of_nan):
    recording = torch_recording.recorded(
        lambda x: {"out": F.pad(x, (1, 1), mode="circular")}, [torch.ones(1, 2, 4)], ["x"]
    )
    taken = [recording.values[o.outputs[0]] for o in recording.operations if "empty" in o.kind]
    assert taken
    assert not np.any(taken)
