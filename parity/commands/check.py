"""`parity check`: every pair of files, folders or modules; the notebook's without one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from parity.commands.notebook import notebook
from parity.commands.options import DType, HTMLOption, console, readers_may_leave
from parity.why.budget import SECONDS


class Judged(StrEnum):
    """The precisions in which a pair can be judged."""

    float32 = "float32"
    float64 = "float64"
    bfloat16 = "bfloat16"
    float16 = "float16"


def check(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="FILE.py, a folder, or package.module:NAME, one or more; none: the notebook's."
        ),
    ] = None,
    k: Annotated[str, typer.Option("-k", help="Only pairs with this in their name.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    dtype: Annotated[
        list[Judged] | None, typer.Option(help="Precision; may be repeated. [float32, float64]")
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="Fail on lost accuracy and on untested gradients, too.")
    ] = False,
    budget: Annotated[
        float, typer.Option(min=0, help="Seconds to look for reasons in, for each pair that fails.")
    ] = SECONDS,
    json: Annotated[Path | None, typer.Option(help="Write the whole report here.")] = None,
    html: HTMLOption = None,
    verbose: Annotated[bool, typer.Option(help="Details of pairs that agree, too.")] = False,
) -> int:
    """Check every Pair of files, folders or modules; without one, the notebook's exercises."""
    from parity.checking.targets import Request, run
    from parity.errors import UsageError

    dtypes = tuple(d.value for d in dict.fromkeys(dtype or (Judged.float32, Judged.float64)))
    if targets:
        numbers = range(seed, seed + seeds)
        code = 0
        with readers_may_leave():
            asked = Request(targets, k, numbers, dtypes, strict, json, html, verbose, budget)
            code = run(asked, console())
        return code
    if k or seed or seeds > 1 or not {*dtypes} <= {*DType}:
        raise UsageError("-k, --seeds, --seed and half precision need a FILE.py to check")
    both = DType.both if len(dtypes) == 2 else DType(dtypes[0])
    return notebook(dtype=both, json=json, html=html, verbose=verbose, strict=strict)
