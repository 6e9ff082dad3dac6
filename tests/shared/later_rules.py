"""Later mistakes on the way back, each with its line (`# <- name`), and ports with two mistakes.

Written before any check was run on them, with what has to be said: of a rule its line as it should
be (`MENDED`), of a detach its words. Of two mistakes (`BOTH`) each has its words in `TWO`.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax
from torch.autograd import Function

from parity import Pair

WRONG: dict[str, Pair] = {}
SAYS: dict[str, str] = {}
BOTH: dict[str, Pair] = {}
TWO: dict[str, tuple[str, str]] = {}


def wrong(name, jax_side, torch_side, inputs, says):
    WRONG[name] = Pair(jax=jax_side, torch=torch_side, inputs=inputs)
    SAYS[name] = says


def two(name, jax_side, torch_side, inputs, *says):
    BOTH[name] = Pair(jax=jax_side, torch=torch_side, inputs=inputs)
    TWO[name] = says


# --- detached, or not ---

CODES = {"x": (6, 3), "book": (4, 3), "w": (3, 3)}


def quantised_torch(x, book, w):
    z = x @ w
    near = torch.cdist(z, book).argmin(1).detach()
    q = book[near]
    loss = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
    return loss + 0.1 * q.sin().sum()


def quantised_jax(x, book, w):
    z = x @ w
    near = jnp.argmin(jnp.sum((z[:, None] - book) ** 2, -1), 1)
    q = book[near]
    loss = jnp.mean((q - lax.stop_gradient(z)) ** 2)
    loss = loss + 0.25 * jnp.mean((z - q) ** 2)  # <- codes_committed_both_ways
    return loss + 0.1 * jnp.sum(jnp.sin(q))


wrong("codes_committed_both_ways", quantised_jax, quantised_torch, CODES,
      r"torch detaches .*later_rules\.py:\d+.*jax")  # fmt: skip
VALUES = {"s": (5, 3), "after": (5, 3), "reward": (5,), "w": (3, 4), "u": (4,)}


def values_jax(s, after, reward, w, u):
    def value(s):
        return jnp.tanh(s @ w) @ u

    target = reward + 0.9 * value(after)
    return jnp.mean((value(s) - lax.stop_gradient(target)) ** 2)


def values_torch(s, after, reward, w, u):
    value = torch.tanh(torch.stack([s, after]) @ w) @ u
    return F.mse_loss(value[0], reward + 0.9 * value[1])  # <- values_of_a_moving_target


wrong("values_of_a_moving_target", values_jax, values_torch, VALUES,
      r"jax detaches .*later_rules\.py:\d+|jax .*stop_gradient")  # fmt: skip
TRUNCATED = {"x": (6, 2, 3), "w": (3, 4), "u": (4, 4)}


def truncated_torch(x, w, u):
    h, loss = x.new_zeros(2, 4), 0.0
    for t in range(6):
        h = torch.tanh(x[t] @ w + h @ u)
        loss = loss + h.square().mean()
        if t == 2:
            h = h.detach()
    return loss


def truncated_jax(x, w, u):
    def step(h, xt):
        h = jnp.tanh(xt @ w + h @ u)
        return h, jnp.mean(h**2)

    h = jnp.zeros((2, 4))
    loss = 0.0
    for part in (x[:3], x[3:]):
        h, losses = lax.scan(step, h, part)  # <- truncated_not
        loss = loss + losses.sum()
    return loss


wrong("truncated_not", truncated_jax, truncated_torch, TRUNCATED,
      r"torch detaches .*later_rules\.py:\d+")  # fmt: skip

# --- rules ---


@jax.custom_vjp
def swish(x, beta):
    return x * jax.nn.sigmoid(beta * x)


def swish_fwd(x, beta):
    s = jax.nn.sigmoid(beta * x)
    return x * s, (x, s, beta)


def swish_bwd(saved, g):
    x, s, beta = saved
    slope = s * (1 - s)
    dx = g * (s + beta * x * slope)
    return dx, jnp.sum(g * x * slope)  # <- swish_beta_of_one_x


swish.defvjp(swish_fwd, swish_bwd)


def swish_jax(x, w, beta, v):
    return jnp.sin(swish(x @ w, beta[0]) @ v)


def swish_torch(x, w, beta, v):
    h = x @ w
    return torch.sin((h * torch.sigmoid(beta * h)) @ v)


wrong("swish_beta_of_one_x", swish_jax, swish_torch,
      {"x": (4, 3), "w": (3, 5), "beta": (1,), "v": (5, 2)},
      r"return dx, jnp\.sum\(g \* x \* x \* slope\)|x\*\*2|x \*\* 2")  # fmt: skip


class Turned(Function):
    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        left, right = x.chunk(2, -1)
        return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)

    @staticmethod
    def backward(ctx, g):
        cos, sin = ctx.saved_tensors
        left, right = g.chunk(2, -1)
        up = left * cos - right * sin  # <- turned_on_the_way_back
        low = right * cos - left * sin
        return torch.cat([up, low], -1), None, None


def turned_torch(x, w, angle):
    cos, sin = angle.detach().cos(), angle.detach().sin()
    return torch.softmax(Turned.apply(x @ w, cos, sin), -1)


def turned_jax(x, w, angle):
    z = x @ w
    angle = lax.stop_gradient(jnp.concatenate([angle, angle], -1))
    left, right = jnp.split(z, 2, -1)
    half = jnp.concatenate([-right, left], -1)
    return jax.nn.softmax(z * jnp.cos(angle) + half * jnp.sin(angle))


wrong("turned_on_the_way_back", turned_jax, turned_torch,
      {"x": (4, 3), "w": (3, 6), "angle": (4, 3)}, r"up = left \* cos \+ right \* sin")  # fmt: skip


@jax.custom_vjp
def summed(x):
    return jnp.cumsum(x, 0)


def summed_bwd(_, g):
    return (jnp.cumsum(g, 0),)  # <- summed_forwards_again


summed.defvjp(lambda x: (jnp.cumsum(x, 0), None), summed_bwd)


def decays_jax(x, w):
    return jnp.exp(-summed(jax.nn.softplus(x @ w))) * x


def decays_torch(x, w):
    return torch.exp(-F.softplus(x @ w).cumsum(0)) * x


wrong("summed_forwards_again", decays_jax, decays_torch, {"x": (5, 3), "w": (3, 3)},
      r"\[::-1\]|flip|reverse")  # fmt: skip


class Normalised(Function):
    @staticmethod
    def forward(ctx, x):
        size = x.norm(dim=-1, keepdim=True)
        y = x / size
        ctx.save_for_backward(y, size)
        return y

    @staticmethod
    def backward(ctx, g):
        y, size = ctx.saved_tensors  # noqa: RUF059
        along = (g * y).sum(-1, keepdim=True)
        return g - y * along  # <- normalised_not_by_its_size


def likeness_torch(a, b, w):
    return (Normalised.apply(a @ w) @ Normalised.apply(b @ w).mT / 0.3).log_softmax(-1)


def likeness_jax(a, b, w):
    def unit(x):
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True)

    return jax.nn.log_softmax(jnp.einsum("id,jd->ij", unit(a @ w), unit(b @ w)) / 0.3)


wrong("normalised_not_by_its_size", likeness_jax, likeness_torch,
      {"a": (4, 3), "b": (5, 3), "w": (3, 4)}, r"return \(g - y \* along\) / size")  # fmt: skip


class MeanOfEdges(Function):
    @staticmethod
    def forward(ctx, x, target, count):
        ctx.save_for_backward(target, count)
        total = x.new_zeros(len(count), x.shape[1]).index_add(0, target, x)
        return total / count[:, None]

    @staticmethod
    def backward(ctx, g):
        target, count = ctx.saved_tensors  # noqa: RUF059
        return g[target], None, None  # <- mean_of_edges_as_a_sum


def edges(rng):
    return {"x": rng.normal(size=(6, 3)), "w": rng.normal(size=(3, 2)),
            "target": np.array([0, 1, 0, 2, 2, 0])}  # fmt: skip


def mean_torch(x, w, target):
    count = torch.bincount(target, minlength=3).to(x.dtype)
    return torch.tanh(MeanOfEdges.apply(x @ w, target, count))


def mean_jax(x, w, target):
    total = jax.ops.segment_sum(x @ w, target, 3)
    return jnp.tanh(total / jnp.bincount(target, length=3)[:, None])


wrong("mean_of_edges_as_a_sum", mean_jax, mean_torch, edges,
      r"\(g / count\[:, None\]\)\[target\]|g\[target\] / count\[target")  # fmt: skip

# --- two at once ---

BLOCK = {"x": (2, 5, 4), "wq": (4, 4), "wk": (4, 4), "wv": (4, 4), "g": (4,), "up": (4, 8),
         "down": (8, 4)}  # fmt: skip


def small(rng):
    return {name: rng.normal(size=shape) / 2 for name, shape in BLOCK.items()}


def block_torch(x, wq, wk, wv, g, up, down):
    y = F.rms_norm(x, (4,), 1 + g, 1e-6)
    q, k, v = y @ wq, y @ wk, y @ wv
    x = x + F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return x + F.silu(F.layer_norm(x, (4,)) @ up) @ down


def block_jax(wrong):
    def run(x, wq, wk, wv, g, up, down):
        y = x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)
        y = y * g if "one" in wrong else y * (1 + g)
        scores = jnp.einsum("nid,njd->nij", y @ wq, y @ wk)
        scores = scores if "scale" in wrong else scores / math.sqrt(4)
        if "mask" not in wrong:
            scores = jnp.where(jnp.tril(jnp.ones((5, 5), bool)), scores, -jnp.inf)
        new = x + jax.nn.softmax(scores, -1) @ (y @ wv)
        h = jax.nn.standardize(new, axis=-1, epsilon=1e-5) @ up
        h = jax.nn.gelu(h, approximate=False) if "gelu" in wrong else jax.nn.silu(h)
        return (x if "start" in wrong else new) + h @ down

    return run


ONE = r"only torch adds 1|shift = 1|x for x \+ y"
SILU = r"gelu.*silu|silu.*gelu"
two("one_and_gelu", block_jax({"one", "gelu"}), block_torch, BLOCK, ONE, SILU)
two("mask_and_gelu", block_jax({"mask", "gelu"}), block_torch, BLOCK,
    r"only torch .*mask|is_causal", SILU)  # fmt: skip
two("scale_and_start", block_jax({"scale", "start"}), block_torch, small,
    r"only torch (divides|multiplies)|scale|\b0\.5\b|\b2\b", r"reads x|reads")  # fmt: skip
NET = {"x": (2, 3, 6), "w": (4, 3, 3), "v": (4, 4, 3), "b": (4,), "head": (4, 3)}


def net_torch(x, w, v, b, head):
    x = F.conv1d(x, w, b, padding=1).relu()
    x = (x + F.conv1d(x, v, padding=1)).relu()
    return (x.mean(-1) @ head).log_softmax(-1)


def net_jax(wrong):
    def conv(x, w):
        return lax.conv_general_dilated(x, w, (1,), "SAME", dimension_numbers=("NCH", "OIH", "NCH"))

    def run(x, w, v, b, head):
        x = conv(x, w)
        x = jnp.maximum(x if "bias" in wrong else x + b[:, None], 0)
        y = conv(x, v)
        x = x + jax.nn.relu(y) if "before" in wrong else jax.nn.relu(x + y)
        x = x.max(-1) if "max" in wrong else x.mean(-1)
        return jax.nn.log_softmax(x @ head)

    return run


two("bias_and_max", net_jax({"bias", "max"}), net_torch, NET,
    r"only torch adds|does not use b", r"max.*mean")  # fmt: skip
two("before_and_max", net_jax({"before", "max"}), net_torch, NET,
    r"(relu|maximum).*(before|after)", r"max.*mean")  # fmt: skip
