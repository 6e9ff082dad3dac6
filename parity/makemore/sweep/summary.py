"""What a sweep amounts to: the final losses of each setting, and beside those that were published.

A setting is all members that differ in their seeds alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.makemore.evaluation import SPLITS
from parity.makemore.published import NOTEBOOK, read
from parity.makemore.sweep import population

SCHEMA = "backprop-parity/sweep/1"

FAR = 3.5
"""Standard errors from which a figure is another: one in 2,000 by chance, and there are 44."""


@dataclass(frozen=True)
class Setting:
    """The members of one width and schedule."""

    n_hidden: int
    lr: str
    members: tuple[int, ...]
    diverged: int
    losses: dict[str, np.ndarray]
    """The finished members', by split."""


def settings(lines: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Return the settings of the members' lines, in their order."""
    grouped: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        grouped.setdefault((line["n_hidden"], line["lr"]), []).append(line)
    return [
        Setting(
            *key,
            tuple(line["member"] for line in own),
            sum("diverged" in line for line in own),
            {s: np.array([x[s] for x in own if "diverged" not in x]) for s in SPLITS},
        )
        for key, own in grouped.items()
    ]


@dataclass(frozen=True)
class Figure:
    """One figure of many runs, as published and as ours, and that of the notebook among them."""

    name: str
    step: int | None
    published: population.Published
    ours: population.Published
    notebook: float

    @property
    def mean_off(self) -> float:
        """How far apart the means are, in standard errors."""
        a, b = self.published, self.ours
        return (b.mean - a.mean) / math.sqrt(a.sd**2 / a.runs + b.sd**2 / b.runs)

    @property
    def spread_off(self) -> float:
        """How far apart the logarithms of the standard deviations are, in standard errors."""
        a, b = self.published, self.ours
        return math.log(b.sd / a.sd) / math.sqrt(0.5 / (a.runs - 1) + 0.5 / (b.runs - 1))

    @property
    def place(self) -> float:
        """Where the notebook's lies in ours: standard deviations from the mean."""
        return (self.notebook - self.ours.mean) / self.ours.sd


def against_published(
    lines: Sequence[Mapping[str, Any]], first_losses: Mapping[int, np.ndarray]
) -> list[Figure]:
    """Return every published figure that the sweep has reached, beside ours."""
    notebook = read(NOTEBOOK)
    finished = [line for line in lines if "diverged" not in line]
    points = [dict(first_losses[line["member"]]) for line in finished]
    found: list[tuple[str, int | None, population.Published, list[float], Any]] = []
    for step, published in population.PRINTED.items():
        values = [float(own[step]) for own in points if step in own]
        found.append((f"loss at step {step:,}", step, published, values, notebook.losses[step]))
    whole = read(NOTEBOOK).training.steps
    reached = any(whole - population.EVERY in own for own in points)
    for split, published in population.FINAL.items():
        values = [line[split] for line in finished] if reached else []
        found.append((f"{split} loss", None, published, values, notebook.final[split]))
    return [
        Figure(name, step, published, _of(values), float(theirs))
        for name, step, published, values, theirs in found
        if len(values) > 2
    ]


def _of(values: Sequence[float]) -> population.Published:
    return population.Published(float(np.mean(values)), float(np.std(values, ddof=1)), len(values))


def as_dict(settings: Sequence[Setting], figures: Sequence[Figure]) -> dict[str, Any]:
    """Return the summary as plain values, in the schema that docs/json.md describes."""
    return {
        "schema": SCHEMA,
        "settings": [
            {
                "n_hidden": setting.n_hidden,
                "lr": setting.lr,
                "members": len(setting.members),
                "diverged": setting.diverged,
                "losses": {s: _spread(x) for s, x in setting.losses.items() if len(x)},
            }
            for setting in settings
        ],
        "published": [
            {
                "figure": figure.name,
                "published": figure.published._asdict(),
                "ours": figure.ours._asdict(),
                "mean_off": figure.mean_off,
                "spread_off": figure.spread_off,
                "notebook": figure.notebook,
                "place": figure.place,
            }
            for figure in figures
        ],
    }


def _spread(losses: np.ndarray) -> dict[str, float | None]:
    return {
        "mean": float(losses.mean()),
        "sd": float(losses.std(ddof=1)) if len(losses) > 1 else None,
        "least": float(losses.min()),
        "most": float(losses.max()),
    }


def table(settings: Sequence[Setting]) -> Iterator[str]:
    """Yield one table: a line for each setting and split."""
    rows: list[Sequence[str]] = [
        ("hidden", "learning rate", "members", "diverged", "split", "mean", "sd", "least", "most")
    ]
    for setting in settings:
        left = str(setting.n_hidden), setting.lr, str(len(setting.members)), str(setting.diverged)
        for split, losses in setting.losses.items():
            if len(losses):
                found = _spread(losses)
                numbers = ("" if x is None else f"{x:.5f}" for x in found.values())
                rows.append((*left, split, *numbers))
                left = "", "", "", ""
        if left[0]:
            rows.append((*left, *[""] * 5))
    yield from _aligned(rows)


def comparison(figures: Sequence[Figure]) -> Iterator[str]:
    """Yield the published figures beside ours, and whether they are of one population."""
    if not figures:
        yield "nothing to hold against published runs: fewer than 3 members have reached a figure"
        return
    rows: list[Sequence[str]] = [
        ("", "published", "", "ours", "", "apart by", "spread by", "the notebook", "its place")
    ]
    for f in figures:
        digits = 4 if f.step is not None else 5
        pairs = (f"{x:.{digits}f}" for p in (f.published, f.ours) for x in (p.mean, p.sd))
        offs = f"{f.mean_off:+.1f} se", f"{f.spread_off:+.1f} se"
        rows.append((f.name, *pairs, *offs, f"{f.notebook:.{digits}f}", f"{f.place:+.1f} sd"))
    yield from _aligned(rows)
    worst = max(figures, key=lambda f: max(abs(f.mean_off), abs(f.spread_off)))
    far = max(abs(worst.mean_off), abs(worst.spread_off))
    verdict = "differ from" if far > FAR else "agree with"
    yield (
        f"{figures[0].ours.runs} members {verdict} published runs in mean and spread: "
        f"at most {far:.1f} standard errors apart ({worst.name}; the bound is {FAR})"
    )


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((row[0].ljust(widths[0]), *cells)).rstrip()
