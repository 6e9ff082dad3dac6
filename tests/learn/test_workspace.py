"""`parity learn` as it is used: a folder, exercises in order, hints, what is kept."""

import json
import os
import pty
import subprocess
import sys
from functools import partial

import pytest

from parity.__main__ import main
from parity.learn.course import course
from parity.learn.hints import hints
from parity.learn.workspace import STATE, opened


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """A folder with the course in JAX, entered."""
    assert main(["learn", "init", str(tmp_path / "course"), "--framework", "jax"]) == 0
    monkeypatch.chdir(tmp_path / "course")
    capsys.readouterr()
    return tmp_path / "course"


def solve(folder, exercise, framework="jax", **wrong):
    bodies = {s.gradient: wrong.get(s.gradient, s.solution[framework]) for s in exercise.steps}
    opened(folder).file(exercise).write_text(exercise.text(framework, bodies))


def said(capsys, *words):
    code = main(["learn", *words])
    return code, "".join(capsys.readouterr())


def test_one_exercise_from_the_first_look_to_its_solution(here, capsys):
    first, second = course()[:2]
    code, text = said(capsys, "check")
    assert code == 1
    assert text.count("to write") == len(first.steps)
    assert said(capsys, "solution", "1")[0] == 2
    assert len(hints(first, first.steps[3], "jax")) == 4
    for number in (1, 2):
        assert f"dscaled, hint {number} of 4: " in said(capsys, "hint")[1]
    solve(here, first, b="print('seen', dy.shape)\nreturn dy.sum(1)")
    code, text = said(capsys, "check", "shapes")
    assert code == 1
    assert text.count("      | seen (5, 3)\n") == 1
    assert "db                wrong" in text
    assert "summed over axis 1" in text
    solve(here, first)
    code, text = said(capsys, "watch", "1")  # ends with the exercise
    assert code == 0
    assert f"next: {second.title}" in text
    assert "def ds(x, dscaled)" in said(capsys, "solution")[1]
    assert second.title in said(capsys, "next")[1]
    assert "done  01-shapes" in said(capsys, "list")[1]
    assert said(capsys, "reset", "01_shapes.py")[0] == 0
    assert opened(here).solved == ()
    assert "return x * dscaled" not in (here / "01_shapes.py").read_text()
    assert (here / "01_shapes.py.old").exists()


def test_what_cannot_be_done_is_one_sentence(here, capsys, tmp_path):
    assert said(capsys, "check", "nothing")[1].startswith("parity: no exercise is called nothing")
    assert said(capsys, "check", "--in", str(tmp_path))[0] == 2
    assert "already" in said(capsys, "init", str(here), "--framework", "torch")[1]
    (here / "01_shapes.py").unlink()
    assert "`parity learn reset 01-shapes`" in said(capsys, "check")[1]
    assert said(capsys, "init", str(here), "--framework", "jax")[0] == 0
    assert (here / "01_shapes.py").exists()
    (here / STATE).write_text("{}")
    assert "the exercise files stay as they are" in said(capsys, "list")[1]


@pytest.mark.full
@pytest.mark.parametrize(("framework", "slips"), [("torch", True), ("jax", False)])
def test_a_walk_through_all_exercises_in_a_terminal(tmp_path, framework, slips, capsys):
    """By solutions alone, and with a mistake made first; both ends by the real command."""

    def parity(*words):
        leader, follower = pty.openpty()
        command = [sys.executable, "-m", "parity", "learn", *words]
        process = subprocess.Popen(command, cwd=folder, stdout=follower, stderr=follower)
        os.close(follower)
        shown = b""
        try:
            while part := os.read(leader, 4096):
                shown += part
        except OSError:  # the terminal is gone with the process
            pass
        os.close(leader)
        return process.wait(), shown.decode()

    folder = tmp_path
    assert parity("init", "all", "--framework", framework)[0] == 0
    folder = tmp_path / "all"
    within = "check", "--in", str(folder)
    for exercise in course():
        real = exercise.name in (course()[0].name, course()[-1].name)
        check = partial(parity, "check") if real else partial(said, capsys, *within)
        slip = exercise.steps[-1]
        right = slip.solution[framework].strip()
        last = right.split("\n")[-1]
        wrong = (
            slip.wrong[0].body[framework] if slip.gives else right.replace(last, f"{last} * 1.5")
        )
        if slips and (real or exercise in course()[::4]):
            solve(folder, exercise, framework, **{slip.gradient: wrong})
            code, shown = check()
            assert code == 1, shown
            assert slip.function in shown or slip.gives
            assert shown.count(" wrong") >= 1
        solve(folder, exercise, framework)
        code, shown = check()
        assert code == 0, shown
    assert shown.endswith("All exercises are solved: the whole backward pass is yours.\r\n")
    assert len(json.loads((folder / STATE).read_text())["solved"]) == len(course())
