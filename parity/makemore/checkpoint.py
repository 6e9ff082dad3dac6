"""The folder of one training run, consistent at every moment: killed anywhere, it can go on.

    config.json        what determines the run, written first
    metrics.jsonl      every step's loss, one line a step
    model.safetensors  the parameters, and batchnorm's statistics once the run is finished
    results.json       the final losses
    loss-curve.png     the loss, drawn

A chunk's metrics reach the disk before its model, and a model replaces the one before by a rename.
So the model is the truth about how far the run is, and lines of metrics past it are a chunk that
did not end: `resume` cuts them off. Nothing here depends on the time or on the size of a chunk.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import UsageError, option
from parity.files import PARTIAL, unwritable, write_atomically, write_json
from parity.makemore import recipe
from parity.makemore.training import Arrays, Chunk, Config

STATISTICS = ("bnmean", "bnvar")
ADVICE = "restore it from a copy, or train into another folder"


class Folder:
    """One run's folder. Reading needs no lock; writing needs `locked`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.jsonl"
        self.model = path / "model.safetensors"
        self.results = path / "results.json"
        self.curve = path / "loss-curve.png"

    def holds_a_run(self) -> bool:
        """Return whether a run was begun here."""
        return self.config.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and hold it alone; UsageError if it is held or cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            _lock(handle, self.path)
            yield
        finally:
            os.close(handle)  # and the lock with it, as when the process dies

    def begin(self, config: Config, names: dict[str, Any]) -> None:
        """Write down what will be run; ``names`` says on which words."""
        write_json(self.config, asdict(config) | {"names": names})

    def read_config(self) -> tuple[Config, dict[str, Any]]:
        """Return (config, names) as `begin` was given them; UsageError if they cannot be read."""
        if not self.holds_a_run():
            raise UsageError(f"{self.path} holds no training run; give the --out of parity train")
        try:
            values = json.loads(self.config.read_bytes())
            names = values.pop("names")
            return Config(**values), names
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
            raise UsageError(
                f"{self.config} cannot be used ({error}); restore it, or train into another folder"
            ) from error

    def resume(self) -> tuple[int, Arrays] | None:
        """Return (step, parameters) of the last checkpoint, None before the first one.

        Cuts the metrics back to that step, and deletes what a killed process left unfinished.
        """
        for stale in self.path.glob(f".*{PARTIAL}"):
            stale.unlink(missing_ok=True)
        if not self.model.exists():
            _cut(self.metrics, 0)
            return None
        step, arrays = self.read_model()
        _cut(self.metrics, step)
        return step, {name: arrays[name] for name in recipe.NAMES}

    def save(self, chunk: Chunk) -> None:
        """Append the chunk's losses, then replace the model."""
        first = chunk.step - len(chunk.losses)
        lines = "".join(
            f'{{"step": {step}, "loss": {loss!r}}}\n'
            for step, loss in enumerate(chunk.losses.tolist(), first)
        )
        try:
            with self.metrics.open("ab") as file:
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(self.metrics, error) from error
        self.save_model(chunk.step, chunk.params)

    def save_model(self, step: int, arrays: Arrays) -> None:
        """Replace the model: the parameters after ``step`` steps, with or without statistics."""
        write_arrays(self.model, {"step": step}, arrays)

    def read_model(self) -> tuple[int, Arrays]:
        """Return (step, arrays by name); UsageError if a byte of them is not as it was written."""
        if not self.model.exists():
            raise UsageError(f"{self.path} holds no checkpoint yet; let parity train run on")
        about, arrays = read_arrays(self.model)
        if "step" not in about or not {*recipe.NAMES} <= {*arrays}:
            raise UsageError(f"{self.model} is damaged (it is no model); {ADVICE}")
        return about["step"], arrays

    def losses(self) -> np.ndarray:
        """Return every step's loss, in order."""
        with self.metrics.open(encoding="utf-8") as file:
            return np.array([json.loads(line)["loss"] for line in file], np.float32)


def require_same(folder: Folder, config: Config, given: set[str]) -> Config:
    """Return the folder's own config, with the steps that were asked for.

    ``given`` names the options on the command line: UsageError for one that is not what the folder
    was trained with. The steps may be raised, never lowered below what is done.
    """
    own, _ = folder.read_config()
    for name in sorted(given - {"steps"}):
        ours, asked = getattr(own, name), getattr(config, name)
        if ours != asked:
            raise UsageError(
                f"{folder.path} is trained with {option(name)} {ours}, not {asked}; leave the "
                "option out to resume it, or give another --out"
            )
    if "steps" not in given or config.steps == own.steps:
        return own
    if config.steps < own.steps:
        raise UsageError(
            f"{folder.path} is trained to --steps {own.steps}, not {config.steps}; "
            "resume it with as many steps or more, or give another --out"
        )
    return Config(**(asdict(own) | {"steps": config.steps}))


def _lock(handle: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on Windows; there nobody is kept out
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{path} is being trained by another process; wait, or stop it") from None


def _cut(metrics: Path, steps: int) -> None:
    """Leave the first ``steps`` lines; UsageError if they are not there, one a step, in order."""
    length = 0
    if steps:
        found = -1
        try:
            with metrics.open("rb") as file:
                for found, line in zip(range(steps), file, strict=False):
                    if not line.endswith(b"\n") or json.loads(line)["step"] != found:
                        raise ValueError(f"line {found + 1} is not step {found}")
                    length += len(line)
            if found + 1 < steps:
                raise ValueError(f"it ends at step {found}, the model is at step {steps}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{metrics} is damaged ({error}); restore it, or train into another folder"
            ) from error
    if metrics.exists():
        os.truncate(metrics, length)


def write_arrays(path: Path, about: dict[str, Any], arrays: Arrays) -> None:
    """Replace a file: arrays, with a few plain values about them, whole or not at all."""
    from safetensors.numpy import save

    text = json.dumps(about | {"sha256": _digest(arrays)})
    # one key: safetensors writes several in no fixed order
    write_atomically(path, save(arrays, metadata={"backprop-parity": text}))


def read_arrays(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Return (values, arrays) as they were written; UsageError if a byte of them is not."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["backprop-parity"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        digest = about.pop("sha256")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is damaged ({error}); {ADVICE}") from error
    if digest != _digest(arrays):
        raise UsageError(f"{path} is damaged (its sha256 differs); {ADVICE}")
    return about, arrays


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
