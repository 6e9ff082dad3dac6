"""Wrong backward rules of `jax.custom_vjp`, in networks: `# <- name` marks the line.

The torch side is right throughout: plain code, differentiated by autograd. `MENDED` holds the line
as it should be, in each way of writing it that counts.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax

from parity import Pair

WRONG: dict[str, Pair] = {}
RIGHT: dict[str, Pair] = {}
MENDED: dict[str, set[str]] = {}


def wrong(name, jax_side, torch_side, inputs, *mended):
    WRONG[name] = Pair(jax=jax_side, torch=torch_side, inputs=inputs)
    MENDED[name] = {*mended}


# --- elementwise, in the middle of a network ---

MLP = {"x": (3, 4), "w": (4, 5), "v": (5, 2)}


@jax.custom_vjp
def sigmoid(a):
    return 1 / (1 + jnp.exp(-a))


def sigmoid_fwd(a):
    s = sigmoid(a)
    return s, s


def sigmoid_bwd(s, ds):
    return (ds * s * (1 + s),)  # <- sigmoid_of_the_wrong_sign


sigmoid.defvjp(sigmoid_fwd, sigmoid_bwd)


def gated_jax(x, w, v):
    h = x @ w
    return jnp.sin(h * sigmoid(h / 2)) @ v


def gated_torch(x, w, v):
    h = x @ w
    return torch.sin(h * torch.sigmoid(h / 2)) @ v


wrong(
    "sigmoid_of_the_wrong_sign",
    gated_jax,
    gated_torch,
    MLP,
    "return (ds * s * (1 - s),)",
)


@jax.custom_vjp
def gelu(x):
    return 0.5 * x * (1 + lax.erf(x / jnp.sqrt(2.0)))


def gelu_fwd(x):
    return gelu(x), x


def gelu_bwd(x, dout):
    cdf = 0.5 * (1 + lax.erf(x / jnp.sqrt(2.0)))
    pdf = jnp.exp(-x * x) / jnp.sqrt(2 * jnp.pi)  # <- gelu_density_too_narrow
    return (dout * (cdf + x * pdf),)


gelu.defvjp(gelu_fwd, gelu_bwd)

wrong(
    "gelu_density_too_narrow",
    lambda x, w, v: jnp.tanh(x + gelu(x @ w) @ v),
    lambda x, w, v: torch.tanh(x + F.gelu(x @ w) @ v),
    {"x": (3, 4), "w": (4, 6), "v": (6, 4)},
    "pdf = jnp.exp(-x * x / 2) / jnp.sqrt(2 * jnp.pi)",
    "pdf = jnp.exp(-x * (x / 2)) / jnp.sqrt(2 * jnp.pi)",
    "pdf = jnp.exp(-x / 2 * x) / jnp.sqrt(2 * jnp.pi)",
    "pdf = jnp.exp(-(x / 2) * x) / jnp.sqrt(2 * jnp.pi)",
)


@jax.custom_vjp
def silu(x):
    return x * jax.nn.sigmoid(x)


def silu_fwd(x):
    s = jax.nn.sigmoid(x)
    return x * s, (x, s)


def silu_bwd(kept, dout):
    x, s = kept
    inner = 1 + x * s  # <- silu_without_one_less
    return (dout * s * inner,)


silu.defvjp(silu_fwd, silu_bwd)


def swiglu_torch(x, wg, wu, wd):
    return x + (F.silu(x @ wg) * (x @ wu)) @ wd


wrong(
    "silu_without_one_less",
    lambda x, wg, wu, wd: x + (silu(x @ wg) * (x @ wu)) @ wd,
    swiglu_torch,
    {"x": (3, 4), "wg": (4, 5), "wu": (4, 5), "wd": (5, 4)},
    "inner = 1 + x * (1 - s)",
)

# --- softmax, log-sum-exp, cross entropy ---


@jax.custom_vjp
def softmax(x):
    e = jnp.exp(x - jnp.max(x, -1, keepdims=True))
    return e / jnp.sum(e, -1, keepdims=True)


def softmax_fwd(x):
    p = softmax(x)
    return p, p


def softmax_bwd(p, dp):
    along = jnp.sum(dp * p, -1, keepdims=True)
    dx = dp - along  # <- softmax_without_its_factor
    return (dx,)


softmax.defvjp(softmax_fwd, softmax_bwd)


def routed_jax(x, w, v):
    return jnp.log(softmax(jnp.tanh(x @ w)) @ jnp.abs(v))


def routed_torch(x, w, v):
    return torch.log(torch.softmax(torch.tanh(x @ w), -1) @ v.abs())


wrong(
    "softmax_without_its_factor",
    routed_jax,
    routed_torch,
    MLP,
    "dx = (dp - along) * p",
    "dx = p * (dp - along)",
)


@jax.custom_vjp
def logsumexp(x):
    top = jnp.max(x, -1)
    return top + jnp.log(jnp.sum(jnp.exp(x - top[:, None]), -1))


def logsumexp_fwd(x):
    lse = logsumexp(x)
    return lse, (x, lse)


def logsumexp_bwd(kept, dout):
    x, lse = kept
    p = jnp.exp(x - lse[:, None])
    return (dout[0] * p,)  # <- log_sum_exp_from_the_first_row


logsumexp.defvjp(logsumexp_fwd, logsumexp_bwd)

wrong(
    "log_sum_exp_from_the_first_row",
    lambda x, w: jnp.sin(logsumexp(jnp.cos(x @ w))),
    lambda x, w: torch.sin(torch.logsumexp(torch.cos(x @ w), -1)),
    {"x": (3, 4), "w": (4, 5)},
    "return (dout[:, None] * p,)",
)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def cross_entropy(logits, smoothing, labels):
    logp = jax.nn.log_softmax(logits)
    k = logits.shape[-1]
    target = (1 - smoothing) * jax.nn.one_hot(labels, k, dtype=logits.dtype) + smoothing / k
    return -jnp.mean(jnp.sum(target * logp, -1))


def cross_entropy_fwd(logits, smoothing, labels):
    return cross_entropy(logits, smoothing, labels), (logits, labels)


def cross_entropy_bwd(smoothing, kept, dout):
    logits, labels = kept
    n, k = logits.shape
    p = jax.nn.softmax(logits)
    onehot = jax.nn.one_hot(labels, k, dtype=logits.dtype)
    target = (1 - smoothing) * onehot + smoothing * k  # <- cross_entropy_smoothed_too_much
    return (p - target) * dout / n, None


cross_entropy.defvjp(cross_entropy_fwd, cross_entropy_bwd)


def labelled(rng):
    return {
        "x": rng.standard_normal((5, 4)),
        "w": rng.standard_normal((4, 3)),
        "labels": np.array([0, 2, 1, 2, 0]),
    }


def smoothed_torch(x, w, labels):
    return F.cross_entropy(torch.tanh(x) @ w, labels, label_smoothing=0.1)


wrong(
    "cross_entropy_smoothed_too_much",
    lambda x, w, labels: cross_entropy(jnp.tanh(x) @ w, 0.1, labels),
    smoothed_torch,
    labelled,
    "target = (1 - smoothing) * onehot + smoothing / k",
)

# --- norms ---


@jax.custom_vjp
def layer_norm(x, g, b):
    return layer_norm_fwd(x, g, b)[0]


def layer_norm_fwd(x, g, b):
    centred = x - jnp.mean(x, -1, keepdims=True)
    rstd = lax.rsqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-5)
    n = centred * rstd
    return n * g + b, (n, g, rstd)


def layer_norm_bwd(kept, dout):
    n, g, rstd = kept  # noqa: RUF059
    dg = jnp.sum(dout * n, (0, 1))
    db = jnp.sum(dout, (0, 1))
    dn = dout  # <- layer_norm_gain_left_out
    first = jnp.mean(dn, -1, keepdims=True)
    second = jnp.mean(dn * n, -1, keepdims=True)
    dx = rstd * (dn - first - n * second)
    return dx, dg, db


layer_norm.defvjp(layer_norm_fwd, layer_norm_bwd)

ROWS = {"x": (2, 3, 4), "g": (4,), "b": (4,), "w": (4, 4)}


def normed_torch(x, g, b, w):
    return x + F.relu(F.layer_norm(x, (4,), g, b) @ w)


wrong(
    "layer_norm_gain_left_out",
    lambda x, g, b, w: x + jax.nn.relu(layer_norm(x, g, b) @ w),
    normed_torch,
    ROWS,
    "dn = dout * g",
    "dn = g * dout",
)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def rms_norm(x, eps):
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + eps)


def rms_norm_fwd(x, eps):
    r = lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + eps)
    return x * r, (x, r)


def rms_norm_bwd(eps, kept, dn):
    x, r = kept
    along = jnp.mean(dn * x, -1, keepdims=True)
    return (r * dn - x * r**2 * along,)  # <- rms_norm_of_a_cube


rms_norm.defvjp(rms_norm_fwd, rms_norm_bwd)


def rms_torch(x, g, w):
    x = torch.sin(x)
    n = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
    return torch.sigmoid(n * g @ w)


wrong(
    "rms_norm_of_a_cube",
    lambda x, g, w: jax.nn.sigmoid(rms_norm(jnp.sin(x), 1e-6) * g @ w),
    rms_torch,
    {"x": (2, 3, 4), "g": (4,), "w": (4, 4)},
    "return (r * dn - x * r ** 3 * along,)",
)


@jax.custom_vjp
def batch_norm(x, g, b):
    return batch_norm_fwd(x, g, b)[0]


def batch_norm_fwd(x, g, b):
    centred = x - jnp.mean(x, 0)
    rstd = lax.rsqrt(jnp.mean(centred**2, 0) + 1e-5)
    xhat = centred * rstd
    return g * xhat + b, (xhat, g, rstd)


def batch_norm_bwd(kept, dout):
    xhat, g, rstd = kept
    db = jnp.mean(dout, 0)  # <- batch_norm_shift_averaged
    dg = jnp.sum(dout * xhat, 0)
    dx = g * rstd * (dout - jnp.mean(dout, 0) - xhat * jnp.mean(dout * xhat, 0))
    return dx, dg, db


batch_norm.defvjp(batch_norm_fwd, batch_norm_bwd)


def batch_normed_torch(x, g, b, w):
    return torch.tanh(F.batch_norm(x, None, None, g, b, training=True)) @ w


wrong(
    "batch_norm_shift_averaged",
    lambda x, g, b, w: jnp.tanh(batch_norm(x, g, b)) @ w,
    batch_normed_torch,
    {"x": (5, 3), "g": (3,), "b": (3,), "w": (3, 2)},
    "db = jnp.sum(dout, 0)",
)

# --- attention ---


def attention(q, k, v):
    p = jax.nn.softmax(q @ k.T * q.shape[-1] ** -0.5)
    return p @ v


def attention_fwd(q, k, v):
    p = jax.nn.softmax(q @ k.T * q.shape[-1] ** -0.5)
    return p @ v, (q, k, v, p)


def values_bwd(kept, dout):
    q, k, v, p = kept
    scale = q.shape[-1] ** -0.5
    dp = dout @ v.T
    ds = p * (dp - jnp.sum(dp * p, -1, keepdims=True)) * scale
    dv = p @ dout  # <- attention_weights_not_transposed
    return ds @ k, ds.T @ q, dv


def scale_bwd(kept, dout):
    q, k, v, p = kept
    scale = q.shape[-1] ** -0.5
    dp = dout @ v.T
    ds = p * (dp - jnp.sum(dp * p, -1, keepdims=True)) * scale
    dq = ds @ k
    dk = ds.T @ q * scale  # <- attention_keys_scaled_twice
    return dq, dk, p.T @ dout


def attention_jax(backward):
    rule = jax.custom_vjp(attention)
    rule.defvjp(attention_fwd, backward)

    def run(x, wq, wk, wv):
        h = (x - jnp.mean(x, -1, keepdims=True)) / jnp.std(x, -1, keepdims=True)
        return x + jax.nn.silu(rule(h @ wq, h @ wk, h @ wv))

    return run


def attention_torch(x, wq, wk, wv):
    h = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, unbiased=False)
    return x + F.silu(F.scaled_dot_product_attention(h @ wq, h @ wk, h @ wv))


TOKENS = {"x": (4, 3), "wq": (3, 3), "wk": (3, 3), "wv": (3, 3)}
wrong(
    "attention_weights_not_transposed",
    attention_jax(values_bwd),
    attention_torch,
    TOKENS,
    "dv = p.T @ dout",
)
wrong(
    "attention_keys_scaled_twice",
    attention_jax(scale_bwd),
    attention_torch,
    TOKENS,
    "dk = ds.T @ q",
)

# --- a cell in a scan, a convolution, an embedding ---


@jax.custom_vjp
def gate(z, n, h):
    return (1 - z) * n + z * h


def gate_fwd(z, n, h):
    return gate(z, n, h), (z, n, h)


def gate_bwd(kept, dout):
    z, n, h = kept
    dz = dout * (h - n)
    dn = dout * z  # <- gru_candidate_by_the_gate
    dh = dout * z
    return dz, dn, dh


gate.defvjp(gate_fwd, gate_bwd)


def gru_jax(x, h, wz, wn):
    def step(h, x):
        both = jnp.concatenate([x, h], -1)
        return gate(jax.nn.sigmoid(both @ wz), jnp.tanh(both @ wn), h), None

    return lax.scan(step, h, x)[0]


def gru_torch(x, h, wz, wn):
    for t in range(2):
        both = torch.cat([x[t], h], -1)
        z, n = torch.sigmoid(both @ wz), torch.tanh(both @ wn)
        h = (1 - z) * n + z * h
    return h


wrong(
    "gru_candidate_by_the_gate",
    gru_jax,
    gru_torch,
    {"x": (2, 3, 2), "h": (3, 4), "wz": (6, 4), "wn": (6, 4)},
    "dn = dout * (1 - z)",
)


@jax.custom_vjp
def convolved(x, w):
    return jnp.correlate(x, w, "valid")


def convolved_fwd(x, w):
    return convolved(x, w), (x, w)


def convolved_bwd(kept, dout):
    x, w = kept
    dx = jnp.convolve(dout, w[::-1], "full")  # <- convolution_turned_round
    dw = jnp.correlate(x, dout, "valid")
    return dx, dw


convolved.defvjp(convolved_fwd, convolved_bwd)


def convolved_torch(x, w, v):
    h = F.conv1d(torch.tanh(x)[None, None], w[None, None])[0, 0]
    return torch.sigmoid(h) @ v


wrong(
    "convolution_turned_round",
    lambda x, w, v: jax.nn.sigmoid(convolved(jnp.tanh(x), w)) @ v,
    convolved_torch,
    {"x": (7,), "w": (3,), "v": (5, 2)},
    "dx = jnp.convolve(dout, w, 'full')",
)


@jax.custom_vjp
def embedded(table, ids):
    return table[ids]


def embedded_fwd(table, ids):
    return table[ids], (table.shape, ids)


def embedded_bwd(kept, dout):
    shape, ids = kept
    empty = jnp.zeros(shape, dout.dtype)
    return empty.at[ids].set(dout), None  # <- embedding_set_not_added


embedded.defvjp(embedded_fwd, embedded_bwd)


def worded(rng):
    return {
        "table": rng.standard_normal((5, 3)),
        "w": rng.standard_normal((3, 2)),
        "ids": np.array([4, 1, 1, 0, 4, 1]),
    }


wrong(
    "embedding_set_not_added",
    lambda table, w, ids: jnp.tanh(embedded(table, ids) @ w),
    lambda table, w, ids: torch.tanh(F.embedding(ids, table) @ w),
    worded,
    "return (empty.at[ids].add(dout), None)",
)

# --- another path is differentiated ---


@jax.custom_vjp
def clipped(x):
    return jnp.clip(x, -1, 1)


def clipped_fwd(x):
    return clipped(x), None


def clipped_bwd(_, dout):
    return (1.0 * dout,)  # <- clip_passes_all


clipped.defvjp(clipped_fwd, clipped_bwd)

wrong(
    "clip_passes_all",
    lambda x, w: jnp.exp(clipped(jnp.sin(x) @ w) @ w.T),
    lambda x, w: torch.exp(torch.clamp(torch.sin(x) @ w, -1, 1) @ w.T),  # <- clip_passes_all
    {"x": (3, 4), "w": (4, 5)},
)


@jax.custom_vjp
def weighed(v, g):
    return g * v / jnp.linalg.norm(v, axis=0)


def weighed_fwd(v, g):
    norm = jnp.linalg.norm(v, axis=0)
    return g * v / norm, (v, g, norm)


def weighed_bwd(kept, dw):
    v, g, norm = kept
    dg = jnp.sum(dw * v, 0, keepdims=True) / norm
    dv = g / norm * dw  # <- weight_norm_held_still
    return dv, dg


weighed.defvjp(weighed_fwd, weighed_bwd)

wrong(
    "weight_norm_held_still",
    lambda x, v, g: jnp.tanh(x @ weighed(v, g)),
    lambda x, v, g: torch.tanh(x @ torch._weight_norm(v, g, 1)),
    {"x": (3, 4), "v": (4, 5), "g": (1, 5)},
    "dv = g / norm * dw - g * dg * v / norm ** 2",
)

# --- right ---


@jax.custom_vjp
def right_softmax(x):
    e = jnp.exp(x - jnp.max(x, -1, keepdims=True))
    return e / jnp.sum(e, -1, keepdims=True)


def right_softmax_fwd(x):
    p = right_softmax(x)
    return p, p


def right_softmax_bwd(p, dp):
    return (p * (dp - jnp.sum(dp * p, -1, keepdims=True)),)


right_softmax.defvjp(right_softmax_fwd, right_softmax_bwd)


def right_routed(x, w, v):
    return jnp.log(right_softmax(jnp.tanh(x @ w)) @ jnp.abs(v))


def right_bwd(kept, dout):
    q, k, v, p = kept
    scale = q.shape[-1] ** -0.5
    dp = dout @ v.T
    ds = p * (dp - jnp.sum(dp * p, -1, keepdims=True)) * scale
    return ds @ k, ds.T @ q, p.T @ dout


RIGHT["softmax"] = Pair(jax=right_routed, torch=routed_torch, inputs=MLP)
RIGHT["attention"] = Pair(jax=attention_jax(right_bwd), torch=attention_torch, inputs=TOKENS)
