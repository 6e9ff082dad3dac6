"""The process that a learner's code runs in: `python -m parity.learn.child FRAMEWORK`.

It is told a file over a pipe, asked to call its functions, and knows no right answer. It may not
reach the network, start programs, write outside its own folder, or take all memory. That stops
accidents and pranks, not an attack: run what you do not trust in a container.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import linecache
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from parity.learn import wire

MEMORY = 2 * 2**30
"""Bytes that a learner's code may take beside what the framework takes."""

PRINTED, PRINTS = 2000, "printed.txt"
"""Characters that are kept of what one call prints, and the file in its folder that they are in."""

AUTODIFF = {
    "torch": "Tensor.backward autograd.grad autograd.backward func.grad func.vjp func.jvp "
    "func.jacrev func.jacfwd func.grad_and_value autograd.functional.jacobian "
    "autograd.functional.vjp autograd.functional.jvp",
    "jax": "grad value_and_grad vjp jvp linearize jacrev jacfwd jacobian hessian",
}
"""What would do a learner's work for him."""

RUNS = frozenset("os.exec os.fork os.forkpty os.posix_spawn os.system subprocess.Popen".split())
WRITES = frozenset(
    "os.chmod os.chown os.link os.mkdir os.remove os.rename os.rmdir os.symlink os.truncate "
    "shutil.move shutil.rmtree".split()
)


class AutodiffError(RuntimeError):
    """The framework was asked for what the learner is to write."""


class _Printed(io.TextIOBase):
    """Where a learner's prints go: a file that the judge may read, and so many characters of it."""

    def __init__(self, file: Path) -> None:
        self.pipe, self.room = os.open(file, os.O_RDWR | os.O_CREAT), PRINTED

    def write(self, text: str) -> int:
        os.write(self.pipe, text[: self.room].encode("utf-8", "replace"))
        self.room -= min(self.room, len(text))
        return len(text)

    def forget(self) -> None:
        os.ftruncate(self.pipe, 0)
        os.lseek(self.pipe, 0, os.SEEK_SET)
        self.room = PRINTED


def main(framework: str) -> None:
    """Answer requests until the pipe closes."""
    sys.dont_write_bytecode = True
    pipe = os.dup(1)
    os.dup2(2, 1)  # what is written there is no answer
    side = importlib.import_module(f"parity.frameworks.{framework}_side")
    with side.exactly(np.dtype(np.float64)):  # what is done once is done before any clock runs
        side.compiled(lambda x: x * 1.0)(*side.from_numpy((np.zeros(1),)))
    wire.send(pipe, {"ready": True}, {})
    _forbid_autodiff(framework)
    _bound_memory()
    printed = _Printed(Path(PRINTS))
    _fence(Path.cwd())
    try:
        file = wire.receive(0)[0]["file"]
    except EOFError:
        return
    sys.stdout = sys.stderr = printed
    functions: dict[str, Any] = {}
    answer: dict[str, Any]
    try:
        functions = _functions(file)
        answer = {"functions": {name: _asked(f) for name, f in functions.items()}}
    except BaseException as error:
        answer = _failure(error, file)
    wire.send(pipe, answer, {})
    while True:
        try:
            said, arrays = wire.receive(0)
        except EOFError:
            return
        printed.forget()
        try:
            answer, found = _called(side, framework, functions, said, arrays)
        except BaseException as error:
            answer, found = _failure(error, file), {}
        wire.send(pipe, answer, found)


def _functions(file: str) -> dict[str, Any]:
    text = Path(file).read_text(encoding="utf-8")
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    module = ModuleType("exercise")
    module.__file__ = file
    sys.modules["exercise"] = module
    exec(compile(ast.parse(text, file), file, "exec"), vars(module))
    return {name: f for name, f in vars(module).items() if inspect.isfunction(f)}


def _asked(function: Any) -> list[str]:
    return [*inspect.signature(function).parameters]


def _called(
    side: Any,
    framework: str,
    functions: Mapping[str, Any],
    said: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    function, names = functions[said["function"]], list(arrays)
    wide = any(x.dtype == np.float64 for x in arrays.values())
    dtype = np.dtype(np.float64 if wide else np.float32)
    with side.exactly(dtype):
        tensors = dict(zip(names, side.from_numpy(tuple(arrays.values())), strict=True))
        called = _run(side, said, _bound(function, said, framework))
        if wide and framework == "torch":  # whose zeros are float32 until they are asked not to be
            called = side.widened(called)
        found = {f"value {name}": x for name, x in called(*tensors.values()).items()}
        found = {name: np.array(side.to_numpy(value)) for name, value in found.items()}
        changed = {
            f"changed {name}": after
            for name, x in tensors.items()
            if not np.array_equal(after := side.to_numpy(x), arrays[name], equal_nan=True)
        }
    return {"value": True}, found | changed


def _run(side: Any, said: Mapping[str, Any], called: Any, made: dict[str, Any] = {}) -> Any:  # noqa: B006
    """Return what runs a function in the way that is asked for; what is compiled is so once."""
    if said["way"] == "compiled":
        return made.setdefault(repr(sorted(said.items())), side.compiled(called))
    return side.quickly(called) if said["way"] == "traced" else called


def _bound(function: Any, said: Mapping[str, Any], framework: str) -> Callable[..., Any]:
    """Return a function of the arrays alone that returns arrays by name: those asked for, or one.

    Sizes are known before anything is traced.
    """

    def run(*arrays: Any) -> dict[str, Any]:
        remaining, sizes, gives = iter(arrays), said["sizes"], said["gives"]
        value = function(*(sizes[n] if n in sizes else next(remaining) for n in said["order"]))
        if gives and not isinstance(value, dict):
            raise TypeError(f"returns {_kind(value)}, not a dict of arrays by name")
        found = {name: value[name] for name in gives if name in value} if gives else {"": value}
        for name, one in found.items():
            if not type(one).__module__.startswith(framework):
                many = f" as {name}" if name else ""
                raise TypeError(f"returns {_kind(one)}{many}, not an array of {framework}'s")
        return found

    return run


def _kind(value: Any) -> str:
    kind = f"{type(value).__module__.split('.')[0]}.{type(value).__name__}"
    kind = kind.removeprefix("builtins.")
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _failure(error: BaseException, file: str) -> dict[str, Any]:
    """Return an exception as its words and the learner's own line."""
    number = None
    if isinstance(error, SyntaxError) and error.filename == file:
        number, words = error.lineno, error.msg
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        number = frames[-1].lineno if frames else None
        words = str(error).strip().split("\n")[0]
    line = linecache.getline(file, number).strip() if number else ""
    kind = type(error).__name__
    traced = type(error).__module__ == "jax.errors" or "Traced<" in str(error)
    return {"error": kind, "words": words, "number": number, "line": line, "traced": traced}


def _forbid_autodiff(framework: str) -> None:
    for path in AUTODIFF[framework].split():
        *parents, name = path.split(".")
        home: Any = importlib.import_module(framework)
        for parent in parents:
            home = getattr(home, parent)

        def refuse(*args: Any, asked: str = f"{framework}.{path}", **kwargs: Any) -> NoReturn:
            raise AutodiffError(asked)

        setattr(home, name, refuse)


def _bound_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        status = Path("/proc/self/status").read_text(encoding="ascii")
        (held,) = (int(x.split()[1]) for x in status.splitlines() if x.startswith("VmData"))
        resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + MEMORY,) * 2)


def _fence(own: Path) -> None:
    """Refuse the network, other programs, and files outside of ``own``."""
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    homes = [str(own.resolve()), "/dev/", *([str(Path(cache).resolve())] if cache else [])]

    def outside(path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # a file that is open already
        return not os.path.realpath(os.fsdecode(path)).startswith(tuple(homes))

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith("socket.") and event != "socket.gethostname":
            raise PermissionError("an exercise has no network")
        if event in RUNS:
            raise PermissionError("an exercise starts no other program")
        writes = event == "open" and (
            any(c in str(args[1] or "") for c in "wax+")
            or (args[1] is None and int(args[2] or 0) & (os.O_WRONLY | os.O_RDWR))
        )
        if (writes or event in WRITES) and outside(args[0]):
            raise PermissionError(f"an exercise writes nothing outside its folder: {args[0]}")

    sys.addaudithook(hook)


if __name__ == "__main__":
    main(*sys.argv[1:])
