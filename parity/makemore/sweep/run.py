"""`parity sweep`: the waves of a sweep one after another, into its folder, and the summary."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import LostProcessError, UsageError, option, require_at_least
from parity.files import write_atomically, write_json
from parity.makemore import curve, tf32, words
from parity.makemore.data import Dataset, load
from parity.makemore.sweep import picture, summary
from parity.makemore.sweep.axes import AXES, Sweep
from parity.makemore.sweep.folder import DIVERGED, Place, SweepFolder
from parity.makemore.sweep.waves import WaveChunk, final_losses, steps_at_once, train_wave
from parity.makemore.training import Arrays, Config
from parity.progress import Advance, progress


def run(
    out: Path, asked: Sweep, names: Path | None, chunk: int, given: set[str] | None, preset: bool
) -> Iterator[str]:
    """Train every member into ``out``, going on if ``given`` is not None; yield lines to print.

    ``given`` names the options that the user gave: on resuming, the others are the folder's own.
    With ``preset`` the outcome is held against published runs of the notebook. Of several processes
    the first alone writes and says anything.
    """
    from parity.frameworks.jax_devices import Devices

    require_at_least(1, chunk=chunk)
    devices, folder = Devices(), SweepFolder(out)
    with folder.locked() if devices.first_process else nullcontext():
        try:
            sweep, about, place, arrays = devices.agreed(
                lambda: _begun(folder, asked, names, given, preset)
            )
            dataset = words.again(about, names, sweep.block_size, out)
            if devices.first_process:
                yield _greeting(sweep, devices, place)
                if sweep.matmul_precision != "highest":
                    yield tf32.cost(sweep.members()[0], dataset)
            work = _Work(devices, folder, sweep, dataset, chunk)
            work.train(place, arrays)
        except LostProcessError as error:
            raise LostProcessError(
                f"another process of this sweep is gone ({error}); what was finished is kept in "
                f"{out}; to go on, start all of them again with --resume"
            ) from error
        except KeyboardInterrupt:
            yield f"stopped; to go on: parity sweep --out {out} --resume"
            raise
        if devices.first_process:
            yield from _summary(folder, sweep, preset)


def _begun(
    folder: SweepFolder, asked: Sweep, names: Path | None, given: set[str] | None, preset: bool
) -> tuple[Sweep, dict[str, Any], Place, Arrays]:
    """Begin the folder, or take from it what it holds: the sweep, its words, how far it is."""
    if not folder.holds_a_sweep():
        asked.members()
        _require_notebook(preset, asked, names)
        folder.begin(asked, words.about(load(names, asked.block_size), names))
    elif given is None:
        raise UsageError(
            f"{folder.path} holds a sweep already; add --resume to go on, or give another --out"
        )
    sweep, about = folder.read()
    for name in sorted(given or ()):
        if getattr(sweep, name) != getattr(asked, name):
            raise UsageError(
                f"{folder.path} is swept with another {option(name)}; leave the option out to "
                "resume it, or give another --out"
            )
    _require_notebook(preset, sweep, about["file"])
    return sweep, about, *folder.resume()


def _require_notebook(preset: bool, sweep: Sweep, names: object) -> None:
    if preset and not (sweep.of_the_notebook and names is None):
        raise UsageError(
            "--preset notebook is for the notebook's recipe on its own names; "
            "leave it out, or give no other option than --seeds with it"
        )


def _greeting(sweep: Sweep, devices: Any, place: Place) -> str:
    members = f"{len(sweep.members()):,} members of {sweep.steps:,} steps"
    where = f"{members} on {devices.count} {devices.kind} devices"
    done = place.step or place.wave
    return f"going on with {where}, wave {place.wave} at step {place.step:,}" if done else where


class _Work:
    """What stays the same while a sweep is trained."""

    def __init__(
        self, devices: Any, folder: SweepFolder, sweep: Sweep, dataset: Dataset, chunk: int
    ) -> None:
        self.devices, self.folder, self.dataset, self.chunk = devices, folder, dataset, chunk
        self.members, self.waves = sweep.members(), sweep.waves()
        self.steps, self.width = sweep.steps, curve.window(sweep.steps)

    def train(self, place: Place, arrays: Arrays) -> None:
        """Train every wave that is not finished, the one in ``arrays`` from where it stands."""
        done = sum(len(wave) for wave in self.waves[: place.wave]) * self.steps
        done += len(self.waves[place.wave]) * place.step
        total = len(self.members) * self.steps
        shown = progress("sweep", total, done) if self.devices.first_process else nullcontext(_mute)
        with shown as advance:
            for number, wave in enumerate(self.waves[place.wave :], place.wave):
                current = number == place.wave
                if not (current and place.finished):
                    self._wave(number, wave, (place.step, arrays) if current else (0, {}), advance)

    def _wave(self, number: int, wave: range, start: tuple[int, Arrays], advance: Advance) -> None:
        step, params = start
        diverged = params[DIVERGED] if step else np.full(len(wave), -1)
        began, first = time.monotonic(), step
        configs = [self.members[member] for member in wave]
        chunk = steps_at_once(self.devices, len(wave), self.chunk, self.width)
        for part in train_wave(self.devices, configs, self.dataset, chunk, start if step else None):
            ill = _first_not_finite(part)
            settled = [i for i in ill.argsort(kind="stable") if diverged[i] < 0 <= ill[i]]
            diverged = np.where(diverged < 0, ill, diverged)
            params = part.params
            self._save(
                Place(number, part.step),
                params | {DIVERGED: diverged},
                _windows(wave, part, self.width),
                [_line(wave[i], configs[i], diverged[i], {}) for i in settled],
            )
            speed = (part.step - first) * len(wave) / (time.monotonic() - began)
            well = part.losses[diverged < 0, -1]
            mean = f"mean loss {well.mean():.4f}" if well.size else "all have diverged"
            advance(f"step {part.step:,}, {mean}, {speed:,.0f} member-steps/s", part.losses.size)
        advance(f"evaluating {len(wave):,} members", 0)
        self._finish(number, wave, params, diverged)

    def _finish(self, number: int, wave: range, params: Arrays, diverged: np.ndarray) -> None:
        """Calibrate and evaluate every member."""
        found = final_losses(self.devices, params, self.dataset)
        lines = []
        for i, member in enumerate(wave):
            if diverged[i] < 0:
                finite = all(np.isfinite(losses[i]) for losses in found.values())
                losses = {split: float(x[i]) for split, x in found.items()} if finite else {}
                at = -1 if finite else self.steps
                lines.append(_line(member, self.members[member], at, losses))
        self._save(Place(number, self.steps, True), params | {DIVERGED: diverged}, [], lines)

    def _save(
        self, place: Place, arrays: Arrays, curves: Sequence[str], members: Sequence[str]
    ) -> None:
        if self.devices.first_process:
            self.folder.save(place, arrays, curves, members)


def _mute(*_: Any) -> None:
    pass


def _first_not_finite(part: WaveChunk) -> np.ndarray:
    """Return the step of each member's first loss that is not finite, -1 where all are."""
    ill = ~np.isfinite(part.losses)
    first = part.step - part.losses.shape[1] + ill.argmax(1)
    return np.where(ill.any(1), first, -1)


def _windows(wave: range, part: WaveChunk, width: int) -> list[str]:
    """Return a line for each window and member: the loss at its first step, and the mean.

    The windows in which a member diverges, and those after it, have none.
    """
    lines = []
    first = part.step - part.losses.shape[1]
    for start in range(0, part.losses.shape[1], width):
        losses = part.losses[:, start : start + width]
        for i, member in enumerate(wave):
            if np.isfinite(losses[i]).all():
                mean = losses[i].mean(dtype=np.float64)
                lines.append(
                    f'{{"member": {member}, "step": {first + start}, '
                    f'"loss": {float(losses[i, 0])!r}, "mean": {float(mean)!r}}}'
                )
    return lines


def _line(member: int, config: Config, diverged: int, losses: dict[str, float]) -> str:
    axes = {name: getattr(config, name) for name in AXES}
    status = {"diverged": int(diverged)} if diverged >= 0 else losses
    return json.dumps({"member": member} | axes | status)


def _summary(folder: SweepFolder, sweep: Sweep, preset: bool) -> Iterator[str]:
    """Write and draw what came out; yield the table."""
    members, curves = folder.read_members(), folder.read_curves()
    settings = summary.settings(members)
    population = summary.against_published(members, folder.read_curves("loss")) if preset else []
    write_json(folder.results, summary.as_dict(settings, population))
    write_atomically(folder.picture, picture.draw(sweep, members, curves, population))
    yield from summary.table(settings)
    if preset:
        yield from summary.comparison(population)
    ill = [line for line in members if "diverged" in line]
    yield from (f"member {x['member']} diverged at step {x['diverged']:,}" for x in ill[:10])
    yield f"in {folder.path}: " + " ".join(
        path.name for path in (folder.members, folder.curves, folder.results, folder.picture)
    )
