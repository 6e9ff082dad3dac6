"""A run's folder: killed at any moment and resumed, it ends as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch

from parity.__main__ import main
from parity.makemore import recipe
from parity.makemore.checkpoint import Folder
from tests.shared.dying import POINTS

ROOT = Path(__file__).parents[2]
WORDS = Path(__file__).with_name("words.txt")
"""A short list, so that evaluating costs nothing."""
SMALL = ["--n-hidden", "8", "--batch-size", "5", "--n-embd", "3", "--block-size", "2"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def train(out: Path, *words: str) -> list[str]:
    names = [] if "--names" in words else ["--names", str(WORDS)]
    return ["train", "--out", str(out), *SMALL, *names, *words]


def killed(point: str, times: int, words: list[str]) -> int:
    """Run the real command in a process of its own that dies there; return its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.shared.dying", point, str(times), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def killed_after(seconds: float, words: list[str], metrics: Path) -> int:
    """Run the real command and kill it from outside, that long after it has begun to write."""
    before = metrics.stat().st_size
    process = subprocess.Popen(
        [sys.executable, "-m", "parity", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and metrics.stat().st_size <= before:
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    return process.wait()


def finish(out: Path, *words: str) -> dict[str, bytes]:
    """Run the real command to its end, in a process of its own, as a user does; return the files.

    In this process JAX may run on more threads, which changes last bits of batchnorm's statistics.
    """
    command = [sys.executable, "-m", "parity", *train(out, *words)]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr
    return contents(out)


def survive(tmp_path: Path, framework: str, chunk: int, steps: int, kills: int) -> None:
    """Kill one run again and again, at every point in turn and at any time, then let it end."""
    words = ["--framework", framework, "--chunk", str(chunk), "--steps", str(steps)]
    expected = finish(tmp_path / "whole", *words)
    rng = random.Random(chunk)
    out, died = tmp_path / "killed", []
    for kill in range(kills):
        again = train(out, *words, "--resume")
        if kill % 5 == 4:
            died.append(killed_after(rng.uniform(0, 0.02), again, out / "metrics.jsonl"))
        else:
            died.append(killed(POINTS[kill % 5], rng.randrange(3), again))
    assert died == [-signal.SIGKILL] * kills, "a kill came too late to be a test"
    assert finish(out, *words, "--resume") == expected
    lines = expected["metrics.jsonl"].splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(steps))


def test_killed_and_resumed(tmp_path):
    """In forks of one process, which imports JAX once: a whole run, one that dies, its end."""
    words = ["--chunk", "7", "--steps", "40"]
    whole, killed = (train(tmp_path / name, *words, "--resume") for name in ("whole", "killed"))
    runs = [(whole, "never"), (killed, POINTS[0]), (killed, "never")]
    script = (
        "import json, sys, matplotlib.figure, parity.makemore.run\n"
        "from tests.shared.dying import deaths\n"
        "runs = json.loads(sys.argv[1])\n"
        "print([death for words, point in runs for death in deaths([(point, 2)], words)])"
    )
    command = [sys.executable, "-c", script, json.dumps(runs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == f"[0, {int(signal.SIGKILL)}, 0]", done.stderr
    expected = contents(tmp_path / "whole")
    assert contents(tmp_path / "killed") == expected
    assert len(expected["metrics.jsonl"].splitlines()) == 40


@pytest.mark.full
@pytest.mark.parametrize(
    ("framework", "chunk", "steps", "kills"),
    [("jax", 2, 401, 20), ("jax", 1000, 100_500, 7), ("torch", 7, 1000, 7)],
)
def test_many_kills(tmp_path, framework, chunk, steps, kills):
    survive(tmp_path, framework, chunk, steps, kills)


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_two_runs_and_any_chunk_size_give_the_same_bytes(tmp_path, framework):
    words = ["--framework", framework, "--steps", "30"]
    found = []
    for name, chunk in (("a", "30"), ("b", "30"), ("c", "1"), ("d", "7")):
        assert main(train(tmp_path / name, *words, "--chunk", chunk)) == 0
        found.append(contents(tmp_path / name))
    assert set(found[0]) == {
        "config.json", "metrics.jsonl", "model.safetensors", "results.json", "loss-curve.png",
    }  # fmt: skip
    assert found.count(found[0]) == 4


def test_more_steps_later_are_the_steps_of_a_longer_run(tmp_path):
    assert main(train(tmp_path / "long", "--steps", "30")) == 0
    assert main(train(tmp_path / "grown", "--steps", "12")) == 0
    assert main(train(tmp_path / "grown", "--steps", "30", "--resume")) == 0
    assert contents(tmp_path / "grown") == contents(tmp_path / "long")


def test_the_model_is_read_by_both_frameworks(tmp_path):
    assert main(train(tmp_path / "run", "--steps", "5")) == 0
    path = tmp_path / "run" / "model.safetensors"
    ours, theirs = safetensors.numpy.load_file(path), safetensors.torch.load_file(path)
    assert set(ours) == {*recipe.NAMES, "bnmean", "bnvar"}
    assert ours["W1"].shape == (6, 8)
    assert all(np.array_equal(ours[name], theirs[name].numpy()) for name in ours)


def test_an_interrupt_says_how_to_go_on(tmp_path):
    words = ["--steps", "400000", "--chunk", "500"]
    # where tests run in the background of a shell, it would be ignored
    heard = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = f"import signal, sys; {heard}; from parity.__main__ import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", command, *train(tmp_path / "run", *words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = Folder(tmp_path / "run")
    deadline = time.monotonic() + 60
    while not folder.model.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.splitlines()[-1] == (
        f"stopped; to go on: parity train --out {tmp_path / 'run'} --resume"
    )
    assert "Traceback" not in err
    step, _ = folder.resume()
    assert step % 500 == 0
    assert len(folder.losses()) == step


def test_divergence_stops_at_its_chunk_and_keeps_the_last_good_one(tmp_path, capsys):
    words = train(tmp_path / "run", "--steps", "30", "--chunk", "10", "--lr", "0.1,1e38@12")
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "the loss is nan at step 13; the checkpoint of step 10 is kept in" in said
    assert len(said.strip().splitlines()) == 2  # the progress line and the sentence
    folder = Folder(tmp_path / "run")
    step, arrays = folder.read_model()
    assert (step, len(folder.losses())) == (10, 10)
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert main(train(tmp_path / "other", "--steps", "3", "--lr", "1e38")) == 1
    assert "there is no checkpoint before it" in capsys.readouterr().err


@pytest.fixture
def finished(tmp_path, capsys):
    assert main(train(tmp_path / "run", "--steps", "12", "--chunk", "5")) == 0
    capsys.readouterr()
    return tmp_path / "run"


def refused(words, capsys) -> str:
    assert main(words) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert said.startswith("parity: ")
    return said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "holds a run already; add --resume"),
        (["--resume", "--batch-size", "6"], "is trained with --batch-size 5, not 6"),
        (["--resume", "--lr", "0.2"], "is trained with --lr 0.1,0.01@100000, not 0.2"),
        (["--resume", "--framework", "torch"], "is trained with --framework jax, not torch"),
        (["--resume", "--global-seed", "same"], "is trained with --global-seed 3847735602"),
        (["--resume", "--steps", "7"], "is trained to --steps 12, not 7"),
        (["--resume", "--chunk", "0"], "--chunk is 0; give 1 or more"),
    ],
)
def test_another_config_is_one_sentence_and_changes_nothing(finished, words, sentence, capsys):
    before = contents(finished)
    assert sentence in refused(train(finished, *words), capsys)
    assert contents(finished) == before


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda run: flip(run.model, -3), "model.safetensors is damaged (its sha256 differs)"),
        (lambda run: flip(run.model, 3), "model.safetensors is damaged"),
        (lambda run: os.truncate(run.model, 900), "model.safetensors is damaged"),
        (lambda run: run.model.write_bytes(b""), "model.safetensors is damaged"),
        (lambda run: os.truncate(run.metrics, 90), "metrics.jsonl is damaged"),
        (lambda run: flip(run.metrics, 9), "metrics.jsonl is damaged"),
        (lambda run: run.metrics.unlink(), "metrics.jsonl is damaged"),
        (lambda run: run.config.write_text("{"), "config.json cannot be used"),
        (lambda run: run.config.write_text("[]"), "config.json cannot be used"),
        (lambda run: run.config.write_text('{"names": {}, "n": 1}'), "config.json cannot be used"),
    ],
)
def test_damage_is_one_sentence_and_loses_nothing(finished, damage, sentence, capsys):
    damage(Folder(finished))
    before = contents(finished)
    assert sentence in refused(train(finished, "--resume"), capsys)
    assert contents(finished) == before


def test_eval_and_sample_refuse_a_damaged_or_absent_model(finished, capsys):
    flip(Folder(finished).model, -3)
    for command in ("eval", "sample"):
        assert "is damaged" in refused([command, str(finished)], capsys)
        assert "holds no training run" in refused([command, str(finished / "no")], capsys)
    Folder(finished).model.unlink()
    assert "holds no checkpoint yet" in refused(["eval", str(finished)], capsys)


def test_one_process_at_a_time(finished, capsys):
    with Folder(finished).locked():
        said = refused(train(finished, "--resume"), capsys)
    assert "is being trained by another process" in said


def test_an_unwritable_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    said = refused(train(tmp_path / "file" / "run", "--steps", "3"), capsys)
    assert "cannot write" in said
    assert "not a directory" in said


@pytest.mark.full
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(tmp_path):
    words = ["--steps", "400", "--chunk", "40"]
    expected = finish(tmp_path / "whole", *words)
    out = tmp_path / "full"
    script = (
        "import resource, sys; from parity.__main__ import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)); sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *train(out, *words)]
    uncached = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}  # it would be cut off, too
    done = subprocess.run(command, capture_output=True, text=True, env=uncached)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"parity: cannot write {out / 'metrics.jsonl'}: file too large")
    assert finish(out, *words, "--resume") == expected


def test_nothing_to_resume_starts_and_says_so(tmp_path, capsys):
    assert main(train(tmp_path / "run", "--steps", "3", "--resume")) == 0
    assert "nothing to resume yet: training 3 steps in jax" in capsys.readouterr().out


@pytest.mark.full
def test_the_words_must_be_those_of_the_run(tmp_path, capsys):
    words = tmp_path / "words.txt"
    words.write_text("\n".join(f"{a}-{b}é" for a in "abcdefg" for b in "xyz"), encoding="utf-8")
    run = tmp_path / "run"
    assert main(train(run, "--steps", "300", "--names", str(words))) == 0
    assert main(["sample", str(run), "--count", "30"]) == 0
    names = capsys.readouterr().out.splitlines()[-30:]
    assert sum("-" in name and name.endswith("é") for name in names) > 10
    assert main(["eval", str(run), "--framework", "torch"]) == 0

    moved = words.rename(tmp_path / "moved.txt")
    assert "words.txt does not exist" in refused(["eval", str(run)], capsys)
    assert main(["eval", str(run), "--names", str(moved)]) == 0
    moved.write_text(moved.read_text() + "\nanother")
    said = refused(["train", "--out", str(run), "--resume", "--names", str(moved)], capsys)
    assert "moved.txt does not hold the words" in said
