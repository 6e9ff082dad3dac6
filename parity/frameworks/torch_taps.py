"""Named intermediates of torch functions, seen and replaced. `jax_taps.py` has the same names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any

import torch

Put = Callable[[str, Any], Any]
"""(name, value) -> the value to go on with."""

_listening: ContextVar[Put | None] = ContextVar("listening", default=None)


def named(x: Any, label: str) -> Any:
    """Return what whoever listens puts in place of a named tensor; without a listener, itself."""
    put = _listening.get()
    return x if put is None else put(label, x)


def visited(
    forward: Callable[..., dict[str, Any]], given: Mapping[str, Any], adding: bool
) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """Return ``(*inputs) -> (outputs, {name: value})``; named values go on replaced by ``given``.

    With ``adding``, ``given`` is added to them instead. A name that comes again is stacked.
    """

    def run(*inputs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        found: dict[str, list[Any]] = {}

        def put(label: str, x: Any) -> Any:
            turn = len(found.setdefault(label, []))
            found[label].append(x)
            if label not in given:
                return x
            instead = given[label] if x.shape == given[label].shape else given[label][turn]
            return x + instead if adding else instead

        token = _listening.set(put)
        try:
            with _uncompiled():
                out = forward(*inputs)
        finally:
            _listening.reset(token)
        return out, {label: _together(values) for label, values in found.items()}

    return run


def labelled(forward: Callable[..., dict[str, Any]], *inputs: Any) -> dict[str, Any]:
    """Return {name: value} of what a function names."""
    return visited(forward, {}, False)(*inputs)[1]


def _uncompiled() -> Any:
    """Keep what torch.compile made eager; where nothing was compiled, its import is saved."""
    if "torch._dynamo" in sys.modules:
        return torch.compiler.set_stance("force_eager")
    return nullcontext()


def _together(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else torch.stack(values)
