"""The lessons' pictures, and the lessons as notebooks: `python docs/lessons/make.py FOLDER`.

Without a folder the pictures beside this file are drawn anew. A notebook holds a lesson's text and
its code; what the code prints is left to whoever runs it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np

from parity.learn import pictures
from parity.learn.sources import tensors
from parity.makemore import network_walk, notebook
from parity.makemore.data import load
from parity.makemore.exercises import ROWS

HERE = Path(__file__).parent


def cells(text: str) -> list[dict]:
    """Return a lesson's text and its ```python blocks in turn; what it prints is left out."""
    found = []
    for part in re.split(r"(```python\n.*?```\n(?:\n```text\n.*?```\n)?)", text, flags=re.DOTALL):
        code = re.match(r"```python\n(.*?)\n?```", part, re.DOTALL)
        kind, source = ("code", code[1]) if code else ("markdown", part.strip())
        if source:
            extra = {"execution_count": None, "outputs": []} if code else {}
            cell = {"cell_type": kind, "metadata": {}, "source": source.splitlines(True)}
            found.append(cell | extra)
    return found


def write_notebooks(folder: Path) -> None:
    """Write every lesson as a notebook, and its pictures beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for lesson in sorted(HERE.glob("*.md")):
        held = {"cells": cells(lesson.read_text(encoding="utf-8")), "metadata": {}}
        held |= {"nbformat": 4, "nbformat_minor": 4}
        (folder / f"{lesson.stem}.ipynb").write_text(json.dumps(held, indent=1), encoding="utf-8")
    for picture in HERE.glob("*.png"):
        (folder / picture.name).write_bytes(picture.read_bytes())


def draw() -> None:
    """Draw the pictures from the notebook's batch, in float64."""
    batch = next(notebook.batches(notebook.Options(), load()))
    del batch["dloss"]
    exact = {k: x.astype(np.float64) if x.dtype.kind == "f" else x for k, x in batch.items()}
    bench = network_walk.network().bench(exact)
    values, grads = bench.tensors, {name: x.right for name, x in bench.answers.items()}
    dlogits = pictures.matrix(grads["logits"], "dlogits", "example", "letter")
    save("dlogits.png", dlogits)
    g, s = values["bngain"] * grads["hpreact"], values["bnvar_inv"]
    n = len(g)
    three = {
        "directly": g * s,
        "through the mean": np.broadcast_to(-s * g.mean(0), g.shape),
        "through the variance": -s / (n - 1) * values["bnraw"] * (g * values["bnraw"]).sum(0),
    }
    assert np.allclose(sum(three.values()), grads["hprebn"], rtol=0, atol=1e-14)
    save("batchnorm-terms.png", pictures.terms(three))
    save("batchnorm-paths.png", pictures.bars(_coefficients(three, n)))
    slope = 1 - values["h"] ** 2
    save("tanh.png", pictures.matrix(slope, "1 - h**2: what tanh lets through", "example", "unit"))
    save("network.png", pictures.network(tensors(), ROWS))


def _coefficients(three: dict[str, np.ndarray], n: int) -> dict[str, dict[str, float]]:
    """Return how often each term stands in some ways to write the gradient, fitted."""
    direct, mean, variance = three.values()
    ways = {
        "right": direct + mean + variance,
        "variance dropped": direct + mean,
        "cell run twice": direct + mean + 2 * variance,
        "1/n for 1/(n-1)": direct + mean + variance * (n - 1) / n,
        "mean's sign": direct - mean + variance,
    }
    basis = np.stack([x.ravel() for x in three.values()], 1)
    fitted = {name: np.linalg.lstsq(basis, x.ravel(), rcond=None)[0] for name, x in ways.items()}
    return {name: dict(zip(three, map(float, x), strict=True)) for name, x in fitted.items()}


def save(name: str, content: bytes) -> None:
    """Write a picture beside this file."""
    (HERE / name).write_bytes(content)


if __name__ == "__main__":
    draw() if len(sys.argv) < 2 else write_notebooks(Path(sys.argv[1]))
