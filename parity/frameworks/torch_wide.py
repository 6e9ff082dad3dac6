"""torch with every float that a function makes a float64. `jax_wide.py` does the same to a jaxpr.

A dispatch mode below autograd: what is asked for in a narrower float, by a conversion, a creation
or an option, is made in float64. Tensors that were there before are data: the same numbers, wide.
Rounds nothing and judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_iter

from parity.frameworks.narrowing import TABLE, Narrowing, is_table, meant
from parity.frameworks.torch_modes import Mode
from parity.frameworks.torch_operations import name_of, written
from parity.frameworks.torch_program import users_line

EIGHTS = (
    torch.float8_e4m3fn,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2,
    torch.float8_e5m2fnuz,
)
"""Floats of eight bits."""

WIDE = {
    **dict.fromkeys(EIGHTS, torch.float64),
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
    torch.complex32: torch.complex128,
}

MANY = 256
"""Of so many numbers one needs more than 8 bits, if any of a table does."""

FORMATS = frozenset({"aten::view.dtype", "aten::nextafter", "aten::frexp.Tensor"})
"""What is about a format and no number: done in the format that was written."""


def widened(
    function: Callable[..., Any], seen: dict[Narrowing, None] | None = None
) -> Callable[..., Any]:
    """Return ``function`` so that, given float64 tensors, it computes in float64 throughout.

    Its own differentiation, too. Given any other tensors it is called as it is. ``seen`` is given
    every place where it narrows.
    """

    def run(*args: Any) -> Any:
        if not any(isinstance(x, Tensor) and x.dtype in WIDE.values() for x in tree_iter(args)):
            return function(*args)
        with widening(seen):
            return function(*args)

    return run


@contextmanager
def widening(seen: dict[Narrowing, None] | None = None) -> Iterator[None]:
    """Make every float that is made inside a float64; what torch makes by default, too."""
    with wide_defaults(), _Wide({} if seen is None else seen):
        yield


@contextmanager
def wide_defaults() -> Iterator[None]:
    """Make float64 what torch makes where nothing is asked for."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


class _Wide(Mode):
    """Puts the wide dtype where a narrow one is asked for or given."""

    def __init__(self, seen: dict[Narrowing, None]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.name() in FORMATS:
            return _each(_widened, func(*args, **kwargs))
        kept = {id(x) for x in written(func, args, kwargs)}

        def wide(x: Any) -> Any:
            if isinstance(x, torch.dtype) and x in WIDE:
                self._note(func, x, args)
                return WIDE[x]
            if isinstance(x, float):
                return meant(x)
            if id(x) in kept:
                return x
            if _is_table(x):
                self._add(TABLE, x.dtype)
            return _widened(x)

        result = func(*_each(wide, args), **{k: _each(wide, x) for k, x in kwargs.items()})
        return result if kept else _each(_widened, result)

    def _note(self, func: Any, dtype: torch.dtype, args: Any) -> None:
        given = next(iter(args), None)
        source = given.dtype if isinstance(given, Tensor) and given.is_floating_point() else ""
        self._add(name_of(func), dtype, dtype_name(source))

    def _add(self, operation: str, dtype: torch.dtype, source: str = "") -> None:
        back = torch._C._current_autograd_node() is not None
        found = Narrowing(operation, users_line(__file__), dtype_name(dtype), source, back)
        self.seen[found] = None


def _is_table(x: Any) -> bool:
    """Return whether a tensor is of a narrow float and may hold other numbers, rounded to it."""
    if not isinstance(x, Tensor) or x.dtype not in WIDE or x.layout is not torch.strided:
        return False
    if x.device.type != "cpu" or x.is_complex():
        return False
    with _disable_current_modes():  # to look is nothing that the function does
        return is_table(x.detach().reshape(-1)[:MANY].to(torch.float64).numpy())


def dtype_name(dtype: Any) -> str:
    """Return a dtype's name as NumPy and JAX have it."""
    return str(dtype).removeprefix("torch.")


def _each(change: Callable[[Any], Any], x: Any) -> Any:
    """Change all there is in lists and tuples, the only nests that an operation knows.

    This runs for every operation of every run, where pytree's general way took half of the time.
    """
    if type(x) in (list, tuple):
        return type(x)([_each(change, one) for one in x])
    return change(x)


def _widened(x: Any) -> Any:
    return x.to(WIDE[x.dtype]) if isinstance(x, Tensor) and x.dtype in WIDE else x
