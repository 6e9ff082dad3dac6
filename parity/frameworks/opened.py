"""A model taken apart: its tensors by name, and a function that runs it on others.

Knows no framework: `torch_modules.py` and `jax_models.py` open what they know.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Opened:
    """A model as a function of its tensors."""

    tensors: dict[str, np.ndarray]
    """Every floating parameter and buffer by name, in the order of its modules; shared ones once,
    under their first name."""
    call: Callable[[Mapping[str, Any], Sequence[Any], Mapping[str, Any]], Any]
    """(tensors, positional inputs, inputs by name) -> what the model returns; of tensors that are
    not given it takes its own."""
    after: Callable[[Mapping[str, Any], Sequence[Any], Mapping[str, Any]], dict[str, Any]]
    """Given the same -> the buffers, or all leaves, as a run leaves them behind."""
    parameters: tuple[str, ...] = ()
    """The names of its positional inputs."""
    keywords: frozenset[str] = frozenset()
    """What can be given by name alone."""
    buffers: frozenset[str] = frozenset()
    """Names of the tensors that are no parameters."""
    still: frozenset[str] = frozenset()
    """Names of the tensors that no optimizer moves: buffers, and what needs no gradient."""
    tree: Callable[[Mapping[str, Any]], Any] = dict
    """{name: tensor} -> the tree that an optimizer is given: without what is left out."""
    shared: dict[str, str] = field(default_factory=dict)
    """{other name: first name} of shared tensors."""
    modules: dict[str, str] = field(default_factory=dict)
    """{module: its class}, in the order in which they were made; the whole is the empty name."""


def parameters(function: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the names of positional parameters, and of those that are given by name alone."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return (), frozenset()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return (
        tuple(p.name for p in found if p.kind in positional),
        frozenset(p.name for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY),
    )
