"""The notebook's own batch and constructed ones: what is shown, what passes, what is said."""

import inspect

import numpy as np
import pytest
import torch

from parity.errors import ParityError, UsageError
from parity.judge.verdict import Verdict
from parity.makemore.data import load
from parity.makemore.exercises import EXERCISES, layer_inputs
from parity.makemore.figures import exercise_1
from parity.makemore.notebook import FLOAT32, FLOAT64, Bench, Options, batches, run
from parity.makemore.published import NOTEBOOK, read
from torch_ref import chunked, ops

NOTEBOOK_ORDER = (  # as its cells compare them
    "logprobs probs counts_sum_inv counts_sum counts norm_logits logit_maxes logits h W2 b2 "
    "hpreact bngain bnbias bnraw bnvar_inv bnvar bndiff2 bndiff bnmeani hprebn embcat W1 b1 emb C"
).split()

BOTH = (FLOAT32, FLOAT64)


@pytest.fixture(scope="module")
def report():
    return run(Options())


@pytest.fixture(scope="module")
def benches():
    return {number: Bench(exercise) for number, exercise in EXERCISES.items()}


@pytest.fixture(scope="module")
def batch():
    """The report's own sizes, for which everything is compiled already."""
    return next(batches(Options(), load()))


@pytest.fixture(scope="module")
def layers():
    return layer_inputs()


def verdicts(judged, dtype="float32"):
    return {row.name: row.verdict for row in judged.gradients if row.dtype == dtype}


def passes(judged):
    return all(row.verdict.passes for row in (*judged.forward, *judged.gradients))


def test_all_26_gradients_agree_in_the_notebooks_order(report):
    first = report.sections[0]
    assert [row.name for row in first.gradients if row.dtype == "float32"] == NOTEBOOK_ORDER
    assert [row.name for row in first.gradients if row.dtype == "float64"] == NOTEBOOK_ORDER
    assert report.exit_code() == 0
    assert report.verdict in (Verdict.ROUNDING, Verdict.LESS_ACCURATE)
    for row in report.rows:
        assert {"jax", "jax.grad", "torch", "autograd"} <= set(row.distances)
        assert row.sigmas < 8  # measured: below 3; 32 would still pass


def test_the_table_has_26_rows(report):
    lines = report.text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("logprobs"))
    assert [line.split()[0] for line in lines[start : start + 26]] == NOTEBOOK_ORDER
    assert lines[-1].startswith("rounding: 30 gradients in float32 and float64; farthest ")


def test_the_pattern_of_exactness_is_the_notebooks(report):
    """By hand, torch is bit-equal to autograd down to the tanh, whose backward rounds once less.

    Where torch was compiled without fused multiply-add, the tanh is equal too, and so is the rest.
    """
    equal = {
        row.name: any(p.exact for p in row.pairs if (p.left, p.right) == ("torch", "autograd"))
        for row in report.sections[0].gradients
        if row.dtype == "float32"
    }
    fused = torch.backends.cpu.get_cpu_capability() != "DEFAULT"
    expected = NOTEBOOK_ORDER[:11] if fused else NOTEBOOK_ORDER
    assert [name for name, same in equal.items() if same] == expected


def test_what_the_loss_cannot_see_is_marked(report):
    rows = report.sections[0].gradients
    assert {row.name for row in rows if row.zero} == {"logit_maxes", "b1"}


def test_the_published_loss():
    published = read(NOTEBOOK)
    for framework, most in (("jax", 2), ("torch", 0)):
        loss, printed = exercise_1(published, framework, published.dataset())
        assert loss.published == "3.3360559940338135"
        assert loss.ulp <= most
        assert (printed.published, printed.holds) == ("3.3361", True)


def test_the_report_can_be_asserted(report):
    report.assert_ok()
    broken = report.sections[0].gradients[0]
    object.__setattr__(broken, "verdict", Verdict.DIFFERENT)
    try:
        with pytest.raises(ParityError, match="logprobs") as caught:
            report.assert_ok()
        assert caught.value.report is report
    finally:
        object.__setattr__(broken, "verdict", Verdict.IDENTICAL)


def test_a_tie_in_the_maximum_is_said_not_failed(benches, batch):
    W2, b2 = batch["W2"].copy(), batch["b2"].copy()
    W2[:, 5] = W2[:, 3]
    b2[[3, 5]] = 3
    judged = benches[1].judge(batch | {"W2": W2, "b2": b2}, BOTH, 0)
    assert judged.ties == 32
    assert passes(judged)
    assert benches[1].judge(batch, BOTH, 0).ties == 0


def test_a_constant_column_and_equal_rows(benches, batch):
    W1 = batch["W1"].copy()
    W1[:, 2] = 0
    assert passes(benches[1].judge(batch | {"W1": W1}, BOTH, 0))
    same = batch | {"Xb": np.repeat(batch["Xb"][:1], 32, 0)}
    assert passes(benches[1].judge(same, BOTH, 0))


def test_saturated_tanh(benches, batch):
    assert passes(benches[1].judge(batch | {"bngain": batch["bngain"] * 30}, BOTH, 0))


def test_logits_near_100_differ_by_the_subnormal_convention(benches, batch, layers):
    high = batch | {"b2": np.where(np.arange(27) % 2, 100, 0).astype(np.float32)}
    high |= layers(high)
    first = benches[1].judge(high, BOTH, 0)
    found = verdicts(first)
    assert found["logprobs"] is Verdict.IDENTICAL
    assert found["probs"] is Verdict.CONVENTION
    reasons = {row.reason for row in first.gradients if row.verdict is Verdict.CONVENTION}
    assert all("first in counts" in reason for reason in reasons)
    assert set(verdicts(first, "float64").values()) <= {Verdict.ROUNDING, Verdict.IDENTICAL}
    assert passes(benches[2].judge(high, BOTH, 0))
    assert np.isfinite(benches[2].judge(high, BOTH, 0).losses["float32"]["jax"])


def test_logits_of_10000_are_0_over_0_step_by_step_and_right_in_one_go(benches, batch, layers):
    high = batch | {"b2": np.where(np.arange(27) % 2, 1e4, 0).astype(np.float32)}
    high |= layers(high)
    first = benches[1].judge(high, BOTH, 0)
    row = next(row for row in first.gradients if row.name == "probs")
    assert row.verdict is Verdict.NOT_COMPARABLE
    assert "NaN in every corner" in row.reason
    second = benches[2].judge(high, BOTH, 0)
    assert passes(second)
    assert all(np.isfinite(loss) for loss in second.losses["float32"].values())


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_poison_in_the_inputs_is_reported_not_passed(benches, batch, poison):
    b2 = batch["b2"].copy()
    b2[3] = poison
    judged = benches[1].judge(batch | {"b2": b2}, BOTH, 0)
    assert verdicts(judged)["logits"] is Verdict.NOT_COMPARABLE


def test_poison_in_one_corner_names_it(benches, batch, monkeypatch):
    bench = benches[2]
    batch = batch | layer_inputs()(batch)
    side, function, compiled = bench.corners["torch"]

    def poisoned(*inputs):
        forward, gradients = compiled(*inputs)
        return forward, {name: value * float("nan") for name, value in gradients.items()}

    monkeypatch.setitem(bench.corners, "torch", (side, function, poisoned))
    judged = bench.judge(batch, BOTH, 0)
    assert all(row.odd == ("torch",) for row in judged.gradients)
    assert not passes(judged)


@pytest.mark.parametrize("corner", ["torch", "autograd"])
def test_a_function_that_changes_its_inputs_is_refused(benches, batch, corner, monkeypatch):
    bench = benches[2]
    batch = batch | layer_inputs()(batch)
    side, function, compiled = bench.corners[corner]

    def careless(logits, *rest):
        outcome = compiled(logits, *rest)
        logits -= 1
        return outcome

    monkeypatch.setitem(bench.corners, corner, (side, function, careless))
    with pytest.raises(ParityError, match="torch changed its own inputs"):
        bench.judge(batch, BOTH, 0)


def edited(module, function, old, new, monkeypatch):
    """Put a module's function in place as it is with one edit of the source."""
    source = inspect.getsource(module)
    assert old in source
    names = dict(vars(module))
    exec(compile(source.replace(old, new), module.__file__, "exec"), names)
    monkeypatch.setattr(module, function, names[function])


@pytest.mark.full
def test_a_wrong_line_is_introduced_what_follows_inherited_and_the_cause_named(monkeypatch):
    edited(chunked, "backward", "1 / (n - 1) * torch.ones", "1 / n * torch.ones", monkeypatch)
    edited(ops, "batchnorm_backward", "(n * dhpreact - ", "(dhpreact - ", monkeypatch)
    report = run(Options(n_hidden=16, batch_size=7, exercises=(1, 3), dtype="float64"))
    first, third = report.sections
    places = {row.name: row.place for row in first.gradients if row.place}
    follow = "bndiff hprebn embcat W1 emb C".split()
    assert places == {"bndiff2": "introduced"} | dict.fromkeys(follow, "inherited")
    causes = {row.name: row.causes for row in first.gradients if row.causes}
    assert [*causes] == ["bndiff2"]
    assert causes["bndiff2"][0].key == "(n-1)/n"
    assert "factor 0.857143 = (n-1)/n" in causes["bndiff2"][0].evidence  # of this batch of 7
    assert {r.name: r.place for r in third.gradients if r.place} == {"hprebn": "introduced"}
    assert any(
        "`dhpreact` where `n * dhpreact` belongs" in str(c) for c in third.gradients[0].causes
    )
    said = report.text()
    assert "first in the gradient of bndiff2, and in 6 more: exactly (n-1)/n times" in said
    assert said.count("inherited") == len(follow)
    assert causes["bndiff2"][0].hint in said


def test_repeated_and_absent_letters(benches, batch):
    Xb = np.zeros_like(batch["Xb"])
    Xb[:, 0] = [*[3] * 30, 4, 5]
    assert passes(benches[1].judge(batch | {"Xb": Xb}, BOTH, 0))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 1}, "--batch-size 1 has no batch variance"),
        ({"n_hidden": 0}, "--n-hidden is 0; give 1 or more"),
        ({"batches": 0}, "--batches is 0"),
        ({"global_skip": -1}, "--global-skip is -1"),
    ],
)
def test_impossible_options_are_one_sentence(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        Options(**options)


def test_another_seed_and_place_in_the_stream_change_what_they_should():
    names = load()
    ours = next(batches(Options(), names))
    other = next(batches(Options(global_seed=1), names))
    later = next(batches(Options(global_skip=128), names))
    for changed in (other, later):
        assert np.array_equal(ours["W1"], changed["W1"])
        assert np.array_equal(ours["Xb"], changed["Xb"])
        assert not np.array_equal(ours["bngain"], changed["bngain"])
    assert not np.array_equal(ours["W1"], next(batches(Options(seed=1), names))["W1"])
    two = list(batches(Options(batches=2), names))
    assert not np.array_equal(two[0]["Xb"], two[1]["Xb"])


@pytest.mark.full
@pytest.mark.parametrize(("n", "hidden"), [(2, 1), (3, 200), (32, 1), (257, 64)])
def test_no_false_alarm_at_any_size(n, hidden):
    report = run(Options(batch_size=n, n_hidden=hidden, batches=5))
    assert report.exit_code() == 0, report.summary()
    assert max(row.sigmas for row in report.rows) < 16, report.summary()  # half the bound


@pytest.mark.full
def test_no_false_alarm_over_30_batches():
    report = run(Options(batches=30))
    assert report.exit_code() == 0, report.summary()
    assert max(row.sigmas for row in report.rows) < 16, report.summary()
