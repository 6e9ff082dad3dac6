"""What a function raised, as one sentence: whose line it was, and what may be done about it.

Says that the inputs may be at fault only where the error speaks of them. Catches nothing that the
harness itself says.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING

from parity.errors import ParityError, UsageError
from parity.pairs.structure import MisfitError

if TYPE_CHECKING:
    import numpy as np

HARNESS = str(Path(__file__).parents[1])
STANDARD = sysconfig.get_paths()["stdlib"]

ABOUT_INPUTS = re.compile(
    r"argument|shape|\bsize|dimension|\bdims?\b|broadcast|\baxis\b|out of bounds|out of range", re.I
)
MOST = 12
"""Inputs of which the shapes are said."""
ADVICE = "both functions take these inputs in this order, in every dtype"


@contextmanager
def speaking_for(
    corner: str, leaves: Mapping[str, np.ndarray], measuring: bool = False
) -> Iterator[None]:
    """Turn what a user's function raises into a UsageError of one sentence.

    ``measuring``: the function has run already, and is now run as only the harness does.
    """
    try:
        yield
    except (MisfitError, UsageError, ParityError):
        raise
    except Exception as error:
        raise UsageError(_sentence(corner, leaves, error, measuring)) from error


def _sentence(
    corner: str, leaves: Mapping[str, np.ndarray], error: Exception, measuring: bool
) -> str:
    first = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    line = users_line(error)
    said = f"{corner} raised {type(error).__name__}: {first}" + (f", at {line}" if line else "")
    if measuring:
        return f"{said}, when its rounding was measured; its plain run had no such error"
    shown = [f"{name} {list(x.shape)}" for name, x in leaves.items()]
    if len(shown) > MOST:  # the weights of a model
        shown = [*shown[:MOST], f"{len(shown) - MOST} more"]
    shapes = ", ".join(shown)
    said += f" (inputs: {shapes})"
    return f"{said}; {ADVICE}" if ABOUT_INPUTS.search(first) else said


def users_line(error: BaseException) -> str:
    """Return file:line of the innermost frame that is neither a library's nor ours."""
    found = ""
    for frame, line in walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if not name.startswith((HARNESS, STANDARD, "<")) and "site-packages" not in name:
            found = f"{Path(name).name}:{line}"
    return found
