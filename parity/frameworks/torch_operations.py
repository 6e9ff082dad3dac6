"""What an operation of torch is made of: which are exact, which round, add up, are opened.

Lists and questions; runs nothing. `torch_rounding.py` says how much each kind rounds.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table

from parity.frameworks.torch_modes import Mode
from parity.judge.noise import SERIES

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

WHOLE = (
    EXACT
    | FILLS
    | ROUNDING
    | CONTRACTIONS
    | SUMS
    | AVERAGES
    | REDUCING
    | PRODUCTS
    | NORMWISE
    | FFT
    | COMPONENTWISE
)
"""What is not opened."""


class Opening(Mode):
    """A mode that opens fused kernels by torch's own table of decompositions."""

    def __init__(self) -> None:
        super().__init__()
        self.opening: list[Any] = []

    def opens(self, func: Any) -> bool:
        """Return whether an operation is made of others, and is not being opened already."""
        return func not in self.opening and decomposition_of(func) is not None

    def opened(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Return what an operation gives by the others that it is made of."""
        self.opening.append(func)
        try:
            with self:
                return decomposition_of(func)(*args, **kwargs)
        finally:
            self.opening.pop()


def name_of(func: Any) -> str:
    """Return add for aten.add.Tensor, aten.add_.Scalar and prims.add.default alike."""
    name = func._schema.name.split("::")[1]
    return name[:-1] if func._schema.is_mutable and name.endswith("_") else name


def named(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return {name: value} of what an operation is given, as its schema calls it."""
    return dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs


def tensors_of(*values: Any) -> list[Tensor]:
    """Return the tensors in what an operation is given or gives: lists, tuples, dicts of them.

    This runs for every operation of every run, where pytree's general way took a sixth of the time.
    """
    found: list[Tensor] = []
    for x in values:
        if isinstance(x, Tensor):
            found.append(x)
        elif isinstance(x, (list, tuple)):
            found += tensors_of(*x)
        elif isinstance(x, dict):
            found += tensors_of(*x.values())
    return found


def shapes_alone(args: Any, kwargs: Any) -> bool:
    """Return whether an operation is asked for a shape: forward differentiation does so."""
    return any([x.is_meta for x in tensors_of(args, kwargs)])


@cache
def decomposition_of(func: Any) -> Any:
    """Return the function that opens an operation; None of one that is judged whole."""
    name = name_of(func)
    if func.is_view or name in WHOLE:
        return None
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


def written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
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
    return tensors_of(values)
