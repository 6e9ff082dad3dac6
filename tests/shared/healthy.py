"""Healthy pairs: the same mathematics in JAX and in torch, which the yardstick must let pass.

Each takes NumPy arrays that float32 holds exactly. Faults are planted elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax
from torch.func import functional_call


class Case(NamedTuple):
    """One function in both frameworks, and a maker of inputs from a generator."""

    jax: Callable[..., Any]
    torch: Callable[..., Any]
    inputs: Callable[[np.random.Generator], tuple[np.ndarray, ...]]


Maker = Callable[[np.random.Generator], tuple[np.ndarray, ...]]


def normal(*shapes: tuple[int, ...], scale: float = 1.0, shift: float = 0.0) -> Maker:
    return lambda rng: tuple(
        (shift + scale * rng.standard_normal(s)).astype(np.float32) for s in shapes
    )


def uniform(low: float, high: float, *shapes: tuple[int, ...]) -> Maker:
    return lambda rng: tuple(rng.uniform(low, high, s).astype(np.float32) for s in shapes)


def positive_definite(n: int, *batch: int) -> Maker:
    def make(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        a = rng.standard_normal((*batch, n, n))
        return ((a @ np.swapaxes(a, -1, -2) / n + np.eye(n)).astype(np.float32),)

    return make


def with_indices(maker: Maker, high: int, *shape: int) -> Maker:
    return lambda rng: (*maker(rng), rng.integers(0, high, shape))


def log_determinant(x: Any) -> Any:
    return 2 * jnp.log(jnp.diagonal(jnp.linalg.cholesky(x))).sum()


def split_conv(x: Any, w: Any, **options: Any) -> Any:
    spatial = "HW"[-(x.ndim - 2) :]
    numbers = ("NC" + spatial, "OI" + spatial, "NC" + spatial)
    return lax.conv_general_dilated(x, w, dimension_numbers=numbers, **options)


def layer_norm(x: Any, axes: Any = -1, eps: float = 1e-5) -> Any:
    centred = x - x.mean(axes, keepdims=True)
    return centred * lax.rsqrt((centred**2).mean(axes, keepdims=True) + eps)


def group_norm(x: Any, groups: int) -> Any:
    return layer_norm(x.reshape(x.shape[0], groups, -1)).reshape(x.shape)


def cross_entropy(logits: Any, y: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


def window(x: Any, init: float, operation: Any, size: int) -> Any:
    return lax.reduce_window(x, init, operation, (1, 1, size, size), (1, 1, size, size), "VALID")


def elementwise() -> dict[str, Case]:
    plain = normal((7, 33), scale=2.0)
    unit, positive = uniform(-0.99, 0.99, (7, 33)), uniform(0.01, 9.0, (7, 33))
    cases = {
        "tanh": (jnp.tanh, torch.tanh, plain),
        "sigmoid": (jax.nn.sigmoid, torch.sigmoid, plain),
        "exp": (jnp.exp, torch.exp, plain),
        "exp, large": (jnp.exp, torch.exp, uniform(-60, 60, (7, 33))),
        "exp2": (jnp.exp2, torch.exp2, plain),
        "expm1": (jnp.expm1, torch.expm1, plain),
        "log": (jnp.log, torch.log, positive),
        "log near 1": (jnp.log, torch.log, uniform(0.99, 1.01, (7, 33))),
        "log2": (jnp.log2, torch.log2, positive),
        "log10": (jnp.log10, torch.log10, positive),
        "log1p": (jnp.log1p, torch.log1p, positive),
        "log1p, small": (jnp.log1p, torch.log1p, uniform(-1e-3, 1e-3, (7, 33))),
        "sin": (jnp.sin, torch.sin, plain),
        "sin, large": (jnp.sin, torch.sin, uniform(-500, 500, (7, 33))),
        "cos": (jnp.cos, torch.cos, plain),
        "tan": (jnp.tan, torch.tan, unit),
        "asin": (jnp.arcsin, torch.asin, unit),
        "acos": (jnp.arccos, torch.acos, unit),
        "atan": (jnp.arctan, torch.atan, plain),
        "sinh": (jnp.sinh, torch.sinh, plain),
        "cosh": (jnp.cosh, torch.cosh, plain),
        "asinh": (jnp.arcsinh, torch.asinh, plain),
        "acosh": (jnp.arccosh, torch.acosh, uniform(1.01, 9, (7, 33))),
        "atanh": (jnp.arctanh, torch.atanh, unit),
        "sqrt": (jnp.sqrt, torch.sqrt, positive),
        "rsqrt": (lax.rsqrt, torch.rsqrt, positive),
        "reciprocal": (lambda x: 1 / x, torch.reciprocal, positive),
        "cube": (lambda x: x**3, lambda x: x**3, plain),
        "power 1.7": (lambda x: x**1.7, lambda x: x**1.7, positive),
        "power": (jnp.power, torch.pow, uniform(0.1, 5, (7, 33), (7, 33))),
        "erf": (jax.scipy.special.erf, torch.erf, plain),
        "erfc": (jax.scipy.special.erfc, torch.erfc, plain),
        "erfinv": (jax.scipy.special.erfinv, torch.erfinv, unit),
        "lgamma": (jax.scipy.special.gammaln, torch.lgamma, uniform(0.1, 9, (7, 33))),
        "lgamma, negative": (jax.scipy.special.gammaln, torch.lgamma, uniform(-5, 0, (7, 33))),
        "lgamma, large": (jax.scipy.special.gammaln, torch.lgamma, uniform(5, 500, (7, 33))),
        "digamma": (jax.scipy.special.digamma, torch.digamma, uniform(0.1, 9, (7, 33))),
        "digamma, negative": (jax.scipy.special.digamma, torch.digamma, uniform(-5, 0, (7, 33))),
        "softplus": (jax.nn.softplus, F.softplus, plain),
        "gelu": (lambda x: jax.nn.gelu(x, approximate=False), F.gelu, plain),
        "gelu, tanh": (jax.nn.gelu, lambda x: F.gelu(x, approximate="tanh"), plain),
        "silu": (jax.nn.silu, F.silu, plain),
        "elu": (jax.nn.elu, F.elu, plain),
        "selu": (jax.nn.selu, F.selu, plain),
        "mish": (lambda x: x * jnp.tanh(jax.nn.softplus(x)), F.mish, plain),
        "log_sigmoid": (jax.nn.log_sigmoid, F.logsigmoid, plain),
        "logit": (jax.scipy.special.logit, torch.logit, uniform(0.01, 0.99, (7, 33))),
        "relu": (jax.nn.relu, F.relu, plain),
        "leaky_relu": (jax.nn.leaky_relu, F.leaky_relu, plain),
        "hardswish": (jax.nn.hard_swish, F.hardswish, plain),
        "atan2": (jnp.arctan2, torch.atan2, normal((7, 33), (7, 33))),
        "hypot": (jnp.hypot, torch.hypot, normal((7, 33), (7, 33))),
        "logaddexp": (jnp.logaddexp, torch.logaddexp, normal((7, 33), (7, 33))),
        "xlogy": (jax.scipy.special.xlogy, torch.xlogy, uniform(0.1, 5, (7, 33), (7, 33))),
        "a*b+c": (lambda a, b, c: a * b + c, lambda a, b, c: a * b + c, normal(*[(7, 33)] * 3)),
        "a-b, cancelling": (
            lambda a, b: (1000 + a) - (1000 + b),
            lambda a, b: (1000 + a) - (1000 + b),
            normal((7, 33), (7, 33)),
        ),
        "i0e": (jax.scipy.special.i0e, torch.special.i0e, plain),
        "ndtr": (jax.scipy.special.ndtr, torch.special.ndtr, plain),
        "sinc": (jnp.sinc, torch.sinc, plain),
        "complex product": (
            lambda a, b: jnp.abs(lax.complex(a, b) * lax.complex(b, 1 - a)),
            lambda a, b: (torch.complex(a, b) * torch.complex(b, 1 - a)).abs(),
            normal((7, 33), (7, 33)),
        ),
    }
    return {name: Case(*case) for name, case in cases.items()}


def reductions() -> dict[str, Case]:
    rows = normal((7, 33))
    cases = {
        "sum": (lambda x: x.sum(1), lambda x: x.sum(1), rows),
        "sum, 1e5 positive": (
            lambda x: x.sum(1), lambda x: x.sum(1), uniform(0, 1, (3, 100_000))),
        "sum over rows, 1e5": (
            lambda x: x.sum(0), lambda x: x.sum(0), uniform(0, 1, (100_000, 3))),
        "sum, 1e5 centred": (lambda x: x.sum(1), lambda x: x.sum(1), normal((3, 100_000))),
        "mean, 1e5": (lambda x: x.mean(), lambda x: x.mean(), normal((100_000,), shift=3)),
        "var": (lambda x: x.var(1, ddof=1), lambda x: x.var(1), rows),
        "var, nearly constant": (
            lambda x: x.var(1), lambda x: x.var(1, correction=0),
            normal((7, 33), scale=1e-3, shift=5)),
        "std": (lambda x: x.std(1), lambda x: x.std(1, correction=0), rows),
        "prod": (lambda x: x.prod(1), lambda x: x.prod(1), uniform(0.5, 1.5, (7, 33))),
        "cumsum": (lambda x: jnp.cumsum(x, 1), lambda x: x.cumsum(1), rows),
        "cumsum, 1e4": (
            lambda x: jnp.cumsum(x, 1), lambda x: x.cumsum(1), uniform(0, 1, (2, 10_000))),
        "cumprod": (
            lambda x: jnp.cumprod(x, 1), lambda x: x.cumprod(1), uniform(0.5, 1.5, (7, 12))),
        "logsumexp": (
            lambda x: jax.nn.logsumexp(x, 1), lambda x: x.logsumexp(1), normal((7, 33), scale=3)),
        "logsumexp, large": (
            lambda x: jax.nn.logsumexp(x, 1), lambda x: x.logsumexp(1), normal((7, 33), scale=99)),
        "logcumsumexp": (
            lambda x: lax.cumlogsumexp(x, 1), lambda x: x.logcumsumexp(1), normal((7, 33))),
        "max": (lambda x: x.max(1), lambda x: x.amax(1), rows),
        "norm": (lambda x: jnp.linalg.norm(x, axis=1), lambda x: x.norm(dim=1), rows),
        "softmax": (lambda x: jax.nn.softmax(x, 1), lambda x: x.softmax(1), rows),
        "softmax, large logits": (
            lambda x: jax.nn.softmax(x, 1), lambda x: x.softmax(1), normal((7, 33), scale=50)),
        "log_softmax": (
            lambda x: jax.nn.log_softmax(x, 1), lambda x: x.log_softmax(1), normal((7, 999))),
        "layer norm": (layer_norm, lambda x: F.layer_norm(x, x.shape[-1:]), rows),
        "layer norm, mean 1000": (
            layer_norm, lambda x: F.layer_norm(x, x.shape[-1:]), normal((7, 33), shift=1000)),
        "layer norm, mean 1000, wide": (
            layer_norm, lambda x: F.layer_norm(x, x.shape[-1:]), normal((5, 1024), shift=1000)),
        "rms norm": (
            lambda x: x * lax.rsqrt((x**2).mean(1, keepdims=True) + 1e-5),
            lambda x: F.rms_norm(x, x.shape[-1:], eps=1e-5), rows),
        "batch norm": (
            lambda x: layer_norm(x, 0), lambda x: F.batch_norm(x, None, None, training=True), rows),
        "batch norm, images": (
            lambda x: layer_norm(x, (0, 2, 3)),
            lambda x: F.batch_norm(x, None, None, training=True), normal((6, 3, 5, 5), shift=2)),
        "group norm": (
            lambda x: group_norm(x, 2), lambda x: F.group_norm(x, 2), normal((5, 4, 3, 3))),
        "sort": (lambda x: jnp.sort(x, 1), lambda x: x.sort(1).values, rows),
        "top 3": (lambda x: lax.top_k(x, 3)[0], lambda x: x.topk(3).values, rows),
        "cosine": (
            lambda a, b: (a * b).sum(1) / (jnp.linalg.norm(a, axis=1) * jnp.linalg.norm(b, axis=1)),
            lambda a, b: F.cosine_similarity(a, b), normal((7, 33), (7, 33))),
        "pairwise distance": (
            lambda a, b: jnp.sqrt(((a[:, None] - b[None]) ** 2).sum(-1)),
            lambda a, b: torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist"),
            normal((7, 5), (6, 5))),
    }  # fmt: skip
    return {name: Case(*case) for name, case in cases.items()}


def contractions() -> dict[str, Case]:
    cases = {
        "matmul": (jnp.matmul, torch.matmul, normal((7, 33), (33, 11))),
        "matmul, 1e5 terms": (jnp.matmul, torch.matmul, normal((3, 100_000), (100_000, 4))),
        "matmul, 1e5 positive": (
            jnp.matmul, torch.matmul, uniform(0, 1, (3, 100_000), (100_000, 4))),
        "matmul, 1e4 rows": (jnp.matmul, torch.matmul, normal((10_000, 5), (5, 4))),
        "dot, 1e5": (jnp.dot, torch.dot, normal((100_000,), (100_000,))),
        "batched": (jnp.matmul, torch.matmul, normal((4, 7, 33), (4, 33, 5))),
        "einsum": (
            lambda a, b: jnp.einsum("bij,bkj,k->bi", a, b, b[0, :, 0]),
            lambda a, b: torch.einsum("bij,bkj,k->bi", a, b, b[0, :, 0]),
            normal((3, 4, 5), (3, 6, 5))),
        "linear": (
            lambda x, w, b: x @ w.T + b, F.linear, normal((7, 33), (11, 33), (11,))),
        "conv1d": (
            lambda x, w: split_conv(x, w, window_strides=(1,), padding=[(1, 1)]),
            lambda x, w: F.conv1d(x, w, padding=1), normal((2, 3, 20), (4, 3, 3))),
        "conv2d": (
            lambda x, w: split_conv(
                x, w, window_strides=(2, 2), padding=[(1, 1)] * 2, rhs_dilation=(2, 2)),
            lambda x, w: F.conv2d(x, w, stride=2, padding=1, dilation=2),
            normal((2, 3, 12, 12), (4, 3, 3, 3))),
        "conv2d, groups": (
            lambda x, w: split_conv(
                x, w, window_strides=(1, 1), padding="VALID", feature_group_count=2),
            lambda x, w: F.conv2d(x, w, groups=2), normal((2, 4, 9, 9), (6, 2, 3, 3))),
        "conv2d, many": (
            lambda x, w: split_conv(x, w, window_strides=(1, 1), padding="SAME"),
            lambda x, w: F.conv2d(x, w, padding=1), normal((16, 8, 24, 24), (8, 8, 3, 3))),
        "conv transpose": (
            lambda x, w: split_conv(
                x, jnp.flip(w, (2, 3)).transpose(1, 0, 2, 3), window_strides=(1, 1),
                padding=[(2, 2)] * 2, lhs_dilation=(2, 2)),
            lambda x, w: F.conv_transpose2d(x, w, stride=2),
            normal((2, 3, 5, 5), (3, 4, 3, 3))),
        "max pool": (
            lambda x: window(x, -jnp.inf, lax.max, 2), lambda x: F.max_pool2d(x, 2),
            normal((2, 3, 8, 8))),
        "mean pool": (
            lambda x: window(x, 0.0, lax.add, 3) / 9, lambda x: F.avg_pool2d(x, 3),
            normal((2, 3, 9, 9))),
        "global mean pool": (
            lambda x: x.mean((2, 3)), lambda x: F.adaptive_avg_pool2d(x, 1)[..., 0, 0],
            normal((2, 3, 9, 9))),
        "nearest upsampling": (
            lambda x: x.repeat(2, 2).repeat(2, 3), lambda x: F.interpolate(x, scale_factor=2),
            normal((2, 3, 5, 5))),
        "embedding": (
            lambda w, i: w[i], lambda w, i: F.embedding(i, w),
            with_indices(normal((11, 6)), 11, 8, 5)),
        "scatter add": (
            lambda x, i: jnp.zeros((9, 4)).at[i].add(x),
            lambda x, i: torch.zeros(9, 4, dtype=x.dtype).index_add(0, i, x),
            with_indices(normal((50, 4)), 9, 50)),
        "scatter add, 1e4": (
            lambda x, i: jax.ops.segment_sum(x, i, 3),
            lambda x, i: torch.zeros(3, 2, dtype=x.dtype).index_put((i,), x, accumulate=True),
            with_indices(uniform(0, 1, (10_000, 2)), 3, 10_000)),
        "gather": (
            lambda x, i: jnp.take_along_axis(x, i, 1), lambda x, i: x.gather(1, i),
            with_indices(normal((7, 9)), 9, 7, 20)),
        "cross entropy": (
            cross_entropy, F.cross_entropy, with_indices(normal((32, 27), scale=2), 27, 32)),
        "binary cross entropy": (
            lambda x, y: (jax.nn.softplus(x) - x * jax.nn.sigmoid(y)).mean(),
            lambda x, y: F.binary_cross_entropy_with_logits(x, y.sigmoid()),
            normal((7, 33), (7, 33))),
        "mean squared error": (
            lambda x, y: ((x - y) ** 2).mean(), F.mse_loss, normal((7, 33), (7, 33))),
        "huber": (
            lambda x, y: jnp.where(
                jnp.abs(x - y) < 1, 0.5 * (x - y) ** 2, jnp.abs(x - y) - 0.5).mean(),
            F.huber_loss, normal((7, 33), (7, 33))),
        "kl divergence": (
            lambda x, y: (jax.nn.softmax(y) * (jax.nn.log_softmax(y) - jax.nn.log_softmax(x)))
            .sum(1).mean(),
            lambda x, y: F.kl_div(
                x.log_softmax(1), y.log_softmax(1), reduction="batchmean", log_target=True),
            normal((7, 33), (7, 33))),
        "bilinear": (
            lambda x, y, w: jnp.einsum("ni,kij,nj->nk", x, w, y),
            lambda x, y, w: F.bilinear(x, y, w), normal((7, 5), (7, 6), (4, 5, 6))),
    }  # fmt: skip
    return {name: Case(*case) for name, case in cases.items()}


def linear_algebra() -> dict[str, Case]:
    square = lambda rng: ((rng.standard_normal((6, 6)) + 3 * np.eye(6)).astype(np.float32),)  # noqa: E731
    cases = {
        "cholesky": (jnp.linalg.cholesky, torch.linalg.cholesky, positive_definite(6)),
        "cholesky, 100": (jnp.linalg.cholesky, torch.linalg.cholesky, positive_definite(100)),
        "log determinant": (
            log_determinant,
            lambda x: 2 * torch.linalg.cholesky(x).diagonal().log().sum(), positive_definite(8)),
        "inverse": (jnp.linalg.inv, torch.linalg.inv, square),
        "inverse, batch": (jnp.linalg.inv, torch.linalg.inv, positive_definite(5, 3)),
        "det": (jnp.linalg.det, torch.linalg.det, square),
        "slogdet": (
            lambda x: jnp.linalg.slogdet(x)[1], lambda x: torch.linalg.slogdet(x)[1], square),
        "solve": (
            lambda a, b: jnp.linalg.solve(a + 5 * jnp.eye(8), b),
            lambda a, b: torch.linalg.solve(a + 5 * torch.eye(8, dtype=a.dtype), b),
            normal((8, 8), (8, 3))),
        "solve, 100": (
            jnp.linalg.solve, torch.linalg.solve,
            lambda rng: (*positive_definite(100)(rng), *normal((100, 3))(rng))),
        "triangular solve": (
            lambda a, b: jax.scipy.linalg.solve_triangular(a, b, lower=True),
            lambda a, b: torch.linalg.solve_triangular(a.tril(), b, upper=False),
            lambda rng: (*positive_definite(6)(rng), *normal((6, 3))(rng))),
        "qr": (
            lambda x: jnp.abs(jnp.linalg.qr(x)[1]), lambda x: torch.linalg.qr(x)[1].abs(),
            normal((8, 5))),
        "singular values": (
            lambda x: jnp.linalg.svd(x, compute_uv=False), torch.linalg.svdvals, normal((6, 5))),
        "eigenvalues": (jnp.linalg.eigvalsh, torch.linalg.eigvalsh, positive_definite(6)),
        "eigenvectors": (
            lambda x: jnp.abs(jnp.linalg.eigh(x)[1]), lambda x: torch.linalg.eigh(x)[1].abs(),
            positive_definite(5)),
        "matrix exponential": (
            jax.scipy.linalg.expm, torch.linalg.matrix_exp, normal((5, 5), scale=0.3)),
        "pseudo-inverse": (
            jnp.linalg.pinv, torch.linalg.pinv, normal((6, 4))),
        "rfft": (
            lambda x: jnp.abs(jnp.fft.rfft(x)), lambda x: torch.fft.rfft(x).abs(),
            normal((3, 64))),
        "fft convolution": (
            lambda x, w: jnp.fft.irfft(jnp.fft.rfft(x, 128) * jnp.fft.rfft(w, 128), 128),
            lambda x, w: torch.fft.irfft(torch.fft.rfft(x, 128) * torch.fft.rfft(w, 128), 128),
            normal((3, 64), (64,))),
        "fft2": (
            lambda x: jnp.fft.fft2(x).real, lambda x: torch.fft.fft2(x).real, normal((3, 8, 12))),
    }  # fmt: skip
    return {name: Case(*case) for name, case in cases.items()}


def recurrent(kind: str) -> Case:
    """An LSTM or a GRU: JAX's by scan, torch's own module with the weights put in."""
    gates, inputs, hidden = {"LSTM": 4, "GRU": 3}[kind], 5, 6
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    shapes = ((gates * hidden, inputs), (gates * hidden, hidden), (gates * hidden,))

    def lstm(state: Any, x: Any, wi: Any, wh: Any, bi: Any, bh: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(x @ wi.T + bi + h @ wh.T + bh, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c)

    def gru(state: Any, x: Any, wi: Any, wh: Any, bi: Any, bh: Any) -> Any:
        h, c = state
        (ri, zi, ni), (rh, zh, nh) = (jnp.split(v, 3, -1) for v in (x @ wi.T + bi, h @ wh.T + bh))
        z = jax.nn.sigmoid(zi + zh)
        n = jnp.tanh(ni + jax.nn.sigmoid(ri + rh) * nh)
        return ((1 - z) * n + z * h, c)

    def scanned(x: Any, *weights: Any) -> Any:
        def step(state: Any, element: Any) -> Any:
            state = {"LSTM": lstm, "GRU": gru}[kind](state, element, *weights)
            return state, state[0]

        zero = jnp.zeros((x.shape[1], hidden), x.dtype)
        return lax.scan(step, (zero, zero), x)[1]

    def module(x: Any, *weights: Any) -> Any:
        layer = getattr(torch.nn, kind)(inputs, hidden, dtype=x.dtype)
        return functional_call(layer, dict(zip(names, weights, strict=True)), (x,))[0]

    return Case(scanned, module, normal((30, 4, inputs), *shapes, shapes[2], scale=0.5))


def nets() -> dict[str, Case]:
    """Ten networks of several layers."""

    def jax_attention(q: Any, k: Any, v: Any) -> Any:
        scores = q @ jnp.swapaxes(k, -1, -2) / jnp.sqrt(q.shape[-1])
        mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        return jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), -1) @ v

    def block(x: Any, wq: Any, wk: Any, wv: Any, w1: Any, w2: Any) -> Any:
        h = layer_norm(x)
        x = x + jax_attention(h @ wq, h @ wk, h @ wv)
        return x + jax.nn.gelu(layer_norm(x) @ w1, approximate=False) @ w2

    def torch_block(x: Any, wq: Any, wk: Any, wv: Any, w1: Any, w2: Any) -> Any:
        h = F.layer_norm(x, x.shape[-1:])
        x = x + F.scaled_dot_product_attention(h @ wq, h @ wk, h @ wv, is_causal=True)
        return x + F.gelu(F.layer_norm(x, x.shape[-1:]) @ w1) @ w2

    def cnn(x: Any, w1: Any, w2: Any, w3: Any) -> Any:
        h = split_conv(x, w1, window_strides=(1, 1), padding="SAME")
        h = window(jax.nn.relu(layer_norm(h, (0, 2, 3))), -jnp.inf, lax.max, 2)
        h = jax.nn.relu(split_conv(h, w2, window_strides=(1, 1), padding="SAME"))
        return h.mean((2, 3)) @ w3

    def torch_cnn(x: Any, w1: Any, w2: Any, w3: Any) -> Any:
        h = F.batch_norm(F.conv2d(x, w1, padding=1), None, None, training=True)
        h = F.relu(F.conv2d(F.max_pool2d(F.relu(h), 2), w2, padding=1))
        return F.adaptive_avg_pool2d(h, 1).flatten(1) @ w3

    def deep(x: Any, w: Any, tanh: Any) -> Any:
        for i in range(len(w)):
            x = x + tanh(x @ w[i])
        return x

    def siren(x: Any, w1: Any, w2: Any, w3: Any, sin: Any) -> Any:
        return sin(30 * sin(30 * (x @ w1)) @ w2) @ w3

    def variational(x: Any, we: Any, wd: Any, noise: Any, exp: Any, tanh: Any) -> Any:
        mean, log_var = x @ we, tanh(x @ we)
        z = mean + exp(0.5 * log_var) * noise
        kl = 0.5 * (exp(log_var) + mean**2 - 1 - log_var).sum(1).mean()
        return ((tanh(z @ wd) - x) ** 2).sum(1).mean() + kl

    def mixture(x: Any, centres: Any, spread: Any) -> Any:
        d = ((x[:, None] - centres) ** 2 * jnp.exp(-2 * spread)).sum(-1) / 2 + spread.sum(-1)
        return -jax.nn.logsumexp(-d, 1).mean()

    def torch_mixture(x: Any, centres: Any, spread: Any) -> Any:
        d = ((x[:, None] - centres) ** 2 * torch.exp(-2 * spread)).sum(-1) / 2 + spread.sum(-1)
        return -torch.logsumexp(-d, 1).mean()

    def ode(x: Any, w: Any) -> Any:
        f, h = (lambda y: jnp.tanh(y @ w)), 0.1

        def step(_: Any, y: Any) -> Any:
            k1 = f(y)
            k2 = f(y + h / 2 * k1)
            k3 = f(y + h / 2 * k2)
            return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + f(y + h * k3))

        return lax.fori_loop(0, 20, step, x)

    def torch_ode(x: Any, w: Any) -> Any:
        f, h = (lambda y: torch.tanh(y @ w)), 0.1
        for _ in range(20):
            k1 = f(x)
            k2 = f(x + h / 2 * k1)
            k3 = f(x + h / 2 * k2)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + f(x + h * k3))
        return x

    def graph(x: Any, w1: Any, w2: Any, ends: Any) -> Any:
        for w in (w1, w2):
            x = jnp.tanh(jax.ops.segment_sum(x[ends[0]], ends[1], len(x)) @ w)
        return x

    def torch_graph(x: Any, w1: Any, w2: Any, ends: Any) -> Any:
        for w in (w1, w2):
            x = torch.tanh(torch.zeros_like(x).index_add(0, ends[1], x[ends[0]]) @ w)
        return x

    cases = {
        "LSTM": recurrent("LSTM"),
        "GRU": recurrent("GRU"),
        "attention": (
            jax_attention,
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            normal(*[(2, 3, 10, 8)] * 3)),
        "transformer block": (
            block, torch_block,
            normal((2, 10, 16), *[(16, 16)] * 3, (16, 64), (64, 16), scale=0.3)),
        "convolutional net": (
            cnn, torch_cnn, normal((4, 3, 8, 8), (6, 3, 3, 3), (5, 6, 3, 3), (5, 10))),
        "20 residual layers": (
            lambda x, w: deep(x, w, jnp.tanh), lambda x, w: deep(x, w, torch.tanh),
            normal((8, 16), (20, 16, 16), scale=0.4)),
        "siren": (
            lambda *a: siren(*a, jnp.sin), lambda *a: siren(*a, torch.sin),
            normal((20, 2), (2, 32), (32, 32), (32, 1), scale=0.3)),
        "variational autoencoder": (
            lambda *a: variational(*a, jnp.exp, jnp.tanh),
            lambda *a: variational(*a, torch.exp, torch.tanh),
            normal((9, 12), (12, 4), (4, 12), (9, 4), scale=0.6)),
        "gaussian mixture": (mixture, torch_mixture, normal((20, 3), (5, 3), (5, 3))),
        "runge-kutta": (ode, torch_ode, normal((6, 8), (8, 8), scale=0.7)),
        "graph net": (
            graph, torch_graph,
            with_indices(normal((12, 6), (6, 6), (6, 6), scale=0.5), 12, 2, 60)),
    }  # fmt: skip
    return {name: Case(*case) for name, case in cases.items()}


CASES = elementwise() | reductions() | contractions() | linear_algebra() | nets()
