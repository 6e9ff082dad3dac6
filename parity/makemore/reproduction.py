"""`parity reproduce`: runs a published run and shows each of its figures beside ours."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.files import check_writable, unwritable, write_atomically, write_json
from parity.makemore import curve, notebook
from parity.makemore.data import Dataset
from parity.makemore.figures import Figure, Outcome, reproduce
from parity.makemore.published import NOTEBOOK, Run, read
from parity.makemore.training import schedule
from parity.progress import progress
from parity.show.report import Report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SCHEMA = "backprop-parity/reproduction/1"


@dataclass(frozen=True)
class Reproduction:
    """A published run, run again: what came out, ready to be shown or written."""

    published: Run
    gradients: Report | None
    outcomes: tuple[Outcome, ...]
    curves: tuple[Path, ...]

    @property
    def figures(self) -> list[Figure]:
        """Every published figure beside ours."""
        return [figure for outcome in self.outcomes for figure in outcome.figures]

    @property
    def exit_code(self) -> int:
        """0 if every figure holds and every gradient agrees."""
        agree = self.gradients is None or self.gradients.exit_code() == 0
        return int(not (agree and all(figure.holds for figure in self.figures)))

    def show(self, console: Console) -> None:
        """Print what was run, the table of figures, how many hold, and where the curves are."""
        about = ": ".join(filter(None, (self.published.title, self.published.source)))
        console.print(about, soft_wrap=True, markup=False)
        if self.gradients is not None:
            said = f"Exercises 1 to 3, {self.gradients.summary()}"
            console.print(said, soft_wrap=True, markup=False)
        console.print(_table(self.figures))
        good = sum(figure.holds for figure in self.figures)
        where = f"; loss curve: {' '.join(map(str, self.curves))}" if self.curves else ""
        last = f"{good} of {len(self.figures)} published figures reproduced{where}"
        console.print(last, soft_wrap=True, markup=False)


def run(path: Path | None, frameworks: Sequence[str], out: Path, into: Path | None) -> Reproduction:
    """Reproduce the run that ``path`` describes, the notebook's by default.

    ``out`` gets a loss curve a framework, ``into`` everything as JSON.
    """
    source = path or NOTEBOOK
    published = read(source)
    dataset = published.dataset()
    curves = {f: out / f"{source.stem}-{f}.png" for f in frameworks}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error
    for target in (*curves.values(), *([] if into is None else [into])):
        check_writable(target)

    gradients = _gradients(published, dataset)
    with progress("training", published.training.steps * len(frameworks)) as advance:
        outcomes = tuple(reproduce(published, f, dataset, advance) for f in frameworks)
    drawn = []
    for outcome in outcomes:
        if outcome.losses.size:
            title = f"{published.title}, {outcome.framework}"
            picture = curve.draw(outcome.losses, schedule(published.training.lr), title)
            write_atomically(curves[outcome.framework], picture)
            drawn.append(curves[outcome.framework])
    reproduction = Reproduction(published, gradients, outcomes, tuple(drawn))
    if into is not None:
        write_json(into, as_dict(reproduction))
    return reproduction


def _gradients(published: Run, dataset: Dataset) -> Report | None:
    """Judge Exercises 1 to 3 on the run's own batch."""
    if published.exercise_1 is None:
        return None
    with progress("Exercises 1 to 3: compiling for both frameworks", 3) as advance:
        return notebook.run(published.exercise_1, dataset, advance)


def _table(figures: Sequence[Figure]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for header in ("figure", "framework", "published", "ours"):
        table.add_column(header)
    table.add_column("ULP", justify="right")
    table.add_column("")
    for figure in figures:
        verdict = Text("holds", "green") if figure.holds else Text("DOES NOT HOLD", "bold red")
        ulp = "" if figure.ulp is None else str(figure.ulp)
        cells = (figure.name, figure.framework, figure.published, figure.ours, ulp)
        table.add_row(*map(Text, cells), verdict)
    return table


def as_dict(found: Reproduction) -> dict[str, Any]:
    """Return everything as plain values, in the schema that docs/json.md describes."""
    packages = ("backprop-parity", "jax", "jaxlib", "torch", "numpy")
    return {
        "schema": SCHEMA,
        "title": found.published.title,
        "source": found.published.source,
        "machine": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "torch_threads": 1,
            **{name: version(name) for name in packages},
        },
        "gradients": None if found.gradients is None else found.gradients.as_dict(),
        "frameworks": {
            outcome.framework: {
                "figures": [
                    figure.__dict__ | {"holds": figure.holds} for figure in outcome.figures
                ],
                "losses": outcome.losses.tolist(),
                "final": outcome.final,
                "names": list(outcome.names),
            }
            for outcome in found.outcomes
        },
    }
