"""Right functions in JAX, easy and awkward. `torch_healthy.py` has the same, in the same order."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def matmul(x: Any, w: Any) -> Any:
    """A product of matrices."""
    return x @ w


def total(x: Any) -> Any:
    """A long sum."""
    return x.sum()


def mean_square(x: Any) -> Any:
    """A mean of squares."""
    return (x**2).mean(0)


def cumulative(x: Any) -> Any:
    """Running sums."""
    return jnp.cumsum(x, 1)


def product(x: Any) -> Any:
    """A product of many factors."""
    return jnp.prod(x, 1)


def softmax(x: Any) -> Any:
    """Softmax over the last axis."""
    return jax.nn.softmax(x, -1)


def log_softmax(x: Any) -> Any:
    """The logarithm of the softmax."""
    return jax.nn.log_softmax(x, -1)


def logsumexp(x: Any) -> Any:
    """The logarithm of a sum of exponentials."""
    return jax.nn.logsumexp(x, -1)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean negative log-likelihood of labels."""
    logprobs = jax.nn.log_softmax(logits, -1)
    return -jnp.take_along_axis(logprobs, labels[:, None], 1).mean()


def binary_cross_entropy(x: Any, y: Any) -> Any:
    """Binary cross-entropy of logits."""
    return (jnp.maximum(x, 0) - x * y + jnp.log1p(jnp.exp(-jnp.abs(x)))).mean()


def layer_norm(x: Any, gain: Any, bias: Any) -> Any:
    """Layer norm, eps 1e-5."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gain + bias


def batch_norm(x: Any, gain: Any, bias: Any) -> Any:
    """Batch norm with the unbiased variance, eps 1e-5."""
    centred = x - x.mean(0, keepdims=True)
    var = (centred**2).sum(0, keepdims=True) / (x.shape[0] - 1)
    return centred / jnp.sqrt(var + 1e-5) * gain + bias


def rms_norm(x: Any, gain: Any) -> Any:
    """Root-mean-square norm, eps 1e-6."""
    return x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * gain


def variance(x: Any) -> Any:
    """The unbiased variance of each column."""
    return jnp.var(x, 0, ddof=1)


def deviation(x: Any) -> Any:
    """The standard deviation of each column."""
    return jnp.std(x, 0, ddof=1)


def unit(x: Any) -> Any:
    """Rows of length one."""
    return x / jnp.sqrt((x**2).sum(-1, keepdims=True))


def gelu(x: Any) -> Any:
    """The exact gelu."""
    return jax.nn.gelu(x, approximate=False)


def silu(x: Any) -> Any:
    """x times its sigmoid."""
    return jax.nn.silu(x)


def softplus(x: Any) -> Any:
    """log(1 + e^x)."""
    return jnp.log1p(jnp.exp(x))


def deep_tanh(x: Any, w: Any) -> Any:
    """Eight layers of tanh with one weight."""
    for _ in range(8):
        x = jnp.tanh(x @ w)
    return x


def relu_network(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
    """A hidden layer of ReLUs."""
    return jax.nn.relu(x @ w1 + b1) @ w2 + b2


def attention(q: Any, k: Any, v: Any) -> Any:
    """Scaled dot-product attention."""
    scores = q @ jnp.swapaxes(k, -1, -2) / jnp.sqrt(q.shape[-1])
    return jax.nn.softmax(scores, -1) @ v


def causal_attention(q: Any, k: Any, v: Any) -> Any:
    """Attention that looks back only."""
    scores = q @ jnp.swapaxes(k, -1, -2) / jnp.sqrt(q.shape[-1])
    seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    return jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), -1) @ v


def lstm(x: Any, w: Any, u: Any, b: Any) -> Any:
    """An LSTM over the first axis; every hidden state and the last cell."""
    size = u.shape[0]

    def step(state: Any, row: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(row @ w + h @ u + b, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    start = jnp.zeros((x.shape[1], size), x.dtype)
    (_, c), hs = lax.scan(step, (start, start), x)
    return hs, c


def convolution(x: Any, w: Any) -> Any:
    """A convolution of images, 'same' padding of one."""
    return lax.conv_general_dilated(x, w, (1, 1), ((1, 1), (1, 1)))


def mean_pool(x: Any) -> Any:
    """Means of 2 by 2 pixels."""
    batch, channels, height, width = x.shape
    return x.reshape(batch, channels, height // 2, 2, width // 2, 2).mean((3, 5))


def max_pool(x: Any) -> Any:
    """Maxima of 2 by 2 pixels."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def embedding(table: Any, ids: Any) -> Any:
    """Rows of a table, some of them often."""
    return jnp.tanh(table[ids])


def ordered(x: Any) -> Any:
    """Every row sorted, weighted by place."""
    return jnp.sort(x, -1) * jnp.arange(x.shape[-1])


def distances(x: Any, y: Any) -> Any:
    """Squared distances between rows, by the difference that cancels nothing."""
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)


def solve(a: Any, b: Any) -> Any:
    """A well-conditioned linear system."""
    return jnp.linalg.solve(a @ a.T + jnp.eye(a.shape[0], dtype=a.dtype), b)


def log_det(a: Any) -> Any:
    """The log-determinant of a positive matrix, by its Cholesky factor."""
    factor = jnp.linalg.cholesky(a @ a.T + jnp.eye(a.shape[0], dtype=a.dtype))
    return 2 * jnp.log(jnp.diagonal(factor)).sum()


def spectrum(x: Any) -> Any:
    """The power of each frequency."""
    return jnp.abs(jnp.fft.rfft(x)) ** 2


def rotation(z: Any, w: Any) -> Any:
    """Complex numbers, multiplied and measured."""
    return jnp.abs(z * w + z * jnp.conj(z)).sum(0)


def largest_two(x: Any) -> Any:
    """The two largest of each row."""
    return lax.top_k(x, 2)[0]


def difference_of_maxima(x: Any, y: Any, z: Any) -> Any:
    """Neither convex nor concave where three are tied."""
    return jnp.maximum(x, y) - jnp.maximum(y, z)


def polynomial(x: Any) -> Any:
    """A polynomial whose terms cancel."""
    return ((x - 3) * x + 3) * x - 1
