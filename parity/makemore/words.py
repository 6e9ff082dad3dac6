"""Which words a run is trained on, as its folder says it, and the same words again later."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from parity.errors import UsageError
from parity.makemore.data import Dataset, load


def about(dataset: Dataset, path: Path | None) -> dict[str, Any]:
    """Return what a folder says of its words; ``path`` None for the packaged ones."""
    return {
        "file": None if path is None else str(path),
        "sha256": hashlib.sha256("\n".join(dataset.words).encode()).hexdigest(),
        "letters": "".join(dataset.itos),
    }


def file_of(described: dict[str, Any]) -> Path | None:
    """Return the file of names that `about` was told."""
    return None if described["file"] is None else Path(described["file"])


def again(described: dict[str, Any], names: Path | None, block_size: int, whose: Path) -> Dataset:
    """Return the words that were described, from ``names`` or their own file.

    UsageError if it holds others today; ``whose`` is the folder that was trained on them.
    """
    path = names or file_of(described)
    dataset = load(path, block_size)
    if about(dataset, path)["sha256"] != described["sha256"]:
        raise UsageError(
            f"{path or 'the packaged list'} does not hold the words that {whose} is trained "
            "on; give that file with --names"
        )
    return dataset
