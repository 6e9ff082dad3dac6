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
        self.module = copy.deepcopy(module).to(getattr(torch, dtype))
        with torch.no_grad():
            for name, p in self.module.named_parameters():
                if name in tensors:
                    p.copy_(tensors[name])
        self.optimizer = optimizer(self.module)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the parameters as they are now, shared ones once."""
        return {name: p.detach().clone() for name, p in self.module.named_parameters()}

    def step(self, grads: Mapping[str, torch.Tensor | None]) -> None:
        """Move the parameters by one step of the optimizer on these gradients."""
        for name, p in self.module.named_parameters():
            p.grad = grads.get(name) if p.requires_grad else None
        self.optimizer.step()
