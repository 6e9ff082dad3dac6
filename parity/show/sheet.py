"""A figure made without a screen, and as a file. matplotlib is loaded where one is drawn."""

from __future__ import annotations

import io
from typing import Any


def sheet(width: float, height: float, columns: int = 1, dpi: int = 150) -> tuple[Any, Any]:
    """Return a figure of so many inches, and its axes: one, or an array of them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)


def plain(axes: Any, grid: float = 0.3) -> None:
    """Take away what carries no information."""
    axes.grid(alpha=grid)
    axes.spines[["top", "right"]].set_visible(False)


def png(figure: Any) -> bytes:
    """Return a figure as a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
