"""Where pairs are found: every Pair that a file or a module holds, as pytest finds tests.

Imports what it is pointed at, and runs nothing in it.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from parity.errors import UsageError
from parity.pairs.pair import Pair

EXAMPLE = "my_pair = parity.Pair(jax=f, torch=g, inputs={'x': (7, 5)})"


class Found(NamedTuple):
    """A pair, and the file or module that holds it."""

    target: str
    pair: Pair


def search(targets: Sequence[str], keyword: str = "") -> tuple[list[Found], dict[str, UsageError]]:
    """Return the pairs of several targets, folders too, and {file: why it cannot be imported}.

    In a folder every Python file is looked into that has the word Pair in it, deeper ones too.
    Raises UsageError where none of them holds a pair with ``keyword`` in its name.
    """
    found: list[Found] = []
    broken: dict[str, UsageError] = {}
    alone = len(targets) == 1 and not Path(targets[0]).is_dir()
    for target in targets:
        within = _files(Path(target)) if Path(target).is_dir() else [target]
        for where in within:
            try:
                found += [Found(where, pair) for pair in _every(where, needed=where == target)]
            except UsageError as error:
                if alone:
                    raise
                broken[where] = error
    chosen = [one for one in found if keyword in one.pair.name]
    if not chosen and not broken:
        names = ", ".join(dict.fromkeys(pair.name for _, pair in found))
        places = " or ".join(targets)
        raise UsageError(
            f"no pair in {places} has {keyword!r} in its name; there are {names}"
            if found
            else f"no Pair in {places}; write {EXAMPLE} in a file of it"
        )
    return chosen, broken


def find(target: str, keyword: str = "") -> list[Pair]:
    """Return the pairs of one target, named, whose names hold ``keyword``."""
    return [pair for _, pair in search([target], keyword)[0]]


def _every(target: str, needed: bool) -> list[Pair]:
    """Return the pairs of FILE.py or package.module[:NAME].

    A Pair is found where a name of the module is bound to it, or to a list, tuple or dictionary of
    pairs. Raises UsageError where the target cannot be imported, or holds no pair and one is
    ``needed``.
    """
    where, _, name = target.partition(":") if not target.endswith(".py") else (target, "", "")
    module = _from_file(Path(where)) if where.endswith(".py") else _from_name(where)
    if name:
        if not hasattr(module, name):
            raise UsageError(f"{where} has no {name}; it has {_names(module)}")
        pairs = [*_pairs(name, getattr(module, name))]
        if not pairs:
            kind = type(getattr(module, name)).__name__
            raise UsageError(f"{target} is a {kind}, not a Pair; write {EXAMPLE}")
        return pairs
    pairs = [
        pair
        for name, value in vars(module).items()
        if not name.startswith("__")
        for pair in _pairs(name, value)
    ]
    if not pairs and needed:
        raise UsageError(f"no Pair in {where}; write {EXAMPLE} in it")
    return pairs


def _files(folder: Path) -> list[str]:
    """Return a folder's Python files that speak of a Pair; nothing hidden, nothing installed."""
    return [
        str(path)
        for path in sorted(folder.rglob("*.py"))
        if not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts[:-1])
        and "site-packages" not in path.parts
        and re.search(rb"\bPair\b", path.read_bytes())
    ]


def _pairs(name: str, value: Any) -> Iterator[Pair]:
    if isinstance(value, Pair):
        yield value.named(name)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            if isinstance(item, Pair):
                yield item.named(f"{name}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, Pair):
                yield item.named(f"{name}[{key}]")


def _names(module: ModuleType) -> str:
    found = [pair.name for name, value in vars(module).items() for pair in _pairs(name, value)]
    return ", ".join(found) or "no pair at all"


def _from_file(path: Path) -> ModuleType:
    """Import a file under a name that hides no module; its own folder can be imported from."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist; give a Python file that holds a Pair")
    name = f"parity_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file; give one that holds a Pair")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _broken(str(path), error) from error
    finally:
        sys.path.remove(folder)
    return module


def _from_name(name: str) -> ModuleType:
    """Import a module as `python -m` would: from where we stand, or from what is installed."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"there is no module {name}; give FILE.py, or package.module:NAME"
            ) from error
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error
    finally:
        sys.path.remove(here)


def _broken(where: str, error: Exception) -> UsageError:
    line = ""
    trace = error.__traceback__
    while trace is not None:  # the last frame in the user's own file
        if trace.tb_frame.f_code.co_filename.endswith(Path(where).name):
            line = f" line {trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.lineno:
        line = f" line {error.lineno}"
    first = next(iter(str(error).strip().splitlines()), "")
    return UsageError(
        f"{where}{line} raises {type(error).__name__}: {first}; it must import without an error"
    )
