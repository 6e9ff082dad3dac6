"""torch with every float that a function makes a float64. `jax_wide.py` does the same to a jaxpr.

A dispatch mode below autograd: what is asked for in a narrower float, by a conversion, a creation
or an option, is made in float64. Tensors that were there before are data: the same numbers, wide.
Rounds nothing and judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from parity.frameworks.meant import meant
from parity.frameworks.torch_operations import written

WIDE = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
    torch.complex32: torch.complex128,
}

FORMATS = frozenset({"aten::view.dtype", "aten::nextafter", "aten::frexp.Tensor"})
"""What is about a format and no number: done in the format that was written."""


@contextmanager
def widening() -> Iterator[None]:
    """Make every float that is made inside a float64; what torch makes by default, too."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Wide():
            yield
    finally:
        torch.set_default_dtype(default)


class _Wide(TorchDispatchMode):
    """Puts the wide dtype where a narrow one is asked for or given."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.name() in FORMATS:
            return tree_map(_widened, func(*args, **kwargs))
        kept = {id(x) for x in written(func, args, kwargs)}

        def wide(x: Any) -> Any:
            if isinstance(x, torch.dtype):
                return WIDE.get(x, x)
            if isinstance(x, float):
                return meant(x)
            return x if id(x) in kept or func.is_view else _widened(x)

        args, kwargs = tree_map(wide, (args, kwargs))
        result = func(*args, **kwargs)
        return result if kept or func.is_view else tree_map(_widened, result)


def _widened(x: Any) -> Any:
    return x.to(WIDE[x.dtype]) if isinstance(x, Tensor) and x.dtype in WIDE else x
