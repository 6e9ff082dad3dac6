"""The learner's own notebook: `parity.cmp` and `parity.check_notebook` over variables by name."""

import json
import re
from contextlib import suppress

import numpy as np
import pytest

import parity
from parity.__main__ import main
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


@pytest.mark.full
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


def test_a_tensors_name_keeps_its_small_letter(complete, capsys):
    namespace = complete | {"dprobs": complete["dlogprobs"] * complete["probs"]}
    assert "\n    probs^2 times the right value" in said_of("probs", namespace, capsys)


def script(tmp_path, text, name="mine.py"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_file_is_run_and_its_lines_are_named(tmp_path, capsys):
    text = TORCH + TORCH_BACKWARD.replace("**-1.5", "**1.5")
    text += "\ndlogits = F.softmax(logits, 1) / n\nC.data += 1\ndh = dlogits @ W2.T\n"
    assert main(["learn", "check", str(script(tmp_path, text))]) == 1
    said = capsys.readouterr().out
    lines = text.split("\n")
    (bnvar,) = (i for i, x in enumerate(lines, 1) if x.startswith("dbnvar ="))
    (again,) = (i for i, x in enumerate(lines, 1) if x.startswith("dlogits = F.softmax"))
    assert f"dbnvar, line {bnvar}:\n" in said
    assert f"dlogits, line {again}: WRONG HERE" in said
    assert f"from line {again + 2} on, not judged: emb is not what the parameters" in said


def test_a_file_that_stops_says_where_and_what_came_before_is_judged(tmp_path, capsys):
    half = TORCH + TORCH_BACKWARD.split("dh = ")[0]
    assert main(["learn", "check", str(script(tmp_path, half + "print(never)\n"))]) == 1
    said = capsys.readouterr().out
    assert "8 of 26 right; 18 not there yet" in said
    assert "`print(never)` raises NameError: name 'never' is not defined" in said
    cells = [{"cell_type": "code", "source": ["%matplotlib inline\n", x]} for x in (half,)]
    notebook = script(tmp_path, json.dumps({"cells": cells}), "mine.ipynb")
    assert main(["learn", "check", str(notebook)]) == 0
    assert "8 of 26 right" in capsys.readouterr().out
    assert main(["learn", "check", str(script(tmp_path, "x = (1\n"))]) == 1
    assert "mine.py:1: `x = (1`: '(' was never closed" in capsys.readouterr().out
