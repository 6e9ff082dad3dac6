"""What a GPU makes of it: a single run's step, a sweep's member-steps, a search's states a second.

    python benchmarks/accelerator.py [--most N] [--only single sweep search] [--json FILE]

Wall time, the least of a few turns, on the first device that JAX has. Single runs are processes of
their own: what XLA records as command buffers (CUDA graphs) is said in its flags.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contenders
import numpy as np
from training import inputs

from parity.commands.options import round_alike_everywhere

GRAPHS = "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,DYNAMIC_SLICE_FUSION"
BUFFERS = {
    "as XLA does": "",
    "no command buffers": "--xla_gpu_enable_command_buffer=",
    "loops in them, too": f"--xla_gpu_enable_command_buffer={GRAPHS},WHILE,CONDITIONAL",
}
"""XLA's flags for what is recorded once and launched together."""

STEPS = 8_192
"""Of a single run in one turn."""


def least(turn: Callable[[], Any], turns: int = 3) -> float:
    """Return the seconds of the fastest of a few turns after a first one."""
    turn()
    times = []
    for _ in range(turns):
        began = time.perf_counter()
        turn()
        times.append(time.perf_counter() - began)
    return min(times)


def single(name: str) -> dict[str, float]:
    """Return the microseconds of a step of one of `contenders`."""
    import jax

    params, X, Y, ix, lr = inputs(STEPS)
    with jax.default_matmul_precision("highest"):
        train = contenders.CONTENDERS[name](params, X.astype(np.int32), Y.astype(np.int32))
        return {"us": least(lambda: train(ix, lr)) / STEPS * 1e6}


def sweep(members: int, products: str) -> dict[str, float]:
    """Return the member-steps a second of so many members, and the seconds of the first turn."""
    from jax_impl.params import Params
    from jax_impl.train import train_members
    from parity.frameworks.jax_devices import Devices
    from parity.frameworks.jax_side import exactly
    from parity.judge.compare import FLOAT32

    steps = max(64, min(4096, 2**21 // members))
    devices = Devices()
    params, X, Y, ix, lr = inputs(steps)
    with exactly(FLOAT32, products):
        start = Params(*devices.spread(tuple(np.stack([p] * members) for p in params)))
        X, Y = devices.everywhere((X.astype(np.int32), Y.astype(np.int32)))
        orders = np.stack([np.roll(ix, member, 0) for member in range(members)])
        orders, rates = devices.spread((orders, np.stack([lr] * members)))

        def turn() -> None:
            train_members(start, X, Y, orders, rates, steps)[1].block_until_ready()

        began = time.perf_counter()
        turn()
        first = time.perf_counter() - began
        return {"member-steps/s": members * steps / least(turn), "first": first}


def search() -> dict[str, float]:
    """Return the states a second of a search for the notebook's seed."""
    from parity.frameworks.jax_devices import Devices
    from parity.makemore.data import load
    from parity.makemore.published import NOTEBOOK, read
    from parity.makemore.recover.states import MANY, Search
    from parity.makemore.recover.target import of_exercise_1

    target = of_exercise_1(read(NOTEBOOK), load())
    assert target is not None
    began = time.perf_counter()
    search = Search(target, Devices(), MANY)
    search.survivors(0, search.block - 1)
    first = time.perf_counter() - began
    return {"states/s": search.block / least(lambda: search.survivors(0, search.block - 1), 2)} | {
        "first": first
    }


def alone(name: str, flags: str) -> dict[str, Any]:
    """Return what `single` says in a process of its own."""
    folders = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    setting = {
        "PYTHONPATH": os.pathsep.join(filter(None, folders)),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip(),
    }
    done = subprocess.run(
        [sys.executable, __file__, "--child", name],
        env=os.environ | setting,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (done.stdout or done.stderr).strip().splitlines()
    return json.loads(lines[-1]) if done.returncode == 0 else {"failed": "".join(lines[-1:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=4096, help="members at most")
    parser.add_argument("--products", nargs="+", default=["highest", "tf32"], help="of a sweep")
    parser.add_argument("--only", nargs="+", default=["single", "sweep", "search"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(single(options.child)))
        return
    round_alike_everywhere()  # as the commands compute: no kernels tuned first
    rows: list[dict[str, Any]] = []

    def said(what: str, how: str, found: dict[str, Any]) -> None:
        rows.append({"what": what, "how": how} | found)
        numbers = ", ".join(
            f"{key} {x:,.2f}" if isinstance(x, float) else f"{key} {x}" for key, x in found.items()
        )
        print(f"{what:22}{how:22}{numbers}", flush=True)

    if "single" in options.only:
        for name in ("ours", "JAX, plain lax.scan", "JAX, one jitted step a call"):
            for how, flags in BUFFERS.items():
                said(name, how, alone(name, flags))
    import jax

    device = jax.devices()[0]
    print(f"{device.device_kind}, {device.platform}, jax {jax.__version__}", flush=True)
    if "sweep" in options.only:
        for products in options.products:
            for members in (8**k for k in range(6) if 8**k <= options.most):
                said(f"sweep, {products}", f"{members:,} members", sweep(members, products))
    if "search" in options.only:
        said("search", "", search())
    if options.json:
        about = {"device": device.device_kind, "jax": jax.__version__}
        options.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
