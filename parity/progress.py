"""Telling the user that long work goes on: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIET = 2.0
"""Seconds between plain lines."""

Told = Callable[[str], None]
"""Hears what goes on, in words."""

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


@contextmanager
def telling(told: Told, what: str) -> Iterator[Told]:
    """Say that ``what`` goes on, and for how long, whenever nothing was said for QUIET seconds.

    Yields what is told instead of ``told``; a thread of its own speaks, whatever the work is.
    """
    begun = last = time.monotonic()
    ended = threading.Event()

    def say(word: str) -> None:
        nonlocal last
        last = time.monotonic()
        told(word)

    def watch() -> None:
        while not ended.wait(QUIET / 8):
            now = time.monotonic()
            if now - last >= QUIET:
                say(f"{what}, {now - begun:.0f} s so far")

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield say
    finally:
        ended.set()
        watching.join()
