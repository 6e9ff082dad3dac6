"""A learner's file, loaded in a process of its own, whose functions can be called.

Starts the process, asks, and ends it; judges nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from parity.learn import wire
from parity.learn.child import MEMORY, PRINTS

START, CALL = 120.0, 15.0
"""Seconds for a framework to be loaded, and for a call of the learner's, at most."""

Way = Literal["eager", "traced", "compiled"]
"""One operation after the other; from a trace, made anew, without compiling; or compiled once."""


class FailureError(Exception):
    """What a learner's code did instead of answering, in one sentence."""

    def __init__(self, sentence: str, unwritten: bool = False, traced: bool = False) -> None:
        super().__init__(sentence)
        self.sentence, self.unwritten = sentence, unwritten
        self.traced = traced
        """Whether it asks for values where only shapes are known."""


class Started:
    """A process that has no file yet: it loads its framework, which takes longest."""

    def __init__(self, framework: str) -> None:
        self.ended = False
        self.folder = tempfile.TemporaryDirectory(prefix="parity-learn-")
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(x for x in (root, os.environ.get("PYTHONPATH", "")) if x)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "parity.learn.child", framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder.name,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,  # what it may have started goes with it
        )

    def end(self) -> None:
        """End it, and what it has started; once, for its number may be another's then."""
        if self.ended:
            return
        self.ended = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        self.folder.cleanup()


class Submission:
    """One file in its process; use it in a `with`, and `load` it: meanwhile the process starts."""

    def __init__(self, file: Path, started: Started, seconds: float = CALL) -> None:
        self.file, self.started, self.seconds = file.resolve(), started, seconds
        self.process = started.process
        self.functions: dict[str, list[str]] = {}
        """{name: what it asks for}."""

    def __enter__(self) -> Submission:
        return self

    def load(self) -> None:
        """Wait until the file is loaded; FailureError where it cannot be."""
        self._answer(START)
        self._ask({"file": str(self.file)}, {})
        self.functions = self._answer(self.seconds)[0]["functions"]

    @property
    def printed(self) -> str:
        """What the last call has printed, or loading the file."""
        with suppress(OSError):
            return Path(self.started.folder.name, PRINTS).read_text("utf-8", "replace")
        return ""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.started.end()

    def call(
        self,
        function: str,
        values: Mapping[str, Any],
        sizes: Mapping[str, int],
        way: Way = "eager",
        gives: Sequence[str] = (),
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return ({name: what a function returns}, {what it changed: how}); or FailureError.

        ``way`` is how it runs, where a framework has a choice. ``gives`` are the names that are
        taken of a dict; else it returns one array, under ``""``.
        """
        order = self.functions[function]
        said = {
            "function": function,
            "order": order,
            "sizes": dict(sizes),
            "way": way,
            "gives": list(gives),
        }
        arrays = {name: np.asarray(values[name]) for name in order if name not in sizes}
        self._ask(said, arrays)
        _, found = self._answer(self.seconds)
        value, changed = (
            {k.removeprefix(word): x for k, x in found.items() if k.startswith(word)}
            for word in ("value ", "changed ")
        )
        return value, changed

    def _ask(self, said: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            wire.send(self.process.stdin.fileno(), said, arrays)

    def _answer(self, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
        assert self.process.stdout is not None
        try:
            said, arrays = wire.receive(self.process.stdout.fileno(), seconds)
        except TimeoutError:
            raise FailureError(
                f"{self.file.name} takes over {seconds:.0f} s: does a loop never end?"
            ) from None
        except EOFError:
            code = self.process.wait()
            how = f"ended by signal {-code}" if code < 0 else f"ended with {code}"
            raise FailureError(f"{self.file.name} {how} in the middle of a call") from None
        if "error" in said:
            raise _told(said, self.file.name)
        return said, arrays


def _told(said: Mapping[str, Any], file: str) -> FailureError:
    kind, words, number, line = (said[x] for x in ("error", "words", "number", "line"))
    where = f"{file}:{number}" if number else file
    if kind == "NotImplementedError":
        return FailureError(f"{where} is still to be written", unwritten=True)
    shown = f": `{line}`" if line else ""
    if kind == "AutodiffError":
        return FailureError(f"{where} asks {words} for the gradient{shown}; write the rule by hand")
    if kind == "MemoryError" or "DefaultCPUAllocator" in words or "RESOURCE_EXHAUSTED" in words:
        return FailureError(f"{where} asks for more than {MEMORY >> 30} GB of memory{shown}")
    if kind == "TypeError" and words.startswith("returns "):
        return FailureError(f"{file}: {words}")
    return FailureError(f"{where}{shown} raises {kind}: {words}", traced=said["traced"])


class Remote:
    """A side whose arrays are NumPy's: what the walk asks of a framework, the other process has."""

    HAND = "numpy"

    @staticmethod
    def exactly(dtype: np.dtype) -> Any:
        """Change nothing: the dtype is that of the arrays."""
        return nullcontext()

    @staticmethod
    def from_numpy(arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Return copies."""
        return tuple(np.array(x) for x in arrays)

    @staticmethod
    def to_numpy(value: Any) -> Any:
        """Return a copy."""
        return np.array(value)

    @staticmethod
    def compiled(rule: Callable[..., Any]) -> Callable[..., Any]:
        """Return a rule that the other process traces, as what is compiled has to be."""
        return lambda values: rule(values, way="traced")
