"""A learner's own file or notebook, run statement by statement; gradients kept as they are made.

The file runs as it stands and is not changed. What is kept is judged by `own.py`.
"""

from __future__ import annotations

import ast
import json
import linecache
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from parity.errors import UsageError
from parity.learn.own import INPUTS, array
from parity.makemore.exercises import ROWS


class Pass(NamedTuple):
    """One set of parameters and batch, what was computed of it, and gradients as they were made."""

    values: dict[str, np.ndarray]
    """Inputs and forward values."""
    versions: dict[str, list[tuple[int, np.ndarray]]]
    """{tensor: [(line, gradient)]}: anew each time that it is assigned as a whole."""


class Ran(NamedTuple):
    """What came of running a file."""

    passes: list[Pass]
    stopped: str = ""
    """Where and why it ended early."""


def source(path: Path) -> str:
    """Return the code of a file or of a notebook's cells; UsageError where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    if path.suffix != ".ipynb":
        return text
    try:
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        lines = [line for cell in cells for line in "".join(cell["source"]).split("\n")]
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is no notebook: its cells cannot be read") from None
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def run(path: Path) -> Ran:
    """Run a file as a script is run, and keep its gradients."""
    text, name = source(path), str(path)
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    try:
        statements = ast.parse(text, name).body
    except SyntaxError as error:
        line = (error.text or "").strip()
        return Ran([], f"{path.name}:{error.lineno}: `{line}`: {error.msg}")
    namespace: dict[str, Any] = {"__name__": "__main__", "__file__": name}
    passes: dict[bytes, Pass] = {}
    sys.path.insert(0, str(path.resolve().parent))
    try:
        for statement in statements:
            exec(compile(ast.Module([statement], []), name, "exec"), namespace)
            _keep(statement, namespace, passes)
    except SystemExit:
        pass
    except Exception as error:
        return Ran([*passes.values()], _where(error, path))
    finally:
        sys.path.pop(0)
    return Ran([*passes.values()])


def _where(error: Exception, path: Path) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    words = str(error).strip().split("\n")[0]
    if not frames:
        return f"{path.name}: {type(error).__name__}: {words}"
    last = frames[-1]
    return f"{path.name}:{last.lineno}: `{last.line}` raises {type(error).__name__}: {words}"


def _keep(statement: ast.stmt, namespace: dict[str, Any], passes: dict[bytes, Pass]) -> None:
    """Keep the gradients that a statement has made or changed."""
    touched = {name: anew for name, anew in _targets(statement) if name in ROWS}
    held = {name: array(namespace.get(name)) for name in INPUTS} if touched else {}
    if not touched or any(x is None for x in held.values()):
        return
    inputs = {name: x for name, x in held.items() if x is not None}
    key = b"".join(inputs[name].tobytes() for name in INPUTS)
    if key not in passes:
        forward = {name: x for name in ROWS if (x := array(namespace.get(name))) is not None}
        passes[key] = Pass(inputs | forward, {})
    versions = passes[key].versions
    for name, anew in touched.items():
        gradient = array(namespace.get(f"d{name}"))
        if gradient is not None:
            earlier = versions.setdefault(name, [])
            if earlier and not anew:
                earlier.pop()
            earlier.append((statement.lineno, gradient))


def _targets(statement: ast.stmt) -> Iterator[tuple[str, bool]]:
    """Yield (tensor, whether its gradient is made anew) of what a statement assigns to."""
    whole = isinstance(statement, ast.Assign | ast.AnnAssign)
    for node in ast.walk(statement):
        if isinstance(node, ast.Name | ast.Subscript) and isinstance(node.ctx, ast.Store):
            base: ast.expr = node
            while isinstance(base, ast.Subscript):
                base = base.value
            if isinstance(base, ast.Name) and base.id.startswith("d"):
                yield base.id[1:], whole and isinstance(node, ast.Name)
