"""How much an operation of torch rounds: its result, made again with random noise of that size.

One rule a kind of operation; which is which is said in `torch_operations.py`.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import (
    tree_map_only,
)

from parity.frameworks.torch_operations import (
    AVERAGES,
    CONTRACTIONS,
    EXACT,
    FFT,
    FILLS,
    NORMWISE,
    ONE_BY_ONE,
    PRODUCTS,
    REDUCING,
    RESAMPLING,
    ROUNDING,
    SPECTRAL,
    SUMS,
    name_of,
    tensors_of,
    written,
)
from parity.judge.noise import SERIES, U0, matrix_growth


def is_float(x: Any) -> bool:
    """Return whether x is a tensor of floats, real or complex."""
    return isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())


def is_plain(x: float) -> bool:
    """Return whether a number needs no rounding: whole, of at most 8 bits, infinite."""
    return not math.isfinite(x) or x.is_integer() or (math.frexp(x)[0] * 256).is_integer()


class Pool:
    """Noise of variance 1 for one seed: slices of one row, elsewhere for every operation."""

    whole = 2.0**24
    """Below this every whole number is one of the format."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.row = torch.empty(0, dtype=torch.float64)
        self._extend(65536)
        self.sites = 0

    def noise(self, y: Tensor) -> Tensor:
        """Return noise of y's shape and dtype, in both parts if that is complex."""
        if y.is_complex():
            return torch.complex(self._slice(y), self._slice(y))
        return self._slice(y)

    def number(self, value: float) -> float:
        """Return one number of the noise, the same wherever the same value stands in the code."""
        return self.row[hash(value) % 65536].item()

    def _extend(self, count: int) -> None:
        if count > 0:
            uniform = torch.rand(count, dtype=torch.float64, generator=self.generator)
            self.row = torch.cat([self.row, uniform.sub_(0.5).mul_(math.sqrt(12))])

    def _slice(self, y: Tensor) -> Tensor:
        self._extend(2 * y.numel() + 65536 - len(self.row))
        self.sites += 1
        start = self.sites * 40503 % (len(self.row) - y.numel())
        return self.row[start : start + y.numel()].reshape(y.shape).to(y.device)


@cache
def rule_of(func: Any) -> Any:
    """Return how an operation is disturbed: a function of (pool, func, args, kwargs).

    What is made of others is opened first; here it is what its own decomposition comes back to.
    """
    name = name_of(func)
    if func.is_view or name in EXACT:
        return _unchanged
    for names, rule in (
        (REDUCING, _reduce),
        (FILLS, _fill),
        (ROUNDING, _round),
        (CONTRACTIONS | SUMS | AVERAGES, _accumulate),
        (PRODUCTS, _product),
        (NORMWISE, _solve),
        (FFT, _transform),
    ):
        if name in names:
            return rule
    return _componentwise


def _call(func: Any, args: Any, kwargs: Any) -> tuple[Any, list[Tensor]]:
    """Return (what the operation returns, every float tensor that it made or changed)."""
    result = func(*args, **kwargs)
    tensors = {id(x): x for x in (*tensors_of(result), *written(func, args, kwargs))}
    return result, [x for x in tensors.values() if is_float(x) and not x._is_zerotensor()]


def _unchanged(pool: Pool, func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs)


def _fill(pool: Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """Exact, but for the numbers that are put in."""
    args, kwargs = tree_map_only(float, lambda x: _constant(pool, x), (args, kwargs))
    result, outputs = _call(func, args, kwargs)
    if name_of(func) == "lift_fresh":
        for y in outputs:
            y.mul_(factor(pool, y))
    return result


def _round(pool: Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """y (1 + u xi), but for x + 0, x * 2, x / 4 and a mask times x."""
    name = name_of(func)
    if name in ("abs", "sgn") and not args[0].is_complex():
        return func(*args, **kwargs)
    if name in ("add", "sub"):
        args, kwargs = _scaled(pool, args, kwargs)
    args = [_constant(pool, x) for x in args]
    exact: Any = False
    if name in ("add", "sub", "rsub"):
        exact = (args[0] == 0) | (args[1] == 0)
    elif name in ("mul", "div", "true_divide"):
        exact = any(map(_power_of_two, args[1:2] if "div" in name else args[:2]))
    result, outputs = _call(func, args, kwargs)
    for y in outputs:
        y.mul_(factor(pool, y, exact))
    return result


def factor(pool: Pool, y: Tensor, exact: Any = False) -> Tensor:
    """Return 1 + u xi, and 1 where y is exact or whole: a count, a place."""
    noise = pool.noise(y) * U0
    whole = is_whole(y, pool.whole)
    if exact is not False or whole.any():
        noise.masked_fill_(exact | whole, 0.0)
    return noise.add_(1)


def is_whole(y: Tensor, below: float = Pool.whole) -> Tensor:
    """Return where y is a whole number, which a format holds: a count, a place."""
    if y.is_complex():
        return torch.zeros((), dtype=torch.bool, device=y.device)
    whole = y == y.round()
    return whole & (y.abs() < below) if whole.any() else whole


def _constant(pool: Pool, x: Any) -> Any:
    """Return a number in the code as another format would round it."""
    if not isinstance(x, float) or is_plain(x):
        return x
    return x * (1 + U0 * pool.number(x))


def _scaled(pool: Pool, args: Any, kwargs: Any) -> Any:
    """Turn a + alpha b into a + (alpha b), the product rounded."""
    alpha = args[2] if len(args) > 2 else kwargs.get("alpha", 1)
    if alpha in (1, -1):
        return args, kwargs
    product = args[1] * _constant(pool, alpha)
    if is_float(product):
        product.mul_(factor(pool, product))
    return (args[0], product), {}


def _power_of_two(x: Any) -> bool:
    if isinstance(x, Tensor):
        if x.dtype is torch.bool or x.numel() != 1 or x.is_complex():
            return x.dtype is torch.bool
        x = x.item()
    return not isinstance(x, complex) and abs(math.frexp(x)[0]) in (0.0, 0.5)


def _accumulate(pool: Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """y + u L xi sqrt(y^2 + op(inputs^2)), L = max(1, log2(k) / 2), and sqrt(k) / 16 one by one."""
    name = name_of(func)
    if "index_put" in name and not (args[3] if len(args) > 3 else kwargs.get("accumulate")):
        return func(*args, **kwargs)
    scalars = {key: kwargs[key] ** 2 for key in ("alpha", "beta") if key in kwargs}
    squared_args, squared_kwargs = tree_map_only(Tensor, _square, (args, kwargs))
    _, squares = _call(func, squared_args, squared_kwargs | scalars)
    result, outputs = _call(func, args, kwargs)
    for place, (y, square) in enumerate(zip(outputs, squares, strict=True)):
        terms = max(1, _terms(name, args, kwargs, place, y))
        growth = max(1.0, math.log2(terms) / 2)
        y2, s = y.abs() ** 2 if y.is_complex() else y * y, square.abs()
        if name in AVERAGES:
            s /= terms
        size = torch.sqrt(y2 + s)
        if name in CONTRACTIONS | ONE_BY_ONE:
            growth = max(growth, math.sqrt(terms) / 16)
        if name in RESAMPLING:
            growth = max(growth, max(args[0].shape[2:]) / 2)
        if name in SUMS:  # a single term adds up without rounding
            size.masked_fill_((s == y2) | is_whole(y, pool.whole), 0.0)
        _disturb(pool, y, growth * size)
    return result


def _square(x: Tensor) -> Tensor:
    if x.is_complex():
        return (x.abs() ** 2).to(x.dtype)
    return x * x if is_float(x) else x


def _disturb(pool: Pool, y: Tensor, size: Tensor) -> None:
    """Add u0 * size * noise in place; what is infinite stays so."""
    y.add_((pool.noise(y) * U0).mul_(size.nan_to_num_(0.0, 0.0, 0.0)))


def _terms(name: str, args: Any, kwargs: Any, place: int, y: Tensor) -> int:
    """Return how many inputs, at most, go into one element of an output."""
    if name == "convolution":
        return args[1].numel() // max(1, y.shape[1])
    if name == "convolution_backward":
        if place == 0 and kwargs.get("output_mask", args[-1])[0]:
            return args[2].numel() // max(1, args[1].shape[1])
        return args[0].numel() // max(1, args[0].shape[1])
    if name in CONTRACTIONS:
        return args[1 if "add" in name else 0].shape[-1]
    if name in ONE_BY_ONE:
        indices = args[2 if name in ("index_add", "scatter_add") else 1]
        return max(x.numel() for x in tensors_of(indices))
    if name == "cumsum":
        return _length(args[0], args[1])
    if name.startswith("avg_pool"):
        window = args[2 if name.endswith("backward") else 1]
        return math.prod(window) ** (int(name[8]) if len(window) == 1 else 1)
    larger, smaller = max(args[0].numel(), y.numel()), min(args[0].numel(), y.numel())
    return larger // max(1, smaller)


def _reduce(pool: Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """What a string says: the largest and the smallest are exact, sums and products are not."""
    strings = [x for x in (*args, *kwargs.values()) if isinstance(x, str)]
    exact = not strings or strings[0] in ("amax", "amin", "max", "min")
    return (_fill if exact else _componentwise)(pool, func, args, kwargs)


def _product(pool: Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """y (1 + u xi sqrt(factors)): every factor adds its rounding."""
    result, outputs = _call(func, args, kwargs)
    for y in outputs:
        cumulative = name_of(func) == "cumprod"
        factors = _length(*args[:2]) if cumulative else args[0].numel() / max(1, y.numel())
        y.mul_(1 + U0 * math.sqrt(factors) * pool.noise(y))
    return result


def _length(x: Tensor, axis: int) -> int:
    return x.shape[axis] if x.ndim else 1


def _solve(pool: Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """Inputs disturbed by each matrix's root mean square, outputs y (1 + u xi)."""
    spectral = name_of(func) in SPECTRAL

    def moved(x: Tensor) -> Tensor:
        return _normwise(pool, x, (-2, -1), matrix_growth(tuple(x.shape), spectral=spectral))

    args, kwargs = tree_map_only(Tensor, moved, (args, kwargs))
    result, outputs = _call(func, args, kwargs)
    for y in outputs:
        y.mul_(factor(pool, y))
    return result


def _transform(pool: Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """The outputs, disturbed by the root mean square over the axes of the transform."""
    result, outputs = _call(func, args, kwargs)
    for y in outputs:
        dims = args[1] if len(args) > 1 else kwargs["dim"]
        y.copy_(_normwise(pool, y, tuple(dims)))
    return result


def _normwise(pool: Pool, x: Tensor, dims: tuple[int, ...], growth: float = 1.0) -> Tensor:
    if not is_float(x) or not x.numel():
        return x
    square = x.abs() ** 2
    mean = square.mean(dims, keepdim=True) if x.ndim >= len(dims) else square.mean()
    return x + U0 * growth * torch.sqrt(mean) * pool.noise(x)


def _componentwise(pool: Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """Inputs and outputs, each y (1 + u xi): the operation's condition counts, too."""
    kept = {id(x) for x in written(func, args, kwargs)}

    def disturbed(x: Tensor) -> Tensor:
        if not is_float(x) or id(x) in kept or x.layout is not torch.strided:
            return x
        return x * factor(pool, x)

    name = name_of(func)
    args, kwargs = tree_map_only(Tensor, disturbed, (args, kwargs))
    if name.startswith("grid_sampler"):  # 1 is added to the grid, from -1 to 1
        place = 2 if name.endswith("backward") else 1
        args = (*args[:place], args[place] + U0 * pool.noise(args[place]), *args[place + 1 :])
    result, outputs = _call(func, args, kwargs)
    for y in outputs:
        if name in SERIES:
            _disturb(pool, y, 4 * torch.sqrt(y**2 + SERIES[name] ** 2))
        else:
            y.mul_(factor(pool, y))
    return result
