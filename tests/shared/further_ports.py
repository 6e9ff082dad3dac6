"""Further mistakes of ports, each with its line (`# <- name`) and what has to be said of it.

Written before any check was run on them: of attention, norms, convolutions and recurrent cells,
kinds that port_mistakes.py does not hold. ``RIGHT`` are ports of the same themes in another
spelling; nothing may be said of them.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax

from parity import Pair

MISTAKES: dict[str, Pair] = {}
CAUSES: dict[str, str] = {}
RIGHT: dict[str, Pair] = {}


def mistake(name, jax_side, torch_side, inputs, says):
    MISTAKES[name] = Pair(jax=jax_side, torch=torch_side, inputs=inputs)
    CAUSES[name] = says


def right(name, jax_side, torch_side, inputs):
    RIGHT[name] = Pair(jax=jax_side, torch=torch_side, inputs=inputs)


# --- attention ---

N, H, T, D = 2, 2, 5, 4
QKV = {name: (N, H, T, D) for name in "qkv"}
SLOPES = (0.5, 0.25)


def alibi_torch(q, k, v):
    at = torch.arange(T)
    bias = torch.tensor(SLOPES, dtype=q.dtype).view(H, 1, 1) * (at - at[:, None])
    scores = q @ k.transpose(-1, -2) / math.sqrt(D) + bias
    scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf)
    return scores.softmax(-1) @ v


def alibi_jax(inside):
    def run(q, k, v):
        i, j = jnp.indices((T, T))
        bias = jnp.array(SLOPES)[:, None, None] * (j - i)
        scores = jnp.einsum("nhid,nhjd->nhij", q, k)
        right = D**-0.5 * scores - bias * -1
        scores = (scores + bias) / math.sqrt(D) if inside else right  # <- alibi_inside_the_scale
        return jnp.einsum("nhij,nhjd->nhid", jax.nn.softmax(jnp.where(j <= i, scores, -1e30)), v)

    return run


mistake("alibi_inside_the_scale", alibi_jax(True), alibi_torch, QKV,
        r"(adds|divides|multiplies).*(before|after)")  # fmt: skip
right("alibi", alibi_jax(False), alibi_torch, QKV)


def window_torch(q, k, v):
    at = torch.arange(T)
    far = at[:, None] - at
    keep = (far >= 0) & (far < 2)  # <- window_one_too_wide
    return F.scaled_dot_product_attention(q, k, v, attn_mask=keep)


def window_jax(last):
    def run(q, k, v):
        i, j = jnp.indices((T, T))
        keep = (j <= i) & (i - j <= last)  # <- window_one_too_wide
        scores = q @ k.swapaxes(2, 3) / math.sqrt(D)
        return jax.nn.softmax(jnp.where(keep, scores, -jnp.inf), -1) @ v

    return run


mistake("window_one_too_wide", window_jax(2), window_torch, QKV,
        r"<=? for <|mask|window|diagonal|= 2 |= 1 ")  # fmt: skip
right("window", window_jax(1), window_torch, QKV)


def crossed(rng):
    keep = np.array([[True, True, False, True, True], [True, False, True, True, False]])
    return {**{name: rng.normal(size=(N, H, T, D)) for name in "qkv"}, "keep": keep}


def cross_torch(q, k, v, keep):
    scores = q @ k.mT / D**0.5
    return scores.masked_fill(~keep[:, None, None, :], -1e9).softmax(-1) @ v


def cross_jax(q, k, v, keep):
    scores = q @ k.mT / D**0.5
    scores = jnp.where(keep[:, None, :, None], scores, -1e9)  # <- cross_mask_of_the_queries
    return jax.nn.softmax(scores, -1) @ v


mistake("cross_mask_of_the_queries", cross_jax, cross_torch, crossed, r"mask.*transposed|ax[ei]s")


def rms_torch(x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def rms_jax(x):
    return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)


def qk_torch(q, k, v):
    q, k = rms_torch(q), rms_torch(k)  # <- qk_norm_not_of_keys
    return (q @ k.mT).softmax(-1) @ v


def qk_jax(keys):
    def run(q, k, v):
        q, k = rms_jax(q), keys(k)
        return jax.nn.softmax(q @ k.mT) @ v  # <- qk_norm_not_of_keys

    return run


mistake("qk_norm_not_of_keys", qk_jax(lambda k: k), qk_torch, QKV, r"only torch .*norm|only torch")
right("qk_norm", qk_jax(rms_jax), qk_torch, QKV)

# --- norms ---

IMAGES = {"x": (2, 6, 3, 2), "g": (6,), "b": (6,)}


def group_norm_torch(x, g, b):
    return torch.tanh(F.group_norm(x, 3, g, b))


def group_norm_jax(groups):
    def run(x, g, b):
        n, c, h, w = x.shape
        y = x.reshape(n, groups, -1)  # <- group_norm_of_as_many_channels
        y = (y - y.mean(-1, keepdims=True)) * lax.rsqrt(y.var(-1, keepdims=True) + 1e-5)
        return jnp.tanh(y.reshape(n, c, h, w) * g.reshape(-1, 1, 1) + b.reshape(-1, 1, 1))

    return run


mistake("group_norm_of_as_many_channels", group_norm_jax(2), group_norm_torch, IMAGES,
        r"group|sees it as|\(2, 2, 18\)|\(2, 3, 12\)")  # fmt: skip
right("group_norm", group_norm_jax(3), group_norm_torch, IMAGES)
WEIGHT = {"x": (5, 4), "v": (3, 4), "g": (3, 1)}


def weight_norm_torch(x, v, g):
    return torch.tanh(F.linear(x, torch._weight_norm(v, g, 0)))


def weight_norm_jax(axis):
    def run(x, v, g):
        w = g * v / jnp.linalg.norm(v, axis=axis, keepdims=True)  # <- weight_norm_of_the_whole
        return jnp.tanh(x @ w.T)

    return run


mistake("weight_norm_of_the_whole", weight_norm_jax((0, 1)), weight_norm_torch, WEIGHT,
        r"over axes 0 and 1.*over axis 1|axes \(0, 1\)")  # fmt: skip
right("weight_norm", weight_norm_jax(1), weight_norm_torch, WEIGHT)
BLOCK = {"x": (4, 6), "w": (6, 6)}
mistake(
    "rms_norm_of_the_sum",
    lambda x, w: jnp.sin(rms_jax(x + jnp.tanh(x @ w))),  # <- rms_norm_of_the_sum
    lambda x, w: torch.sin(x + rms_torch(torch.tanh(x @ w))),  # <- rms_norm_of_the_sum
    BLOCK,
    r"norm.*(before|after)|(before|after) the sum|only torch adds",
)

# --- convolutions ---

ROWS = {"x": (2, 4, 7), "w": (6, 2, 3)}


def shuffled_torch(x, w):
    y = F.conv1d(x, w, groups=2)
    n, c, length = y.shape
    return y.view(n, 2, c // 2, length).transpose(1, 2).reshape(n, c, length).tanh()


def shuffled_jax(x, w):
    y = lax.conv_general_dilated(x, w, (1,), "VALID", feature_group_count=2,
                                 dimension_numbers=("NCH", "OIH", "NCH"))  # fmt: skip
    n, c, length = y.shape
    y = y.reshape(n, c // 2, 2, length).swapaxes(1, 2)  # <- conv_groups_shuffled_back
    return jnp.tanh(y.reshape(n, c, length))


mistake("conv_groups_shuffled_back", shuffled_jax, shuffled_torch, ROWS,
        r"interleaved|sees it as|ax[ei]s|order")  # fmt: skip


def transposed_jax(turned):
    def run(x, w):
        w = jnp.flip(w, -1) if turned else w
        y = lax.conv_transpose(  # <- conv_transposed_kernel
            x, w, (2,), "VALID", dimension_numbers=("NCH", "IOH", "NCH")
        )
        return jnp.tanh(y)

    return run


def transposed_torch(x, w):
    return torch.tanh(F.conv_transpose1d(x, w, stride=2))  # <- conv_transposed_kernel


UP = {"x": (2, 3, 4), "w": (3, 2, 3)}
mistake("conv_transposed_kernel", transposed_jax(False), transposed_torch, UP,
        r"flip|turned|backwards")  # fmt: skip
right("conv_transposed", transposed_jax(True), transposed_torch, UP)


def causal_torch(x, w):
    return torch.relu(F.conv1d(F.pad(x, (4, 0)), w, dilation=2))


def causal_jax(x, w):
    y = lax.conv_general_dilated(x, w, (1,), [(0, 4)],  # <- conv_padded_at_the_end
                                 rhs_dilation=(2,))  # fmt: skip
    return jax.nn.relu(y)


mistake("conv_padded_at_the_end", causal_jax, causal_torch, {"x": (2, 2, 6), "w": (3, 2, 3)},
        r"padding|pads")  # fmt: skip

# --- recurrent ---

PEEP = {"x": (4, 2, 3), "w": (12, 3), "u": (12, 3), "p": (3, 3)}


def peephole_torch(x, w, u, p):
    h = c = x.new_zeros(x.shape[1], 3)
    out = []
    for xt in x:
        i, f, g, o = (xt @ w.T + h @ u.T).chunk(4, -1)
        c = torch.sigmoid(f + p[1] * c) * c + torch.sigmoid(i + p[0] * c) * g.tanh()
        h = torch.sigmoid(o + p[2] * c) * c.tanh()  # <- peephole_of_the_old_state
        out.append(h)
    return torch.stack(out)


def peephole_jax(new):
    def run(x, w, u, p):
        def step(state, xt):
            h, c = state
            i, f, g, o = jnp.split(xt @ w.T + h @ u.T, 4, -1)
            i, f = jax.nn.sigmoid(i + p[0] * c), jax.nn.sigmoid(f + p[1] * c)
            old, c = c, f * c + i * jnp.tanh(g)
            seen = c if new else old
            h = jax.nn.sigmoid(o + p[2] * seen) * jnp.tanh(c)  # <- peephole_of_the_old_state
            return (h, c), h

        zeros = jnp.zeros((x.shape[1], 3))
        return lax.scan(step, (zeros, zeros), x)[1]

    return run


mistake("peephole_of_the_old_state", peephole_jax(False), peephole_torch, PEEP, r"reads")
right("peephole", peephole_jax(True), peephole_torch, PEEP)
NORMED = {"x": (4, 2, 3), "w": (12, 3), "u": (12, 3)}


def normed_torch(x, w, u):
    h = c = x.new_zeros(x.shape[1], 3)
    for xt in x:
        i, f, g, o = (xt @ w.T + h @ u.T).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * F.layer_norm(c, (3,)).tanh()
    return h


def normed_jax(x, w, u):
    h = c = jnp.zeros((x.shape[1], 3))
    for xt in x:
        i, f, g, o = jnp.split(xt @ w.T + h @ u.T, 4, -1)
        c = (jax.nn.sigmoid(f) * c  # <- normed_state_carried
             + jax.nn.sigmoid(i) * jnp.tanh(g))  # fmt: skip
        c = jax.nn.standardize(c, axis=-1, epsilon=1e-5)  # <- normed_state_carried
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return h


mistake("normed_state_carried", normed_jax, normed_torch, NORMED, r"reads")
BOTH = {"x": (5, 2, 3), "w": (3, 3), "u": (3, 3)}


def both_torch(x, w, u):
    def run(x):
        h, out = x.new_zeros(x.shape[1:]), []
        for xt in x:
            h = torch.tanh(xt @ w + h @ u)
            out.append(h)
        return torch.stack(out)

    back = run(x.flip(0)).flip(0)  # <- bidirectional_not_turned_back
    return torch.cat([run(x), back], -1).sin()


def both_jax(turned):
    def run(x, w, u):
        def step(h, xt):
            h = jnp.tanh(xt @ w + h @ u)
            return h, h

        start = jnp.zeros(x.shape[1:])
        ahead = lax.scan(step, start, x)[1]
        if turned:
            back = lax.scan(step, start, x, reverse=True)[1]
        else:
            back = lax.scan(step, start, x[::-1])[1]
        return jnp.sin(jnp.concatenate([ahead, back], -1))  # <- bidirectional_not_turned_back

    return run


mistake("bidirectional_not_turned_back", both_jax(False), both_torch, BOTH,
        r"only torch (flips|turns)|only jax flips|flip")  # fmt: skip
right("bidirectional", both_jax(True), both_torch, BOTH)
