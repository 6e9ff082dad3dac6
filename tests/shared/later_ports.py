"""Later mistakes of ports: attention, norms and recurrent cells.

As further_ports.py, whose tables they are put into; written, with what has to be said of them,
before any check was run on them. Convolutions and losses are in later_losses.py, steps in
later_steps.py, two at once and what is wrong backwards in later_rules.py.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax

from tests.shared.further_ports import mistake, right

# --- attention ---

GROUPED = {"q": (2, 5, 4, 3), "k": (2, 5, 2, 3), "v": (2, 5, 2, 3)}


def grouped_torch(q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out.transpose(1, 2).flatten(2)


def grouped_jax(wrong):
    def run(q, k, v):
        n, t, h, d = q.shape
        q = q.reshape(n, t, 2, 2, d)
        q = q.swapaxes(2, 3) if wrong else q  # <- grouped_the_other_way
        scores = jnp.einsum("ntkgd,nskd->nkgts", q, k) / math.sqrt(d)
        scores = jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -jnp.inf)
        out = jnp.einsum("nkgts,nskd->ntkgd", jax.nn.softmax(scores, -1), v)
        return (out.swapaxes(2, 3) if wrong else out).reshape(n, t, h * d)

    return run


mistake("grouped_the_other_way", grouped_jax(True), grouped_torch, GROUPED,
        r"interleaved|ax[ei]s|order|tile|repeat|elements \d apart")  # fmt: skip
right("grouped", grouped_jax(False), grouped_torch, GROUPED)
QKV = {name: (2, 4, 5, 3) for name in "qkv"}


def slopes_jax(first):
    def run(q, k, v):
        slopes = 2.0 ** (-8 * (jnp.arange(4) + first) / 4)  # <- slopes_from_the_first
        at = jnp.arange(5)
        far = -jnp.abs(at[:, None] - at[None])
        scores = jnp.einsum("nhid,nhjd->nhij", q, k) * 3**-0.5
        weights = jax.nn.softmax(scores + slopes[:, None, None] * far)
        return jnp.einsum("nhij,nhjd->nhid", weights, v)

    return run


def slopes_torch(q, k, v):
    slopes = torch.tensor([2 ** (-2 * (h + 1)) for h in range(4)], dtype=q.dtype)
    at = torch.arange(5)
    bias = (at[:, None] - at).abs().neg() * slopes[:, None, None]  # <- slopes_from_the_first
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


mistake("slopes_from_the_first", slopes_jax(0), slopes_torch, QKV,
        r"0\.25.*0\.0625|multiplies by|shift = 1|x for x \+ y")  # fmt: skip
right("slopes", slopes_jax(1), slopes_torch, QKV)
BUCKETS = {"q": (2, 6, 3), "k": (2, 6, 3), "v": (2, 6, 3), "table": (8,)}


def buckets_torch(q, k, v, table):
    at = torch.arange(6)
    far = at - at[:, None]
    bucket = (far > 0).long() * 4  # <- buckets_of_the_other_side
    far = far.abs()
    late = 2 + (torch.log(far.clamp(min=1) / 2) / math.log(4) * 2).long().clamp(max=1)
    bucket = bucket + torch.where(far < 2, far, late)
    scores = q @ k.mT + table[bucket]
    return scores.softmax(-1) @ v


def buckets_jax(wrong):
    def run(q, k, v, table):
        i, j = jnp.indices((6, 6))
        far = i - j if wrong else j - i
        bucket = jnp.where(far > 0, 4, 0)  # <- buckets_of_the_other_side
        far = jnp.abs(far)
        late = 2 + jnp.minimum((jnp.log(jnp.maximum(far, 1) / 2) / math.log(4) * 2).astype(int), 1)
        bias = table[bucket + jnp.where(far < 2, far, late)]
        return jax.nn.softmax(jnp.einsum("nid,njd->nij", q, k) + bias, -1) @ v

    return run


mistake("buckets_of_the_other_side", buckets_jax(True), buckets_torch, BUCKETS,
        r"transposed|exchanged|< for >|> for <|ax[ei]s|order")  # fmt: skip
right("buckets", buckets_jax(False), buckets_torch, BUCKETS)
ROTARY = {"q": (2, 5, 6), "k": (2, 5, 6)}


def turned_jax(x):
    angle = jnp.outer(jnp.arange(5.0), 10.0 ** (-jnp.arange(3) / 3))
    angle = jnp.concatenate([angle, angle], -1)
    left, right = jnp.split(x, 2, -1)
    return x * jnp.cos(angle) + jnp.concatenate([-right, left], -1) * jnp.sin(angle)


def turned_torch(x, wrong):
    rate = 10.0 ** (-torch.arange(0, 3, dtype=x.dtype) / 3)
    angle = torch.arange(5, dtype=x.dtype)[:, None] * rate
    cos, sin = angle.cos(), angle.sin()
    left, right = x[..., :3], x[..., 3:]
    if wrong:
        return torch.cat([left * cos + right * sin, right * cos - left * sin], -1)  # <- rotary_back
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


def rotary_torch(wrong):
    def run(q, k):
        return torch.softmax(turned_torch(q, wrong) @ turned_torch(k, False).mT, -1)

    return run


def rotary_jax(q, k):
    return jax.nn.softmax(jnp.einsum("nid,njd->nij", turned_jax(q), turned_jax(k)))


mistake("rotary_back", rotary_jax, rotary_torch(True), ROTARY,
        r"subtracts and adds|adds and subtracts|multiplies by -1|sign|minus|neg")  # fmt: skip
right("rotary", rotary_jax, rotary_torch(False), ROTARY)
HEADS = {name: (2, 2, 5, 3) for name in "qkv"}


def linear_torch(q, k, v):
    q, k = F.elu(q) + 1, F.elu(k) + 1
    state = torch.einsum("nhtd,nhte->nhtde", k, v).cumsum(2)
    top = torch.einsum("nhtd,nhtde->nhte", q, state)
    below = torch.einsum("nhtd,nhtd->nht", q, k.cumsum(2))  # <- linear_sum_of_all_keys
    return top / (below[..., None] + 1e-6)


def linear_jax(wrong):
    def run(q, k, v):
        q, k = jax.nn.elu(q) + 1, jax.nn.elu(k) + 1
        if wrong:
            below = jnp.einsum("nhtd,nhd->nht", q, k.sum(2))  # <- linear_sum_of_all_keys
        else:
            below = (q * jnp.cumsum(k, 2)).sum(-1)
        past = jnp.tril(jnp.ones((5, 5)))
        top = jnp.einsum("nhtd,nhsd,ts,nhse->nhte", q, k, past, v)
        return top / (below[..., None] + 1e-6)

    return run


mistake("linear_sum_of_all_keys", linear_jax(True), linear_torch, HEADS, r"cumsum|cumulative")
right("linear_attention", linear_jax(False), linear_torch, HEADS)
COSINE = {"q": (2, 2, 5, 3), "k": (2, 2, 5, 3), "t": (2,)}


def cosine_jax(q, k, t):
    q = q / jnp.linalg.norm(q, axis=-1, keepdims=True)
    k = k / jnp.linalg.norm(k, axis=-1, keepdims=True)
    return jax.nn.softmax(q @ k.mT * jnp.exp(t)[:, None, None])  # <- cosine_over_its_temperature


def cosine_torch(wrong):
    def run(q, k, t):
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT
        t = t.exp().view(2, 1, 1)
        return (scores / t if wrong else scores * t).softmax(-1)  # <- cosine_over_its_temperature

    return run


mistake("cosine_over_its_temperature", cosine_jax, cosine_torch(True), COSINE,
        r"jax multiplies.*torch divides|exponent = -1|1 / x|-x|multiplies by -1")  # fmt: skip
right("cosine", cosine_jax, cosine_torch(False), COSINE)


def capped_jax(wrong):
    def run(q, k, v):
        scores = jnp.einsum("nhid,nhjd->nhij", q, k) / math.sqrt(3)
        keep = jnp.tril(jnp.ones((5, 5), bool))
        if wrong:
            scores = 2 * jnp.tanh(jnp.where(keep, scores, -1e9) / 2)  # <- capped_after_the_mask
        else:
            scores = jnp.where(keep, 2 * jnp.tanh(scores / 2), -1e9)
        return jax.nn.softmax(scores, -1) @ v

    return run


def capped_torch(q, k, v):
    scores = q @ k.mT * 3**-0.5
    scores = torch.tanh(scores / 2) * 2
    scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -1e9)  # <- capped_after_the_mask
    return scores.softmax(-1) @ v


mistake("capped_after_the_mask", capped_jax(True), capped_torch, HEADS,
        r"(mask|tanh|fill).*(before|after)")  # fmt: skip
right("capped", capped_jax(False), capped_torch, HEADS)

# --- norms ---

IMAGES = {"x": (2, 4, 3, 4), "g": (4,), "b": (4,)}


def instance_jax(x, g, b):
    mean = x.mean((2, 3), keepdims=True)
    var = x.var((2, 3), keepdims=True, ddof=1)  # <- instance_norm_of_one_less
    x = (x - mean) / jnp.sqrt(var + 1e-5)
    return jax.nn.gelu(x * g[:, None, None] + b[:, None, None], approximate=False)


mistake("instance_norm_of_one_less", instance_jax,
        lambda x, g, b: F.gelu(F.instance_norm(x, weight=g, bias=b)), IMAGES,
        r"ddof|correction|n - 1|\b11\b.*\b12\b|0\.916")  # fmt: skip


def channels_torch(x, g, b):
    x = x.permute(0, 2, 3, 1)
    return F.layer_norm(x, (4,), g, b, 1e-6).permute(0, 3, 1, 2).relu()


def channels_jax(axis):
    def run(x, g, b):
        mean = x.mean(axis, keepdims=True)  # <- channels_norm_of_the_width
        centred = x - mean
        var = (centred**2).mean(axis, keepdims=True)  # <- channels_norm_of_the_width
        x = centred * lax.rsqrt(var + 1e-6)
        return jax.nn.relu(x * g[:, None, None] + b[:, None, None])

    return run


mistake("channels_norm_of_the_width", channels_jax(-1), channels_torch, IMAGES, r"ax[ei]s")
right("channels_norm", channels_jax(1), channels_torch, IMAGES)
GATED = {"x": (2, 5, 4), "z": (2, 5, 4), "g": (4,)}


def gated_torch(x, z, g):
    return F.rms_norm(x * F.silu(z), (4,), g, 1e-5).sin()  # <- gated_after_the_norm


def gated_jax(wrong):
    def run(x, z, g):
        gate = z * jax.nn.sigmoid(z)
        y = x if wrong else x * gate
        y = y * lax.rsqrt(jnp.mean(y * y, -1, keepdims=True) + 1e-5) * g
        return jnp.sin(y * gate if wrong else y)  # <- gated_after_the_norm

    return run


mistake("gated_after_the_norm", gated_jax(True), gated_torch, GATED,
        r"(multipl|norm|silu).*(before|after)")  # fmt: skip
right("gated_norm", gated_jax(False), gated_torch, GATED)
WIDE = {"x": (2, 8, 3), "g": (8,), "b": (8,)}


def groups_jax(x, g, b):
    x = jnp.moveaxis(x, 1, -1)
    n, t, c = x.shape
    y = x.reshape(n, t, 2, c // 2)  # <- groups_twice_as_wide
    mean, var = y.mean((1, 3), keepdims=True), y.var((1, 3), keepdims=True)
    y = ((y - mean) * lax.rsqrt(var + 1e-5)).reshape(n, t, c) * g + b
    return jnp.moveaxis(jax.nn.silu(y), -1, 1)


mistake("groups_twice_as_wide", groups_jax,
        lambda x, g, b: F.silu(F.group_norm(x, 4, g, b)), WIDE,
        r"group|2 groups|sees it as")  # fmt: skip

# --- recurrent cells ---

LONG = {"x": (4, 2, 3), "wi": (12, 3), "wh": (12, 3), "b": (12,)}


def lstm_jax(x, wi, wh, b):
    def step(state, xt):
        h, c = state
        i, f, g, o = jnp.split(xt @ wi.T + h @ wh.T + b, 4, -1)  # <- lstm_gates_of_onnx
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((2, 3))
    return lax.scan(step, (zeros, zeros), x)[1]


def lstm_torch(order):
    def run(x, wi, wh, b):
        h = c = x.new_zeros(2, 3)
        out = []
        for xt in x:
            z = F.linear(xt, wi, b) + F.linear(h, wh)
            i, f, g, o = (z.chunk(4, -1)[k] for k in order)  # <- lstm_gates_of_onnx
            c = c * f.sigmoid() + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            out.append(h)
        return torch.stack(out)

    return run


mistake("lstm_gates_of_onnx", lstm_jax, lstm_torch((0, 2, 3, 1)), LONG,
        r"order|\[0, 2, 3, 1\]|\[0, 3, 1, 2\]|exchanged")  # fmt: skip
right("lstm", lstm_jax, lstm_torch((0, 1, 2, 3)), LONG)
MIN = {"x": (6, 2, 3), "wz": (3, 4), "wh": (3, 4)}


def min_gru_torch(x, wz, wh):
    h, out = x.new_zeros(2, 4), []
    for xt in x:
        z = torch.sigmoid(xt @ wz)
        h = (1 - z) * h + z * (xt @ wh)  # <- min_gru_keeps_by_the_gate
        out.append(h)
    return torch.stack(out).tanh()


def min_gru_jax(wrong):
    def join(first, second):
        return first[0] * second[0], first[1] * second[0] + second[1]

    def run(x, wz, wh):
        z = jax.nn.sigmoid(x @ wz)
        keep, take = (z, 1 - z) if wrong else (1 - z, z)
        h = lax.associative_scan(join, (keep, take * (x @ wh)))[1]  # <- min_gru_keeps_by_the_gate
        return jnp.tanh(h)

    return run


mistake("min_gru_keeps_by_the_gate", min_gru_jax(True), min_gru_torch, MIN,
        r"1 - |exchanged|reads|subtracts|-x")  # fmt: skip
right("min_gru", min_gru_jax(False), min_gru_torch, MIN)


def padded(rng):
    return {"x": rng.normal(size=(3, 5, 2)), "w": rng.normal(size=(2, 3)),
            "u": rng.normal(size=(3, 3)), "lengths": np.array([5, 3, 4])}  # fmt: skip


def backwards_jax(x, w, u, lengths):
    def step(h, xt):
        h = jnp.tanh(xt @ w + h @ u)
        return h, h

    back = x[:, ::-1].swapaxes(0, 1)  # <- backwards_from_the_padding
    return lax.scan(step, jnp.zeros((3, 3)), back)[0]


def backwards_torch(x, w, u, lengths):
    at = (lengths[:, None] - 1 - torch.arange(5)) % 5
    back = torch.stack(
        [row[k] for row, k in zip(x, at, strict=True)]
    )  # <- backwards_from_the_padding
    h = x.new_zeros(3, 3)
    for xt in back.unbind(1):
        h = (xt @ w + h @ u).tanh()
    return h


mistake("backwards_from_the_padding", backwards_jax, backwards_torch, padded,
        r"flips|takes|rev|order|lengths")  # fmt: skip
SRU = {"x": (5, 2, 3), "w": (3, 3), "wf": (3, 3), "wr": (3, 3)}


def sru_jax(x, w, wf, wr):
    y, f, r = x @ w, jax.nn.sigmoid(x @ wf), jax.nn.sigmoid(x @ wr)
    c = jnp.zeros((2, 3))
    out = []
    for t in range(5):
        c = f[t] * c + (1 - f[t]) * y[t]
        out.append(r[t] * jnp.tanh(c) + (1 - r[t]) * x[t])  # <- sru_highway_of_the_product
    return jnp.stack(out)


def sru_torch(wrong):
    def run(x, w, wf, wr):
        c, out = x.new_zeros(2, 3), []
        for xt in x:
            y, f, r = xt @ w, (xt @ wf).sigmoid(), (xt @ wr).sigmoid()
            c = y + f * (c - y)
            past = y if wrong else xt
            out.append(past + r * (c.tanh() - past))  # <- sru_highway_of_the_product
        return torch.stack(out)

    return run


mistake("sru_highway_of_the_product", sru_jax, sru_torch(True), SRU, r"reads")
right("sru", sru_jax, sru_torch(False), SRU)
