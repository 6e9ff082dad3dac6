"""The course: exercises in their order, each from a file of its own in `course/`.

What a file may hold is in `Exercise` and `Step`; an exercise is added by adding a file. Knows the
texts and the formulas, and runs none of them.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from textwrap import indent
from typing import Any, NamedTuple

FRAMEWORKS = ("torch", "jax")

IMPORTS = {
    "torch": "import torch\nimport torch.nn.functional as F",
    "jax": "import jax\nimport jax.numpy as jnp",
}

TO_WRITE = 'raise NotImplementedError("write this gradient")'


class Wrong(NamedTuple):
    """A mistake that people make, and what it may be called."""

    body: dict[str, str]
    """{framework: the function's body}, where it can be made."""
    named: tuple[str, ...]
    """Patterns for `kind: key` of a cause, one of which has to be found."""


class Step(NamedTuple):
    """One gradient to write."""

    gradient: str
    """The tensor whose gradient it is."""
    reads: tuple[str, ...]
    """What the function is given: tensors, gradients from above, sizes."""
    line: str
    """The forward line, or lines, that it goes back through."""
    hints: tuple[str, ...]
    """Where to look, and which rule it is."""
    solution: dict[str, str]
    """{framework: the function's body}."""
    also: dict[str, str]
    """Another body that is as right; empty where nobody writes another."""
    benign: tuple[str, ...] = ()
    """Bodies in either framework's words that are right, too, as far as this loss can tell."""
    wrong: tuple[Wrong, ...] = ()
    """Mistakes in this step that must be seen and named."""

    def stub(self, framework: str, body: str = TO_WRITE) -> str:
        """Return the function, to be completed."""
        return (
            f"def d{self.gradient}({', '.join(self.reads)}):\n"
            f'    """Return the gradient of {self.gradient}, of its shape: {self.line}"""\n'
            f"{indent(body.strip(), '    ')}\n"
        )


class Exercise(NamedTuple):
    """A few gradients that belong together."""

    name: str
    """`05-log-softmax`, which is its file, too."""
    title: str
    about: str
    forward: dict[str, tuple[str, ...]]
    """{framework: the lines of the forward pass}."""
    steps: tuple[Step, ...]
    network: bool = False
    """Whether it is a piece of the lecture's network; else ``forward`` is all there is."""
    fused: bool = False
    """Whether a step goes back through many lines of the network at once."""
    inputs: dict[str, tuple[int, ...]] = {}  # noqa: RUF012
    """{name: shape} of what an exercise of its own starts from."""
    positive: tuple[str, ...] = ()
    """Which inputs are to be positive."""

    @property
    def slug(self) -> str:
        """The name without its number."""
        return self.name.split("-", 1)[1]

    def text(self, framework: str, bodies: dict[str, str] | None = None) -> str:
        """Return the file that a learner completes; ``bodies`` by tensor where some are known."""
        lines = "\n".join(self.forward[framework])
        functions = "\n\n".join(
            step.stub(framework, (bodies or {}).get(step.gradient, TO_WRITE)) for step in self.steps
        )
        about = (
            f"{self.title}.\n\n{self.about.strip()}\n\nThe forward pass:\n\n{indent(lines, '    ')}"
        )
        return f'"""{about}\n"""\n\n{IMPORTS[framework]}\n\n\n{functions}'


@cache
def course() -> tuple[Exercise, ...]:
    """Return the exercises in their order."""
    folder = resources.files("parity.learn").joinpath("course")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return tuple(
        _exercise(f.name.removesuffix(".toml"), tomllib.loads(f.read_text(encoding="utf-8")))
        for f in files
    )


def _exercise(name: str, held: dict[str, Any]) -> Exercise:
    forward = {
        framework: tuple(line.get("both", line.get(framework, "")) for line in held["forward"])
        for framework in FRAMEWORKS
    }
    return Exercise(
        name,
        held["title"],
        held["about"],
        forward,
        tuple(_step(step) for step in held["step"]),
        held.get("network", False),
        held.get("fused", False),
        {name: tuple(shape) for name, shape in held.get("inputs", {}).items()},
        tuple(held.get("positive", ())),
    )


def _step(held: dict[str, Any]) -> Step:
    return Step(
        held["gradient"],
        tuple(held["reads"]),
        held["line"],
        tuple(held["hints"]),
        {framework: held[framework] for framework in FRAMEWORKS},
        held.get("also", {}),
        tuple(held.get("benign", ())),
        tuple(_wrong(one) for one in held.get("wrong", ())),
    )


def _wrong(held: dict[str, Any]) -> Wrong:
    body = {f: held.get(f, held.get("both")) for f in FRAMEWORKS}
    return Wrong({f: text for f, text in body.items() if text}, tuple(held["named"]))
