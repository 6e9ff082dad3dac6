"""How far rounding alone can move each output of a torch function: the function, rerun with noise.

A dispatch mode sees every operation below autograd, forward and backward alike, and disturbs the
result of each that rounds by as much as rounding to float32 would. A fused kernel is opened with
torch's own decomposition first: what cancels inside it would otherwise leave no trace.

It estimates; it bounds nothing. It refuses a function that makes a narrower float inside float64.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import (
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)

from parity.frameworks.torch_modes import Mode
from parity.frameworks.torch_operations import (
    NORMALIZATIONS,
    Opening,
    name_of,
    shapes_alone,
    tensors_of,
    written,
)
from parity.frameworks.torch_rounding import (
    Pool,
    factor,
    is_float,
    is_plain,
    is_whole,
    rule_of,
)
from parity.judge.noise import SEEDS, U0, Cost
from parity.memory import give_back, is_heavy


def yardstick(function: Callable[..., Any], seeds: int = SEEDS) -> Callable[..., tuple[Any, Any]]:
    """Return ``(*args) -> (value, noise)``, both structured as ``function(*args)``.

    ``function`` differentiates itself where gradients are wanted. ``value`` is the plain float64
    run; ``noise`` is the rms error of each element in units of the roundoff u (multiply by 2**-24
    for float32), 0 for integers. Give float64, complex128, integer or boolean tensors. Whatever the
    function changes in place (arguments, buffers), and torch's random state, is restored.

    Raises TypeError where the function computes in a narrower float although its arguments are
    float64.
    """

    def measured(*args: Any) -> tuple[Any, Any]:
        watch = _Watch()
        try:
            _as_if_first(function, args, watch, watch)
        finally:
            if watch.narrow:  # not raised on the spot: x * y would swallow a TypeError
                raise TypeError(watch.narrow) from None
        clean = tree_leaves(_as_if_first(function, args, _Noise(None), watch))
        total = [torch.zeros(_shape(x), dtype=torch.float64) for x in clean]
        for seed in range(seeds):
            noisy = tree_leaves(_as_if_first(function, args, _Noise(Pool(seed)), watch))
            for number, one in enumerate(clean):
                far = _difference(noisy[number], one)
                noisy[number] = None  # large ones are not held twice
                total[number] += far.square_()
                del far
            if is_heavy(x.numel() for x in total):
                give_back()
        noise = [t.div_(seeds).sqrt_().div_(U0) for t in total]
        clean.clear()
        value, structure = tree_flatten(_as_if_first(function, args, watch, watch))  # as at first
        return tree_unflatten(value, structure), tree_unflatten(noise, structure)

    return measured


def cost(function: Callable[..., Any], *args: Any) -> Cost:
    """Return the estimated cost of ``yardstick(function)(*args)``: a plain run, timed.

    The second one, by the processor's clock: the first imports much, and others may be at work.
    """
    watch = _Watch()
    _as_if_first(function, args, watch, watch)
    start = time.process_time()
    _as_if_first(function, args, _Noise(None), watch)
    plain = time.process_time() - start
    run = plain + 3e-4 * watch.operations + 2e-8 * watch.elements
    return Cost(watch.operations, watch.elements, plain + run, run)


def _as_if_first(function: Any, args: Any, mode: Mode, watch: _Watch) -> Any:
    """Run the function in a mode, then put back what it changed and torch's random state."""
    random_state = torch.get_rng_state()
    try:
        with sdpa_kernel(SDPBackend.MATH), mode:
            leaves, structure = tree_flatten(function(*args))
        for number, leaf in enumerate(leaves):  # one by one: each goes when its copy is made
            leaves[number] = _kept(leaf) if isinstance(leaf, Tensor) else leaf
        return tree_unflatten(leaves, structure)
    finally:
        torch.set_rng_state(random_state)
        watch.restore()


def _kept(x: Tensor) -> Tensor:
    """Return a copy that nothing done in place can reach, conjugations carried out."""
    if x._is_zerotensor():
        return torch.zeros_like(x)
    return x.detach().clone().resolve_conj().resolve_neg()


def _difference(noisy: Any, clean: Any) -> Any:
    """Return |noisy - clean|, 0 for integers and where both are the same infinity."""
    if not is_float(clean):
        return torch.zeros(_shape(clean), dtype=torch.float64)
    return torch.where(noisy == clean, 0.0, (noisy - clean).abs())


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(x.shape) if isinstance(x, Tensor) else ()


class _Watch(Mode):
    """The plain run: refuses narrow floats, counts, and remembers what was changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.elements = 0
        self.own: set[int] = set()
        self.narrow = ""
        self.before: dict[int, tuple[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = tensors_of(args, kwargs)
        for tensor in written(func, args, kwargs):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.own and storage._cdata not in self.before:
                self.before[storage._cdata] = storage, storage.clone()
        result = func(*args, **kwargs)
        outputs = tensors_of(result)
        self.own |= _storages(outputs) - _storages(inputs)
        self.look_for_narrow(func, outputs)
        self.operations += 1
        self.elements += sum(x.numel() for x in outputs)
        return result

    def look_for_narrow(self, func: Any, tensors: list[Tensor]) -> None:
        """Note the first narrow float that was made here and may have been rounded.

        What was there before, a table, is data: to look at it or to widen it rounds nothing.
        """
        for x in tensors:
            if not self.narrow and _is_narrow(x) and not _is_harmless(x):
                dtype, shape = str(x.dtype).removeprefix("torch."), tuple(x.shape)
                self.narrow = (
                    f"a {dtype} value of shape {shape} at {func} inside a float64 run: the "
                    "function narrows its inputs; give every constant and cast the inputs' dtype"
                )

    def restore(self) -> None:
        """Put back what was changed in place although it was there before."""
        for storage, before in self.before.values():
            storage.copy_(before)


def _storages(tensors: list[Tensor]) -> set[int]:
    return {x.untyped_storage()._cdata for x in tensors if x.layout is torch.strided}


def _is_narrow(x: Tensor) -> bool:
    return is_float(x) and x.element_size() < (16 if x.is_complex() else 8)


def _is_harmless(x: Tensor) -> bool:
    """Return whether a narrow float is a mask, a count, infinite, or one number such as 2^-23."""
    whole = bool((is_whole(x) | ~x.isfinite()).all())
    return whole or (x.ndim == 0 and not x.is_complex() and is_plain(x.item()))


class _Noise(Opening):
    """The function with fused kernels opened and, given a pool, every rounding disturbed."""

    def __init__(self, pool: Pool | None) -> None:
        super().__init__()
        self.pool = pool

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.opens(func):
            if self.pool is not None and name_of(func) in NORMALIZATIONS:
                place = 1 if name_of(func).endswith("backward") else 0
                moved = args[place] * factor(self.pool, args[place])
                args = (*args[:place], moved, *args[place + 1 :])
            return self.opened(func, args, kwargs)
        if self.pool is None or shapes_alone(args, kwargs):
            return func(*args, **kwargs)
        return rule_of(func)(self.pool, func, args, kwargs)
