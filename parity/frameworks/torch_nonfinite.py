"""Where NaN and infinities come from in a torch function: every operation that is dispatched.

`jaxpr_nonfinite.py` answers to the same name. Of an operation that autograd runs, the node says of
what it is the derivative, and anomaly mode where that stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_iter, tree_map_only

from parity.frameworks.nonfinite import Held, Marks, Step, Trace, kinds
from parity.frameworks.torch_backward import saying_where, standing
from parity.frameworks.torch_modes import Mode
from parity.frameworks.torch_operations import name_of, written
from parity.frameworks.torch_side import to_numpy


def traced(
    differentiated: Callable[..., Any],
    forward: Callable[..., Any] | None,
    values: Sequence[Any],
    names: Sequence[str],
) -> tuple[Trace, Any]:
    """Run a function that differentiates itself; return the trace, and marks for what it returns.

    ``names`` are those of the first values; ``forward`` is not needed: autograd's nodes tell.
    """
    mode = _Watch()
    for x, name in zip(values, names, strict=False):
        mode.mark(x, mode.trace.given(to_numpy(x), f"input {name}"))
    with saying_where(), mode:
        found = differentiated(*values)
    return mode.trace, tree_map_only(Tensor, mode.marks, found)


class _Watch(Mode):
    """Marks every storage that holds something that is not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.trace = Trace()
        self.marked: dict[int, tuple[Any, Marks]] = {}

    def mark(self, x: Tensor, marks: Marks) -> None:
        if x.layout is not torch.strided:
            return
        storage = x.untyped_storage()
        if x.numel() * x.element_size() < storage.nbytes():  # a part of it: the rest stays
            marks = self.marks(x) | marks
        if marks:
            self.marked[storage._cdata] = storage, marks  # alive, so that no address comes again
        else:
            self.marked.pop(storage._cdata, None)

    def marks(self, x: Tensor) -> Marks:
        """Return the marks of a tensor."""
        if x.layout is not torch.strided:
            return {}
        found = self.marked.get(x.untyped_storage()._cdata)
        return found[1] if found else {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [
            x
            for x in tree_iter((args, kwargs))
            if isinstance(x, Tensor | float | int) and not isinstance(x, bool)
        ]
        changed = written(func, args, kwargs)
        operands = [self._held(x) for x in given] if changed else []
        result = func(*args, **kwargs)
        if func.is_view:
            return result
        made = [x for x in tree_iter(result) if isinstance(x, Tensor)]
        made += [x for x in changed if not any(x is y for y in made)]
        marked = any(self.marks(x) for x in given if isinstance(x, Tensor))
        if marked or not all(map(_is_finite, made)):
            operands = operands or [self._held(x) for x in given]
            found = self.trace.results(_step(func), operands, [_array(x) for x in made])
        else:
            found = [{} for _ in made]
        for x, marks in zip(made, found, strict=True):
            self.mark(x, marks)
        return result

    def _held(self, x: Any) -> Held:
        if not isinstance(x, Tensor):
            return Held(x, self.trace.given(x))
        value, marks = _array(x), self.marks(x)
        if not marks and kinds(value):
            marks = self.trace.given(value)
        return Held(value, marks)


def _is_finite(x: Tensor) -> bool:
    return x.layout is not torch.strided or bool(torch.isfinite(x).all())


def _array(x: Tensor) -> Any:
    return to_numpy(x) if x.layout is torch.strided else None


def _step(func: Any) -> Step:
    name, stands = name_of(func).strip("_"), standing(__file__)
    return Step(name, stands.line, bool(stands.derivative), stands.derivative)
