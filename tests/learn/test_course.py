"""The course: stubs are unwritten, solutions are right, mistakes are named, misbehaviour is met."""

import json

import pytest

from parity.__main__ import main
from parity.learn import telling
from parity.learn.child import PRINTED
from parity.learn.course import FRAMEWORKS, course
from parity.learn.judging import judged
from parity.learn.selfcheck import checked
from parity.learn.workspace import opened
from parity.makemore.exercises import ROWS
from tests.shared.sampled import few

EXERCISES = {exercise.name: exercise for exercise in course()}


@pytest.fixture
def check(tmp_path):
    """Judge an exercise with these bodies: {gradient: (status, what is said)}."""

    def run(name, framework, bodies, seconds=20.0):
        file = tmp_path / "mine.py"
        file.write_text(EXERCISES[name].text(framework, bodies))
        found = judged(EXERCISES[name], file, framework, seconds)
        run.printed = {one.name or one.step.gradient: one.printed for one in found}
        return {one.name or one.step.gradient: (one.status, " ".join(one.said)) for one in found}

    return run


def bodies(name, framework, other=False):
    steps = EXERCISES[name].steps
    return {
        s.gradient: s.also[framework] if other and s.also else s.solution[framework] for s in steps
    }


def test_every_one_of_the_26_gradients_has_its_place():
    single = [step for e in course() if e.network and not e.fused for step in e.steps]
    assert sorted(step.gradient for step in single if not step.gives) == sorted(ROWS)
    assert [step.gives for step in single if step.gives] == ["gradients", "parameters"]
    for exercise in course():
        for step in exercise.steps:
            assert len(step.hints) == 2
            assert {*step.solution} == {*FRAMEWORKS}


@pytest.mark.parametrize(
    ("name", "framework"),
    few(
        [("03-twice", "jax"), ("09-batchnorm", "torch"), ("12-jit-and-train", "jax")],
        ("03-twice", "jax"),
    ),
)
def test_solutions_are_right_both_ways_and_stubs_are_unwritten(name, framework, check):
    """As a learner's file; each step of every exercise is below, beside its known mistakes."""
    assert {status for status, _ in check(name, framework, {}).values()} == {"unwritten"}
    for other in (False, True):
        found = check(name, framework, bodies(name, framework, other))
        assert {status for status, _ in found.values()} == {"right"}
        assert [said for _, said in found.values() if said and " steps with it, " not in said] == []


WRONG = {
    ("01-shapes", "s", "return x * dscaled"): "sum over axis 1",
    ("01-shapes", "b", "return dy.sum(1)"): "axis 1",
    ("02-upstream", "a", "return y"): "not depend on the gradient from above",
    ("02-upstream", "x", "return da"): "1/3|`da` where",
    ("03-twice", "x", "return dy"): "m",
    ("03-twice", "m", "return dy.sum(1)[:, None]"): "-1 times",
    ("04-powers", "v", "return v**-2 * dr"): "-1 times",
    ("04-powers", "r", "return -0.5 * (r + 0.5)**-0.5 * dy"): "r|1.5",
    ("05-log-softmax", "counts", "return counts_sum_inv * dprobs"): "counts_sum",
    ("06-cross-entropy", "logits", "return probs(logits) / n"): "path through norm_logits",
    ("08-batchnorm-steps", "bndiff2", "return dbnvar / n + 0 * bndiff2"): "n-1",
    ("09-batchnorm", "hprebn", "return bngain * bnvar_inv * dhpreact"): "mean|variance|sum",
    ("10-embedding", "C", "return C * 0"): "zero",
}
"""{(exercise, gradient, a wrong body): what must be said}."""


@pytest.mark.parametrize(("name", "gradient", "body"), few(WRONG, ("03-twice", "x", "return dy")))
def test_a_mistake_is_named_and_only_there(name, gradient, body, check):
    words_of_it = WRONG[name, gradient, body]
    body = body.replace("probs(logits)", "jax.nn.softmax(logits, 1)")
    found = check(name, "jax", bodies(name, "jax") | {gradient: body})
    status, said = found.pop(gradient)
    assert status == "wrong"
    assert any(words in said for words in words_of_it.split("|")), said
    assert {status for status, _ in found.values()} <= {"right"}


@pytest.mark.full
def test_in_the_whole_network_each_line_at_fault_is_red_and_what_follows_is_not(check):
    (step,) = EXERCISES["11-whole-network"].steps
    two = next(wrong for wrong in step.wrong if len(wrong.named) == 2)
    found = check("11-whole-network", "torch", {"backward": two.body["torch"]})
    assert {name for name, (status, _) in found.items() if status == "wrong"} == {*two.named}
    assert {*ROWS} == {*found}
    assert found["norm_logits"] == ("follows", "")
    assert "counts_sum" in found["counts"][1]
    assert "(n-1)/n" in found["bndiff2"][1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return {", "return 1, {", "mine.py: returns a tuple, not a dict of arrays by name"),
        ('"W1":', '"w1":', "step returns no W1; it has to be there by name"),
        ("b2 - lr * db2", "0.5", "mine.py: returns a float as b2, not an array of jax's"),
        (
            "db2 = dlogits.sum(0)",
            "step.calls = getattr(step, 'calls', 0) + 1\ndb2 = dlogits.sum(0) * step.calls",
            "Gives another answer when it is called again with the same values.   "
            "What does it remember from the first call, or draw at random?",
        ),
    ],
)
@pytest.mark.full
def test_what_a_function_of_many_gives_is_said(old, new, said, check):
    (step,) = EXERCISES["12-jit-and-train"].steps
    body = step.solution["jax"].replace(old, new)
    assert check("12-jit-and-train", "jax", {"step": body})["step"] == ("wrong", said)


@pytest.mark.full
def test_what_prints_in_jax_prints_numbers(check):
    (step,) = EXERCISES["12-jit-and-train"].steps
    found = check("12-jit-and-train", "jax", {"step": f"print(b2)\n{step.solution['jax']}"})
    assert {status for status, _ in found.values()} == {"right"}
    assert "".join(check.printed.values()).startswith("[")


MISBEHAVIOUR = {
    "bngain": ("import numpy; return numpy.ones((1, 7))", "returns a numpy.ndarray, not an array"),
    "bnbias": ("print('hello\\n\\33[1m' * 999); return dhpreact.sum(0, keepdim=True)", ""),
    "bnraw": (
        "dhpreact *= bngain; return dhpreact",
        "Changes what it was given: the gradient of hpreact differs",
    ),
    "bnvar_inv": ("open('/usr/x', 'w'); return bndiff", "writes nothing outside its folder"),
    "bnvar": ("import os; os.fork(); return bnvar", "starts no other program"),
    "bndiff2": ("import socket; socket.socket(); return bndiff2", "no network"),
    "bndiff": (
        "return torch.autograd.grad(bndiff.sum(), bndiff)[0]",
        "asks torch.autograd.grad for the gradient",
    ),
    "bnmeani": ("return torch.zeros(10**10)", "asks for more than 2 GB of memory"),
    "hprebn": ("import time; time.sleep(60)", "takes over 3 s: does a loop never end?"),
}


def test_what_goes_wrong_is_one_sentence_and_stops_nothing(check):
    bodies = {gradient: body for gradient, (body, _) in MISBEHAVIOUR.items()}
    found = check("08-batchnorm-steps", "torch", bodies, seconds=3.0)
    printed = telling.printed(check.printed["bnbias"])
    assert printed == ["| hello", *["| \ufffd[1mhello"] * (telling.LINES - 1), "| ..."]
    assert {name for name, text in check.printed.items() if text} == {"bnbias"}
    assert len(check.printed["bnbias"]) == PRINTED
    assert found.pop("bnbias") == ("right", "")
    for gradient, (status, said) in found.items():
        assert status == "wrong"
        assert MISBEHAVIOUR[gradient][1] in said


def test_a_file_that_cannot_be_read_shows_its_own_line(check):
    found = check("02-upstream", "jax", {"a": "return y *", "x": "return da"})
    assert {said for _, said in found.values()} == {
        "mine.py:19: `return y *` raises SyntaxError: invalid syntax"
    }


@pytest.mark.full
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_known_mistake_fails_and_is_named(framework):
    found = [checked(exercise, framework) for exercise in course()]
    assert [fault for one in found for fault in one.faults] == []
    mistakes = sum(one.mistakes for one in found)
    assert mistakes >= 78
    assert sum(one.named for one in found) == mistakes


def test_grading_counts_gradients_and_takes_what_is_there(tmp_path, capsys):
    folder, out = tmp_path / "anna", tmp_path / "grades.json"
    assert main(["learn", "init", str(folder), "--framework", "jax"]) == 0
    held = opened(folder)
    for exercise in course()[2:]:
        held.file(exercise).unlink()
    twice = course()[1]
    held.file(twice).write_text(twice.text("jax", bodies(twice.name, "jax") | {"x": "return da"}))
    capsys.readouterr()
    assert main(["learn", "grade", str(folder), "--json", str(out)]) == 1
    assert capsys.readouterr().out.startswith("  1 of 40  ")
    (grade,) = json.loads(out.read_text())
    (wrong,) = (one for one in grade["exercises"][1]["gradients"] if one["status"] == "wrong")
    assert wrong["gradient"] == "x"
    assert wrong["said"]
    assert grade["exercises"][2]["said"] == "03_twice.py is not there"
