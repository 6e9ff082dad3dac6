"""What several commands share: options, the console, and how a pipe that closes is met."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer


class DType(StrEnum):
    """The precisions to judge."""

    float32 = "float32"
    float64 = "float64"
    both = "both"


class Framework(StrEnum):
    """Who computes."""

    jax = "jax"
    torch = "torch"


class MatmulPrecision(StrEnum):
    """How matrix products of float32 are computed."""

    highest = "highest"
    tf32 = "tf32"


MatmulPrecisionOption = Annotated[
    MatmulPrecision, typer.Option(help="Of float32 products; tf32 says first what it costs.")
]
FrameworkOption = Annotated[Framework, typer.Option(help="Who computes.")]
RunFrameworkOption = Annotated[
    Framework | None, typer.Option(help="Who computes; by default who trained.")
]
NamesOption = Annotated[Path | None, typer.Option(help="A file of names, one a line.")]
JSONOption = Annotated[Path | None, typer.Option(help="Write the whole result here.")]
HTMLOption = Annotated[Path | None, typer.Option(help="Write a page to look at here.")]
RunArgument = Annotated[Path, typer.Argument(help="The folder of a training run.")]


ONE_ORDER = "xla_gpu_deterministic_ops"
"""XLA's flag for the same bits the next time, on a GPU."""


def round_alike_everywhere() -> None:
    """Ask for the same kernels on every x86 machine, unless the environment already asks.

    XLA on one thread: a step is too small to be shared, two threads take 1.4 times as long
    (docs/performance.md) and move last bits of the statistics over the whole training set. torch's
    AVX2 kernels: its AVX-512 ones end one unit of float32 away from the published validation
    loss. On a GPU, kernels that are not chosen by how fast they were just now: the same program
    would have other bits the next time. All are read when a framework computes for the first time.
    """
    os.environ.setdefault("PJRT_NPROC", "1")
    if platform.machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
    flags = os.environ.get("XLA_FLAGS", "")
    if (
        any(find_spec(f"jax_cuda{version}_plugin") for version in (12, 13))
        and ONE_ORDER not in flags
    ):
        os.environ["XLA_FLAGS"] = f"{flags} --{ONE_ORDER}=true".strip()


def cores() -> int:
    """Return how many cores this process may use."""
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """Print on; a reader of standard output who has seen enough (`| head`) is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Any:
    """Return a console; of a fixed width where nobody looks at a terminal."""
    from rich.console import Console

    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=100)
