"""The learner's own notebook: `parity.cmp` and `parity.check_notebook` over variables by name."""

import re
from contextlib import suppress

import numpy as np
import pytest

import parity
from parity.errors import UsageError
from parity.makemore.exercises import ROWS
from tests.learn.lecture import JAX, MISTAKES, TORCH, TORCH_BACKWARD
from tests.shared.sampled import few


def ran(*sources):
    namespace = {"__name__": "notebook"}
    for source in sources:
        exec(source, namespace)
    return namespace


@pytest.fixture(scope="module")
def forward():
    return ran(TORCH)


@pytest.fixture(scope="module")
def complete():
    return ran(TORCH, TORCH_BACKWARD)


def said_of(tensor, namespace, capsys):
    exec(f"parity.cmp({tensor!r}, d{tensor}, {tensor})", {**namespace, "parity": parity})
    return capsys.readouterr().out


def test_a_right_notebook_is_right_26_times(complete, capsys):
    parity.check_notebook(complete)
    said = capsys.readouterr().out
    assert len(re.findall(r" right$", said, re.MULTILINE)) == 26 + 1  # and the sum of them
    assert "26 of 26 right" in said


@pytest.mark.parametrize("tensor", few([*MISTAKES], "W2"))
def test_a_mistake_in_a_line_is_named_there_and_nowhere_else(tensor, forward, capsys):
    line, wrong, words = MISTAKES[tensor]
    assert TORCH_BACKWARD.count(line) == 1
    namespace = dict(forward)
    with suppress(RuntimeError):  # a later line may stumble over a shape
        exec(TORCH_BACKWARD.replace(line, wrong), namespace)
    parity.check_notebook(namespace)
    said = capsys.readouterr().out
    wrong_here = re.findall(r"^d(\w+) +WRONG HERE", said, re.MULTILINE)
    assert wrong_here == [tensor]
    reason = said.split(f"d{tensor}:\n")[1]
    assert re.search(words, reason.split("\n\n")[0]), reason


def test_cmp_has_the_lectures_columns_and_says_why(complete, capsys):
    namespace = dict(complete)
    assert said_of("h", namespace, capsys).startswith("h               | exact: ")
    namespace["dbnvar"] = -namespace["dbnvar"]
    said = said_of("bnvar", namespace, capsys)
    assert "approximate: False" in said
    assert "WRONG HERE" in said
    assert "Exactly -1 times the right value" in said
    exec("dbndiff2 = 1/(n-1) * torch.ones_like(bndiff2) * dbnvar", namespace)
    assert "follows from what is wrong above" in said_of("bndiff2", namespace, capsys)


def test_names_and_frameworks_are_the_learners_choice(complete, capsys):
    here = {**complete, "parity": parity}
    exec("parity.cmp('dlogits', dlogits)", here)
    assert capsys.readouterr().out.endswith("| right\n")
    namespace = ran(JAX)
    exec("dlogits = (jax.nn.softmax(logits, 1) - jax.nn.one_hot(Yb, vocab)) / n", namespace)
    exec("dh = dlogits @ W2.T", namespace)
    exec("db2 = dlogits.mean(0)", namespace)
    parity.check_notebook(namespace)
    said = capsys.readouterr().out
    assert re.search(r"^dlogits +right$", said, re.MULTILINE)
    assert re.search(r"^db2 +WRONG HERE$", said, re.MULTILINE)
    assert f"{len(ROWS) - 3} not there yet" in said


def test_what_cannot_be_judged_is_one_sentence(complete, capsys):
    with pytest.raises(UsageError, match="W1 and Yb are not among the variables"):
        parity.check_notebook({k: v for k, v in complete.items() if k not in ("W1", "Yb")})
    with pytest.raises(UsageError, match=r"bngain has shape \(9,\)"):
        parity.check_notebook(complete | {"bngain": complete["bngain"][0]})
    moved = complete | {"W1": complete["W1"] * 1.5}
    with pytest.raises(UsageError, match="hprebn is not what the parameters"):
        parity.check_notebook(moved)
    assert "not judged: hprebn" in said_of("h", moved, capsys)
    exec("parity.cmp('loss', loss)", complete | {"parity": parity})
    assert "the lecture has no gradient of loss" in capsys.readouterr().out
    parity.cmp("h", [1.0])
    assert "no array: list" in capsys.readouterr().out
    parity.cmp("h", np.ones(3))
    assert "not judged: C, W1" in capsys.readouterr().out
