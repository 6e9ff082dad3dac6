"""Writing files so that nothing is ever lost: whole or not at all, and refused before the work.

Knows paths and bytes, not what is in them.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from parity.errors import UsageError

PARTIAL = ".partial"
"""How the name of an unfinished file ends; one that is left over can be deleted."""


def check_writable(path: Path) -> None:
    """Raise UsageError if ``path`` cannot be written; ask before the work, not after."""
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; give a file's path")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise unwritable(path, error) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` under a temporary name beside ``path``, then rename it into place.

    It reaches the disk before the rename, so that no crash leaves a name without its content.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        try:
            with partial.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unwritable(path, error) from error


def write_json(path: Path, value: Any) -> None:
    """Write plain values as readable JSON; infinities and NaN are a ValueError."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text + "\n")


def unwritable(path: Path, error: OSError) -> UsageError:
    """Return the sentence for a path that the system refuses to write."""
    why = error.strerror.lower() if error.strerror else str(error)
    return UsageError(f"cannot write {path}: {why}; give a path in a folder you can write to")
