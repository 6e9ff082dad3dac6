"""What a notebook calls: `parity.cmp` in place of the lecture's, `parity.check_notebook`.

Both read the caller's own variables and print; nothing else in the notebook has to change.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import UsageError
from parity.judge.verdict import Status
from parity.learn import own, scripts, telling
from parity.makemore.exercises import ROWS


def cmp(s: str, dt: Any, t: Any = None) -> None:
    """Print whether a gradient is right and, if it is not, why: the lecture's `cmp`, and more.

    ``s`` names the tensor or its gradient, ``dt`` is the learner's gradient, of torch or of JAX.
    With ``t``, whose ``.grad`` autograd has filled, the lecture's own three columns are printed,
    too. The right gradient is computed from the caller's C, W1, b1, W2, b2, bngain, bnbias, Xb and
    Yb, in float64, each step from the learner's own gradients above it, so that what only follows
    from an earlier mistake is told apart.
    """
    caller = sys._getframe(1)
    namespace = {**caller.f_globals, **caller.f_locals}
    gradient = own.array(dt)
    if gradient is None:
        print(f"{s:15s} | no array: {type(dt).__name__}")
        return
    right = own.array(getattr(t, "grad", None))
    columns = f"{s:15s}" if right is None else telling.column(s, gradient, right)
    try:
        tensor = own.tensor_of(s)
        found = own.found_in({**namespace, f"d{tensor}": dt})
        if before := own.stale(namespace, found):
            raise UsageError(_stale(before))
        (line,) = own.judged(found, {tensor})
    except UsageError as error:
        print(f"{columns} | not judged: {error}")
        return
    exact = right is None or bool(np.array_equal(gradient, right))
    rounding = "" if exact or line.status is not Status.RIGHT else ", up to rounding"
    print(f"{columns} | {telling.told(line)}{rounding}")
    for sentence in telling.why(line):
        print(f"    {sentence}")


def check_notebook(namespace: Mapping[str, Any]) -> None:
    """Print which of the lecture's 26 gradients in ``globals()`` are right, and why one is not.

    Variables are named as in the lecture, the gradient of `logits` is `dlogits`; those that are not
    there yet are left out. Raises UsageError where the parameters or the batch are missing.
    """
    found = own.found_in(namespace)
    if before := own.stale(namespace, found):
        raise UsageError(_stale(before))
    print(telling.text(own.judged(found), ROWS))


def check_file(path: Path) -> bool:
    """Run a learner's file, print what `check_notebook` prints of it; return whether all is right.

    What is assigned anew, as the fused exercises do, is judged by itself. Gradients of other
    parameters than their forward pass had are not judged, and it is said.
    """
    ran = scripts.run(path)
    judged = False
    fine = not ran.stopped
    for one in ran.passes:
        names = {**one.values, **{f"d{k}": v[0][1] for k, v in one.versions.items()}}
        found = own.found_in(names)
        lines = {name: versions[0][0] for name, versions in one.versions.items()}
        if before := own.stale(names, found):
            print(f"from line {min(lines.values())} on, not judged: {_stale(before)}")
            continue
        first = own.judged(found)
        print(telling.text(first, ROWS, lines=lines))
        fine &= all(line.status is Status.RIGHT for line in first)
        judged = True
        for name, versions in one.versions.items():
            for number, again in versions[1:]:
                (line,) = own.judged(own.found_in({**names, f"d{name}": again}), {name})
                print(
                    "\n".join([f"d{name}, line {number}: {telling.told(line)}", *telling.why(line)])
                )
                fine &= line.status is Status.RIGHT
    if ran.stopped:
        print(f"stopped at {ran.stopped}")
    elif not judged:
        print(
            f"{path.name} makes none of the lecture's gradients: {', '.join(f'd{x}' for x in ROWS)}"
        )
    return fine and judged


def _stale(name: str) -> str:
    return (
        f"{name} is not what the parameters and the batch give by the lecture's forward pass; was "
        "one of them changed after it, or is the forward another?"
    )
