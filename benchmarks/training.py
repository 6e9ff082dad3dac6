"""Microseconds a training step of the notebook's network, in a dozen ways, on this machine.

    python benchmarks/training.py [--rounds N] [--threads N] [--only NAME ...] [--json FILE]

Every contender runs in a process of its own, all with the same number of threads, and waits while
another is measured; they take turns, so that a change of the machine's pace meets all alike. What
is timed is processor time where there is one thread (what else runs on the machine counts little),
else the clock on the wall. Beside its time stands whether its loss is the notebook's at every one
of 1,000 steps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import contenders
import numpy as np

from parity.makemore import recipe
from parity.makemore.data import load
from parity.makemore.seeds import Generator
from parity.progress import progress

HIDDEN, BATCH = 200, 32
CHECKED = 1000
TOLERANCE = 1e-4
"""Largest difference of a loss at any step: rounding, grown over 1,000 steps, reaches 1e-6."""

TURN = 0.4
"""Seconds that one turn of a contender takes, about."""

OURS, FLOOR, REFERENCE = "ours", "C floor", "notebook's loop as written"
CLOCKS = {True: time.process_time, False: time.perf_counter}


def inputs(steps: int) -> tuple[contenders.Arrays, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the notebook's Exercise 4: parameters, X, Y, minibatches, learning rates."""
    generator, unseeded = Generator(recipe.SEED), Generator(recipe.GLOBAL_SEED)
    unseeded.skip(recipe.TRAINING_SKIP)
    params = recipe.initial_params(generator, unseeded, vocab=27, block=3, hidden=HIDDEN)
    split = load().train
    ix = generator.randint(len(split.Y), (steps, BATCH)).astype(np.int32)
    lr = np.full(steps, contenders.RATE, np.float32)
    return tuple(params.values()), split.X, split.Y, ix, lr


def child(name: str, single: bool) -> None:
    """Be one contender: say the losses, then how long a step takes for every line that comes in."""
    clock = CLOCKS[single]
    params, X, Y, ix, lr = inputs(20_000)
    try:
        train = contenders.CONTENDERS[name](params, X, Y)
        losses = train(ix[:CHECKED], lr[:CHECKED])
    except contenders.MissingError as error:
        say({"missing": str(error)})
        return
    except Exception as error:  # a framework's own; the row says so, the others run
        say({"missing": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:60]}"})
        return
    start = clock()
    train(ix[:CHECKED], lr[:CHECKED])
    steps = int(np.clip(TURN * CHECKED / (clock() - start), CHECKED, len(ix)))
    train(ix[:steps], lr[:steps])  # what compiles for a number of steps has done so
    say({"losses": losses.tolist(), "steps": steps})
    for _ in sys.stdin:
        start = clock()
        train(ix[:steps], lr[:steps])
        say((clock() - start) / steps * 1e6)


def say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def started(name: str, threads: int) -> subprocess.Popen[str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC")  # torch, its library, XLA
    folders = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    setting = {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(filter(None, folders)),
        **dict.fromkeys(names, str(threads)),
    }
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, "--threads", str(threads), "--child", name],
        env=os.environ | setting,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def asked(process: subprocess.Popen[str], question: str = "") -> Any:
    """Return the next thing that a child says, after a line to it if there is a question."""
    assert process.stdin
    assert process.stdout
    if question:
        print(question, file=process.stdin, flush=True)
    line = process.stdout.readline()
    return json.loads(line) if line else {"missing": "its process ended without a word"}


def measure(names: list[str], rounds: int, threads: int) -> dict[str, dict[str, Any]]:
    """Return for each contender its losses and its times, or why it is missing."""
    found: dict[str, dict[str, Any]] = {}
    waiting: dict[str, subprocess.Popen[str]] = {}
    with progress("training benchmark", len(names) * (1 + rounds)) as advance:
        try:
            for name in names:
                waiting[name] = started(name, threads)
                found[name] = asked(waiting[name]) | {"times": []}
                if "missing" in found[name]:
                    waiting.pop(name).kill()
                    advance(f"not here: {name}", rounds)
                advance(f"compiled: {name}")
            for turn in range(rounds):
                for name, process in waiting.items():
                    found[name]["times"].append(asked(process, "again"))
                    advance(f"round {turn + 1} of {rounds}: {name}")
        finally:
            for process in waiting.values():
                process.kill()
    return found


def verdict(losses: list[float] | None, reference: list[float] | None) -> str:
    if losses is None or reference is None:
        return ""
    distance = np.abs(np.array(losses) - reference)
    if not distance.max() <= TOLERANCE:
        first = int(np.argmax(~(distance <= TOLERANCE)))
        return f"another loss from step {first}: {losses[first]:.6f}, not {reference[first]:.6f}"
    return f"same loss, to {distance.max():.0e}"


def rows(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the table: median and least microseconds a step, and the median of ratios to ours."""
    ours = found.get(OURS, {}).get("times")
    reference = found.get(REFERENCE, found.get(OURS, {})).get("losses")
    table = []
    for name, one in found.items():
        row: dict[str, Any] = {"contender": name, "note": one.get("missing", "")}
        if one["times"]:
            row |= {"median": statistics.median(one["times"]), "least": min(one["times"])}
            row["note"] = verdict(one["losses"], reference)
            if ours:
                ratios = [a / b for a, b in zip(one["times"], ours, strict=True)]
                row["ratio"] = statistics.median(ratios)
        table.append(row)
    return table


def arithmetic() -> dict[str, float]:
    """Return the peak of one core, and the time that six products take at this peak."""
    X = load().train.X
    # x @ W, and the same again for each of its two gradients; a multiply and an add each
    feat, vocab = 10 * X.shape[1], 27
    operations = 2 * 3 * BATCH * HIDDEN * (feat + vocab)
    try:
        peak = contenders.peak()
    except contenders.MissingError:
        return {}
    return {"GFLOP/s": peak / 1e9, "limit": operations / peak * 1e6}


def machine(threads: int) -> dict[str, Any]:
    model = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
        model = models[0] if models else ""
    versions = {}
    for package in ("jax", "jaxlib", "torch", "numpy", "flax", "equinox", "optax"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load": load_average,
        "threads": threads,
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "python": platform.python_version(),
        **versions,
    }


def show(table: list[dict[str, Any]], limit: dict[str, float], facts: dict[str, Any]) -> None:
    print(", ".join(f"{key} {value}" for key, value in facts.items() if value not in ("", None)))
    print(f"{HIDDEN} hidden units, batches of {BATCH}, float32; microseconds a step\n")
    print(f"{'':28}{'median':>9}{'least':>9}{'to ours':>9}")
    for row in table:
        numbers = [row.get("median"), row.get("least"), row.get("ratio")]
        texts = ["" if x is None else f"{x:.1f}" for x in numbers[:2]]
        texts.append("" if numbers[2] is None else f"{numbers[2]:.2f}")
        print(f"{row['contender']:28}" + "".join(f"{t:>9}" for t in texts) + f"  {row['note']}")
    if limit:
        peak = f"the six products at this core's peak, {limit['GFLOP/s']:.0f} GFLOP/s"
        print(f"{'arithmetic limit':28}{limit['limit']:>9.1f}{'':20}{peak}")
    times = {row["contender"]: row for row in table if "ratio" in row}
    if FLOOR in times:
        print(f"\nours is {1 / times[FLOOR]['ratio']:.2f} times the C floor", end="")
        if REFERENCE in times:
            print(f", {times[REFERENCE]['ratio']:.1f} times as fast as the notebook's loop", end="")
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender")
    parser.add_argument("--threads", type=int, default=1, help="threads each may use")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(contenders.CONTENDERS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.threads == 1)
        return
    facts = machine(options.threads)
    found = measure(options.only or list(contenders.CONTENDERS), options.rounds, options.threads)
    table, limit = rows(found), arithmetic()
    show(table, limit, facts)
    if options.json:
        times = {name: one["times"] for name, one in found.items()}
        text = json.dumps(
            {"machine": facts, "table": table, "arithmetic": limit, "times": times}, indent=1
        )
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
