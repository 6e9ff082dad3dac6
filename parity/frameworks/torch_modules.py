"""A torch module as a function of its tensors, and what its modules return when it runs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from parity.frameworks.opened import Opened, parameters


def opened(module: torch.nn.Module) -> Opened:
    """Return a module taken apart. It is never changed: what it writes, it writes to copies."""
    named: list[tuple[str, torch.Tensor]] = [*module.named_parameters(remove_duplicate=False)]
    named += module.named_buffers(remove_duplicate=False)
    first: dict[int, str] = {}
    tensors: dict[str, torch.Tensor] = {}
    shared: dict[str, str] = {}
    for name, x in named:
        if x.is_floating_point():
            known = first.setdefault(id(x), name)
            shared |= {name: known} if known != name else {}
            tensors |= {} if known != name else {name: x}
    others = {name: x for name, x in named if not x.is_floating_point()}
    buffers = {name for name, _ in module.named_buffers()} & {*tensors}

    def run(given: Mapping[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        half = next((x.dtype for x in given.values() if x.dtype.itemsize == 2), None)
        own = {name: x.to(half) if half else x for name, x in tensors.items() if name not in given}
        written = {name: x.clone() for name, x in (*own.items(), *others.items())}
        copied = {name: x.clone() if name in buffers else x for name, x in given.items()}
        left = written | copied
        return torch.func.functional_call(module, left, tuple(args), dict(kwargs)), left

    def call(*given: Any) -> Any:
        return run(*given)[0]

    def after(*given: Any) -> dict[str, Any]:
        left = run(*given)[1]
        return {name: left[name] for name in buffers}

    positional, keywords = parameters(module.forward)
    return Opened(
        {name: _array(x) for name, x in tensors.items()},
        call,
        after,
        positional,
        keywords,
        frozenset(buffers),
        frozenset(name for name, x in tensors.items() if not x.requires_grad),
        shared=shared,
        modules={name: type(part).__name__ for name, part in module.named_modules()},
    )


def _array(x: torch.Tensor) -> np.ndarray:
    """Return the numbers themselves, not to be written: weights are not held twice."""
    x = x.detach().cpu()
    if x.dtype == torch.bfloat16:
        x = x.to(torch.float32)
    seen = x.numpy()
    seen.flags.writeable = False
    return seen


Passed = dict[str, tuple[list[np.ndarray], list[np.ndarray]]]


def watched(module: torch.nn.Module, function: Any, inputs: tuple[Any, ...]) -> Passed:
    """Return {part: (floats that went in, that came out)} when a function runs a module.

    Of a part that runs several times, all that passed. The hooks are taken off again.
    """
    passed: Passed = {}

    def hook(name: str) -> Any:
        def keep(part: Any, args: Any, kwargs: Any, out: Any) -> None:
            ins, outs = passed.setdefault(name, ([], []))
            ins += _floats([*args, *kwargs.values()])
            outs += _floats(out)

        return keep

    handles = [
        part.register_forward_hook(hook(name), with_kwargs=True)
        for name, part in module.named_modules()
    ]
    try:
        with torch.no_grad():
            function(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return passed


Back = dict[str, tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]]


def watched_back(module: torch.nn.Module, gradients: Any, *given: Any) -> Back:
    """Return {part: (gradients from above, that it passes on, of what went in as a whole)}.

    What went into a part may be read elsewhere, too. ``gradients``, called with what is ``given``,
    runs the module there and back.
    """
    passed: Back = {}

    def watch(name: str, part: torch.nn.Module) -> list[Any]:
        ins, outs, wholes = passed.setdefault(name, ([], [], []))

        def listen(value: Any, to: list[np.ndarray]) -> None:
            x: Any
            for x in _tensors(value):
                if x.requires_grad:
                    x.register_hook(lambda grad: to.extend(_floats(grad)))

        return [
            part.register_forward_pre_hook(
                lambda part, args, kwargs: listen([args, kwargs], wholes), with_kwargs=True
            ),
            part.register_forward_hook(lambda part, args, out: listen(out, ins)),
            part.register_full_backward_hook(lambda part, on, above: outs.extend(_floats([*on]))),
        ]

    handles = [handle for own in module.named_modules() for handle in watch(*own)]
    try:
        with warnings.catch_warnings(action="ignore"):  # of inputs that need no gradient
            gradients(*given)
    finally:
        for handle in handles:
            handle.remove()
    return passed


def _floats(value: Any) -> list[np.ndarray]:
    """Return copies of the floating tensors in nested containers."""
    return [_array(x).copy() for x in _tensors(value)]


def _tensors(value: Any) -> list[torch.Tensor]:
    """Return the floating tensors in nested containers."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() and value.numel() else []
    if isinstance(value, Mapping):
        value = [*value.values()]
    return [x for item in value for x in _tensors(item)] if isinstance(value, list | tuple) else []
