"""Which weight goes where, as a file: JSON or TOML, {torch's name: JAX's path, or several}.

Reads and writes; matches nothing.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.errors import UsageError
from parity.files import write_atomically
from parity.models.match import Weights

SHAPE = 'a mapping is {"torch name": "jax/path"}, or a list of paths where a tensor is split'


def read(weights: Any) -> dict[str, list[str]]:
    """Return {torch's name: JAX's paths} of a mapping, or of a file that holds one."""
    if isinstance(weights, str | Path):
        weights = _from_file(Path(weights))
    if not isinstance(weights, Mapping):
        raise UsageError(f"weights= is {type(weights).__name__}; {SHAPE}, or a file of one")
    found = {}
    for name, paths in weights.items():
        listed = [paths] if isinstance(paths, str) else [*paths]
        if not all(isinstance(path, str) for path in listed):
            raise UsageError(f"weights= gives {name} something that is no path; {SHAPE}")
        found[str(name)] = listed
    return found


def _from_file(path: Path) -> Any:
    if path.suffix not in (".json", ".toml"):
        raise UsageError(
            f'weights={str(path)!r} is no way to match weights; there are "values", "structure", a '
            "mapping, and a .json or .toml file of one"
        )
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"weights: {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"weights: {path} cannot be read: {error}") from error


def write(path: Path, weights: Weights) -> None:
    """Write what goes where, as `read` takes it. UsageError for another kind of file."""
    found: dict[str, list[str]] = {}
    for leaf, match in weights.matches.items():
        for name in dict.fromkeys(match.layout.sources()):
            found.setdefault(name, []).append(leaf)
    plain = {name: leaves if len(leaves) > 1 else leaves[0] for name, leaves in found.items()}
    if path.suffix == ".json":
        write_atomically(path, json.dumps(plain, indent=2) + "\n")
    elif path.suffix == ".toml":
        lines = (f"{json.dumps(name)} = {json.dumps(leaves)}\n" for name, leaves in plain.items())
        write_atomically(path, "".join(lines))
    else:
        raise UsageError(f"{path} is neither .json nor .toml")
