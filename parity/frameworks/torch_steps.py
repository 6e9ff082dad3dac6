"""What a torch function did: every operation, and the places of its numbers. Does nothing again.

Forward and backward alike, fused kernels opened. Windows on storage, not tensors, are written down:
views and what is done in place need no rule of their own. Refuses complex numbers and bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from parity.frameworks.narrowing import Conversion, Place, roundoff_of
from parity.frameworks.torch_backward import standing
from parity.frameworks.torch_operations import NORMALIZATIONS, Opening, name_of, tensors_of, written
from parity.frameworks.torch_rounding import factor, rule_of
from parity.frameworks.torch_wide import WIDE, dtype_name

FLOATS = frozenset({torch.float64, *(dtype for dtype in WIDE if dtype.is_floating_point)})


class Held(NamedTuple):
    """A tensor as a window on numbers that are kept elsewhere."""

    store: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: Any


class Step(NamedTuple):
    """One operation: what it is given, where its results stand, and in which float it ran."""

    call: Any
    """What is done: an operation, or a rounding alone."""
    args: Any
    kwargs: Any
    outputs: tuple[Held, ...]
    place: Place
    rounds: bool
    """Whether it converts to a narrower float."""


class Leaf:
    """A tensor among the arguments of an operation."""

    def __init__(self, held: Held) -> None:
        self.held = held


class Tape(Opening):
    """Writes down what is dispatched, and where its numbers stand."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.first: dict[int, Tensor] = {}
        """What was there before anything was done, wide."""
        self.sizes: dict[int, int] = {}
        self.conversions: list[Conversion] = []
        self.changed: set[int] = set()
        """What was written to in place."""
        self.numbers: dict[int, int] = {}
        self.kept: list[Any] = []  # alive, so that no address is used twice

    def restore(self) -> None:
        """Put back what was changed in place although it was there before."""
        for number in self.changed & self.first.keys():
            storage, dtype = self.kept[number]
            torch.empty(0, dtype=dtype).set_(storage).copy_(self.first[number])

    def held(self, x: Tensor, new: bool = False) -> Held:
        """Return the window that a tensor is; what was never seen is given, or is ``new``."""
        if x.layout is not torch.strided or x.is_complex() or x._is_zerotensor():
            raise TypeError("no window on numbers")
        storage = x.untyped_storage()
        key = storage._cdata
        if key not in self.numbers:
            number = self.numbers[key] = len(self.numbers)
            self.kept.append((storage, x.dtype))
            self.sizes[number] = storage.nbytes() // x.element_size()
            if not new:
                flat = torch.empty(0, dtype=x.dtype).set_(storage)
                self.first[number] = flat.detach().clone().to(wide_dtype(x.dtype))
        if self.kept[self.numbers[key]][1] != x.dtype:
            raise TypeError("the same bytes as another float")
        return Held(self.numbers[key], tuple(x.shape), x.stride(), x.storage_offset())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.opens(func):
            if name_of(func) in NORMALIZATIONS:
                i = 1 if name_of(func).endswith("backward") else 0
                args = (*args[:i], self._rounded(args[i]), *args[i + 1 :])
            return self.opened(func, args, kwargs)
        given = tree_map_only(Tensor, lambda x: Leaf(self.held(x)), (args, kwargs))
        known = {*self.numbers}
        result = func(*args, **kwargs)
        outputs = tensors_of(result)
        changed = written(func, args, kwargs)
        self.changed |= {self.held(x).store for x in changed}
        if not changed and outputs and all(_key(x) in known for x in outputs):
            for x in outputs:
                self.held(x)
            return result  # another window, and nothing done
        ran = next((x for x in (*changed, *outputs) if x.dtype in FLOATS), None)
        name = "" if ran is None else dtype_name(ran.dtype)
        line = standing(__file__).line
        before = [x.dtype for x in _read(args, kwargs, changed) if x.dtype in FLOATS]
        rounds = self._noted(func, line, before, ran)
        windows = tuple(self.held(x, new=True) for x in outputs)
        place = Place(name_of(func), line, name)
        self.steps.append(Step(func, given[0], given[1], windows, place, rounds))
        return result

    def _rounded(self, x: Tensor) -> Tensor:
        """Return a copy of what a fused kernel rounds on the way in, in float32 at least."""
        held, y = self.held(x), x.clone()
        wider = x.dtype if x.dtype == torch.float64 else torch.float32
        place = Place("copy", standing(__file__).line, dtype_name(wider))
        window = self.held(y, new=True)
        self.steps.append(Step(factor, (Leaf(held),), {}, (window,), place, False))
        return y

    def _noted(self, func: Any, line: str, before: list[Any], ran: Tensor | None) -> bool:
        """Write down where floats go on as others; return whether they are rounded by that."""
        if ran is None:
            return False
        converts = name_of(func) in ("_to_copy", "copy", "convert_element_type")
        forward = torch._C._current_autograd_node() is None
        if forward and before and converts and before[0] != ran.dtype:
            name = name_of(func)
            self.conversions.append(
                Conversion(name, line, dtype_name(before[0]), dtype_name(ran.dtype))
            )
        widest = min((roundoff_of(dtype_name(x)) for x in before), default=0.0 if converts else 1.0)
        return widest < roundoff_of(dtype_name(ran.dtype)) and rule_of(func) is rule_of(
            torch.ops.aten._to_copy.default
        )


def _read(args: Any, kwargs: Any, changed: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors that an operation reads; what it only fills does not count."""
    own = {id(x) for x in changed}
    return [x for x in tensors_of(args, kwargs) if id(x) not in own]


def _key(x: Tensor) -> int:
    return int(x.untyped_storage()._cdata) if x.layout is torch.strided else -1


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which a float of ``dtype`` is widened, others as they are."""
    return WIDE.get(dtype, dtype)
