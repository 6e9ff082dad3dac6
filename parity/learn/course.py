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
    """A mistake that people make, or several at once, and what each may be called."""

    body: dict[str, str]
    """{framework: the function's body}, where it can be made."""
    named: dict[str, tuple[str, ...]]
    """{the gradient that is wrong: patterns for `kind: key` of its cause, one of which is found}"""


class Step(NamedTuple):
    """One function to write: a gradient, or with ``gives`` many tensors by name."""

    gradient: str
    """The tensor whose gradient it is; with ``gives`` the function's name."""
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
    gives: str = ""
    """`gradients` or `parameters`, by name, where it is one function of the whole network."""

    @property
    def function(self) -> str:
        """What the function is called."""
        return self.gradient if self.gives else f"d{self.gradient}"

    def stub(self, framework: str, body: str = TO_WRITE) -> str:
        """Return the function, to be completed."""
        what = f"the gradient of {self.gradient}, of its shape: {self.line}"
        return (
            f"def {self.function}({', '.join(self.reads)}):\n"
            f'    """Return {self.line if self.gives else what}"""\n'
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
    solution = {framework: held[framework] for framework in FRAMEWORKS}
    gives = held.get("gives", "")
    return Step(
        held["gradient"],
        tuple(held["reads"]),
        held["line"],
        tuple(held["hints"]),
        solution,
        held.get("also", {}),
        tuple(held.get("benign", ())),
        tuple(_wrong(one, held["gradient"], solution) for one in held.get("wrong", ())),
        gives,
    )


def _wrong(held: dict[str, Any], gradient: str, solution: dict[str, str]) -> Wrong:
    body = {f: _body(held.get(f, held.get("both")), solution[f]) for f in FRAMEWORKS}
    named = held["named"] if isinstance(held["named"], dict) else {gradient: held["named"]}
    return Wrong(
        {f: text for f, text in body.items() if text},
        {name: tuple(patterns) for name, patterns in named.items()},
    )


def _body(held: str | dict[str, str] | None, solution: str) -> str | None:
    """Return a body: as it stands, or the solution with some of its words replaced."""
    if not isinstance(held, dict):
        return held
    for old, new in held.items():
        if solution.count(old) != 1:
            raise ValueError(f"`{old}` stands {solution.count(old)} times in the solution")
        solution = solution.replace(old, new)
    return solution
