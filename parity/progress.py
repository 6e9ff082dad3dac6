"""Telling the user that long work goes on: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIET = 2.0
"""Seconds between plain lines."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Yield a function to call, with a word on what comes next, each time one of ``total`` is done.

    Writes to standard error only, so that standard output can be piped.
    """
    if sys.stderr.isatty():
        # here, not above: importing rich draws from Python's global random numbers
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), *Progress.get_default_columns()[:2], TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)

            def advance(word: str) -> None:
                bar.update(task, advance=1, description=word or what)

            yield advance
        return

    started = last = time.monotonic()
    done = 0
    print(f"parity: {what}", file=sys.stderr, flush=True)

    def line(word: str) -> None:
        nonlocal last, done
        done += 1
        if done < total and time.monotonic() - last >= QUIET:
            last = time.monotonic()
            passed = last - started
            print(f"parity: {done} of {total} done, {passed:.0f} s", file=sys.stderr, flush=True)

    yield line
