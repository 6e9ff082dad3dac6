"""Where an operation of a backward pass of torch stands, as far as autograd's nodes know.

In a backward pass by hand it is the user's own line; of what autograd does, the line of the
operation whose derivative it is. Watches nothing itself.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.autograd.function import BackwardCFunction

from parity.frameworks.torch_program import HARNESS, TORCH, users_line

FRAME = re.compile(r'File "([^"]+)", line (\d+)')
"""What autograd keeps of where an operation was called."""


class Standing(NamedTuple):
    """Where an operation stands."""

    line: str
    back: bool
    within: str
    """The backward pass by hand that it is part of: `Tanh.backward`."""
    derivative: str
    """Of what operation it is the derivative, where autograd made it."""


@contextmanager
def saying_where() -> Iterator[None]:
    """Let autograd keep the line of every operation, for its backward pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            yield


def standing(*own: str) -> Standing:
    """Return where the operation stands that is dispatched; ``own`` are the watchers' files."""
    node = torch._C._current_autograd_node()
    said = users_line(__file__, *own)
    if node is None:
        return Standing(said, False, "", "")
    if isinstance(node, BackwardCFunction):
        name = type(node).__name__.removesuffix("Backward")
        return Standing(said, True, f"{name}.backward", "")
    words = re.sub(r"Backward\d*$", "", node.name())
    derivative = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()
    return Standing(said or line_of(node), True, "", derivative)


def line_of(node: Any) -> str:
    """Return file:line of the user's innermost frame where a node was made, as anomaly mode has it.

    Nothing where parity calls torch itself.
    """
    for text in reversed(dict(node.metadata).get("traceback_") or ()):
        found = FRAME.search(text)
        if found is None:
            continue
        if found[1].startswith(HARNESS):
            return ""
        if not found[1].startswith(TORCH) and "contextlib" not in found[1]:
            return f"{Path(found[1]).name}:{found[2]}"
    return ""
