"""`parity recover`: a run file without the global seed in, one with it out."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from parity.errors import UsageError
from parity.files import check_writable, write_atomically
from parity.makemore import published
from parity.makemore.recover.confirm import at_step_0, beginnings, in_training
from parity.makemore.recover.states import Kept, Search, State, searched
from parity.makemore.recover.target import of_exercise_1, of_step_0, require_long
from parity.progress import progress

STATES = 2**32


def run(path: Path, out: Path, first: int, last: int) -> Iterator[tuple[str, int | None]]:
    """Yield (line to print, None), and last (line, exit code): 0 if a seed was found, 1 if none.

    Searches the seeds from ``first`` to ``last``, on from where ``out`` and its progress are.
    """
    from parity.frameworks.jax_devices import Devices

    found = published.read(path)
    skip = _given_skip(path)
    if not 0 <= first <= last < STATES:
        raise UsageError(f"--seeds {first}..{last} are no states; give 0..{STATES - 1} or fewer")
    check_writable(out)
    dataset, devices = found.dataset(), Devices()
    target = of_exercise_1(found, dataset) or of_step_0(found, dataset, skip or 0)
    if target is None:
        raise UsageError(
            "it publishes no loss before training; a search needs that of [exercise-1] or of step 0"
        )
    require_long(target.hidden)
    count = last - first + 1
    search = Search(target, devices, count)
    kept = Kept(
        out.with_name(out.name + ".search"),
        {"run": path.read_text(encoding="utf-8"), "seeds": [first, last]},
    )
    done, _ = kept.read(first)
    pace = search.pace()
    where = f"{count:,} states on {devices.count} {devices.kind} devices"
    left = _duration((last + 1 - done) / pace)
    yield f"{target.name}, {target.published}: {where}, {pace:,.0f} a second: {left} to go", None
    survivors: list[int] = []
    with progress("searching", count) as advance:
        for by, survivors in searched(search, first, last, kept):
            advance(f"{len(survivors):,} fit", by)
    yield f"{len(survivors):,} of {count:,} print {target.published}", None
    begins = beginnings(found, skip)
    states = [(seed, words) for words in begins for seed in survivors]
    if found.exercise_1 is not None and 0 in found.losses:
        states = at_step_0(found, dataset, devices, survivors, begins)
        yield f"{len(states):,} of them print {found.losses[0]} at step 0", None
    for step, some in in_training(found, dataset, devices, states):
        yield f"{len(some):,} print {found.losses[step]} at step {step:,}", None
        states = some
    yield _ended(path, out, states, count)
    kept.path.unlink(missing_ok=True)


def _given_skip(path: Path) -> int | None:
    """Return training's global_skip if the file says it; UsageError if it says a global seed."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    for table in ("exercise-1", "training"):
        if "global_seed" in content.get(table, {}):
            raise UsageError(f"{path}: [{table}] has its global_seed; leave it out to search")
    return content.get("training", {}).get("global_skip")


def _ended(path: Path, out: Path, states: Sequence[State], count: int) -> tuple[str, int]:
    if not states:
        whole = "no state of the generator prints" if count == STATES else "none of these prints"
        return f"{whole} this: another recipe, another order of draws, or a figure is wrong", 1
    if len(states) > 1:
        seeds = ", ".join(f"{seed} after {skip} words" for seed, skip in states[:10])
        return f"{len(states):,} states print all of this: {seeds}; publish more figures", 1
    ((seed, skip),) = states
    write_atomically(out, with_seed(path.read_text(encoding="utf-8"), seed, skip))
    return f"global seed {seed}, training's draws from word {skip}; in {out}", 0


def with_seed(text: str, seed: int, skip: int) -> str:
    """Return a run file with the global seed and training's skip in it, else as it was."""
    text = re.sub(r"(?m)^global_skip *=.*\n", "", _table(text, "training"))
    lines = f"global_seed = {seed}\n"
    text = re.sub(r"(?m)^(\[exercise-1\].*\n)", rf"\g<1>{lines}", text)
    return re.sub(r"(?m)^(\[training\].*\n)", rf"\g<1>{lines}global_skip = {skip}\n", text)


def _table(text: str, name: str) -> str:
    return text if re.search(rf"(?m)^\[{name}\]", text) else f"{text.rstrip()}\n\n[{name}]\n"


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
