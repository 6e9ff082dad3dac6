"""Training steps of a copy of a torch module, with any optimizer that has a `step`.

The gradients are given. The user's own module is never changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch


class Training:
    """A copy of a module on its way, and its optimizer."""

    def __init__(
        self,
        module: torch.nn.Module,
        optimizer: Callable[[torch.nn.Module], Any],
        tensors: Mapping[str, torch.Tensor],
        dtype: str,
    ) -> None:
        """``optimizer`` makes one of a module; ``tensors`` are where its parameters start."""
        begun: dict[int, torch.Tensor] = {id(x): x.detach().clone() for x in module.buffers()}
        for name, p in module.named_parameters():
            start = tensors.get(name, p).detach().clone()
            begun[id(p)] = torch.nn.Parameter(start, p.requires_grad)
        self.module = copy.deepcopy(module, begun).to(getattr(torch, dtype))
        self.optimizer = optimizer(self.module)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the parameters as they are now, shared ones once."""
        return {name: p.detach().clone() for name, p in self.module.named_parameters()}

    def step(self, grads: Mapping[str, torch.Tensor | None]) -> None:
        """Move the parameters by one step of the optimizer on these gradients."""
        for name, p in self.module.named_parameters():
            p.grad = grads.get(name) if p.requires_grad else None
        self.optimizer.step()


def shrunk(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy in which every tensor has one element, on as many axes: optimizers look."""
    small: dict[int, torch.Tensor] = {}
    for x in (*module.parameters(), *module.buffers()):
        one = torch.zeros((1,) * x.ndim, dtype=x.dtype)
        is_parameter = isinstance(x, torch.nn.Parameter)
        small[id(x)] = torch.nn.Parameter(one, x.requires_grad) if is_parameter else one
    return copy.deepcopy(module, small)
