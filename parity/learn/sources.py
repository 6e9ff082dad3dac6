"""The network's own lines, read from the two files that compute them; runs nothing.

Each tensor with its forward line and its gradient's in torch and in JAX, and which lines read it.
"""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from importlib import resources, util
from pathlib import Path
from typing import NamedTuple

from parity.makemore.exercises import ROWS
from parity.makemore.recipe import NAMES

PACKAGES = {"torch": "torch_ref", "jax": "jax_impl"}


class Tensor(NamedTuple):
    """One of the 26 tensors that have a gradient."""

    name: str
    shape: str
    """By names of sizes: `n vocab`."""
    forward: dict[str, str]
    """{framework: its line}; empty for a parameter."""
    backward: dict[str, str]
    """{framework: its gradient's line, after those that only it reads}"""
    read_by: tuple[str, ...]
    """Tensors that are computed from it, `loss` among them: a path each."""
    formula: str
    """The rule as mathematics has it."""


@cache
def tensors() -> dict[str, Tensor]:
    """Return the 26 tensors, parameters first, then in the order of the forward pass."""
    forward = {f: _assigned(f, "forward") for f in PACKAGES}
    backward = {f: _assigned(f, "backward") for f in PACKAGES}
    shapes = _shapes()
    text = resources.files("parity.learn").joinpath("formulas.toml").read_text(encoding="utf-8")
    formulas = tomllib.loads(text)
    computed = [name for name in forward["jax"] if name in ROWS]
    return {
        name: Tensor(
            name,
            shapes[name],
            {f: forward[f][name] for f in PACKAGES if name in forward[f]},
            {f: _with_own(backward[f], f"d{name}") for f in PACKAGES},
            tuple(n for n, line in forward["jax"].items() if name in _read(line)),
            formulas[name],
        )
        for name in (*NAMES, *computed)
    }


def source(framework: str) -> str:
    """Return the file that computes the network step by step."""
    spec = util.find_spec(f"{PACKAGES[framework]}.chunked")
    assert spec is not None
    return Path(str(spec.origin)).read_text(encoding="utf-8")


def _assigned(framework: str, function: str) -> dict[str, str]:
    """Return {name: line} of a function's assignments to one name, without their comments."""
    text = source(framework)
    (body,) = (
        node.body
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    return {
        node.targets[0].id: str(ast.get_source_segment(text, node))
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _with_own(lines: dict[str, str], name: str) -> str:
    """Return a gradient's line after helpers that are no gradients, as `argmax`."""
    helpers = [x for x in _read(lines[name]) if x in lines and not x.startswith("d") and x != "n"]
    return "\n".join([*(lines[x] for x in helpers), lines[name]])


def _read(line: str) -> list[str]:
    value = ast.parse(line).body[0].value  # type: ignore[attr-defined]
    names = (node.id for node in ast.walk(value) if isinstance(node, ast.Name))
    return [*dict.fromkeys(names)]


def _shapes() -> dict[str, str]:
    """Return the shapes in which the twins' NamedTuples hold the tensors."""
    texts = (source("jax"), Path(str(util.find_spec("jax_impl.params").origin)).read_text("utf-8"))  # type: ignore[union-attr]
    found = re.findall(r'^    (\w+): Float\[Array, "([^"]*)"\]$', "\n".join(texts), re.MULTILINE)
    return dict(found)
