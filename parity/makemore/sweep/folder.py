"""The folder of one sweep, consistent at every moment: killed anywhere, it can go on.

    sweep.json              what determines the sweep, written first
    curves.jsonl            a line for each member and window of steps: its losses
    members.jsonl           a line for each member that is finished or has diverged
    wave-0000.safetensors   the parameters of a wave's members, as far as they are
    results.json, sweep.png the summary

Lines reach the disk before the wave they belong to, and a wave replaces the one before by a rename.
So the newest wave is the truth: it says how long both files of lines are, and what is past that is
a chunk that did not end, which `resume` cuts off. Nothing here depends on the time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import UsageError
from parity.files import PARTIAL, unwritable, write_json
from parity.makemore import checkpoint
from parity.makemore.sweep.axes import Sweep, restored
from parity.makemore.training import Arrays

DIVERGED = "diverged"
"""The array of a wave's file that says at which step each member diverged, -1 if it did not."""


@dataclass(frozen=True)
class Place:
    """How far a sweep is."""

    wave: int = 0
    step: int = 0
    finished: bool = False
    """Whether the wave's final losses are written."""
    curves: int = 0
    """Bytes of the curves so far."""
    members: int = 0


class SweepFolder:
    """One sweep's folder. Reading needs no lock; writing needs `locked`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sweep = path / "sweep.json"
        self.curves = path / "curves.jsonl"
        self.members = path / "members.jsonl"
        self.results = path / "results.json"
        self.picture = path / "sweep.png"

    def holds_a_sweep(self) -> bool:
        """Return whether a sweep was begun here."""
        return self.sweep.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and hold it alone; UsageError if it is held or cannot be written."""
        with checkpoint.Folder(self.path).locked():
            yield

    def begin(self, sweep: Sweep, names: dict[str, Any]) -> None:
        """Write down what will be run; ``names`` says on which words."""
        write_json(self.sweep, asdict(sweep) | {"names": names})

    def read(self) -> tuple[Sweep, dict[str, Any]]:
        """Return (sweep, names) as `begin` was given them; UsageError if they cannot be read."""
        try:
            values = json.loads(self.sweep.read_bytes())
            names = values.pop("names")
            return restored(values), names
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{self.sweep} cannot be used ({error}); restore it, or sweep into another folder"
            ) from error

    def wave(self, number: int) -> Path:
        """Return the file of a wave."""
        return self.path / f"wave-{number:04}.safetensors"

    def resume(self) -> tuple[Place, Arrays]:
        """Return how far the sweep is, and its newest wave's arrays, none before the first chunk.

        Cuts the lines back to there, and deletes what a killed process left unfinished.
        """
        for stale in self.path.glob(f".*{PARTIAL}"):
            stale.unlink(missing_ok=True)
        waves = sorted(self.path.glob("wave-*.safetensors"))
        about, arrays = checkpoint.read_arrays(waves[-1]) if waves else ({}, {})
        place = Place(**about)
        _cut(self.curves, place.curves)
        _cut(self.members, place.members)
        return place, arrays

    def save(
        self, place: Place, arrays: Arrays, curves: Sequence[str], members: Sequence[str]
    ) -> Place:
        """Append the lines, then replace the wave; return ``place`` with their lengths."""
        place = Place(
            place.wave,
            place.step,
            place.finished,
            _append(self.curves, curves),
            _append(self.members, members),
        )
        checkpoint.write_arrays(self.wave(place.wave), asdict(place), arrays)
        return place

    def read_members(self) -> list[dict[str, Any]]:
        """Return the lines of members, by their numbers."""
        return sorted(_lines(self.members), key=lambda line: line["member"])

    def read_curves(self, name: str = "mean") -> dict[int, np.ndarray]:
        """Return each member's (windows, 2) of first steps and losses: ``mean``, or ``loss``."""
        found: dict[int, list[tuple[int, float]]] = {}
        for line in _lines(self.curves):
            found.setdefault(line["member"], []).append((line["step"], line[name]))
        return {member: np.array(points) for member, points in sorted(found.items())}


def _append(path: Path, lines: Sequence[str]) -> int:
    """Append lines, wait until they are on the disk, and return the file's length."""
    try:
        with path.open("ab") as file:
            file.write("".join(line + "\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())
            return file.tell()
    except OSError as error:
        raise unwritable(path, error) from error


def _cut(path: Path, length: int) -> None:
    found = path.stat().st_size if path.exists() else 0
    if found < length:
        raise UsageError(
            f"{path} is damaged (it holds {found:,} bytes of {length:,}); restore it, or sweep "
            "into another folder"
        )
    if found > length:
        os.truncate(path, length)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UsageError(f"{path}, line {number} is damaged; restore it") from error
