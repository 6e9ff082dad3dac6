"""What a torch function keeps from its gradient. `jax_withheld.py` answers to the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from parity.frameworks.torch_modes import Mode
from parity.frameworks.torch_operations import name_of
from parity.judge.purpose import Withheld

ONE_TRIANGLE = {"cholesky", "linalg_cholesky_ex", "_linalg_eigh", "linalg_ldl_factor_ex"}
"""Operations that read one triangle of a matrix, and differentiate it as a symmetric one."""


class _Noted(Mode):
    """Notes what is detached, and the padding rows of embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.detaches = self.factorises = False
        self.padding: set[tuple[int, tuple[int, ...]]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.detaches |= func is torch.ops.aten.detach.default
        self.factorises |= name_of(func) in ONE_TRIANGLE
        if func is torch.ops.aten.embedding.default:
            place = args[2] if len(args) > 2 else (kwargs or {}).get("padding_idx", -1)
            if place >= 0:
                self.padding.add((int(place), tuple(args[0].shape)))
        return func(*args, **(kwargs or {}))


def withheld(function: Callable[..., Any], inputs: tuple[Any, ...]) -> Withheld:
    """Return what ``function`` detaches and factorises, the padding rows of its tables, its rules.

    It returns {name: tensor}.
    """
    try:
        with torch.no_grad(), _Noted() as noted:
            function(*inputs)
    except RuntimeError:  # it differentiates inside, and what autograd saves is detached as well
        with torch.enable_grad(), _Noted() as noted:
            function(*inputs)
        noted.detaches = False
    own = _has_a_rule(function, inputs)
    return Withheld(noted.detaches, frozenset(noted.padding), noted.factorises, own)


def _has_a_rule(function: Callable[..., Any], inputs: tuple[Any, ...]) -> bool:
    """Return whether a torch.autograd.Function lies on the way back from the outputs."""
    with torch.enable_grad():
        out = function(*inputs)
    nodes = [x.grad_fn for x in out.values() if x.grad_fn is not None]
    seen = {*nodes}
    while nodes:
        node = nodes.pop()
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        above = {held for held, _ in node.next_functions if held is not None} - seen
        seen |= above
        nodes += above
    return False
