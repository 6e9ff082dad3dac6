"""Sweeps: each member is the single run with its seeds, whatever kills or shares the work."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from parity.__main__ import main
from parity.errors import UsageError
from parity.makemore import recipe
from parity.makemore.checkpoint import Folder
from parity.makemore.sweep import population, summary
from parity.makemore.sweep.axes import Sweep, numbers
from parity.makemore.sweep.folder import SweepFolder
from tests.shared.dying import POINTS

ROOT = Path(__file__).parents[2]
WORDS = Path(__file__).with_name("words.txt")
"""A short list, so that evaluating costs nothing."""
SMALL = ["--batch-size", "5", "--n-embd", "3", "--block-size", "2", "--chunk", "7"]
AXES = ["--seed", "5,6", "--global-seed", "same,3", "--batch-seed", "same,9"]


def swept(out, *more):
    return ["sweep", "--out", str(out), "--names", str(WORDS), *SMALL, *more]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def finished(command, cores=2, **environment):
    """Run the real command to its end on as many devices."""
    devices = {"JAX_NUM_CPU_DEVICES": str(cores)} | environment
    done = subprocess.run(
        [sys.executable, "-m", "parity", *command],
        env=os.environ | devices,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def member(folder: Path, number: int) -> dict[str, object]:
    return SweepFolder(folder).read_members()[number]


def trained(out, config, *more):
    """Run `parity train` with a member's seeds; return its parameters."""
    seeds = ["--seed", str(config["seed"]), "--lr", config["lr"]]
    for name in ("global_seed", "batch_seed"):
        if config[name] is not None:
            seeds += ["--" + name.replace("_", "-"), str(config[name])]
        elif name == "global_seed":
            seeds += ["--global-seed", "same"]
    train = ["train", "--out", str(out), "--names", str(WORDS), *SMALL, *seeds, *more]
    assert main(train) == 0
    return Folder(out).read_model()[1], Folder(out).losses()


def test_a_member_is_the_single_run_with_its_seeds_to_the_bit(tmp_path, capsys):
    size = ["--n-hidden", "8", "--steps", "17"]
    assert main(swept(tmp_path / "sweep", *AXES, *size, "--lr", "0.1,0.05@9")) == 0
    wave = load_file(tmp_path / "sweep" / "wave-0000.safetensors")
    curves = SweepFolder(tmp_path / "sweep").read_curves("loss")
    for number in (3, 6):  # both streams others than the seed's, a mixture
        own = member(tmp_path / "sweep", number)
        params, losses = trained(tmp_path / f"{number}", own, *size)
        assert all(np.array_equal(wave[name][number], params[name]) for name in recipe.NAMES)
        assert np.array_equal(curves[number][:, 1].astype(np.float32), losses)
    first = wave["W1"]
    assert len({row.tobytes() for row in first}) == len(first) == 8


@pytest.mark.full
def test_two_devices_are_one_device_and_the_losses_are_those_of_parity_train(tmp_path):
    more = [*AXES, "--n-hidden", "8,11", "--steps", "50", "--lr", "0.1", "--lr", "0.2"]
    said = finished(swept(tmp_path / "two", *more))
    assert "32 members of 50 steps on 2 cpu devices" in said
    finished(swept(tmp_path / "one", *more), cores=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    own = member(tmp_path / "two", 21)
    seeds = ["--seed", str(own["seed"]), "--lr", own["lr"], "--n-hidden", str(own["n_hidden"])]
    seeds += ["--global-seed", str(own["global_seed"] or "same")]
    seeds += [] if own["batch_seed"] is None else ["--batch-seed", str(own["batch_seed"])]
    single = ["train", "--out", str(tmp_path / "single"), "--names", str(WORDS), *SMALL]
    finished([*single, *seeds, "--steps", "50"])
    results = json.loads((tmp_path / "single" / "results.json").read_text())
    assert {s: own[s] for s in ("train", "val", "test")} == {
        s: results[s] for s in ("train", "val", "test")
    }


@pytest.mark.full
def test_a_member_that_diverges_is_recorded_and_stops_no_other(tmp_path, capsys):
    more = ["--lr", "0.1", "--lr", "0.1,1e30@12", "--n-hidden", "6", "--steps", "30"]
    assert main(swept(tmp_path / "sweep", *more)) == 0
    well, ill = SweepFolder(tmp_path / "sweep").read_members()
    assert ill["diverged"] == 13
    assert "train" not in ill
    assert well["train"] < 4
    assert "member 1 diverged at step 13" in capsys.readouterr().out
    curves = SweepFolder(tmp_path / "sweep").read_curves()
    assert (len(curves[0]), len(curves[1])) == (30, 13)


def test_what_cannot_be_swept_is_one_sentence(tmp_path, capsys):
    out = tmp_path / "sweep"
    assert main(swept(out, "--n-hidden", "4", "--steps", "7")) == 0
    before = contents(out)
    for more, sentence in (
        (["--steps", "7"], "holds a sweep already; add --resume"),
        (["--resume", "--steps", "9"], "is swept with another --steps"),
        (["--seed", "1,x"], "'x' is no number; write it as 1,5,10..20"),
        (["--seed", "1,1..2"], "--seed names a value twice"),
        (["--seed", "9..8"], "--seed is 0; give 1 or more"),
        (["--process-id", "1"], "need --coordinator HOST:PORT"),
        (["--preset", "notebook"], "give no other option than --seeds with it"),
    ):
        capsys.readouterr()
        target = out if "--resume" in more or sentence.startswith("holds") else tmp_path / "other"
        assert main(swept(target, *more)) == 2, more
        said = capsys.readouterr().err.strip()
        assert sentence in said.splitlines()[-1]
    assert contents(out) == before
    (out / "curves.jsonl").write_bytes(before["curves.jsonl"][:-9])
    assert main(swept(out, "--resume", "--n-hidden", "4", "--steps", "7")) == 2
    assert "curves.jsonl is damaged" in capsys.readouterr().err


def test_waves_are_neighbours_of_one_width(monkeypatch):
    monkeypatch.setattr("parity.makemore.sweep.axes.WAVE", 4)
    sweep = Sweep(global_seed=numbers("g", "0..5"), n_hidden=(3, 5))
    assert [(w.start, w.stop) for w in sweep.waves()] == [(0, 4), (4, 6), (6, 10), (10, 12)]
    widths = [{sweep.members()[i].n_hidden for i in wave} for wave in sweep.waves()]
    assert widths == [{3}, {3}, {5}, {5}]
    with pytest.raises(UsageError):
        Sweep(n_hidden=(0,)).members()


def test_another_population_is_seen():
    """Ours with the published mean and spread agrees; moved or widened by half of it, it parts."""
    rng = np.random.default_rng(0)
    published = population.PRINTED[0]
    draws = rng.standard_normal(64)
    draws = (draws - draws.mean()) / draws.std(ddof=1)

    def verdict(shift, scale):
        values = published.mean + published.sd * (shift + scale * draws)
        lines = [{"member": i} for i in range(64)]
        points = {i: np.array([(0, value)]) for i, value in enumerate(values)}
        return [*summary.comparison(summary.against_published(lines, points))][-1]

    assert "agree with" in verdict(0, 1)
    assert "differ from" in verdict(0.8, 1)
    assert "differ from" in verdict(0, 1.6)


@pytest.mark.full
def test_twenty_kills(tmp_path):
    more = [*AXES, "--n-hidden", "4,6", "--steps", "110", "--lr", "0.1", "--lr", "0.1,1e30@30"]
    finished(swept(tmp_path / "whole", *more))
    rng = random.Random(16)
    plans = [(point, rng.randrange(3)) for point in POINTS * 5]
    command = swept(tmp_path / "killed", *more, "--resume")
    script = (
        "import json, sys; from tests.shared.dying import deaths\n"
        "print([*deaths(*json.loads(sys.argv[1]))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps([plans, command])],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "2", "PJRT_NPROC": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    ends = json.loads(done.stdout.splitlines()[-1])
    assert ends == [signal.SIGKILL] * 20, "a kill came too late to be a test"
    finished(command)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def processes(command, count=2):
    """Start real processes of two devices each that meet on the loopback."""
    where = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", str(count)]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "parity", *command, *where, "--process-id", str(number)],
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


@pytest.mark.full
def test_two_processes_are_one_and_the_death_of_one_is_said(tmp_path):
    out = tmp_path / "killed"
    long = [*AXES, "--n-hidden", "8", "--steps", "6000", "--chunk", "150"]
    first, second = processes(swept(out, *long))
    while not (out / "wave-0000.safetensors").exists() and first.poll() is None:
        time.sleep(0.02)
    second.kill()
    second.communicate()
    died = time.monotonic()
    _, err = first.communicate(timeout=60)
    assert time.monotonic() - died < 60
    assert first.returncode == 1, err
    last = err.strip().splitlines()[-1]
    assert "another process of this sweep is gone" in last
    assert f"is kept in {out}; to go on, start all of them again with --resume" in last
    assert "Traceback" not in err
    assert SweepFolder(out).resume()[0].step >= 150
    both = processes(swept(out, *long, "--resume"))
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "on 4 cpu devices" in said[0][0]
    assert "members" not in said[1][0]
    finished(swept(tmp_path / "whole", *long), cores=4)
    assert contents(out) == contents(tmp_path / "whole")
