"""A torch function as a recording: every operation that is dispatched, fused kernels opened.

`jaxpr_recording.py` answers to the same name. A tensor is known by where it lies in memory; what is
written there through another view is a value of its own, made of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from parity.frameworks import torch_operations
from parity.frameworks.programs import FILLING
from parity.frameworks.recordings import Jitter, Recording
from parity.frameworks.torch_backward import saying_where, standing
from parity.frameworks.torch_operations import EXACT, FILLS, Opening, name_of, tensors_of, written
from parity.frameworks.torch_program import modules_around, part_of
from parity.frameworks.torch_rounding import is_float
from parity.frameworks.torch_side import seen, to_numpy

UNWRITTEN = frozenset("empty empty_like empty_strided new_empty new_empty_strided".split())
"""What only takes memory."""


def recorded(
    function: Callable[..., dict[str, Any]],
    values: Sequence[Any],
    names: Sequence[str],
    jitter: Jitter | None = None,
) -> Recording:
    """Run ``function``, of tensors and {name: tensor}, and return what it did.

    ``jitter`` disturbs what is given and what rounds. Raises RuntimeError where that is too long to
    be written down.
    """
    try:
        return _recorded(function, values, names, jitter, graded=False)
    except RuntimeError:  # a function that differentiates inside needs a graph
        return _recorded(function, values, names, jitter, graded=True)


def _recorded(
    function: Callable[..., Any],
    values: Sequence[Any],
    names: Sequence[str],
    jitter: Jitter | None,
    graded: bool,
) -> Recording:
    mode = _Recorder(jitter)
    own = [mode.disturbed(x.detach().clone()) for x in values]
    mode.own.update(map(_storage, own))
    numbers = [mode.new(x) for x in own]
    mode.recording.inputs |= dict(zip(names, numbers, strict=False))
    with torch.set_grad_enabled(graded), sdpa_kernel(SDPBackend.MATH), saying_where(), mode:
        out = function(*own)
    mode.recording.outputs |= {name: mode.read(x) for name, x in out.items()}
    return mode.recording


class _Recorder(Opening):
    """Writes down what is dispatched."""

    def __init__(self, jitter: Jitter | None) -> None:
        super().__init__()
        self.recording, self.jitter = Recording(), jitter
        self.alive: list[Tensor] = []  # so that no memory is used twice
        self.known: dict[Any, tuple[int, int]] = {}
        """{where a tensor lies: (its number, how often its storage had been written)}."""
        self.own: set[int] = set()
        """Storages that this run alone writes to: what lies there is copied when it does."""
        self.lying: dict[int, list[int]] = {}
        """{storage: the numbers of the values that lie there}."""
        self.writes: dict[int, list[int]] = {}
        """{storage: the numbers of what was written there}."""
        self.parts: dict[tuple[torch.nn.Module, torch.nn.Module], str] = {}
        """What each module is called in the outermost one, looked up once."""

    def new(self, x: Tensor) -> int:
        """Return the number of a tensor that no operation made."""
        number = self.recording.hold(self._array(x))
        self._know(x, number)
        return number

    def _array(self, x: Tensor) -> Any:
        """Return what a tensor holds."""
        if x.layout is not torch.strided:
            return None
        return seen(x) if _storage(x) in self.own else to_numpy(x)

    def _within(self) -> str:
        """Return the name of the module in whose forward an operation stands."""
        around = modules_around()
        if around is None:
            return ""
        if around not in self.parts:
            self.parts[around] = part_of(*around)
        return self.parts[around]

    def disturbed(self, x: Tensor) -> Tensor:
        """Return a tensor, disturbed in place where that is asked for."""
        if self.jitter is not None and is_float(x) and x.layout is torch.strided:
            x.mul_(torch.as_tensor(self.jitter(tuple(x.shape))))
        return x

    def _know(self, x: Tensor, number: int) -> None:
        self.alive.append(x.detach())
        if x.layout is torch.strided:
            self.known[_key(x)] = number, len(self.writes.get(_storage(x), ()))
            self.lying.setdefault(_storage(x), []).append(number)

    def read(self, x: Tensor) -> int:
        """Return the number of what a tensor holds now."""
        if x.layout is not torch.strided:
            return self.recording.hold(None)
        found = self.known.get(_key(x))
        if found is None:
            return self.new(x)
        number, version = found
        later = self.writes.get(_storage(x), [])[version:]
        if later:
            line = getattr(self.recording.maker(later[-1]), "line", "")
            (number,) = self.recording.add("turn", line, [number, *later], [self._array(x)])
            self._know(x, number)
        return number

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.opens(func):
            return self.opened(func, args, kwargs)
        given = tensors_of(args, kwargs)
        inputs = [self.read(x) for x in given]
        changed = written(func, args, kwargs)
        values = self.recording.values
        for number in [n for x in changed for n in self.lying.pop(_storage(x), ())]:
            values[number] = None if values[number] is None else values[number].copy()
        result = func(*args, **kwargs)
        if name_of(func) in UNWRITTEN:  # else what lay there before would be compared
            result.zero_()
        made = tensors_of(result)
        strided = ([x for x in xs if x.layout is torch.strided] for xs in (made, given))
        own, others = ({*map(_storage, xs)} for xs in strided)
        self.own |= own - others
        made += [x for x in changed if not any(x is y for y in made)]
        kind = name_of(func).strip("_")
        if not func.is_view and name_of(func) not in EXACT | FILLS:
            made = [self.disturbed(x) for x in made]
        stands = standing(__file__, torch_operations.__file__)
        inside = name_of(self.opening[0]).strip("_") if self.opening else ""
        if stands.back:
            inside = stands.within or f"the gradient of {stands.derivative}"
        numbers = self.recording.add(
            kind,
            stands.line,
            () if kind in FILLING else inputs,
            [self._array(x) for x in made],
            inside,
            back=stands.back,
            within=self._within(),
        )
        for x in changed:
            place = next(n for n, y in zip(numbers, made, strict=True) if y is x)
            self.writes.setdefault(_storage(x), []).append(place)
        for x, number in zip(made, numbers, strict=True):
            self._know(x, number)
        return result


def _storage(x: Tensor) -> int:
    return int(x.untyped_storage()._cdata)


def _key(x: Tensor) -> Any:
    return _storage(x), x.storage_offset(), tuple(x.shape), x.stride(), x.dtype
