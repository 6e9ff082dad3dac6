"""`parity train`, `parity eval` and `parity sample`: a run's folder, its progress, its results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from parity.errors import DivergedError, UsageError, require_at_least
from parity.files import write_atomically, write_json
from parity.makemore import curve, tf32, words
from parity.makemore.checkpoint import Folder, require_same
from parity.makemore.data import Dataset, load
from parity.makemore.evaluation import sample, split_losses, statistics
from parity.makemore.sampling import rule
from parity.makemore.training import Arrays, Config, schedule, side_of, train
from parity.progress import progress


def run(
    out: Path, config: Config, names: Path | None, chunk: int, given: set[str] | None
) -> Iterator[str]:
    """Train into ``out``, from its last checkpoint if ``given`` is not None; yield lines to print.

    ``given`` names the options that the user gave: on resuming, the others are the folder's own.
    """
    require_at_least(1, chunk=chunk)
    folder = Folder(out)
    begun = folder.holds_a_run()
    if begun and given is None:
        raise UsageError(f"{out} holds a run already; add --resume to go on, or give another --out")
    if begun:
        config = require_same(folder, config, (given or set()) & {*asdict(config)})
        dataset = dataset_of(folder, names)
    else:
        dataset = load(names, config.block_size)
    with folder.locked():
        if folder.holds_a_run() is not begun:
            raise UsageError(f"{out} has just been begun by another process; give another --out")
        if not begun or config != folder.read_config()[0]:
            own = words.file_of(folder.read_config()[1]) if begun else None
            folder.begin(config, words.about(dataset, names or own))
        start = folder.resume()
        yield _greeting(config, given, start)
        if config.matmul_precision != "highest":
            yield tf32.cost(config, dataset)
        try:
            params = _train(folder, config, dataset, chunk, start)
            yield from _finish(folder, config, dataset, params)
        except DivergedError as error:
            raise DivergedError(_kept(folder, error)) from error
        except KeyboardInterrupt:
            yield f"stopped; to go on: parity train --out {out} --resume"
            raise


def _greeting(config: Config, given: set[str] | None, start: Any) -> str:
    if start is not None:
        return f"going on from step {start[0]:,} of {config.steps:,} in {config.framework}"
    empty = "nothing to resume yet: " if given is not None else ""
    return f"{empty}training {config.steps:,} steps in {config.framework}"


def _train(
    folder: Folder,
    config: Config,
    dataset: Dataset,
    chunk: int,
    start: tuple[int, Arrays] | None,
) -> Arrays:
    done, params = start or (0, {})
    began = time.monotonic()
    with progress(f"training in {config.framework}", config.steps, done) as advance:
        for part in train(config, dataset, chunk, start):
            folder.save(part)
            params = part.params
            speed = (part.step - done) / (time.monotonic() - began)
            advance(f"loss {part.losses[-1]:.4f}, {speed:,.0f} steps/s", len(part.losses))
    return params


def _finish(folder: Folder, config: Config, dataset: Dataset, params: Arrays) -> Iterator[str]:
    """Calibrate, evaluate and draw; the same again for a run that was finished before."""
    side = side_of(config.framework)
    fixed = statistics(side, params, dataset)
    folder.save_model(config.steps, params | fixed)
    final = split_losses(side, params, fixed, dataset)
    write_json(folder.results, {"step": config.steps} | final)
    title = f"{config.framework}, {config.n_hidden} hidden units, batches of {config.batch_size}"
    picture = curve.draw(folder.losses(), schedule(config.lr), title)
    write_atomically(folder.curve, picture)
    yield f"after {config.steps:,} steps: " + ", ".join(f"{k} {v:.4f}" for k, v in final.items())
    yield f"in {folder.path}: " + " ".join(
        path.name
        for path in (folder.model, folder.config, folder.metrics, folder.results, folder.curve)
    )


def _kept(folder: Folder, error: DivergedError) -> str:
    kept = f"the checkpoint of step {folder.read_model()[0]:,}" if folder.model.exists() else ""
    where = f"{kept} is kept in {folder.path}" if kept else "there is no checkpoint before it"
    return f"{error}; {where}; try a smaller --lr in another --out"


def dataset_of(folder: Folder, names: Path | None) -> Dataset:
    """Return the words a run was trained on; UsageError if the file holds others today."""
    config, about = folder.read_config()
    return words.again(about, names, config.block_size, folder.path)


def _network(folder: Folder, framework: str | None, names: Path | None) -> tuple[Any, ...]:
    """Return (config, step, side, parameters, statistics, dataset), calibrating if need be."""
    config, _ = folder.read_config()
    step, arrays = folder.read_model()
    dataset = dataset_of(folder, names)
    side = side_of(framework or config.framework)
    return config, step, side, arrays, statistics(side, arrays, dataset), dataset


def evaluated(
    folder: Folder, framework: str | None, names: Path | None
) -> tuple[int, dict[str, float]]:
    """Return (step, loss of each split) of the folder's last checkpoint."""
    _, step, side, params, fixed, dataset = _network(folder, framework, names)
    return step, split_losses(side, params, fixed, dataset)


def sampled(
    folder: Folder, framework: str | None, names: Path | None, sampler: str, seed: int, count: int
) -> list[str]:
    """Return ``count`` names from the folder's last checkpoint."""
    require_at_least(1, count=count)
    choose = rule(sampler, seed)
    config, _, side, params, fixed, dataset = _network(folder, framework, names)
    letters = sample(side, params, fixed, choose, count, config.block_size)
    return [dataset.decode(name).removesuffix(".") for name in letters]
