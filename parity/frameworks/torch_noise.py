"""How far rounding alone can move each output of a torch function: the function, rerun with noise.

A dispatch mode sees every operation below autograd, forward and backward alike, and disturbs the
result of each that rounds by as much as rounding to float32 would. A fused kernel is opened with
torch's own decomposition first: what cancels inside it would otherwise leave no trace. The only
file that knows what an operation of torch is made of.

It estimates; it bounds nothing. It refuses a function that makes a narrower float inside float64.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._decomp import decomposition_table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import (
    tree_flatten,
    tree_iter,
    tree_leaves,
    tree_map_only,
    tree_unflatten,
)

from parity.judge.noise import SEEDS, SERIES, U0, Cost, matrix_growth

# Making, moving, choosing, comparing and changing the sign are exact in every floating format.
EXACT = frozenset(
    """_conj _conj_physical _copy_from _efficientzerotensor _local_scalar_dense _neg_view
    _pack_padded_sequence _reshape_copy _stack _to_copy _unique _unique2 _unsafe_index
    _unsafe_view adaptive_max_pool2d adaptive_max_pool3d amax amin aminmax arange argmax
    argmin argsort as_strided bernoulli bincount bitwise_and bitwise_not bitwise_or
    bitwise_xor broadcast_in_dim broadcast_tensors bucketize cat ceil channel_shuffle clone
    collapse collapse_view complex conj_physical contiguous convert_element_type copy copysign
    count_nonzero cummax cummin detach diag diag_embed diagonal_backward diagonal_scatter
    embedding empty empty_like empty_permuted empty_strided eq equal expand eye flip floor
    fmax fmin fmod frac fractional_max_pool2d gather ge gt hardshrink hardtanh_backward
    heaviside im2col imag index index_copy index_select iota isfinite isin isinf isnan
    isneginf isposinf item kthvalue le linspace logical_and logical_not logical_or logical_xor
    lt lu_unpack masked_scatter masked_select max max_pool2d_with_indices
    max_pool3d_with_indices max_unpool2d max_unpool3d maximum median min minimum mode
    multinomial nanmedian ne neg new_empty new_empty_strided new_ones new_zeros nextafter
    nonzero normal one_hot ones ones_like permute pixel_shuffle pixel_unshuffle positive rand
    rand_like randint randint_like randn randn_like random randperm real reflection_pad1d
    reflection_pad2d reflection_pad3d relu repeat repeat_interleave replication_pad1d
    replication_pad2d replication_pad3d reshape resize resize_as roll rot90 round searchsorted
    select_backward select_scatter set sign signbit slice_backward slice_scatter sort
    split_dim squeeze stack swapaxes swapdims t take take_along_dim threshold_backward to topk
    transpose tril tril_indices triu triu_indices trunc unfold_copy uniform unique_consecutive
    unsafe_split unsafe_split_with_sizes unsqueeze upsample_nearest1d upsample_nearest2d
    upsample_nearest3d view where zero zeros zeros_like""".split()
)
# Exact, too, but a number that is put in has first to be rounded itself.
FILLS = frozenset(
    """clamp clamp_max clamp_min constant_pad_nd fill full full_like hardtanh index_fill
    lift_fresh masked_fill nan_to_num new_full scalar_tensor threshold""".split()
)
# One elementary function each: the result itself is rounded, once or a few times.
ROUNDING = frozenset(
    """abs acos acosh add asin asinh atan atan2 atanh cos cosh div erf erf_inv erfc
    erfcx erfinv exp exp2 expm1 hypot log log10 log1p log2 mul native_dropout
    pow reciprocal rsqrt rsub sgn sigmoid sin sinh sqrt square sub tan tanh
    true_divide""".split()
)
# Many terms added up: the error grows with their number and with their size, not with the sum's.
CONTRACTIONS = frozenset(
    """addbmm addmm addmv baddbmm bmm convolution convolution_backward dot mm mv vdot""".split()
)
SUMS = frozenset(
    """_embedding_bag_dense_backward _index_put_impl adaptive_max_pool2d_backward
    adaptive_max_pool3d_backward col2im cumsum embedding_dense_backward
    fractional_max_pool2d_backward index_add index_put max_pool2d_with_indices_backward
    max_pool3d_with_indices_backward nansum reflection_pad1d_backward
    reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward
    replication_pad2d_backward replication_pad3d_backward scatter_add sum unfold_backward
    upsample_bicubic2d_backward upsample_bilinear2d_backward upsample_linear1d_backward
    upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
    upsample_trilinear3d_backward""".split()
)
AVERAGES = frozenset(
    """_adaptive_avg_pool2d _adaptive_avg_pool2d_backward _adaptive_avg_pool3d
    _adaptive_avg_pool3d_backward avg_pool2d avg_pool2d_backward avg_pool3d
    avg_pool3d_backward""".split()
)
# x * scale - mean * scale in their kernels: the error is that of x, not of x - mean.
NORMALIZATIONS = frozenset(
    """_native_batch_norm_legit _native_batch_norm_legit_functional native_batch_norm
    native_batch_norm_backward native_group_norm native_group_norm_backward native_layer_norm
    native_layer_norm_backward""".split()
)
# Terms weighted by positions: their weights are off by the rounding of a position.
RESAMPLING = frozenset(
    """upsample_bicubic2d_backward upsample_bilinear2d_backward upsample_linear1d_backward
    upsample_trilinear3d_backward""".split()
)
# A string among the arguments says what is done.
REDUCING = frozenset("index_reduce scatter scatter_reduce segment_reduce".split())
# Sums, whose terms are added one after another.
ONE_BY_ONE = frozenset(
    """_embedding_bag_dense_backward _index_put_impl embedding_dense_backward index_add index_put
    scatter_add""".split()
)
PRODUCTS = frozenset("cumprod prod".split())
# Backward stable: the exact answer to a problem near the one asked, near by each matrix's norm.
# What is in no list, such as the solving of triangles, is near element by element.
SPECTRAL = frozenset(
    "_linalg_eigh _linalg_eigvals _linalg_svd linalg_eig linalg_lstsq linalg_matrix_exp".split()
)
NORMWISE = SPECTRAL | frozenset(
    """_linalg_det _linalg_slogdet _linalg_solve_ex cholesky cholesky_inverse geqrf
    linalg_cholesky_ex linalg_inv_ex linalg_ldl_factor_ex linalg_lu linalg_lu_factor_ex linalg_pinv
    linalg_qr""".split()
)
FFT = frozenset("_fft_c2c _fft_c2r _fft_r2c fft_c2c fft_c2r fft_r2c".split())
# The functions of SERIES are disturbed at their arguments, too, for their zeros and poles; flash
# attention's decomposition is far noisier than its kernel.
COMPONENTWISE = SERIES.keys() | {"_scaled_dot_product_flash_attention_for_cpu"}


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
            value, structure = tree_flatten(_as_if_first(function, args, watch, watch))
        finally:
            if watch.narrow:  # not raised on the spot: x * y would swallow a TypeError
                raise TypeError(watch.narrow) from None
        clean = tree_leaves(_as_if_first(function, args, _Noise(None), watch))
        total: list[Any] = [0.0 for _ in clean]
        for seed in range(seeds):
            noisy = tree_leaves(_as_if_first(function, args, _Noise(_Pool(seed)), watch))
            far = map(_difference, noisy, clean)
            total = [t + d**2 for t, d in zip(total, far, strict=True)]
        noise = [(t / seeds) ** 0.5 / U0 for t in total]
        return tree_unflatten(value, structure), tree_unflatten(noise, structure)

    return measured


def cost(function: Callable[..., Any], *args: Any) -> Cost:
    """Return the estimated cost of ``yardstick(function)(*args)``: one plain run, timed."""
    watch, start = _Watch(), time.perf_counter()
    _as_if_first(function, args, watch, watch)
    plain = time.perf_counter() - start
    run = plain + 5e-5 * watch.operations + 2e-8 * watch.elements
    return Cost(watch.operations, watch.elements, plain + run, run)


def _as_if_first(function: Any, args: Any, mode: TorchDispatchMode, watch: _Watch) -> Any:
    """Run the function in a mode, then put back what it changed and torch's random state."""
    random_state = torch.get_rng_state()
    try:
        with sdpa_kernel(SDPBackend.MATH), mode:
            result = function(*args)
        return tree_map_only(Tensor, _kept, result)
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
    if not _is_float(clean):
        return torch.zeros(clean.shape, dtype=torch.float64) if isinstance(clean, Tensor) else 0.0
    return torch.where(noisy == clean, 0.0, (noisy - clean).abs())


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())


class _Watch(TorchDispatchMode):
    """The plain run: refuses narrow floats, counts, and remembers what was changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.elements = 0
        self.own: set[int] = set()
        self.narrow = ""
        self.before: dict[int, tuple[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        for tensor in _written(func, args, kwargs):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.own and storage._cdata not in self.before:
                self.before[storage._cdata] = storage, storage.clone()
        result = func(*args, **kwargs)
        outputs = [x for x in tree_iter(result) if isinstance(x, Tensor)]
        self.own |= _storages(outputs) - _storages(inputs)
        self.look_for_narrow(func, [*inputs, *outputs])
        self.operations += 1
        self.elements += sum(x.numel() for x in outputs)
        return result

    def look_for_narrow(self, func: Any, tensors: list[Tensor]) -> None:
        """Note the first narrow float that may have been rounded."""
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
    return _is_float(x) and x.element_size() < (16 if x.is_complex() else 8)


def _is_harmless(x: Tensor) -> bool:
    """Return whether a narrow float is a mask, a count, infinite, or one number such as 2^-23."""
    whole = bool((_is_whole(x) | ~x.isfinite()).all())
    return whole or (x.ndim == 0 and not x.is_complex() and _is_plain(x.item()))


def _is_plain(x: float) -> bool:
    """Return whether a number needs no rounding: whole, of at most 8 bits, infinite."""
    return not math.isfinite(x) or x.is_integer() or (math.frexp(x)[0] * 256).is_integer()


class _Pool:
    """Noise of variance 1 for one seed: slices of one row, elsewhere for every operation."""

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
            self.row = torch.cat([self.row, (uniform - 0.5) * math.sqrt(12)])

    def _slice(self, y: Tensor) -> Tensor:
        self._extend(2 * y.numel() + 65536 - len(self.row))
        self.sites += 1
        start = self.sites * 40503 % (len(self.row) - y.numel())
        return self.row[start : start + y.numel()].reshape(y.shape).to(y.device)


class Opening(TorchDispatchMode):
    """A mode that opens fused kernels by torch's own table of decompositions."""

    def __init__(self) -> None:
        super().__init__()
        self.opening: list[Any] = []

    def opens(self, func: Any) -> bool:
        """Return whether an operation is made of others, and is not being opened already."""
        return isinstance(_rule(func), _Open) and func not in self.opening

    def opened(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Return what an operation gives by the others that it is made of."""
        self.opening.append(func)
        try:
            with self:
                return _rule(func).decomposition(*args, **kwargs)
        finally:
            self.opening.pop()


class _Noise(Opening):
    """The function with fused kernels opened and, given a pool, every rounding disturbed."""

    def __init__(self, pool: _Pool | None) -> None:
        super().__init__()
        self.pool = pool

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.opens(func):
            if self.pool is not None and _name(func) in NORMALIZATIONS:
                place = 1 if _name(func).endswith("backward") else 0
                moved = args[place] * _factor(self.pool, args[place])
                args = (*args[:place], moved, *args[place + 1 :])
            return self.opened(func, args, kwargs)
        rule = _rule(func)
        if self.pool is None or rule is _exact:
            return func(*args, **kwargs)
        if isinstance(rule, _Open):  # its decomposition came back to it
            rule = _componentwise
        return rule(self.pool, func, args, kwargs)


class _Open(NamedTuple):
    """The rule of an operation that is made of others."""

    decomposition: Callable[..., Any]


@cache
def _rule(func: Any) -> Any:
    """Return how an operation is disturbed: a function of (pool, func, args, kwargs), or _Open."""
    name = _name(func)
    if func.is_view or name in EXACT:
        return _exact
    for names, rule in (
        (REDUCING, _reduce),
        (FILLS, _fill),
        (ROUNDING, _round),
        (CONTRACTIONS | SUMS | AVERAGES, _accumulate),
        (PRODUCTS, _product),
        (NORMWISE, _solve),
        (FFT, _transform),
        (COMPONENTWISE, _componentwise),
    ):
        if name in names:
            return rule
    decomposition = _decomposition(func, name)
    return _Open(decomposition) if decomposition else _componentwise


def _name(func: Any) -> str:
    """Return add for aten.add.Tensor, aten.add_.Scalar and prims.add.default alike."""
    name = func._schema.name.split("::")[1]
    return name[:-1] if func._schema.is_mutable and name.endswith("_") else name


def _decomposition(func: Any, name: str) -> Callable[..., Any] | None:
    if name == "var":  # one pass: its error is that of x itself, not of x - mean
        return None
    if func in decomposition_table:
        return decomposition_table[func]
    if func._can_decompose():
        return func.decompose
    packet = getattr(torch.ops.aten, name, None)
    twin = getattr(packet, func._overloadname, None)
    if func._schema.is_mutable and twin in decomposition_table:  # in place: compute, then copy
        return lambda x, *args, **kwargs: x.copy_(decomposition_table[twin](x, *args, **kwargs))
    return None


def _written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Return the tensors that the operation changes in place, out= included."""
    if func is torch.ops.aten.native_batch_norm.default:  # its schema does not tell
        return [x for x in args[3:5] if x is not None]
    if not func._schema.is_mutable:
        return []
    values = [
        args[place] if place < len(args) else kwargs.get(argument.name)
        for place, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return [x for x in tree_iter(values) if isinstance(x, Tensor)]


def _call(func: Any, args: Any, kwargs: Any) -> tuple[Any, list[Tensor]]:
    """Return (what the operation returns, every float tensor that it made or changed)."""
    result = func(*args, **kwargs)
    tensors = {id(x): x for x in (*tree_iter(result), *_written(func, args, kwargs))}
    return result, [x for x in tensors.values() if _is_float(x) and not x._is_zerotensor()]


def _exact(pool: _Pool, func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs)


def _fill(pool: _Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """Exact, but for the numbers that are put in."""
    args, kwargs = tree_map_only(float, lambda x: _constant(pool, x), (args, kwargs))
    result, outputs = _call(func, args, kwargs)
    if _name(func) == "lift_fresh":
        for y in outputs:
            y.mul_(_factor(pool, y))
    return result


def _round(pool: _Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """y (1 + u xi), but for x + 0, x * 2, x / 4 and a mask times x."""
    name = _name(func)
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
        y.mul_(_factor(pool, y, exact))
    return result


def _factor(pool: _Pool, y: Tensor, exact: Any = False) -> Tensor:
    """Return 1 + u xi, and 1 where y is exact or whole: a count, a place."""
    return 1 + U0 * pool.noise(y).masked_fill(exact | _is_whole(y), 0.0)


def _is_whole(y: Tensor) -> Tensor:
    """Return where y is a whole number, which every format holds: a count, a place."""
    if y.is_complex():
        return torch.zeros((), dtype=torch.bool, device=y.device)
    return (y == y.round()) & (y.abs() < 2**24)


def _constant(pool: _Pool, x: Any) -> Any:
    """Return a number in the code as another format would round it."""
    if not isinstance(x, float) or _is_plain(x):
        return x
    return x * (1 + U0 * pool.number(x))


def _scaled(pool: _Pool, args: Any, kwargs: Any) -> Any:
    """Turn a + alpha b into a + (alpha b), the product rounded."""
    alpha = args[2] if len(args) > 2 else kwargs.get("alpha", 1)
    if alpha in (1, -1):
        return args, kwargs
    product = args[1] * _constant(pool, alpha)
    if _is_float(product):
        product.mul_(_factor(pool, product))
    return (args[0], product), {}


def _power_of_two(x: Any) -> bool:
    if isinstance(x, Tensor):
        if x.dtype is torch.bool or x.numel() != 1 or x.is_complex():
            return x.dtype is torch.bool
        x = x.item()
    return not isinstance(x, complex) and abs(math.frexp(x)[0]) in (0.0, 0.5)


def _accumulate(pool: _Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """y + u L xi sqrt(y^2 + op(inputs^2)), L = max(1, log2(k) / 2), and sqrt(k) / 16 one by one."""
    name = _name(func)
    if "index_put" in name and not (args[3] if len(args) > 3 else kwargs.get("accumulate")):
        return func(*args, **kwargs)
    scalars = {key: kwargs[key] ** 2 for key in ("alpha", "beta") if key in kwargs}
    squared_args, squared_kwargs = tree_map_only(Tensor, _square, (args, kwargs))
    _, squares = _call(func, squared_args, squared_kwargs | scalars)
    result, outputs = _call(func, args, kwargs)
    for place, (y, square) in enumerate(zip(outputs, squares, strict=True)):
        terms = max(1, _terms(name, args, kwargs, place, y))
        growth = max(1.0, math.log2(terms) / 2)
        y2, s = y.abs() ** 2, square.abs() / (terms if name in AVERAGES else 1)
        size = torch.sqrt(y2 + s)
        if name in CONTRACTIONS | ONE_BY_ONE:
            growth = max(growth, math.sqrt(terms) / 16)
        if name in RESAMPLING:
            growth = max(growth, max(args[0].shape[2:]) / 2)
        if name in SUMS:  # a single term adds up without rounding
            size.masked_fill_((s == y2) | _is_whole(y), 0.0)
        _disturb(pool, y, growth * size)
    return result


def _square(x: Tensor) -> Tensor:
    return (x.abs() ** 2).to(x.dtype) if _is_float(x) else x


def _disturb(pool: _Pool, y: Tensor, size: Tensor) -> None:
    """Add u0 * size * noise in place; what is infinite stays so."""
    y.add_(U0 * pool.noise(y) * torch.where(size.isfinite(), size, 0.0))


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
        return max(x.numel() for x in tree_iter(indices) if isinstance(x, Tensor))
    if name == "cumsum":
        return _length(args[0], args[1])
    if name.startswith("avg_pool"):
        window = args[2 if name.endswith("backward") else 1]
        return math.prod(window) ** (int(name[8]) if len(window) == 1 else 1)
    larger, smaller = max(args[0].numel(), y.numel()), min(args[0].numel(), y.numel())
    return larger // max(1, smaller)


def _reduce(pool: _Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """What a string says: the largest and the smallest are exact, sums and products are not."""
    strings = [x for x in (*args, *kwargs.values()) if isinstance(x, str)]
    exact = not strings or strings[0] in ("amax", "amin", "max", "min")
    return (_fill if exact else _componentwise)(pool, func, args, kwargs)


def _product(pool: _Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """y (1 + u xi sqrt(factors)): every factor adds its rounding."""
    result, outputs = _call(func, args, kwargs)
    for y in outputs:
        cumulative = _name(func) == "cumprod"
        factors = _length(*args[:2]) if cumulative else args[0].numel() / max(1, y.numel())
        y.mul_(1 + U0 * math.sqrt(factors) * pool.noise(y))
    return result


def _length(x: Tensor, axis: int) -> int:
    return x.shape[axis] if x.ndim else 1


def _solve(pool: _Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """Inputs disturbed by each matrix's root mean square, outputs y (1 + u xi)."""
    spectral = _name(func) in SPECTRAL

    def moved(x: Tensor) -> Tensor:
        return _normwise(pool, x, (-2, -1), matrix_growth(tuple(x.shape), spectral=spectral))

    args, kwargs = tree_map_only(Tensor, moved, (args, kwargs))
    result, outputs = _call(func, args, kwargs)
    for y in outputs:
        y.mul_(_factor(pool, y))
    return result


def _transform(pool: _Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """The outputs, disturbed by the root mean square over the axes of the transform."""
    result, outputs = _call(func, args, kwargs)
    for y in outputs:
        dims = args[1] if len(args) > 1 else kwargs["dim"]
        y.copy_(_normwise(pool, y, tuple(dims)))
    return result


def _normwise(pool: _Pool, x: Tensor, dims: tuple[int, ...], growth: float = 1.0) -> Tensor:
    if not _is_float(x) or not x.numel():
        return x
    square = x.abs() ** 2
    mean = square.mean(dims, keepdim=True) if x.ndim >= len(dims) else square.mean()
    return x + U0 * growth * torch.sqrt(mean) * pool.noise(x)


def _componentwise(pool: _Pool, func: Any, args: Any, kwargs: Any) -> Any:
    """Inputs and outputs, each y (1 + u xi): the operation's condition counts, too."""
    kept = {id(x) for x in _written(func, args, kwargs)}

    def disturbed(x: Tensor) -> Tensor:
        if not _is_float(x) or id(x) in kept or x.layout is not torch.strided:
            return x
        return x * _factor(pool, x)

    name = _name(func)
    args, kwargs = tree_map_only(Tensor, disturbed, (args, kwargs))
    if name.startswith("grid_sampler"):  # 1 is added to the grid, from -1 to 1
        place = 2 if name.endswith("backward") else 1
        args = (*args[:place], args[place] + U0 * pool.noise(args[place]), *args[place + 1 :])
    result, outputs = _call(func, args, kwargs)
    for y in outputs:
        if name in SERIES:
            _disturb(pool, y, 4 * torch.sqrt(y**2 + SERIES[name] ** 2))
        else:
            y.mul_(_factor(pool, y))
    return result
