"""Member-steps a second of a sweep, by the number of members, on one core and on all, here.

    python benchmarks/scaling.py [--most N] [--rounds N] [--json FILE]

Beside it as many independent processes of the C floor as there are cores, and torch's `vmap` of
`torch_ref`. Every contender is a process of its own and waits while another is measured. One core
is timed by the processor, which other programs disturb little, all of them by the wall.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contenders
import numpy as np
from training import asked, inputs, machine, say

from parity.commands.options import cores as available

WORK = {"sweep": 8_192, "torch vmap": 512, "C floor": 8_192}
"""Member-steps in one turn; at least `FEWEST` steps each."""

FEWEST = 16

WIDTHS = 8, 6, 10, 10, 11, 7
"""Of the table's columns."""


def sweep(members: int, steps: int) -> Callable[[], None]:
    """`jax_impl.train.train_members`, the members spread over all devices of this process."""
    from jax_impl.params import Params
    from jax_impl.train import train_members
    from parity.frameworks.jax_devices import Devices

    devices = Devices()
    params, X, Y, ix, lr = inputs(steps)
    count = devices.padded(members)
    start = Params(*devices.spread(tuple(np.stack([p] * count) for p in params)))
    X, Y = devices.everywhere((X.astype(np.int32), Y.astype(np.int32)))
    orders = np.stack([np.roll(ix, member, 0) for member in range(count)])
    orders, rates = devices.spread((orders, np.stack([lr] * count)))

    def turn() -> None:
        _, losses = train_members(start, X, Y, orders, rates, steps)
        losses.block_until_ready()

    return turn


def torch_vmap(members: int, steps: int) -> Callable[[], None]:
    """`torch_ref.train.train_members`, on one thread."""
    import torch

    from torch_ref.params import Params
    from torch_ref.train import train_members

    torch.set_num_threads(1)
    params, X, Y, ix, lr = inputs(steps)
    start = Params(*(torch.tensor(np.stack([p] * members)) for p in params))
    X, Y = torch.tensor(X), torch.tensor(Y)
    orders = torch.tensor(np.stack([np.roll(ix, member, 0) for member in range(members)]))
    rates = torch.tensor(np.stack([lr] * members))
    return lambda: train_members(start, X, Y, orders.long(), rates, steps) and None


def floor(members: int, steps: int) -> Callable[[], None]:
    """`floor.c`, one member after another."""
    params, X, Y, ix, lr = inputs(steps)
    train = contenders.floor(params, X, Y)

    def turn() -> None:
        for _ in range(members):
            train(ix, lr)

    return turn


WAYS = {"sweep": sweep, "torch vmap": torch_vmap, "C floor": floor}


def child(way: str, members: int) -> None:
    """Be one contender: say so when ready, then the times of a turn for every line that comes."""
    steps = max(FEWEST, WORK[way] // members)
    try:
        turn = WAYS[way](members, steps)
        turn()
    except (contenders.MissingError, ImportError) as error:
        say({"missing": str(error)})
        return
    say({"work": members * steps})
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        turn()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        say([time.perf_counter() - wall, time.process_time() - processor, peak])


def started(way: str, members: int, cores: int) -> subprocess.Popen[str]:
    folders = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    setting = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(cores),
        "PYTHONPATH": os.pathsep.join(filter(None, folders)),
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC"), "1"),
    }
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, "--child", way, str(members)],
        env=os.environ | setting,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def measured(way: str, members: int, cores: int, rounds: int) -> dict[str, Any]:
    """Return member-steps a second: by the wall, and by the processor's seconds of one core.

    The floor knows no devices: there are as many processes of it, with as many members each.
    """
    copies = cores if way == "C floor" else 1
    processes = [started(way, members, cores) for _ in range(copies)]
    try:
        first = [asked(process) for process in processes]
        if "missing" in first[0]:
            return {"missing": first[0]["missing"]}
        work = sum(one["work"] for one in first)
        walls, busy, peak = [], [], 0.0
        for _ in range(rounds):
            began = time.perf_counter()
            for process in processes:
                assert process.stdin
                print("again", file=process.stdin, flush=True)
            turns = [asked(process) for process in processes]
            walls.append(work / (time.perf_counter() - began))
            busy.append(work / sum(turn[1] for turn in turns))
            peak = max(peak, *(turn[2] for turn in turns))
        return {"wall": statistics.median(walls), "processor": max(busy), "MB": peak}
    finally:
        for process in processes:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=1024, help="members at most")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], int(options.child[1]))
        return
    cores = available()
    facts = machine(1)
    print(", ".join(f"{key} {value}" for key, value in facts.items() if value not in ("", None)))
    print("member-steps a second; efficiency is to one member on one core\n")
    print(
        f"{'':12}{'members':>8}{'cores':>6}{'by wall':>10}{'a core':>10}{'efficiency':>11}{'MB':>7}"
    )
    rows, alone = [], 0.0
    sizes = [2**k for k in range(0, 11, 2) if 2**k <= options.most]
    plans = [("sweep", size, 1) for size in sizes] + [("sweep", size, cores) for size in sizes[1:]]
    plans += [("C floor", 1, 1), ("C floor", 1, cores)]
    plans += [("torch vmap", size, 1) for size in sizes if size <= 64]
    for way, members, count in plans:
        found = measured(way, members, count, options.rounds)
        rows.append({"way": way, "members": members, "cores": count} | found)
        head = f"{way:12}{members:>8}{count:>6}"
        if "missing" in found:
            print(f"{head}  {found['missing']}", flush=True)
            continue
        alone = alone or found["processor"]
        numbers = f"{found['wall']:>10,.0f}{found['processor']:>10,.0f}"
        print(f"{head}{numbers}{found['processor'] / alone:>11.2f}{found['MB']:>7.0f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
