"""A torch function as it runs in one dtype, where it may compute in several. `jax_mixed.py` too.

It runs once in that dtype, fused kernels opened, and every operation is written down with the
places of its numbers; then the operations alone are done again in float64, each disturbed by as
much as the float rounds in which it ran. So an upcast is seen. Judges nothing; refuses complex
numbers, bits, and whatever else float64 has no room for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_iter, tree_map, tree_map_only

from parity.frameworks.narrowing import Made, Place, made, roundoff_of
from parity.frameworks.torch_backward import saying_where
from parity.frameworks.torch_operations import (
    AVERAGES,
    CONTRACTIONS,
    FILLS,
    PRODUCTS,
    SUMS,
    written,
)
from parity.frameworks.torch_rounding import Pool, factor, rule_of
from parity.frameworks.torch_steps import Held, Leaf, Step, Tape, wide_dtype
from parity.frameworks.torch_wide import WIDE, wide_defaults
from parity.judge.noise import U0

ADDING = SUMS | CONTRACTIONS | AVERAGES | PRODUCTS
"""What makes one number of many."""

TRACED = False
"""Recorded from these numbers: Python may have looked at them."""


class Mixed:
    """A function of tensors as it runs in ``dtype``."""

    def __init__(self, function: Callable[..., Any], dtype: str, inputs: Sequence[Any]) -> None:
        self.dtype = dtype
        tape = Tape()
        own = [x.detach().clone() for x in inputs]
        self.inputs = [tape.held(x) for x in own]
        state = torch.get_rng_state()
        try:
            with saying_where(), sdpa_kernel(SDPBackend.MATH), tape:
                result = function(*own)
        finally:
            torch.set_rng_state(state)
            tape.restore()
        self.result = tree_map_only(Tensor, tape.held, result)
        self.steps, self.first = tape.steps, tape.first
        self.sizes = tape.sizes
        self.conversions = tape.conversions
        self.floats = {step.place.dtype for step in self.steps if step.place.dtype}
        """The dtypes in which it computes."""
        self.done = self._done_with()

    def _done_with(self) -> list[list[int]]:
        """Return, for each operation, the numbers that nothing reads after it."""
        later = {leaf.held.store for leaf in tree_iter(_leaves(self.result)) if type(leaf) is Leaf}
        found = []
        for step in reversed(self.steps):
            read = {x.held.store for x in tree_iter((step.args, step.kwargs)) if type(x) is Leaf}
            own = read | {x.store for x in step.outputs}
            found.append([*(own - later)])
            later |= own
        return found[::-1]

    def noise(
        self, values: Sequence[Any], seeds: int, only: Collection[Place] | None = None
    ) -> Any:
        """Return each output's rms error in roundoffs of the dtype, by what ``only`` names."""
        given = [torch.as_tensor(np.asarray(x)) for x in values]
        clean = self._run(given, None, only)
        total = [torch.zeros_like(x) for x in clean]
        for seed in range(seeds):
            for sum_, x, y in zip(
                total, self._run(given, _Mixture(seed), only), clean, strict=True
            ):
                sum_ += torch.where(x == y, 0.0, x - y) ** 2
        rms = iter([(x / seeds).sqrt().numpy() / U0 for x in total])
        return tree_map_only(Leaf, lambda leaf: next(rms), _leaves(self.result))

    def made(self, values: Sequence[Any]) -> list[Made]:
        """Return what every operation that may round made."""
        found: list[Made] = []

        def seen(step: Step, outputs: list[Tensor]) -> None:
            for y in outputs[:1]:
                if y.is_floating_point() and y.numel():
                    adds = step.place.operation in ADDING
                    found.append(made(step.place, y.numpy(), adds))

        self._run([torch.as_tensor(np.asarray(x)) for x in values], None, None, seen)
        return found

    def _run(
        self, given: Any, pool: _Mixture | None, only: Any, seen: Any = lambda step, outputs: None
    ) -> list[Tensor]:
        """Do every operation again in float64, on numbers of this run's own."""
        stores = {store: x.clone() for store, x in self.first.items()}
        for held, x in zip(self.inputs, given, strict=True):
            stores[held.store] = x.contiguous().flatten().clone().to(wide_dtype(x.dtype))

        def window(x: Any) -> Any:
            if not isinstance(x, Leaf):
                return WIDE.get(x, x) if isinstance(x, torch.dtype) else x
            return stores[x.held.store].as_strided(*x.held[1:])

        state = torch.get_rng_state()
        try:
            with torch.no_grad(), wide_defaults():
                for place, step in enumerate(self.steps):
                    args, kwargs = tree_map(window, (step.args, step.kwargs))
                    result = self._done(step, args, kwargs, pool, only)
                    outputs = [x for x in tree_iter(result) if isinstance(x, Tensor)]
                    for held, y in zip(step.outputs, outputs, strict=True):
                        if held.store not in stores:
                            stores[held.store] = _store(y, held, self.sizes[held.store])
                    seen(step, outputs)
                    for store in self.done[place]:
                        stores.pop(store, None)
        finally:
            torch.set_rng_state(state)
        windows = (window(x) for x in tree_iter(_leaves(self.result)))
        return [x.to(torch.float64) for x in windows if isinstance(x, Tensor)]

    def _done(self, step: Step, args: Any, kwargs: Any, pool: Any, only: Any) -> Any:
        if pool is None:
            return args[0].clone() if step.call is factor else step.call(*args, **kwargs)
        pool.toward(step, self.dtype, only is None or step.place in only)
        if step.call is factor:
            return args[0] * factor(pool, args[0])
        result = rule_of(step.call)(pool, step.call, args, kwargs)
        if step.rounds:
            changed = written(step.call, args, kwargs) or [
                x for x in tree_iter(result) if isinstance(x, Tensor)
            ]
            for y in changed:
                y.mul_(factor(pool, y))
        return result


def _leaves(tree: Any) -> Any:
    return tree_map(
        lambda x: Leaf(x) if isinstance(x, Held) else x, tree, is_leaf=lambda x: type(x) is Held
    )


class _Mixture(Pool):
    """Noise of the float in which each operation ran, relative to another one's."""

    scale = words = 1.0

    def toward(self, step: Step, dtype: str, heard: bool) -> None:
        """Be told which operation is next."""
        own = roundoff_of(step.place.dtype or dtype)
        self.whole = 1 / own
        self.scale = own / roundoff_of(dtype) if heard else 0.0
        self.words = self.scale
        if heard and step.place.operation not in FILLS:  # a number is used in float32 at least
            self.words = min(own, roundoff_of("float32")) / roundoff_of(dtype)

    def noise(self, y: Tensor) -> Tensor:
        return super().noise(y) * self.scale

    def number(self, value: float) -> float:
        return super().number(value) * self.words


def _store(y: Tensor, held: Held, size: int) -> Tensor:
    """Return the numbers of a result, laid out as they were written down."""
    whole = y.untyped_storage().nbytes() == size * y.element_size()
    if whole and y.stride() == held.stride and y.storage_offset() == held.offset:
        return y.as_strided((size,), (1,), 0)
    flat = torch.zeros(size, dtype=y.dtype)
    flat.as_strided(*held[1:]).copy_(y)
    return flat
