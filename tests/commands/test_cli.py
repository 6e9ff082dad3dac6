"""The command as a user meets it: exit codes, one clear sentence, JSON, plain text in a pipe."""

import json
import os
import subprocess
import sys
import time

import pytest

from parity.__main__ import main
from parity.errors import UsageError


def parity(*words, **keywords):
    return subprocess.run(
        [sys.executable, "-m", "parity", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **keywords,
    )


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "report.json"
    words = ("notebook", "--exercise", "2", "--exercise", "3", "--json", str(path))
    return parity(*words), json.loads(path.read_text())


def test_what_passes_exits_0_and_says_so_last(checked):
    done, _ = checked
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("rounding: 4 gradients in float32 and float64; farthest ")


def test_a_pipe_gets_plain_text_at_most_100_columns_wide(checked):
    done, _ = checked
    assert "\x1b" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    assert done.stderr.startswith("parity: compiling")  # progress stays out of the pipe


def test_json_has_every_pair_of_corners_and_a_version(checked):
    _, report = checked
    assert report["schema"] == "backprop-parity/notebook/1"
    first = report["sections"][0]
    assert len(first["gradients"]) == 2
    row = first["gradients"][0]
    assert {p["left"] for p in row["pairs"]} | {p["right"] for p in row["pairs"]} == {
        "jax", "jax eager", "jax.grad", "jax.grad eager", "torch", "autograd",
    }  # fmt: skip
    assert len(row["pairs"]) == 15
    assert first["losses"]["float32"]["torch"] == pytest.approx(3.33605599, abs=1e-6)
    assert report["options"]["global_seed"] == 3847735602


def test_help_is_instant_and_imports_neither_framework():
    best = 9.0
    for _ in range(3):  # the machine may be busy
        started = time.perf_counter()
        done = parity("--help")
        best = min(best, time.perf_counter() - started)
        assert done.returncode == 0
    code = "import sys; from parity.__main__ import main; main(['--help']); print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "jax", "numpy"} & set(modules)
    assert best < 2.0  # 0.2 s on a quiet machine; importing a framework takes more than 1 s


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["notebook", "--names", "nowhere.txt"], "nowhere.txt does not exist"),
        (["notebook", "--batch-size", "1"], "give 2 or more"),
        (["notebook", "--batch-size", "many"], "Invalid value for '--batch-size'"),
        (["notebook", "--exercise", "9"], "'9' is not one of"),
        (["notebook", "--seed", str(2**70)], "--seed is"),
        (["notebook", "--frobnicate"], "No such option"),
        (["frobnicate"], "No such command"),
    ],
)
def test_the_users_mistakes_exit_2_with_one_sentence(words, sentence, capsys):
    assert main(words) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said
    assert said.startswith("parity: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("path", ["no/report.json", "."])
def test_an_unwritable_json_is_said_before_the_work(path, tmp_path, capsys, monkeypatch):
    import parity.makemore.notebook

    monkeypatch.setattr(parity.makemore.notebook, "run", lambda *_: pytest.fail("started"))
    assert main(["check", "--json", str(tmp_path / path)]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_result_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    from parity.files import write_atomically

    path = tmp_path / "report.json"
    write_atomically(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UsageError, match="no space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.full
def test_a_reader_who_stops_early_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m parity notebook --exercise 2 --n-hidden 5 | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.startswith("Exercise 2")
    assert "internal error" not in done.stderr


def test_disagreement_exits_1_our_errors_3_and_an_interrupt_130(capsys, monkeypatch):
    import parity.makemore.notebook

    def raising(error):
        def run(*_):
            raise error

        return run

    from parity.errors import ParityError

    for error, code, words in (
        (ParityError("they differ"), 1, "they differ"),
        (RuntimeError("our bug"), 3, "internal error, RuntimeError: our bug"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ):
        monkeypatch.setattr(parity.makemore.notebook, "run", raising(error))
        assert main(["check"]) == code
        said = capsys.readouterr().err
        assert words in said
        assert "Traceback" not in said
    monkeypatch.setattr(parity.makemore.notebook, "run", raising(RuntimeError("our bug")))
    main(["check"])
    path = capsys.readouterr().err.split("details: ")[1].strip().rstrip(")")
    with open(path) as file:
        assert "Traceback" in file.read()
    os.unlink(path)


def test_a_report_that_fails_exits_1(monkeypatch, capsys):
    import parity.makemore.exercises
    from parity.makemore.exercises import CROSS_ENTROPY

    def doubled(side):
        way = CROSS_ENTROPY.by_hand(side)

        def run(*inputs):
            forward, gradients = way(*inputs)
            return forward, {name: value * 2 for name, value in gradients.items()}

        return run if side.HAND == "torch" else way

    from dataclasses import replace

    monkeypatch.setitem(
        parity.makemore.exercises.EXERCISES, 2, replace(CROSS_ENTROPY, by_hand=doubled)
    )
    assert main(["notebook", "--exercise", "2"]) == 1
    shown = capsys.readouterr().out
    assert "different" in shown
    assert "torch against jax, jax.grad, autograd in float64" in shown.replace("\n", " ")


@pytest.mark.full
def test_another_file_of_names(tmp_path):
    names = tmp_path / "words.txt"
    names.write_text("\n".join(f"{a}-{b}é" for a in "abcdefg" for b in "xyz"), encoding="utf-8")
    done = parity("notebook", "--names", str(names), "--n-hidden", "5", "--exercise", "2")
    assert done.returncode == 0, done.stderr
