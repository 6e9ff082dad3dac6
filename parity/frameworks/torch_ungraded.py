"""What a torch function computes with gradients switched off, as an optimizer's step is.

Watches what is dispatched and remembers which storages were made so, or made of such. Asks nothing
of what is merely detached: who cuts a path himself means something by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from parity.frameworks.torch_modes import Mode
from parity.frameworks.torch_operations import tensors_of, written


class Ungraded(Mode):
    """Remembers what was made, or changed, while gradients were switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, Any] = {}  # alive, so that no address is used twice

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        read = tensors_of(args, kwargs)
        result = func(*args, **kwargs)
        if not torch.is_grad_enabled() or any(map(self._knows, read)):
            made = tensors_of(result)
            for x in (*made, *written(func, args, kwargs)):
                if x.layout is torch.strided:
                    self.storages[x.untyped_storage()._cdata] = x
        return result

    def _knows(self, x: Tensor) -> bool:
        if not (x.is_floating_point() or x.is_complex()):  # what is counted or chosen has no path
            return False
        return x.layout is torch.strided and x.untyped_storage()._cdata in self.storages

    def made(self, x: Tensor, inputs: Sequence[Tensor]) -> bool:
        """Return whether an output was made so and has no path back to the inputs."""
        graph = x.grad_fn is not None or any(x is given for given in inputs)
        return not graph and self._knows(x)
