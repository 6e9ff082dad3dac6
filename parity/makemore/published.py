"""A published run as data: what determines it, and the figures that were printed. TOML, read whole.

Says what is published; `reproduce.py` finds out whether it holds. docs/reproduction.md has the
format. Anything that is not in it is a UsageError, since a figure nobody compares would pass.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from parity.errors import UsageError
from parity.makemore.data import Dataset, load
from parity.makemore.evaluation import SPLITS
from parity.makemore.notebook import Options
from parity.makemore.sampling import SAMPLERS, SEED
from parity.makemore.training import Config

RUNS = Path(__file__).with_name("runs")
NOTEBOOK = RUNS / "notebook.toml"

Published = str | float
"""A figure: as printed, decimals and all, or a number in full precision."""


@dataclass(frozen=True)
class Samples:
    """Names that were sampled after training, in order, without their end marks."""

    names: tuple[str, ...]
    sampler: str = "torch-2.5"
    seed: int = SEED


@dataclass(frozen=True)
class Run:
    """One published run."""

    title: str
    source: str = ""
    names: Path | None = None
    """A file of names; None for the packaged ones."""
    exercise_1: Options | None = None
    """The batch whose gradients and losses are compared before any training."""
    exercise_1_loss: Published | None = None
    """Cross-entropy of the step-by-step logits."""
    exercise_1_printed: Published | None = None
    """The step-by-step loss."""
    training: Config = field(default_factory=Config)
    losses: dict[int, Published] = field(default_factory=dict)
    final: dict[str, Published] = field(default_factory=dict)
    samples: Samples | None = None

    def dataset(self) -> Dataset:
        """Return the examples it is trained on."""
        return load(self.names, self.training.block_size)


def read(path: Path) -> Run:
    """Return the run that the file describes; UsageError says what in it cannot be used."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        why = "it does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise UsageError(f"{path} cannot be read ({why}); give a run file") from None
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file ({error}); mend it") from None
    try:
        return _run(content, path.parent)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _run(content: dict[str, Any], folder: Path) -> Run:
    tables = "exercise-1", "training", "losses", "final", "samples"
    _only(content, "the file", {"title", "source", "names", *tables})
    for name in tables:
        _typed(content, name, dict)
    exercise_1 = dict(content.get("exercise-1", {}))
    printed = {key: exercise_1.pop(key, None) for key in ("loss", "printed")}
    names = _typed(content, "names", str)
    run = Run(
        title=_typed(content, "title", str) or "untitled",
        source=_typed(content, "source", str) or "",
        names=None if names is None else folder / names,
        exercise_1=_record(Options, exercise_1, "[exercise-1]") if exercise_1 else None,
        exercise_1_loss=_figure("loss", printed["loss"]),
        exercise_1_printed=_figure("printed", printed["printed"]),
        training=_record(Config, content.get("training", {}), "[training]"),
        losses={_step(key): _figure(key, v) for key, v in content.get("losses", {}).items()},
        final={key: _figure(key, value) for key, value in content.get("final", {}).items()},
        samples=_samples(content["samples"]) if "samples" in content else None,
    )
    if any(v is not None for v in printed.values()) and run.exercise_1 is None:
        raise UsageError("[exercise-1] has a figure but no batch; give its n_hidden and seeds")
    _only(run.final, "[final]", {*SPLITS})
    for step in run.losses:
        if not 0 <= step < run.training.steps:
            raise UsageError(f"[losses] names step {step}, but steps is {run.training.steps}")
    if not (run.losses or run.final or run.samples or any(v is not None for v in printed.values())):
        raise UsageError("it publishes no figure; add one to [losses], [final] or [samples]")
    return run


def _record(kind: type[Any], table: dict[str, Any], where: str) -> Any:
    """Return a dataclass of the table's values, each of the type of its default."""
    defaults = {f.name: f.default for f in fields(kind)}
    for internal in ("framework", "dtype", "exercises", "batches", "names", "batch_seed"):
        defaults.pop(internal, None)
    _only(table, where, {*defaults})
    for key, value in table.items():
        if key == "global_seed" and kind is Config and value == "same":
            continue
        if type(value) is not type(defaults[key]):
            wanted = type(defaults[key]).__name__
            raise UsageError(f"{where} {key} is {value!r}; give a value of type {wanted}")
    return kind(**{k: None if v == "same" else v for k, v in table.items()})


def _samples(table: dict[str, Any]) -> Samples:
    _only(table, "[samples]", {"names", "sampler", "seed"})
    names = _typed(table, "names", list)
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError("[samples] names must be a list of one name or more")
    sampler = _typed(table, "sampler", str) or Samples.sampler
    if sampler not in SAMPLERS:
        raise UsageError(f"[samples] sampler is {sampler!r}; give {' or '.join(SAMPLERS)}")
    seed = _typed(table, "seed", int)
    return Samples(tuple(names), sampler, Samples.seed if seed is None else seed)


def _only(table: dict[str, Any], where: str, known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise UsageError(f"{where} has no {key!r}; it may have {', '.join(sorted(known))}")


def _typed(table: dict[str, Any], key: str, kind: type[Any]) -> Any:
    value = table.get(key)
    if value is not None and type(value) is not kind:
        raise UsageError(f"{key} is {value!r}; give a value of type {kind.__name__}")
    return value


def _step(key: str) -> int:
    try:
        return int(key)
    except ValueError:
        raise UsageError(f"[losses] {key!r} is no step; give a number") from None


def _figure(key: str, value: Any) -> Any:
    """Return a figure as it was written: a float, or a string that is a decimal number."""
    if value is None:
        return None
    try:
        printed = type(value) is str and value == f"{float(value):.{decimals(value)}f}"
        if (printed or type(value) is float) and math.isfinite(float(value)):
            return value
    except ValueError:
        pass
    raise UsageError(f'{key} is {value!r}; write "3.8101" as printed or 3.8101 in full precision')


def decimals(printed: str) -> int:
    """Return how many decimals a printed figure has."""
    return len(printed.partition(".")[2])
