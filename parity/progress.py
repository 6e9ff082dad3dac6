"""Telling the user that long work goes on: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIET = 2.0
"""Seconds between plain lines."""

Advance = Callable[..., None]
"""``advance(word, by=1)``: ``by`` more of the total are done, and a word on how it goes.

By 0: something else is begun.
"""


@contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Yield a function to call each time some of ``total`` are done (``done`` of them before).

    Writes to standard error only, so that standard output can be piped.
    """
    if sys.stderr.isatty():
        # here, not above: importing rich draws from Python's global random numbers
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

        description, bar, percentage, left = Progress.get_default_columns()
        columns = (SpinnerColumn(), description, bar, percentage, TimeElapsedColumn(), "left", left)
        with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
            task = shown.add_task(what, total=total, completed=done)

            def advance(word: str, by: int = 1) -> None:
                shown.update(task, advance=by, description=word or what)

            yield advance
        return

    started = last = time.monotonic()
    first = done
    print(f"parity: {what}", file=sys.stderr, flush=True)

    def line(word: str, by: int = 1) -> None:
        nonlocal last, done
        done += by
        now = time.monotonic()
        if not by:
            print(f"parity: {word}", file=sys.stderr, flush=True)
        elif done < total and now - last >= QUIET:
            last = now
            passed = now - started
            left = passed * (total - done) / (done - first)
            print(
                f"parity: {done:,} of {total:,} done, {word}; {passed:.0f} s, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    yield line
