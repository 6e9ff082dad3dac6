"""The pictures of the lessons, and of a training with a mistake. Draws what it is given."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from parity.learn.graph import ROW, places
from parity.learn.sources import Tensor
from parity.makemore.curve import averaged
from parity.show.sheet import plain, png, sheet

BLUE, RED, GREY, ORANGE = "#1f5fa8", "#c23b22", "#8a8a8a", "#b3480a"


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
        steps, means = averaged(values.astype(np.float64), max(1, len(values) // 40))
        axes.plot(steps, means, style, color=color, label=name, linewidth=1.8)
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    plain(axes, grid=0.25)
    return png(figure)


def matrix(values: np.ndarray, title: str, rows: str, columns: str) -> bytes:
    """Return a gradient as a heat map with a scale, white at 0."""
    figure, axes = sheet(8, 4.2)
    _dots(figure, axes, values, title)
    axes.set_xlabel(columns)
    axes.set_ylabel(rows)
    return png(figure)


def terms(parts: Mapping[str, np.ndarray]) -> bytes:
    """Return the terms of a gradient side by side on one scale."""
    figure, all_axes = sheet(10, 3.6, len(parts))
    largest = max(float(np.abs(x).max()) for x in parts.values())
    for axes, (title, values) in zip(all_axes, parts.items(), strict=True):
        _dots(figure, axes, values, title, largest, bar=axes is all_axes[-1])
        axes.set_xlabel("unit")
    all_axes[0].set_ylabel("example")
    return png(figure)


def bars(coefficients: Mapping[str, Mapping[str, float]]) -> bytes:
    """Return how often each path stands in a gradient, for several ways to write it."""
    figure, axes = sheet(9, 3.6)
    paths = [*next(iter(coefficients.values()))]
    width = 0.8 / len(paths)
    for number, path in enumerate(paths):
        places = np.arange(len(coefficients)) + (number - (len(paths) - 1) / 2) * width
        heights = [held[path] for held in coefficients.values()]
        drawn = axes.bar(places, heights, width, label=path, color=(BLUE, RED, GREY)[number])
        axes.bar_label(drawn, fmt="%.4g", padding=2, fontsize=8)
    axes.axhline(1, color=GREY, linewidth=1, linestyle="--")
    axes.set_xticks(range(len(coefficients)), [*coefficients])
    axes.set_ylabel("times in the gradient")
    axes.margins(y=0.15)
    axes.legend(frameon=False, ncols=len(paths), loc="upper left", bbox_to_anchor=(0, 1.16))
    plain(axes, grid=0.25)
    return png(figure)


def network(tensors: Mapping[str, Tensor], order: Sequence[str]) -> bytes:
    """Return the graph of the tensors; what two lines read is orange."""
    figure, axes = sheet(5.2, 8.6)
    held = places(tensors, order)
    for name, tensor in tensors.items():
        color = ORANGE if len(tensor.read_by) > 1 else GREY
        for reader in tensor.read_by:
            (x, y), (to_x, to_y) = held[name], held[reader]
            bend = 0.0 if x != to_x or y - to_y == ROW else -0.45
            start, end = ((x - 50, y), (to_x - 50, to_y)) if bend else ((x, y), (to_x, to_y))
            for at in (y, to_y) if bend else ():
                axes.plot([x, x - 50], [at, at], color=color, linewidth=1.6, zorder=0)
            style = f"arc3,rad={bend}"
            arrow = {"arrowstyle": "-", "color": color, "connectionstyle": style, "linewidth": 1.6}
            axes.annotate("", end, start, arrowprops=arrow)
    for name, (x, y) in held.items():
        two = name in tensors and len(tensors[name].read_by) > 1
        box = {
            "boxstyle": "round",
            "facecolor": "#f5f4f0",
            "edgecolor": ORANGE if two else "#bbbbbb",
        }
        axes.text(x, y, name, ha="center", va="center", fontsize=8, family="monospace", bbox=box)
    xs, ys = zip(*held.values(), strict=True)
    axes.set_xlim(min(xs) - 110, max(xs) + 70)
    axes.set_ylim(max(ys) + 20, min(ys) - 20)
    axes.axis("off")
    return png(figure)


def _dots(
    figure: Any, axes: Any, values: np.ndarray, title: str, largest: float = 0.0, bar: bool = True
) -> None:
    largest = largest or float(np.abs(values).max())
    shown = axes.imshow(
        values, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest"
    )
    axes.set_title(title, fontsize=10)
    if bar:
        figure.colorbar(shown, ax=axes, shrink=0.9)
