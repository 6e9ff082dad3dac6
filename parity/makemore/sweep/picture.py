"""A sweep as one picture: its loss curves as bands, its final losses as distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from parity.makemore import curve
from parity.makemore.sweep.axes import Sweep
from parity.makemore.sweep.summary import Figure, settings
from parity.show.sheet import plain, png, sheet

COLOURS = ("#1f5fa8", "#c4541d", "#2f7d4f", "#7b4fa3", "#a08000", "#b03060", "#3d8c99", "#555555")


def draw(
    sweep: Sweep,
    lines: Sequence[Mapping[str, Any]],
    curves: Mapping[int, np.ndarray],
    figures: Sequence[Figure],
) -> bytes:
    """Return a PNG: one band a setting, one histogram a split, and what was published, if asked."""
    wide = 2 + bool(figures)
    canvas, panels = sheet(5.2 * wide, 4.2, wide, dpi=130)
    for axes in panels:
        plain(axes)
    of_settings = list(zip(settings(lines), cycle(COLOURS), strict=False))
    for setting, colour in of_settings:
        label = f"{setting.n_hidden} hidden, lr {setting.lr}"
        own = [curves[m] for m in setting.members if m in curves]
        _band(panels[0], own, curve.window(sweep.steps), colour, label)
        _distribution(panels[1], setting.losses, colour)
    _described(panels, sweep, len(of_settings))
    if figures:
        _published(panels[2], figures)
    return png(canvas)


def _band(axes: Any, curves: Sequence[np.ndarray], width: int, colour: str, label: str) -> None:
    """Draw the median, the middle half and all of the members that reached the last step."""
    if not curves:
        return
    steps = max(curves, key=len)[:, 0]
    whole = np.array([c[:, 1] for c in curves if len(c) == len(steps)])
    least, low, middle, high, most = np.log10(np.quantile(whole, (0, 0.25, 0.5, 0.75, 1), axis=0))
    middles = steps + width / 2
    axes.fill_between(middles, least, most, color=colour, alpha=0.2, linewidth=0)
    axes.fill_between(middles, low, high, color=colour, alpha=0.35, linewidth=0)
    axes.plot(middles, middle, color=colour, linewidth=1, label=label)


def _distribution(axes: Any, losses: Mapping[str, np.ndarray], colour: str) -> None:
    bins = max(5, int(np.sqrt(len(losses["train"])) * 2))
    for split, style, alpha in (("train", "stepfilled", 0.55), ("val", "step", 1)):
        if len(losses[split]):
            axes.hist(losses[split], bins, histtype=style, color=colour, alpha=alpha)


def _described(panels: Any, sweep: Sweep, count: int) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    width = curve.window(sweep.steps)
    panels[0].set_title(f"loss of {len(sweep.members()):,} members: median, half, all")
    panels[0].set_xlabel("step")
    panels[0].set_ylabel(f"log10 of the loss, mean of {width:,} steps")
    panels[0].xaxis.set_major_locator(MaxNLocator(4))
    panels[0].xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    if count > 1 and panels[0].lines:
        panels[0].legend(fontsize="small", frameon=False)
    panels[1].set_title("final losses: train (filled), val (outline)")
    panels[1].set_xlabel("loss after calibrating")
    panels[1].set_ylabel("members")


def _published(axes: Any, figures: Sequence[Figure]) -> None:
    """Draw ours and the notebook in standard deviations of the published runs, figure by figure."""
    place = np.arange(len(figures))
    mean = np.array([f.published.mean for f in figures])
    sd = np.array([f.published.sd for f in figures])
    ours = (np.array([f.ours.mean for f in figures]) - mean) / sd
    spread = np.array([f.ours.sd for f in figures]) / sd
    notebook = (np.array([f.notebook for f in figures]) - mean) / sd
    axes.axhspan(-1, 1, color="#999999", alpha=0.25, linewidth=0, label="published: mean ± sd")
    axes.errorbar(place, ours, spread, fmt="o", color=COLOURS[0], ms=4, label="ours: mean ± sd")
    axes.plot(place, notebook, "x", color=COLOURS[1], label="the notebook")
    axes.set_xticks(place, [_short(f) for f in figures], rotation=90, fontsize="small")
    axes.set_title("beside published runs")
    axes.set_ylabel("published standard deviations")
    axes.legend(fontsize="small", frameon=False)


def _short(figure: Figure) -> str:
    return figure.name.removesuffix(" loss") if figure.step is None else f"{figure.step // 1000}k"
