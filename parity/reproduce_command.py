"""`parity reproduce`: runs a published run and shows each of its figures beside ours."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity import curve
from parity.data import Dataset
from parity.files import check_writable, unwritable, write_atomically, write_json
from parity.progress import progress
from parity.published import NOTEBOOK, Run, read
from parity.report import Report
from parity.reproduce import Outcome, reproduce
from parity.training import schedule

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "backprop-parity/reproduction/1"


def run(
    path: Path | None, frameworks: Sequence[str], out: Path, into: Path | None, console: Console
) -> int:
    """Reproduce the run that ``path`` describes, the notebook's by default; return the exit code.

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

    about = ": ".join(filter(None, (published.title, published.source)))
    console.print(about, soft_wrap=True, markup=False)
    report = _gradients(published, dataset, console)
    steps = published.training.steps * len(frameworks)
    outcomes = []
    with progress("training", steps) as advance:
        for framework in frameworks:
            outcomes.append(reproduce(published, framework, dataset, advance))
    for outcome in outcomes:
        if outcome.losses.size:
            title = f"{published.title}, {outcome.framework}"
            picture = curve.draw(outcome.losses, schedule(published.training.lr), title)
            write_atomically(curves[outcome.framework], picture)
    if into is not None:
        write_json(into, as_dict(published, report, outcomes))

    figures = [figure for outcome in outcomes for figure in outcome.figures]
    _show(outcomes, console)
    good = sum(figure.holds for figure in figures)
    drawn = [str(curves[outcome.framework]) for outcome in outcomes if outcome.losses.size]
    where = f"; loss curve: {' '.join(drawn)}" if drawn else ""
    console.print(
        f"{good} of {len(figures)} published figures reproduced{where}",
        soft_wrap=True,
        markup=False,
    )
    return int(good < len(figures) or (report is not None and report.exit_code() != 0))


def _gradients(published: Run, dataset: Dataset, console: Console) -> Report | None:
    """Judge Exercises 1 to 3 on the run's batch, and say how that went."""
    if published.exercise_1 is None:
        return None
    from parity.notebook import run as judge

    with progress("Exercises 1 to 3: compiling for both frameworks", 3) as advance:
        report = judge(published.exercise_1, dataset, advance)
    console.print(f"Exercises 1 to 3, {report.summary()}", soft_wrap=True, markup=False)
    return report


def _show(outcomes: Sequence[Outcome], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for header in ("figure", "framework", "published", "ours"):
        table.add_column(header)
    table.add_column("ULP", justify="right")
    table.add_column("")
    for outcome in outcomes:
        for figure in outcome.figures:
            verdict = Text("holds", "green") if figure.holds else Text("DOES NOT HOLD", "bold red")
            ulp = "" if figure.ulp is None else str(figure.ulp)
            cells = (figure.name, figure.framework, figure.published, figure.ours, ulp)
            table.add_row(*map(Text, cells), verdict)
    console.print(table)


def as_dict(published: Run, report: Report | None, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return everything as plain values, in the schema that docs/json.md describes."""
    packages = ("backprop-parity", "jax", "jaxlib", "torch", "numpy")
    return {
        "schema": SCHEMA,
        "title": published.title,
        "source": published.source,
        "machine": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "torch_threads": 1,
            **{name: version(name) for name in packages},
        },
        "gradients": None if report is None else report.as_dict(),
        "frameworks": {
            outcome.framework: {
                "figures": [
                    figure.__dict__ | {"holds": figure.holds} for figure in outcome.figures
                ],
                "losses": outcome.losses.tolist(),
                "final": outcome.final,
                "names": list(outcome.names),
            }
            for outcome in outcomes
        },
    }
