"""Right functions in torch, easy and awkward. `jax_healthy.py` has the same, in the same order."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F


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
    return torch.cumsum(x, 1)


def product(x: Any) -> Any:
    """A product of many factors."""
    return torch.prod(x, 1)


def softmax(x: Any) -> Any:
    """Softmax over the last axis."""
    return F.softmax(x, -1)


def log_softmax(x: Any) -> Any:
    """The logarithm of the softmax."""
    return F.log_softmax(x, -1)


def logsumexp(x: Any) -> Any:
    """The logarithm of a sum of exponentials."""
    return torch.logsumexp(x, -1)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean negative log-likelihood of labels."""
    return F.cross_entropy(logits, labels)


def binary_cross_entropy(x: Any, y: Any) -> Any:
    """Binary cross-entropy of logits."""
    return F.binary_cross_entropy_with_logits(x, y)


def layer_norm(x: Any, gain: Any, bias: Any) -> Any:
    """Layer norm, eps 1e-5."""
    return F.layer_norm(x, x.shape[-1:], gain, bias)


def batch_norm(x: Any, gain: Any, bias: Any) -> Any:
    """Batch norm with the unbiased variance, eps 1e-5."""
    centred = x - x.mean(0, keepdim=True)
    var = (centred**2).sum(0, keepdim=True) / (x.shape[0] - 1)
    return centred / torch.sqrt(var + 1e-5) * gain + bias


def rms_norm(x: Any, gain: Any) -> Any:
    """Root-mean-square norm, eps 1e-6."""
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6) * gain


def variance(x: Any) -> Any:
    """The unbiased variance of each column."""
    return torch.var(x, 0)


def deviation(x: Any) -> Any:
    """The standard deviation of each column."""
    return torch.std(x, 0)


def unit(x: Any) -> Any:
    """Rows of length one."""
    return x / torch.sqrt((x**2).sum(-1, keepdim=True))


def gelu(x: Any) -> Any:
    """The exact gelu."""
    return F.gelu(x)


def silu(x: Any) -> Any:
    """x times its sigmoid."""
    return F.silu(x)


def softplus(x: Any) -> Any:
    """log(1 + e^x)."""
    return F.softplus(x)


def deep_tanh(x: Any, w: Any) -> Any:
    """Eight layers of tanh with one weight."""
    for _ in range(8):
        x = torch.tanh(x @ w)
    return x


def relu_network(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
    """A hidden layer of ReLUs."""
    return F.relu(x @ w1 + b1) @ w2 + b2


def attention(q: Any, k: Any, v: Any) -> Any:
    """Scaled dot-product attention."""
    return F.scaled_dot_product_attention(q, k, v)


def causal_attention(q: Any, k: Any, v: Any) -> Any:
    """Attention that looks back only."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def lstm(x: Any, w: Any, u: Any, b: Any) -> Any:
    """An LSTM over the first axis; every hidden state and the last cell."""
    size = u.shape[0]
    h = c = torch.zeros((x.shape[1], size), dtype=x.dtype)
    hs = []
    for row in x:
        i, f, g, o = torch.chunk(row @ w + h @ u + b, 4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        hs.append(h)
    return torch.stack(hs), c


def convolution(x: Any, w: Any) -> Any:
    """A convolution of images, 'same' padding of one."""
    return F.conv2d(x, w, padding=1)


def mean_pool(x: Any) -> Any:
    """Means of 2 by 2 pixels."""
    return F.avg_pool2d(x, 2)


def max_pool(x: Any) -> Any:
    """Maxima of 2 by 2 pixels."""
    return F.max_pool2d(x, 2)


def embedding(table: Any, ids: Any) -> Any:
    """Rows of a table, some of them often."""
    return torch.tanh(F.embedding(ids, table))


def ordered(x: Any) -> Any:
    """Every row sorted, weighted by place."""
    return torch.sort(x, -1).values * torch.arange(x.shape[-1])


def distances(x: Any, y: Any) -> Any:
    """Squared distances between rows, by the difference that cancels nothing."""
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)


def solve(a: Any, b: Any) -> Any:
    """A well-conditioned linear system."""
    return torch.linalg.solve(a @ a.T + torch.eye(a.shape[0], dtype=a.dtype), b)


def log_det(a: Any) -> Any:
    """The log-determinant of a positive matrix, by its Cholesky factor."""
    factor = torch.linalg.cholesky(a @ a.T + torch.eye(a.shape[0], dtype=a.dtype))
    return 2 * torch.log(torch.diagonal(factor)).sum()


def spectrum(x: Any) -> Any:
    """The power of each frequency."""
    return torch.abs(torch.fft.rfft(x)) ** 2


def rotation(z: Any, w: Any) -> Any:
    """Complex numbers, multiplied and measured."""
    return torch.abs(z * w + z * torch.conj(z)).sum(0)


def largest_two(x: Any) -> Any:
    """The two largest of each row."""
    return torch.topk(x, 2).values


def difference_of_maxima(x: Any, y: Any, z: Any) -> Any:
    """Neither convex nor concave where three are tied."""
    return torch.stack([x, y]).amax(0) - torch.stack([y, z]).max(0).values


def polynomial(x: Any) -> Any:
    """A polynomial whose terms cancel."""
    return ((x - 3) * x + 3) * x - 1
