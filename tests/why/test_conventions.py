"""Conventions found by trying: what restores parity is named, and nothing that does not."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import parity.checking.reasons
import parity.why.conventions.search
import parity.why.conventions.tries
from parity import Pair, check
from parity.frameworks import jax_program
from parity.judge.cause import Kind
from parity.pairs.finding import find
from parity.trial.trial import Trial
from parity.why.conventions.change import Change
from parity.why.conventions.rerun import Rerun
from parity.why.conventions.search import Explanation
from tests.checking.test_pairs import CONVENTION, EXPECTED, FOLDER
from tests.shared.convention_pairs import CASES
from tests.shared.sampled import few

X = {"x": (7, 5)}

QUICK = [
    "eps outside the square root",
    "attention, scaled or not",
    "a square weight transposed",
    "momentum is the weight of the old, or of the new",
    "ignored index",
    "Adam, eps inside the root",
]
"""One of most kinds: operation, factor, layout, weights, rows; eps is in the pages' own test."""


def causes(pair, **options):
    report = check(pair, **options)
    row = next(row for row in report.rows if not row.verdict.passes)
    assert str(row.verdict) == "convention", report.text()
    return [cause.sentence for cause in row.causes], report


@pytest.mark.parametrize("name", few(QUICK, *QUICK[:4]))
def test_the_convention_is_named(name):
    said, _ = causes(CASES[name].pair, dtypes=["float64"])
    assert any(re.search(CASES[name].says, sentence) for sentence in said), said


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_every_convention_is_named_behind_a_lambda(name):
    """No name of a function decides anything, and two seeds have to agree."""
    pair = CASES[name].pair
    hidden = Pair(
        jax=lambda *a: pair.jax(*a),
        torch=lambda *a: pair.torch(*a),
        inputs=pair.inputs,
        forward_only=pair.forward_only,
    )
    said, report = causes(hidden, seeds=2)
    assert any(re.search(CASES[name].says, sentence) for sentence in said), report.text()


SAYS = {
    "gelu_defaults": r"approximate",
    "softplus": r"threshold = inf \(torch side has 20",
    "median": r"two middle elements",
    "layer_norm_defaults": r"eps.* = 1e-5 \(jax side has 1e-6",
    "layer_norm_small": r"eps.* = 1e-5 \(jax side has 1e-6",
    "rms_norm_defaults": r"eps.* = 1e-6 \(torch side has 2.22045e-16",
    "group_norm_defaults": r"eps.* = 1e-5 \(jax side has 1e-6",
    "batch_norm_running_var": r"n/\(n - 1\)",
    "variance": r"ddof = 1 \(jax side has 0|correction = 0",
    "deviation": r"ddof = 1 \(jax side has 0|correction = 0",
    "ignore_index": r"labels = -100 are left out",
    "kl_mean": r"divisor|multiplied by",
    "l2_loss": r"factor = 1 \(jax side has 0.5|multiplied by 2",
    "smooth_l1": r"multiplied by 2|divides by 0\.5",
    "ctc_mean": r"divisor = \d \(jax side has 1|multiplied by 0.\d+ = 1/\d|only torch divides by",
    "triplet": r"epsilon = 0 \(jax side has 1e-6.* and epsilon = 0 \(torch side has 1e-6",
    "binary_cross_entropy": r"= -inf \(torch side has -100",
}


def test_every_convention_of_the_examples_has_its_words():
    expected = {n for own in EXPECTED.values() for n, what in own.items() if what == CONVENTION}
    assert expected == set(SAYS)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("name", SAYS)
def test_the_examples_conventions_are_named(name):
    pytest.importorskip("optax")
    pytest.importorskip("flax")
    file = next(file for file, own in EXPECTED.items() if name in own)
    for pair in find(str(FOLDER / f"{file}.py"), f"{name}["):
        hidden = Pair(
            jax=lambda *a, f=pair.jax: f(*a),
            torch=lambda *a, f=pair.torch: f(*a),
            inputs=pair.inputs,
            forward_only=pair.forward_only,
        )
        said, report = causes(hidden, seeds=2, dtypes=["float64"])
        assert any(re.search(SAYS[name], sentence) for sentence in said), report.text()


@pytest.mark.full
def test_a_loop_that_a_change_keeps_from_ending_is_ended(monkeypatch):
    """With another tolerance, or for a negative number, this never ends; both are tried."""
    monkeypatch.setattr(jax_program, "TURNS", 100)
    monkeypatch.setattr(parity.why.conventions.search, "BASES", 0)

    def root(x):
        return jax.lax.while_loop(
            lambda s: jnp.abs(s * s - x - 5).max() > 1e-3, lambda s: (s + (x + 5) / s) / 2, x + 5
        )

    pair = Pair(jax=root, torch=lambda x: x.sin() - 1e-9, inputs={"x": (3,)}, forward_only=True)
    said, report = causes(pair, dtypes=["float64"])
    assert said == []
    assert any("no change that was tried restores parity" in note for note in report.notes)


def conventions(report):
    return [c for row in report.rows for c in row.causes if c.kind is Kind.CONVENTION]


def test_a_gradient_by_hand_is_not_replaced_unseen():
    """torch's rule below is wrong; its program has autograd's gradient, and restores nothing."""

    class Halved(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 3.0

        @staticmethod
        def backward(ctx, dout):
            return dout

    report = check(Pair(jax=lambda x: x * 2.0, torch=Halved.apply, inputs=X), dtypes=["float64"])
    assert not conventions(report), report.text()


def test_where_nothing_is_found_nothing_is_named_and_a_long_search_says_how_it_goes(monkeypatch):
    monkeypatch.setattr(parity.why.conventions.tries, "QUIET", 0.0)
    heard, pair = [], Pair(jax=jnp.sin, torch=torch.atan, inputs=X)
    said, report = causes(pair, dtypes=["float64"], told=heard.append)
    assert said == []
    assert any(re.search(r"looking for what restores parity: \d+ runs so far", x) for x in heard)
    assert any("no change that was tried restores parity" in note for note in report.notes)


@pytest.mark.full
def test_a_change_that_restores_only_the_outputs_is_not_named():
    """eps would do for the forward; but one side's gradient stops at the root."""

    def stopped(x):
        size = jax.lax.stop_gradient(jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-2))
        return x / size

    def whole(x):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-3)

    report = check(Pair(jax=stopped, torch=whole, inputs=X), dtypes=["float64"])
    assert not conventions(report), report.text()


@pytest.mark.full
def test_what_holds_on_one_seed_only_is_not_named():
    def inputs(rng):
        return {"x": rng.normal(size=(4, 3)), "k": np.array(2 if rng.random() > 0.5 else 3)}

    pair = Pair(jax=lambda x, k: x * k, torch=lambda x, k: x * (5 - k), inputs=inputs)
    one, _ = causes(pair, seeds=[0], dtypes=["float64"])
    assert any("multiplied by" in sentence for sentence in one)
    ks = [int(pair.arguments(np.random.default_rng(s)).leaves[1]) for s in range(6)]
    other = next(s for s in range(6) if ks[s] != ks[0])
    several = check(pair, seeds=[0, other], dtypes=["float64"])
    assert not any(row.causes for row in several.rows)


def test_rows_are_left_out_by_each_problems_own_numbers():
    pair = Pair(
        jax=lambda x, y: jnp.sin(x).sum(0),
        torch=lambda x, y: torch.sin(x[y != 3]).sum(0),
        inputs=lambda rng: {"x": rng.normal(size=(9, 2)), "y": rng.permutation(9) % 5},
    )
    trials = [Trial(pair, seed, ("float64",)) for seed in (0, 1)]
    rerun = Rerun(trials[0].legs, [problem for trial in trials for problem in trial.solved])
    change = Change("jax", left_out=(("y", 3.0),))
    with rerun.exactly():
        assert rerun.far({}) == np.inf
        assert rerun.far({"jax": change}) <= 32


def test_nothing_is_searched_where_two_sides_agree(monkeypatch):
    def never(*_: object) -> Explanation:
        raise AssertionError("searched")

    monkeypatch.setattr(parity.checking.reasons, "explain", never)
    kink = Pair(jax=jnp.abs, torch=torch.abs, inputs=lambda rng: {"x": np.zeros(3)})
    assert check(Pair(jax=jnp.tanh, torch=torch.tanh, inputs=X), dtypes=["float64"])
    assert check(kink, dtypes=["float64"])
    notes = check(Pair(jax=jnp.tanh, torch=torch.sin, inputs=X), dtypes=["float64"]).notes
    assert any("AssertionError: searched" in note for note in notes)


def test_state_that_a_function_closes_over_is_left_as_it_was():
    layer = torch.nn.BatchNorm1d(5, dtype=torch.float64).eval()
    layer.running_var.fill_(2.0)
    before = {name: x.clone() for name, x in layer.state_dict().items()}

    def normed(x):
        return x / jnp.sqrt(2.0 + 1e-3)

    said, _ = causes(Pair(jax=normed, torch=layer, inputs=X), dtypes=["float64"])
    assert any("1e-5" in sentence for sentence in said)
    assert all(torch.equal(x, before[name]) for name, x in layer.state_dict().items())


@pytest.mark.parametrize(
    ("jax_side", "torch_side", "inputs", "says"),
    [
        (lambda x: x.T, lambda x: x * 1, {"x": (7, 5)}, "the output is transposed"),
        (
            lambda x: x.mean((1, 2)),
            lambda x: x.mean((2, 3)),
            {"x": (2, 3, 4, 5)},
            r"axes in the order \[0, 2, 3, 1\]",
        ),
    ],
)
def test_an_axis_order_that_keeps_two_sides_apart_is_named(jax_side, torch_side, inputs, says):
    report = check(Pair(jax=jax_side, torch=torch_side, inputs=inputs), dtypes=["float64"])
    assert str(report.verdict) == "not comparable"
    assert any(re.search(says, c.sentence) for c in report.rows[0].causes)


def test_an_axis_order_that_is_right_for_one_seed_alone_is_not_named():
    """Over one axis or the other, the sum of what is symmetric is the same: on seed 0."""

    def inputs(rng):
        x, symmetric = rng.normal(size=(4, 4, 2)), rng.random() < 0.5
        return {"x": x + x.swapaxes(0, 1) if symmetric else x}

    pair = Pair(jax=lambda x: x.sum(2), torch=lambda x: x.sum(0), inputs=inputs, forward_only=True)
    report = check(pair, seeds=[0], dtypes=["float64"])
    said = [cause.sentence for row in report.rows for cause in row.causes]
    assert any("[1, 2, 0]" in sentence for sentence in said), report.text()
    assert not any("[0, 2, 1]" in sentence for sentence in said), said


def test_the_error_of_a_call_that_another_axis_order_mends_says_so():
    pair = Pair(jax=lambda x, w: x @ w, torch=F.linear, inputs={"x": (7, 5), "w": (4, 5)})
    with pytest.raises(parity.UsageError, match="Matches if input w is transposed"):
        check(pair, dtypes=["float64"])


def test_the_report_shows_and_writes_the_cause():
    pair = CASES["variance by hand"].pair
    _, report = causes(pair, dtypes=["float64"])
    assert "Matches if" in report.summary()
    assert "Matches if" in report.text()
    row = json.loads(json.dumps(report.as_dict()))["sections"][0]["forward"][0]
    assert row["causes"][0]["kind"] == "convention"
    assert row["causes"][0]["sentence"].startswith("Matches if")
    assert "sigma" in row["causes"][0]["evidence"]


@pytest.mark.full
def test_healthy_programs_are_recorded_as_they_are():
    """A program run unchanged gives the function's own outputs, on both sides of every case."""
    for case in CASES.values():
        trial = Trial(case.pair, 0, ("float64",))
        rerun = Rerun(trial.legs, trial.solved)
        with rerun.exactly():
            for side in rerun.sides:
                for number in range(len(rerun.programs(side))):
                    same = Change(side, program=number)
                    out = rerun.forward(side, same)
                    assert rerun.distance(0, out, rerun.forward(side, None), 0) <= 32, case
