"""The loss curve as a picture: log10 of the loss, averaged as the notebook's last plot has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parity.show.sheet import plain, png, sheet

WINDOW = 1000
"""Steps averaged into one point; fewer in a run too short for 40 points."""


def window(steps: int) -> int:
    """Return how many steps are averaged into one point."""
    return max(1, min(WINDOW, steps // 40))


def averaged(values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle step and the mean of every ``width`` values; what is left is left out."""
    means = values[: len(values) // width * width].reshape(-1, width).mean(1)
    return (np.arange(len(means)) + 0.5) * width, means


def draw(losses: np.ndarray, phases: Sequence[tuple[int, float]], title: str) -> bytes:
    """Return a PNG of every ``losses[i]``, with a line where the learning rate changes.

    ``phases`` is [(first step, learning rate)].
    """
    from matplotlib.ticker import FuncFormatter

    width = window(len(losses))
    with np.errstate(divide="ignore"):  # a loss of exactly 0 is off the picture
        steps, points = averaged(np.log10(losses.astype(np.float64)), width)

    figure, axes = sheet(8, 4)
    axes.plot(steps, points, linewidth=1.4, color="#1f5fa8", marker="." * (len(points) < 3))
    axes.set_xlim(0, len(losses))
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_ylabel("log10 of the loss" + (f", mean of {width:,} steps" if width > 1 else ""))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    plain(axes)
    for first, rate in phases:
        if first >= len(losses):
            continue
        if first:
            axes.axvline(first, color="#777777", linewidth=1, linestyle="--")
        axes.annotate(
            f"learning rate {rate:g}",
            (first, 1),
            (6, -6),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            color="#555555",
        )
    return png(figure)
