"""torch functions as programs that can be changed. `jax_program.py` answers to the same names.

A dispatch mode writes down every operation, below autograd, with the numbers that it is given;
defaults that were not passed are in the operation's schema. Run again above autograd, the gradient
follows every change. The first program holds operations as torch calls them (layer norm with its
eps), the second opens them as the yardstick does.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_iter, tree_unflatten

from parity.frameworks.programs import Changes, Constant, Operation, Program
from parity.frameworks.torch_arithmetic import Arithmetic
from parity.frameworks.torch_operations import Opening, name_of, named, written
from parity.frameworks.torch_windows import window_of

NO_CONSTANTS = frozenset(
    """C HxW N bins chunks copy device dim dim0 dim1 downscale_factor dtype embed_dim end group
    groups half_to_float hidden_size implicit index k keepdim layout length m memory_format
    minlength n n_fft name non_blocking num_classes num_groups num_head num_heads num_layers
    num_samples output_size pin_memory proj_size repeats requires_grad sections self_is_result
    size sparse_grad split_size start step steps storage_offset stride train training transposed
    upscale_factor
    """.split()
)
"""Arguments that say where numbers stand or how they are held: 0 of them may end the process."""
UNNAMED = frozenset("exponent fill_value other s self".split())
"""Arguments whose name says nothing: their role is read from the operation."""
TRACED = False
"""A program is what was done for the numbers given: Python may have looked at them."""
TORCH = str(Path(torch.__file__ or "").parent)
HARNESS = str(Path(__file__).parents[1])


__all__ = ["TRACED", "Arithmetic", "compiled", "ending", "record"]


def record(function: Callable[..., Any], inputs: Sequence[Any]) -> list[Program]:
    """Return ``function``, of these tensors and {name: tensor}, as programs: as called, opened."""
    return [_recorded(function, inputs, opened) for opened in (False, True)]


def ending(forward: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return ``forward`` itself: a loop in Python is not ours to end."""
    return forward


def compiled(run: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``run`` itself: torch runs eagerly here."""
    return run


def _recorded(function: Callable[..., Any], inputs: Sequence[Any], opened: bool) -> Program:
    try:
        return _taped(function, inputs, opened, graded=False)
    except RuntimeError:  # a function that differentiates inside needs a graph
        return _taped(function, inputs, opened, graded=True)


def _taped(
    function: Callable[..., Any], inputs: Sequence[Any], opened: bool, graded: bool
) -> Program:
    tape = _Tape(opened)
    own = [x.detach().clone() for x in inputs]
    slots = [tape.slot(x) for x in own]
    with torch.set_grad_enabled(graded), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with tape:
            out = list(function(*own).values())
    outputs = [tape.read(x) for x in out]
    return Program(
        tuple(slots), tuple(outputs), tuple(tape.operations), tuple(tape.constants), tape.captured
    )


class _Tape(Opening):
    """Writes down what is dispatched."""

    def __init__(self, opened: bool) -> None:
        super().__init__()
        self.inside = opened
        self.counter, self.places = count(), count()
        self.known: dict[int, int] = {}
        self.kept: list[Tensor] = []  # alive, so that no id is used twice
        self.operations: list[Operation] = []
        self.constants: list[Constant] = []
        self.captured: dict[int, Any] = {}

    def slot(self, tensor: Tensor) -> int:
        """Return a new slot for a tensor that is made, or changed."""
        self.kept.append(tensor)
        self.known[id(tensor)] = next(self.counter)
        return self.known[id(tensor)]

    def read(self, tensor: Tensor) -> int:
        """Return the slot of a tensor; one never seen before is closed over."""
        if id(tensor) not in self.known:
            slot = self.slot(tensor)
            if tensor.dim() == 0 and tensor.dtype in (torch.float64, torch.int64):
                self.constants.append(Constant(slot, tensor.item(), ""))
            else:
                self.captured[slot] = tensor.detach().clone()
        return self.known[id(tensor)]

    def constant(self, value: Any, name: str = "", **how: Any) -> int:
        slot = next(self.counter)
        self.constants.append(Constant(slot, value, name, **how))
        return slot

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.inside and self.opens(func):
            return self.opened(func, args, kwargs)
        args, kwargs = _with_defaults(func, args, kwargs)
        read = self._inputs(func, args, kwargs)
        leaves = tree_flatten((args, kwargs))[0]
        changed = {id(x) for x in written(func, args, kwargs)}
        for place, x in enumerate(leaves):
            if read[place] in self.captured and id(x) in changed:
                read[place] = self._cloned(x)  # what the function closes over is not ours to change
        result = func(*args, **kwargs)
        self._write(func, args, kwargs, read, result)
        return result

    def _cloned(self, tensor: Tensor) -> int:
        closed_over, slot = self.known[id(tensor)], self.slot(tensor)
        self.operations.append(
            Operation(
                next(self.places),
                "clone",
                (closed_over,),
                (slot,),
                lambda inputs, changes: [inputs[0].clone()],
            )
        )
        return slot

    def _inputs(self, func: Any, args: Any, kwargs: Any) -> list[int | None]:
        """Return the slot of every leaf of the arguments; None of what is no number."""
        names = [a.name for a in func._schema.arguments]
        tensors = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        floats = bool(tensors) and all(x.is_floating_point() for x in tensors)
        slots: list[int | None] = []
        for name, value in (*zip(names, args, strict=False), *kwargs.items()):
            leaves = tree_flatten(value)[0]
            for leaf in leaves:
                if isinstance(leaf, Tensor):
                    slots.append(self.read(leaf))
                elif leaf is value and _is_constant(name, value):
                    label = _label(func, name)
                    static = isinstance(value, bool | str)
                    smooth = floats and label in ("", "factor") and isinstance(value, int)
                    number = float(value) if smooth and not static else value
                    slots.append(self.constant(number, label, static=static))
                else:
                    slots.append(None)
        return slots

    def _write(
        self, func: Any, args: Any, kwargs: Any, read: list[int | None], result: Any
    ) -> None:
        leaves, structure = tree_flatten((args, kwargs))
        leaves = [x.dtype if isinstance(x, Tensor) else x for x in leaves]  # no array is kept
        flat, _ = tree_flatten(result)
        outputs = [self.slot(x) if isinstance(x, Tensor) else next(self.counter) for x in flat]
        factor = shift = -1
        if flat and isinstance(flat[0], Tensor) and flat[0].dtype.is_floating_point:
            factor = self.constant(1.0, inserted="factor")
            shift = self.constant(0.0, inserted="shift")

        differentiable = _differentiable(func)

        def apply(inputs: list[Any], changes: Changes) -> list[Any]:
            given = iter(inputs)
            filled = [
                leaf if slot is None else _as_given(leaf, next(given))
                for leaf, slot in zip(leaves, read, strict=True)
            ]
            call_args, call_kwargs = tree_unflatten(filled, structure)
            return list(tree_iter(differentiable(*call_args, **call_kwargs)))

        self.operations.append(
            Operation(
                next(self.places),
                name_of(func),
                tuple(slot for slot in read if slot is not None),
                tuple(outputs),
                apply,
                users_line(__file__),
                factor,
                shift,
                axis=_axis(func, args, kwargs),
                groups=_groups(func, args, kwargs),
                window=window_of(func, args, kwargs),
            )
        )


def _groups(func: Any, args: Any, kwargs: Any) -> tuple[int, int] | None:
    """Return into how many groups a norm parts how many channels; None of all else."""
    given = named(func, args, kwargs)
    normed = name_of(func) == "native_group_norm"
    return (given["group"], given["C"]) if normed else None


def _axis(func: Any, args: Any, kwargs: Any) -> int | None:
    """Return an operation's dim, None where it has none or several."""
    dim = named(func, args, kwargs).get("dim")
    return dim if isinstance(dim, int) else None


def _differentiable(func: Any) -> Any:
    """Return an operation that autograd knows, for one of prims, which it does not."""
    name = name_of(func)
    if not func._schema.name.startswith("prims::"):
        return func
    if name == "convert_element_type":
        return lambda x, dtype: x.to(dtype)
    if name == "broadcast_in_dim":
        return _broadcast
    if name == "sum":
        return lambda x, dims, **_: torch.sum(x, dims)
    if name == "var":
        return lambda x, dims, correction=1, **_: torch.var(x, dims, correction=correction)
    return getattr(torch, name, func)


def _broadcast(x: Tensor, shape: Sequence[int], axes: Sequence[int]) -> Tensor:
    kept = [x.shape[axes.index(axis)] if axis in axes else 1 for axis in range(len(shape))]
    return x.reshape(kept).expand(list(shape))


def _as_given(leaf: Any, value: Any) -> Any:
    """Return a value as the operation took it when it was recorded: tensors as tensors."""
    if isinstance(leaf, torch.dtype) and not isinstance(value, Tensor):
        return torch.tensor(value, dtype=leaf)
    return value


def _with_defaults(func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return the arguments with every default that is a constant."""
    missing = {
        a.name: a.default_value
        for a in func._schema.arguments[len(args) :]
        if a.name not in kwargs
        and a.has_default_value()
        and _is_constant(a.name, a.default_value)
        and not (a.name == "alpha" and name_of(func) in ("add", "sub", "rsub"))
    }
    return args, kwargs | missing


def _is_constant(name: str, value: Any) -> bool:
    return name not in NO_CONSTANTS and isinstance(value, bool | int | float | str)


def _label(func: Any, name: str) -> str:
    """Return what an argument is called; nothing where its role is read from the operation."""
    kind = name_of(func)
    if name in ("alpha", "value") and kind in ("add", "sub", "rsub", "addcmul", "addcdiv", "addmm"):
        return "factor"
    bare = name in UNNAMED or kind in ("clamp", "clamp_min", "clamp_max", "fill", "full")
    return "" if bare else name


def users_line(*own: str) -> str:
    """Return file:line of the user's innermost frame, and torch's own module that it calls.

    Nothing where parity calls torch itself. ``own`` are the files of those who watch, which stand
    above it.
    """
    frame: Any = sys._getframe(1)
    modules: list[Any] = []
    line = ""
    while frame is not None:
        name = frame.f_code.co_filename
        watching = frame.f_code.co_name == "__torch_dispatch__" or name in (*own, __file__)
        if name.startswith(HARNESS) and not watching:
            break
        called = frame.f_locals.get("self") if frame.f_code.co_name == "forward" else None
        if isinstance(called, torch.nn.Module) and (modules or name.startswith(TORCH)):
            modules.append(called)
        if not line and not name.startswith((HARNESS, TORCH)) and "contextlib" not in name:
            line = f"{Path(name).name}:{frame.f_lineno}"
        frame = frame.f_back
    return f"{line} ({_called(modules)})" if line and modules else line


def modules_around() -> tuple[torch.nn.Module, torch.nn.Module] | None:
    """Return the module in whose forward an operation stands, and the outermost one around it."""
    frame: Any = sys._getframe(1)
    modules: list[Any] = []
    while frame is not None:
        called = frame.f_locals.get("self") if frame.f_code.co_name == "forward" else None
        modules += [called] if isinstance(called, torch.nn.Module) else []
        frame = frame.f_back
    return (modules[0], modules[-1]) if modules else None


def _called(modules: Sequence[Any]) -> str:
    """Return what the innermost module is called in the outermost one, or what it is."""
    kind = type(modules[0]).__name__
    return f"{name}, {kind}" if (name := part_of(modules[0], modules[-1])) else kind


def part_of(inner: torch.nn.Module, outer: torch.nn.Module) -> str:
    """Return what a module is called in another one; empty of that itself."""
    names = (name for name, module in outer.named_modules() if module is inner)
    return next(names, "")
