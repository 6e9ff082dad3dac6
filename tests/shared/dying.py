"""Runs the command, and is killed at the n-th time that it comes to a point.

    python -m tests.shared.dying POINT N WORD...

A process of its own for each death; `deaths` forks one after another, to import JAX once.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from parity.__main__ import main
from parity.makemore import checkpoint

POINTS = (
    "in a temporary file",
    "in the metrics",
    "between write and rename",
    "between metrics and model",
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    """Says once, after having been asked ``left`` times, that it is now."""

    def __init__(self, left: int) -> None:
        self.left = left

    def now(self) -> bool:
        self.left -= 1
        return self.left < 0


class Half:
    """A file in which only the first half of what is written arrives."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> "Half":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        die()


def halved(name: str, countdown: Countdown) -> None:
    whole: Any = Path.open

    def half(path: Path, mode: str = "r", *args: Any, **keywords: Any) -> Any:
        file = whole(path, mode, *args, **keywords)
        written = name in path.name and mode in ("ab", "wb")
        return Half(file) if written and countdown.now() else file

    Path.open = half  # type: ignore[method-assign]


def before(owner: Any, name: str, countdown: Countdown) -> None:
    original = getattr(owner, name)

    def function(*args: Any, **keywords: Any) -> Any:
        if countdown.now():
            die()
        return original(*args, **keywords)

    setattr(owner, name, function)


def arm(point: str, times: int) -> None:
    """Let this process die when it comes to ``point`` after ``times`` times."""
    countdown = Countdown(times)
    if point == "in a temporary file":
        halved(".partial", countdown)
    elif point == "in the metrics":
        halved(".jsonl", countdown)
    elif point == "between write and rename":
        before(os, "replace", countdown)
    elif point == "between metrics and model":
        before(checkpoint, "write_arrays", countdown)


def deaths(plans: Sequence[tuple[str, int]], words: list[str]) -> Iterator[int]:
    """Run the command once for each (point, times), in a fork; yield the signals that ended it.

    0 where it came to its end first. Nothing may have been computed before the fork.
    """
    import jax  # noqa: F401  for all forks together

    import parity.makemore.sweep.run  # noqa: F401

    for point, times in plans:
        child = os.fork()
        if not child:
            arm(point, times)
            os._exit(main(words))
        _, status = os.waitpid(child, 0)
        yield os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
