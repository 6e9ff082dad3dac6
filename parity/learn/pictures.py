"""The pictures of the lessons, and of a training with a mistake. Draws what it is given."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

BLUE, RED, GREY = "#1f5fa8", "#c23b22", "#8a8a8a"


def sheet(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """Return a figure and its axes, made without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)


def png(figure: Any) -> bytes:
    """Return a figure as a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def heat(values: np.ndarray) -> bytes:
    """Return a matrix as a picture of one dot an entry: blue below 0, white at 0, red above."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    rows = values.reshape(len(values), -1) if values.ndim > 1 else values[None]
    largest = float(np.abs(rows).max(initial=0.0)) or 1.0
    buffer = io.BytesIO()
    dots = colormaps["RdBu_r"](0.5 + 0.5 * rows / largest)
    imsave(buffer, dots, format="png")
    return buffer.getvalue()


def curves(losses: Mapping[str, np.ndarray], title: str) -> bytes:
    """Return the loss of several trainings, averaged over a fortieth of their steps."""
    figure, axes = sheet(8, 4)
    styles = ((BLUE, "-"), (GREY, ":"), (RED, "--"))
    for (name, values), (color, style) in zip(losses.items(), styles, strict=False):
        window = max(1, len(values) // 40)
        points = values[: len(values) // window * window].astype(np.float64)
        means = points.reshape(-1, window).mean(1)
        steps = (np.arange(len(means)) + 0.5) * window
        axes.plot(steps, means, style, color=color, label=name, linewidth=1.8)
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    plain(axes)
    return png(figure)


def plain(axes: Any) -> None:
    """Take away what carries no information."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
