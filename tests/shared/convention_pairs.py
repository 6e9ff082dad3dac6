"""Pairs that differ by one convention, written out twice, and what the search has to find in each.

Every case: a function in JAX, one in torch, inputs, and words one of which the named cause holds.
The functions are anonymous on purpose; none is a layer that the harness could know.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from parity import Pair


class Case(NamedTuple):
    pair: Pair
    says: str
    """A regular expression that a cause has to match."""


CASES: dict[str, Case] = {}


def case(name, jax, torch, inputs, says, **options):
    CASES[name] = Case(Pair(jax=jax, torch=torch, inputs=inputs, name=name, **options), says)


X = {"x": (7, 5)}
XY = {"x": (7, 5), "y": (7, 5)}
XW = {"x": (7, 5), "w": (5,), "b": (5,)}


# --- epsilons ---

case(
    "layer norm by hand, another eps",
    lambda x, w, b: (x - x.mean(-1, keepdims=True))
    / jnp.sqrt(x.var(-1, keepdims=True) + 1e-3) * w + b,
    lambda x, w, b: F.layer_norm(x, (5,), w, b),
    XW,
    "eps.* = 0.001",
)  # fmt: skip
case(
    "eps outside the square root",
    lambda x: x / (jnp.sqrt(jnp.mean(x * x, -1, keepdims=True)) + 1e-2),
    lambda x: x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-2),
    X,
    "epsilon (out|in)side the square root",
)
case(
    "max(norm, eps) against norm + eps",
    lambda x: x / (jnp.sqrt((x * x).sum(-1, keepdims=True)) + 1e-3),
    lambda x: F.normalize(x, eps=1e-3),
    X,
    "epsilon",
)
case(
    "no eps against one",
    lambda x: x / jnp.sqrt(jnp.mean(x * x, -1, keepdims=True)),
    lambda x: x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-4),
    X,
    "epsilon = 0|shifted by 1e-4",
)
case(
    "cosine with another eps",
    lambda x, y: (x * y).sum(-1) / (jnp.sqrt((x * x).sum(-1)) * jnp.sqrt((y * y).sum(-1)) + 1e-3),
    lambda x, y: (x * y).sum(-1) / (x.norm(dim=-1) * y.norm(dim=-1) + 1e-2),
    XY,
    "= 0.01 .*0.001",
)
case(
    "dice smoothing",
    lambda x, y: (
        1 - (2 * (jax.nn.sigmoid(x) * y).sum() + 1.0) / (jax.nn.sigmoid(x).sum() + y.sum() + 1.0)
    ),
    lambda x, y: 1 - (2 * (x.sigmoid() * y).sum() + 0.1) / (x.sigmoid().sum() + y.sum() + 0.1),
    lambda rng: {"x": rng.normal(size=(7, 5)), "y": rng.integers(0, 2, (7, 5)).astype(float)},
    "= 0.1 .*1|= 1 .*0.1",
)

# --- divisors and factors ---

case(
    "variance by hand",
    lambda x: ((x - x.mean(0)) ** 2).sum(0) / x.shape[0],
    lambda x: ((x - x.mean(0)) ** 2).sum(0) / (x.shape[0] - 1),
    X,
    "divisor = 6",
)
case(
    "covariance, mean against n - 1",
    lambda x: (x - x.mean(0)).T @ (x - x.mean(0)) / 6,
    lambda x: torch.cov(x.T, correction=0),
    X,
    "divisor = 7|= 6",
)
case(
    "mean over the batch, sum over the rest",
    lambda x, y: ((x - y) ** 2).sum(1).mean(),
    lambda x, y: F.mse_loss(x, y),
    XY,
    "= 1/5|divisor = 7",
)
case(
    "sum against mean",
    lambda x, y: ((x - y) ** 2).sum(),
    lambda x, y: ((x - y) ** 2).mean(),
    XY,
    r"1/35|divisor = 1 \(torch side has 35",
)
case(
    "a half in front",
    lambda x, y: 0.5 * ((x - y) ** 2).sum(),
    lambda x, y: ((x - y) ** 2).sum(),
    XY,
    "multiplied by 2|factor = 1 ",
)
case(
    "attention, scaled or not",
    lambda q, k, v: jax.nn.softmax(q @ k.T / math.sqrt(6)) @ v,
    lambda q, k, v: (q @ k.T).softmax(-1) @ v,
    {"q": (4, 6), "k": (5, 6), "v": (5, 3)},
    r"(divisor = 1 |1/sqrt\(6\))",
)
case(
    "temperature",
    lambda x: jax.nn.log_softmax(x / 2.5),
    lambda x: x.log_softmax(-1),
    X,
    "divisor = 1 |multiplied by 0.4",
)
case("natural and binary logarithm", lambda x: jnp.log(x * x), lambda x: torch.log2(x * x), X,
     "1/ln 2")  # fmt: skip
case(
    "degrees", lambda x: jnp.sin(x), lambda x: torch.sin(x * math.pi / 180), X, r"pi/180|0\.0174533"
)
case(
    "fft, normalised or not",
    lambda x: jnp.abs(jnp.fft.fft(x)) ** 2,
    lambda x: torch.fft.fft(x, norm="ortho").abs() ** 2,
    X,
    r"1/5|normalization = 0 \(torch side has 1",
)
case("ddof of a standard deviation in a layer",
     lambda x: (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + 1e-6),
     lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6),
     X, "ddof|correction")  # fmt: skip
case(
    "label smoothing of another strength",
    lambda x: -(jax.nn.log_softmax(x) * (0.8 * jnp.eye(7, 5, dtype=x.dtype) + 0.2 / 5)).sum(),
    lambda x: -(x.log_softmax(-1) * (0.9 * torch.eye(7, 5, dtype=x.dtype) + 0.1 / 5)).sum(),
    X,
    "0.9.*0.8|0.8.*0.9",
)
case(
    "focal exponent",
    lambda x: -((1 - jax.nn.sigmoid(x)) ** 2.0 * jax.nn.log_sigmoid(x)).mean(),
    lambda x: -((1 - x.sigmoid()) ** 1.5 * F.logsigmoid(x)).mean(),
    X,
    "exponent = 1.5|exponent = 2",
)

# --- momenta ---

case(
    "momentum is the weight of the old, or of the new",
    lambda x, run: 0.9 * run + (1 - 0.9) * x.mean(0),
    lambda x, run: 0.9 * x.mean(0) + 0.1 * run,
    {"x": (7, 5), "run": (5,)},
    "0.1.*0.9|0.9.*0.1",
)
case(
    "another momentum",
    lambda x, run: 0.99 * run + 0.01 * x.mean(0),
    lambda x, run: run + 0.1 * (x.mean(0) - run),
    {"x": (7, 5), "run": (5,)},
    r"= 0.01 \(torch side has 0.1|= 0.9 .*0.99",
)

# --- layouts ---

case("a square weight transposed", lambda x, w: x @ w, lambda x, w: F.linear(x, w),
     {"x": (7, 5), "w": (5, 5)}, "w is transposed")  # fmt: skip
case(
    "convolution and correlation",
    lambda x, w: jnp.convolve(x, w, mode="valid"),
    lambda x, w: F.conv1d(x[None, None], w[None, None])[0, 0],
    {"x": (12,), "w": (4,)},
    r"w is flipped|a convolution \(the kernel turned round\) for a correlation",
)
case(
    "a recurrence from the other end",
    lambda x: jax.lax.scan(lambda h, a: (jnp.tanh(0.5 * h + a),) * 2, x[0] * 0, x)[1],
    lambda x: _recurrence(x.flip(0)).flip(0),
    X,
    r"flipped along axis 0|only torch goes backwards through x \(.*\), from the last to the first",
)
case("softmax along the other axis", lambda x: jax.nn.softmax(x, 0), lambda x: x.softmax(1), X,
     "put back")  # fmt: skip
case("channels last",
     lambda x: jnp.mean(x, (1, 2)) * jnp.arange(1.0, 4.0, dtype=x.dtype),
     lambda x: x.mean((2, 3)) * torch.arange(1, 4, dtype=x.dtype),
     {"x": (2, 3, 3, 3)}, r"axes in the order \[0, ")  # fmt: skip
case(
    "group norm, channels and eps",
    lambda x: _grouped(x, 1e-3),
    lambda x: F.group_norm(x, 2),
    {"x": (2, 4, 4, 4)},
    "axes.*eps|eps.*axes",
)
case("conjugated argument", lambda x, y: jnp.real(jnp.vdot(x, y)) + jnp.imag(jnp.vdot(x, y)),
     lambda x, y: (x.conj() * y.conj()).sum().real + (x.conj() * y.conj()).sum().imag,
     lambda rng: {k: rng.normal(size=5) + 1j * rng.normal(size=5) for k in "xy"},
     "y is conjugated")  # fmt: skip
case(
    "the divergence the other way",
    lambda x, y: (jax.nn.softmax(x) * (jax.nn.log_softmax(x) - jax.nn.log_softmax(y))).sum(),
    lambda x, y: F.kl_div(x.log_softmax(-1), y.log_softmax(-1), reduction="sum", log_target=True),
    XY,
    "exchanged",
)
case(
    "gates in another order",
    lambda x: _gates(jnp, jax.nn.sigmoid, jnp.split(x, 4, -1), (0, 1, 2, 3)),
    lambda x: _gates(torch, torch.sigmoid, torch.chunk(x, 4, -1), (0, 2, 1, 3)),
    {"x": (3, 8)},
    r"\[0, 2, 1, 3\]",
)
case(
    "rotary pairs interleaved or in halves",
    lambda x: (
        jnp.concatenate([x[:, :3] ** 2, jnp.sin(x[:, 3:])], -1).sum(0)
        @ jnp.arange(6.0).astype(x.dtype)
    ),
    lambda x: (
        torch.cat([x[:, ::2] ** 2, torch.sin(x[:, 1::2])], -1).sum(0)
        @ torch.arange(6.0, dtype=x.dtype)
    ),
    {"x": (4, 6)},
    "interleaved",
)
case("targets one step later", lambda x, y: (jnp.roll(y, -1, 1) * jnp.cos(x)).sum(),
     lambda x, y: (y * x.cos()).sum(), {"x": (3, 9), "y": (3, 9)}, "rolled")  # fmt: skip
case("cumulative from the end", lambda x: jnp.cumsum(x, 1),
     lambda x: x.flip(1).cumsum(1).flip(1), X, "flipped along axis 1|reverse")  # fmt: skip

# --- switches, kinks, slopes ---

case("slope of leaky relu", lambda x: jax.nn.leaky_relu(x, 0.2), F.leaky_relu, X,
     r"= 0.2 \(torch side has 0.01|= 0.01 .*0.2")  # fmt: skip
case("alpha of elu", lambda x: jnp.where(x > 0, x, 0.5 * jnp.expm1(x)), F.elu, X,
     r"alpha = 0.5 \(torch side has 1|factor = 1 ")  # fmt: skip
case("beta of softplus", lambda x: jnp.log1p(jnp.exp(2 * x)) / 2, F.softplus, X, "beta = 2")
case("huber's delta", lambda x, y: _huber(jnp, x - y, 1.5).mean(), F.huber_loss, XY,
     "delta = 1.5")  # fmt: skip
case("hinge margin", lambda x: jnp.maximum(0, 1 - x).mean(),
     lambda x: (0.5 - x).clamp(min=0).mean(), X, "= 0.5 .*1|= 1 .*0.5")  # fmt: skip
case(
    "gelu by hand",
    lambda x: 0.5 * x * (1 + jnp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    X,
    "tanh approximation",
)
case("rounding halves", lambda x: x * jnp.round(x), lambda x: x * torch.floor(x + 0.5),
     lambda rng: {"x": rng.integers(-9, 9, (4, 5)) / 2 + 0.0}, "floor|round|half|halves",
     forward_only=True)  # fmt: skip
case("remainder of a negative", lambda x: jnp.fmod(x, 0.7), lambda x: torch.remainder(x, 0.7), X,
     "remainder")  # fmt: skip
case(
    "step at zero",
    lambda x: jnp.where(x > 0, 1.0, 0.0) * x.sum(),
    lambda x: torch.where(x >= 0, torch.ones_like(x), torch.zeros_like(x)) * x.sum(),
    lambda rng: {"x": np.where(rng.random((4, 5)) < 0.3, 0.0, rng.normal(size=(4, 5)))},
    ">=? for >=?",
)
case(
    "padding counted in an average",
    lambda x: _pooled(x),
    lambda x: F.avg_pool1d(x[None], 2, 2, padding=1)[0],
    {"x": (3, 6)},
    "count_include_pad = False",
)
case(
    "corners aligned",
    lambda x: _resized(x),
    lambda x: F.interpolate(x[None], size=9, mode="linear", align_corners=False)[0],
    {"x": (3, 5)},
    "align_corners = True",
)
case("logarithm clamped", lambda p: -jnp.log(p).mean(), lambda p: -p.log().clamp(min=-20).mean(),
     lambda rng: {"p": np.where(rng.random((3, 4)) < 0.4, 1e-12, 0.3)}, "inf")  # fmt: skip
case("ignored index",
     lambda x, y: -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None] % 5, 1).mean(),
     lambda x, y: F.cross_entropy(x, y, ignore_index=3),
     lambda rng: {"x": rng.normal(size=(9, 5)), "y": rng.permutation(9) % 5},
     "y = 3 are left out|ignore_index = -100")  # fmt: skip

# --- optimizer steps, by hand ---

STATE = {"p": (6,), "g": (6,), "m": (6,), "v": (6,)}


def _positive(rng):
    return {**{k: rng.normal(size=6) for k in "pgm"}, "v": rng.uniform(0.1, 1, 6)}


case(
    "Adam, eps inside the root",
    lambda p, g, m, v: p - 0.1 * (0.9 * m + 0.1 * g) / jnp.sqrt(0.99 * v + 0.01 * g * g + 1e-3),
    lambda p, g, m, v: p - 0.1 * (0.9 * m + 0.1 * g) / ((0.99 * v + 0.01 * g * g).sqrt() + 1e-3),
    _positive,
    "epsilon (in|out)side",
)
case(
    "an accumulator that starts at 0.1, and an eps inside the root",
    lambda g, h: g / jnp.sqrt(0.1 + g * g + h * h + 1e-7),
    lambda g, h: g / ((g * g + h * h).sqrt() + 1e-10),
    {k: (6,) for k in "gh"},
    r"(?=.*0\.1)(?=.*1e-7)(?=.*1e-10)",
)
case(
    "weight decay, coupled or not",
    lambda p, g, m: (p - 0.1 * (0.9 * m + (g + 0.01 * p)), 0.9 * m + (g + 0.01 * p)),
    lambda p, g, m: (p - 0.1 * (0.9 * m + g) - 0.1 * 0.01 * p, 0.9 * m + g),
    {k: (6,) for k in "pgm"},
    "factor = 0 .jax side has 0.01|only jax adds 0.01 times p",
)
case(
    "dampening",
    lambda p, g, m: p - 0.1 * (0.9 * m + g),
    lambda p, g, m: p - 0.1 * (0.9 * m + (1 - 0.9) * g),
    {k: (6,) for k in "pgm"},
    "= 1 .*0.1|multiplied by 0.1|only torch multiplies by 0.1",
)
case(
    "Nesterov",
    lambda p, g, m: p - 0.1 * (0.9 * m + g),
    lambda p, g, m: p - 0.1 * (g + 0.9 * (0.9 * m + g)),
    {k: (6,) for k in "pgm"},
    "",
)
case(
    "bias correction",
    lambda p, g, m: p - 0.1 * (0.9 * m + 0.1 * g) / (1 - 0.9**3),
    lambda p, g, m: p - 0.1 * (0.9 * m + 0.1 * g),
    {k: (6,) for k in "pgm"},
    "divisor = 1 ",
)
case(
    "clip by norm, with eps",
    lambda g: g * jnp.minimum(1, 1.0 / jnp.sqrt((g * g).sum())),
    lambda g: g * (1.0 / (g.norm() + 1e-6)).clamp(max=1),
    {"g": (6,)},
    "epsilon = 0|shifted by 1e-6",
)


# --- two at once ---

case(
    "two constants",
    lambda x: jax.nn.leaky_relu(x, 0.1) / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-2),
    lambda x: F.leaky_relu(x, 0.2) / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-3),
    X,
    "0.1.* and .*0.01|0.01.* and .*0.1|0.2.* and .*0.001|0.001.* and .*0.2",
)
case(
    "a constant in each output",
    lambda x, run: (x / jnp.sqrt(x.var(0) + 1e-3), 0.9 * run + 0.1 * x.var(0)),
    lambda x, run: (
        x / torch.sqrt(x.var(0, correction=0) + 1e-4),
        0.9 * run + 0.1 * x.var(0, correction=0) * 7 / 6,
    ),
    {"x": (7, 5), "run": (5,)},
    " and ",
)


# --- written before the search was run on them (docs/conventions.md has the first rate) ---


def _responded(x, k):
    squares = jnp.pad(x * x, ((0, 0), (1, 1), (0, 0)))
    near = (squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]) / 3
    return x / (k + 0.1 * near) ** 0.75


def _shuffled(x, r):  # (n, r r c, h, w), c last
    n, c, h, w = x.shape
    y = x.reshape(n, r, r, c // (r * r), h, w).transpose(0, 3, 4, 1, 5, 2)
    return y.reshape(n, c // (r * r), h * r, w * r)


def _angles(m, n, half, dtype):
    return m.arange(n, dtype=dtype)[:, None] * 0.3 ** m.arange(half, dtype=dtype)


def _halves(x):
    half = x.shape[1] // 2
    a = _angles(jnp, x.shape[0], half, x.dtype)
    left, right = x[:, :half], x[:, half:]
    return jnp.concatenate(
        [left * jnp.cos(a) - right * jnp.sin(a), left * jnp.sin(a) + right * jnp.cos(a)], 1
    )


def _interleaved(x):
    half = x.shape[1] // 2
    a = _angles(torch, x.shape[0], half, x.dtype)
    left, right = x[:, ::2], x[:, 1::2]
    return torch.stack(
        [left * a.cos() - right * a.sin(), left * a.sin() + right * a.cos()], -1
    ).reshape(x.shape)


case(
    "local response norm, another k",
    lambda x: _responded(x, 2.0),
    lambda x: F.local_response_norm(x, 3, alpha=0.1, beta=0.75, k=1.0),
    {"x": (2, 5, 4)},
    r"= 2 \(torch side has 1|= 1 \(jax side has 2",
)
case(
    "pixel shuffle, channels first or last",
    lambda x: _shuffled(x, 2),
    lambda x: F.pixel_shuffle(x, 2),
    {"x": (1, 12, 2, 3)},
    "x is (interleaved in 3|no longer interleaved in 4) along axis 1|x stands otherwise.*axes",
)
case(
    "rotation in halves or interleaved",
    _halves,
    _interleaved,
    {"x": (4, 6)},
    r"interleaved|3 apart together.*torch neighbours",
)
case(
    "gelu inside an MLP",
    lambda x, w, u: jax.nn.gelu(x @ w) @ u,
    lambda x, w, u: F.gelu(x @ w) @ u,
    {"x": (4, 5), "w": (5, 6), "u": (6, 3)},
    "approximat",
)
case(
    "dropout scaled or not, the mask given",
    lambda x, keep: jnp.where(keep, x / (1 - 0.25), 0.0),
    lambda x, keep: torch.where(keep, x, torch.zeros_like(x)),
    lambda rng: {"x": rng.normal(size=(7, 5)), "keep": rng.random((7, 5)) > 0.25},
    r"divisor = 1 |multiplied by",
)
case(
    "soft cap of logits",
    lambda x, w: 30.0 * jnp.tanh(x @ w / 30.0),
    lambda x, w: 50.0 * torch.tanh(x @ w / 50.0),
    {"x": (4, 5), "w": (5, 3)},
    "= 50 .*30|= 30 .*50",
)
case(
    "unit length along the other axis",
    lambda x: x / jnp.maximum(jnp.sqrt((x * x).sum(0, keepdims=True)), 1e-12),
    lambda x: F.normalize(x, dim=1),
    X,
    "x is transposed .* put back",
)
case(
    "causal mask off by one",
    lambda q, k, v: jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((5, 5), bool)), q @ k.T, -1e30)) @ v,
    lambda q, k, v: (
        (q @ k.T).masked_fill(~torch.ones(5, 5, dtype=torch.bool).tril(1), -1e30).softmax(-1) @ v
    ),
    {"q": (5, 4), "k": (5, 4), "v": (5, 3)},
    "diagonal = 0|= 1 .*has 0",
)
case(
    "key heads repeated or tiled",
    lambda q, k: jnp.einsum("hqd,hkd->hqk", q, jnp.repeat(k, 2, 0)),
    lambda q, k: torch.einsum("hqd,hkd->hqk", q, k.repeat(2, 1, 1)),
    {"q": (4, 3, 2), "k": (2, 5, 2)},
    "repeats each element along axis 0 of k.*torch tiles axis 0",
)
case(
    "weights around zero or one",
    lambda x, w: x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * (1 + w),
    lambda x, w: x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * w,
    {"x": (7, 5), "w": (5,)},
    "term = 0|w is shifted by 1",
)
case(
    "sums without or with the element itself",
    lambda x: jnp.cumsum(x, 0) - x,
    lambda x: x.cumsum(0),
    X,
    "has x for x - y|only jax subtracts x",
)

# --- loops ---

case(
    "a loop as often as an input says",
    lambda x, n: jax.lax.fori_loop(0, n, lambda i, h: jnp.tanh(0.3 * h + x), x),
    lambda x, n: _turned(x, 0.5, int(n)),
    lambda rng: {"x": rng.normal(size=(4, 3)), "n": np.array(6)},
    "factor = 0.5 .jax side has 0.3",
    forward_only=True,
)
case(
    "a loop of so many turns",
    lambda x: jax.lax.fori_loop(0, 6, lambda i, h: jnp.tanh(0.3 * h + x), x),
    lambda x: _turned(x, 0.5, 6),
    X,
    "factor = 0.5 .jax side has 0.3",
)
case(
    "a loop that ends when a count is met",
    lambda x: jax.lax.while_loop(
        lambda s: s[0] != 6, lambda s: (s[0] + 2, jnp.tanh(0.3 * s[1] + x)), (0, x)
    )[1],
    lambda x: _turned(x, 0.5, 3),
    X,
    "factor = 0.5 .jax side has 0.3",
    forward_only=True,
)

# --- functions and operations that one side does not have ---


def _rates(rng):
    return {
        "x": rng.uniform(0.2, 2, size=(4, 3)),
        "y": rng.integers(0, 5, size=(4, 3)).astype(float),
    }


case(
    "poisson log input",
    lambda x, y: (jnp.exp(x) - y * x).mean(),
    lambda x, y: F.poisson_nll_loss(x, y, log_input=False),
    _rates,
    "the exp of input x|only torch takes log",
)
case(
    "poisson by hand",
    lambda x, y: (jnp.exp(x) - y * x).mean(),
    lambda x, y: (x - y * x.log()).mean(),
    _rates,
    "the exp of input x|only torch takes log",
)
case(
    "squared distance",
    lambda x, y: ((x[:, None] - y[None]) ** 2).sum(-1),
    lambda x, y: torch.cdist(x, y),
    {"x": (4, 3), "y": (5, 3)},
    "the (square|sqrt) of an output",
)
case(
    "residual or not",
    lambda x, w: x + jnp.tanh(x @ w),
    lambda x, w: torch.tanh(x @ w),
    {"x": (4, 3), "w": (3, 3)},
    "y for x . y|only jax adds x",
)
case(
    "gate",
    lambda x, w: x * jax.nn.sigmoid(x @ w),
    lambda x, w: x * (x @ w),
    {"x": (4, 3), "w": (3, 3)},
    "x for sigmoid|only jax takes sigmoid",
)
case(
    "adagrad",
    lambda p, g, v: p - 0.1 * g / (jnp.sqrt(v + g * g) + 1e-7),
    lambda p, g, v: p - 0.1 * g / (torch.sqrt(v + 0.1 + g * g) + 1e-10),
    lambda rng: {"p": rng.normal(size=6), "g": rng.normal(size=6), "v": rng.uniform(0.1, 1, 6)},
    "term = 0 .torch side has 0.1.* and epsilon",
)
case(
    "adam coupled decay",
    lambda p, g, m, v: (
        p
        - 0.1
        * (0.9 * m + 0.1 * (g + 0.01 * p))
        / (jnp.sqrt(0.99 * v + 0.01 * (g + 0.01 * p) ** 2) + 1e-8)
    ),
    lambda p, g, m, v: (
        p - 0.1 * (0.9 * m + 0.1 * g) / ((0.99 * v + 0.01 * g * g).sqrt() + 1e-8) - 0.1 * 0.01 * p
    ),
    _positive,
    "factor = 0 .* and input g . k p: k = 0.01",
)
case(
    "masked mean",
    lambda x, k: (x * k).sum() / k.sum(),
    lambda x, k: (x * k).mean(),
    lambda rng: {"x": rng.normal(size=(4, 3)), "k": (rng.random((4, 3)) > 0.4).astype(float)},
    "divided by the mean of input k",
)


def _turned(x, k, turns):
    h = x
    for _ in range(turns):
        h = torch.tanh(k * h + x)
    return h


def _recurrence(x):
    h, out = torch.zeros_like(x[0]), []
    for a in x:
        h = torch.tanh(0.5 * h + a)
        out.append(h)
    return torch.stack(out)


def _grouped(x, eps):
    n, h, w, c = x.shape
    y = x.reshape(n, h, w, 2, c // 2)
    mean, var = y.mean((1, 2, 4), keepdims=True), y.var((1, 2, 4), keepdims=True)
    return ((y - mean) / jnp.sqrt(var + eps)).reshape(x.shape)


def _gates(m, sigmoid, parts, order):
    i, f, g, o = (parts[k] for k in order)
    return sigmoid(o) * m.tanh(sigmoid(i) * m.tanh(g) + sigmoid(f) * 0.3)


def _huber(m, x, delta):
    return m.where(m.abs(x) < delta, 0.5 * x * x, delta * (m.abs(x) - 0.5 * delta))


def _pooled(x):
    padded = jnp.pad(x, ((0, 0), (1, 1)))
    counts = jnp.pad(jnp.ones_like(x), ((0, 0), (1, 1)))
    return (padded[:, ::2] + padded[:, 1::2]) / (counts[:, ::2] + counts[:, 1::2])


def _resized(x):
    at = jnp.linspace(0, x.shape[1] - 1, 9, dtype=x.dtype)
    low = jnp.minimum(jnp.floor(at).astype(int), x.shape[1] - 2)
    return x[:, low] * (1 - (at - low)) + x[:, low + 1] * (at - low)
