"""Wrong backward passes of `torch.autograd.Function`, in networks: `# <- name` marks the line.

The JAX side is right throughout: plain code, differentiated by JAX. `MENDED` holds the line as it
should be, in each way of writing it that counts.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax
from torch.autograd import Function

from parity import Pair

WRONG: dict[str, Pair] = {}
RIGHT: dict[str, Pair] = {}
MENDED: dict[str, set[str]] = {}


def wrong(name, jax_side, torch_side, inputs, *mended):
    WRONG[name] = Pair(jax=jax_side, torch=torch_side, inputs=inputs)
    MENDED[name] = {*mended}


# --- elementwise, in the middle of a network ---

MLP = {"x": (3, 4), "w": (4, 5), "v": (5, 2)}


class Tanh(Function):
    @staticmethod
    def forward(ctx, a):
        h = torch.tanh(a)
        ctx.save_for_backward(h)
        return h

    @staticmethod
    def backward(ctx, dh):
        (h,) = ctx.saved_tensors
        return dh * (1 - h)  # <- tanh_without_its_square


def mlp_torch(x, w, v):
    h = Tanh.apply(x @ w / 2)
    return torch.softmax(h @ v, -1), h.square().mean()


def mlp_jax(x, w, v):
    h = jnp.tanh(x @ w / 2)
    return jax.nn.softmax(h @ v, -1), jnp.mean(h**2)


wrong(
    "tanh_without_its_square",
    mlp_jax,
    mlp_torch,
    MLP,
    "return dh * (1 - h * h)",
    "return dh * (1 - h ** 2)",
)


class Gelu(Function):
    @staticmethod
    def forward(ctx, x):
        inner = 0.7978845608028654 * (x + 0.044715 * x**3)
        t = torch.tanh(inner)
        ctx.save_for_backward(x, t)
        return 0.5 * x * (1 + t)

    @staticmethod
    def backward(ctx, dout):
        x, t = ctx.saved_tensors
        dinner = 0.7978845608028654 * (1 + 2 * 0.044715 * x**2)  # <- gelu_of_a_cube
        dx = 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * dinner
        return dout * dx


class Feedforward(torch.nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.activation = activation

    def forward(self, x, up, down):
        return x + self.activation.apply(x @ up) @ down


def feedforward_torch(x, w, v):
    return F.normalize(Feedforward(Gelu)(x, w, v), dim=-1)


def feedforward_jax(x, w, v):
    y = x + jax.nn.gelu(x @ w, approximate=True) @ v
    return y / jnp.linalg.norm(y, axis=-1, keepdims=True)


wrong(
    "gelu_of_a_cube",
    feedforward_jax,
    feedforward_torch,
    {"x": (3, 4), "w": (4, 6), "v": (6, 4)},
    "dinner = 0.7978845608028654 * (1 + 3 * 0.044715 * x ** 2)",
)

# --- softmax, log-sum-exp, cross entropy ---


class Softmax(Function):
    @staticmethod
    def forward(ctx, x):
        e = torch.exp(x - x.amax(1, keepdim=True))
        p = e / e.sum(1, keepdim=True)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx, dp):
        p = ctx.saved_tensors[0]
        along = (dp * p).sum(0, keepdim=True)  # <- softmax_along_the_other_axis
        return p * (dp - along)


def router_torch(x, w, v):
    return torch.log(Softmax.apply(x @ w) @ v.abs())


def router_jax(x, w, v):
    return jnp.log(jax.nn.softmax(x @ w, -1) @ jnp.abs(v))


wrong(
    "softmax_along_the_other_axis",
    router_jax,
    router_torch,
    MLP,
    "along = (dp * p).sum(1, keepdim=True)",
)


class LogSumExp(Function):
    @staticmethod
    def forward(ctx, x):
        top = x.amax(-1, keepdim=True)
        lse = top + (x - top).exp().sum(-1, keepdim=True).log()
        ctx.save_for_backward(x, top, lse)
        return lse[..., 0]

    @staticmethod
    def backward(ctx, dout):
        x, top, lse = ctx.saved_tensors  # noqa: RUF059
        p = torch.exp(x - top)  # <- log_sum_exp_of_the_maximum
        return dout[..., None] * p


wrong(
    "log_sum_exp_of_the_maximum",
    lambda x, w: jnp.sin(jax.nn.logsumexp(jnp.cos(x @ w), axis=-1)),
    lambda x, w: torch.sin(LogSumExp.apply(torch.cos(x @ w))),
    {"x": (3, 4), "w": (4, 5)},
    "p = torch.exp(x - lse)",
)


class CrossEntropy(Function):
    @staticmethod
    def forward(ctx, logits, labels):
        logp = torch.log_softmax(logits, -1)
        ctx.save_for_backward(logp, labels)
        return -logp[torch.arange(len(labels)), labels].mean()

    @staticmethod
    def backward(ctx, dout):
        logp, labels = ctx.saved_tensors
        n = len(labels)
        dlogits = logp.exp()
        dlogits[torch.arange(n), labels] -= 1
        dlogits = dlogits * dout  # <- cross_entropy_without_the_mean
        return dlogits, None


def labelled(rng):
    return {
        "x": rng.standard_normal((5, 4)),
        "w": rng.standard_normal((4, 3)),
        "labels": np.array([0, 2, 1, 2, 0]),
    }


def classifier_jax(x, w, labels):
    logp = jax.nn.log_softmax(jnp.tanh(x) @ w)
    return -jnp.mean(jnp.take_along_axis(logp, labels[:, None], -1))


wrong(
    "cross_entropy_without_the_mean",
    classifier_jax,
    lambda x, w, labels: CrossEntropy.apply(torch.tanh(x) @ w, labels),
    labelled,
    "dlogits = dlogits * dout / n",
    "dlogits = dlogits * (dout / n)",
    "dlogits = dlogits / n * dout",
)

# --- norms ---


class LayerNorm(Function):
    @staticmethod
    def forward(ctx, x, g, b, eps):
        mean = x.mean(-1, keepdim=True)
        rstd = (x.var(-1, keepdim=True, unbiased=False) + eps).rsqrt()
        n = (x - mean) * rstd
        ctx.save_for_backward(n, g, rstd)
        return n * g + b

    @staticmethod
    def backward(ctx, dout):
        n, g, rstd = ctx.saved_tensors
        dg = (dout * n).sum((0, 1))
        db = dout.sum((0, 1))
        dn = dout * g
        inner = (dn * n).mean(-1, keepdim=True)
        dx = rstd * (dn - n * inner)  # <- layer_norm_without_its_mean
        return dx, dg, db, None


def normed_jax(x, g, b, w):
    mean, var = jnp.mean(x, -1, keepdims=True), jnp.var(x, -1, keepdims=True)
    n = (x - mean) / jnp.sqrt(var + 1e-5) * g + b
    return x + jax.nn.relu(n @ w)


class Block(torch.nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x, g, b, w):
        return x + F.relu(self.norm.apply(x, g, b, 1e-5) @ w)


ROWS = {"x": (2, 3, 4), "g": (4,), "b": (4,), "w": (4, 4)}
wrong(
    "layer_norm_without_its_mean",
    normed_jax,
    Block(LayerNorm),
    ROWS,
    "dx = rstd * (dn - dn.mean(-1, keepdim=True) - n * inner)",
)


class LayerNormGain(Function):
    @staticmethod
    def forward(ctx, x, g, b, eps):
        mean = x.mean(-1, keepdim=True)
        rstd = (x.var(-1, keepdim=True, unbiased=False) + eps).rsqrt()
        n = (x - mean) * rstd
        ctx.save_for_backward(x, n, g, rstd)
        return n * g + b

    @staticmethod
    def backward(ctx, dout):
        x, n, g, rstd = ctx.saved_tensors
        dx = dg = db = None
        if ctx.needs_input_grad[1]:
            dg = (dout * x).sum((0, 1))  # <- layer_norm_gain_of_the_input
        if ctx.needs_input_grad[2]:
            db = dout.sum((0, 1))
        if ctx.needs_input_grad[0]:
            dn = dout * g
            dx = dn - dn.mean(-1, keepdim=True) - n * (dn * n).mean(-1, keepdim=True)
            dx = rstd * dx
        return dx, dg, db, None


wrong(
    "layer_norm_gain_of_the_input",
    normed_jax,
    Block(LayerNormGain),
    ROWS,
    "dg = (dout * n).sum((0, 1))",
)


class RMSNorm(Function):
    @staticmethod
    def forward(x, eps):
        r = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        return x * r, r

    @staticmethod
    def setup_context(ctx, inputs, output):
        n, r = output
        ctx.mark_non_differentiable(r)
        ctx.save_for_backward(n, r)

    @staticmethod
    def backward(ctx, dn, _):
        n, r = ctx.saved_tensors
        along = (dn * n).sum(-1, keepdim=True)  # <- rms_norm_sum_for_mean
        return r * (dn - n * along), None


def rms_torch(x, g, w):
    n, _ = RMSNorm.apply(torch.sin(x), 1e-6)
    return torch.sigmoid(n * g @ w)


def rms_jax(x, g, w):
    x = jnp.sin(x)
    n = x * lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)
    return jax.nn.sigmoid(n * g @ w)


wrong(
    "rms_norm_sum_for_mean",
    rms_jax,
    rms_torch,
    {"x": (2, 3, 4), "g": (4,), "w": (4, 4)},
    "along = (dn * n).mean(-1, keepdim=True)",
)


class BatchNorm(Function):
    @staticmethod
    def forward(ctx, x, g, b):
        n = x.shape[0]
        centred = x - x.mean(0)
        rstd = (centred.square().sum(0) / n + 1e-5).rsqrt()
        xhat = centred * rstd
        ctx.save_for_backward(xhat, g, rstd)
        return g * xhat + b

    @staticmethod
    def backward(ctx, dout):
        xhat, g, rstd = ctx.saved_tensors
        n = xhat.shape[0]
        dg = (dout * xhat).sum(0)
        spread = xhat * dg / (n - 1)  # <- batch_norm_of_one_less
        dx = g * rstd * (dout - dout.mean(0) - spread)
        return dx, dg, dout.sum(0)


def batch_normed_jax(x, g, b, w):
    n = (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-5) * g + b
    return jnp.tanh(n) @ w


wrong(
    "batch_norm_of_one_less",
    batch_normed_jax,
    lambda x, g, b, w: torch.tanh(BatchNorm.apply(x, g, b)) @ w,
    {"x": (5, 3), "g": (3,), "b": (3,), "w": (3, 2)},
    "spread = xhat * dg / n",
)

# --- attention ---

TOKENS = {"x": (4, 3), "wq": (3, 3), "wk": (3, 3), "wv": (3, 3)}


class Attention(Function):
    @staticmethod
    def forward(ctx, q, k, v):
        scale = q.shape[-1] ** -0.5
        p = torch.softmax(q @ k.T * scale, -1)
        ctx.save_for_backward(q, k, v, p)
        ctx.scale = scale
        return p @ v

    @staticmethod
    def backward(ctx, dout):
        q, k, v, p = ctx.saved_tensors
        dv = p.T @ dout
        dp = dout @ v.T
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * ctx.scale
        dq = ds @ k
        dk = ds @ q  # <- attention_keys_not_transposed
        return dq, dk, dv


class AttentionScale(Function):
    @staticmethod
    def forward(ctx, q, k, v):
        scale = q.shape[-1] ** -0.5
        p = torch.softmax(q @ k.T * scale, -1)
        ctx.save_for_backward(q, k, v, p)
        ctx.scale = scale
        return p @ v

    @staticmethod
    def backward(ctx, dout):
        q, k, v, p = ctx.saved_tensors
        scale = ctx.scale
        dp = dout @ v.T
        ds = p * (dp - (dp * p).sum(-1, keepdim=True))
        dq = ds @ k  # <- attention_queries_not_scaled
        dk = ds.T @ q * scale
        return dq, dk, p.T @ dout


def attention_torch(rule):
    def run(x, wq, wk, wv):
        h = F.layer_norm(x, (3,))
        return x + F.silu(rule.apply(h @ wq, h @ wk, h @ wv))

    return run


def attention_jax(x, wq, wk, wv):
    h = (x - jnp.mean(x, -1, keepdims=True)) / jnp.sqrt(jnp.var(x, -1, keepdims=True) + 1e-5)
    p = jax.nn.softmax((h @ wq) @ (h @ wk).T / jnp.sqrt(3.0))
    return x + jax.nn.silu(p @ (h @ wv))


wrong(
    "attention_keys_not_transposed",
    attention_jax,
    attention_torch(Attention),
    TOKENS,
    "dk = ds.T @ q",
)
wrong(
    "attention_queries_not_scaled",
    attention_jax,
    attention_torch(AttentionScale),
    TOKENS,
    "dq = ds @ k * scale",
    "dq = ds * scale @ k",
    "dq = ds @ (k * scale)",
)

# --- a cell, a convolution, an embedding ---


class Gate(Function):
    @staticmethod
    def forward(ctx, z, n, h):
        ctx.save_for_backward(z, n, h)
        return (1 - z) * n + z * h

    @staticmethod
    def backward(ctx, dout):
        z, n, h = ctx.saved_tensors
        dz = dout * (n - h)  # <- gru_gate_of_the_wrong_sign
        dn = dout * (1 - z)
        dh = dout * z
        return dz, dn, dh


def gru_torch(x, h, wz, wn):
    for t in range(2):
        both = torch.cat([x[t], h], -1)
        h = Gate.apply(torch.sigmoid(both @ wz), torch.tanh(both @ wn), h)
    return h


def gru_jax(x, h, wz, wn):
    for t in range(2):
        both = jnp.concatenate([x[t], h], -1)
        z, n = jax.nn.sigmoid(both @ wz), jnp.tanh(both @ wn)
        h = (1 - z) * n + z * h
    return h


wrong(
    "gru_gate_of_the_wrong_sign",
    gru_jax,
    gru_torch,
    {"x": (2, 3, 2), "h": (3, 4), "wz": (6, 4), "wn": (6, 4)},
    "dz = dout * (h - n)",
    "dz = -dout * (n - h)",
    "dz = -(dout * (n - h))",
    "dz = dout * -(n - h)",
)


class Conv(Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return F.conv1d(x, w, padding=1)

    @staticmethod
    def backward(ctx, dout):
        x, w = ctx.saved_tensors
        dx = F.conv_transpose1d(dout, w.flip(-1), padding=1)  # <- convolution_flipped
        dw = torch.nn.grad.conv1d_weight(x, w.shape, dout, padding=1)
        return dx, dw


def conv_jax(x, w, v):
    h = lax.conv_general_dilated(jnp.tanh(x), w, (1,), [(1, 1)])
    return jnp.einsum("bct,cd->btd", jax.nn.relu(h), v)


wrong(
    "convolution_flipped",
    conv_jax,
    lambda x, w, v: torch.einsum("bct,cd->btd", F.relu(Conv.apply(torch.tanh(x), w)), v),
    {"x": (2, 3, 5), "w": (4, 3, 3), "v": (4, 2)},
    "dx = F.conv_transpose1d(dout, w, padding=1)",
)


class Embedding(Function):
    @staticmethod
    def forward(ctx, table, ids):
        ctx.save_for_backward(ids)
        ctx.size = table.shape
        return table[ids]

    @staticmethod
    def backward(ctx, dout):
        (ids,) = ctx.saved_tensors
        places = ids[:, None].expand_as(dout)
        empty = torch.zeros(ctx.size, dtype=dout.dtype)
        dtable = empty.scatter(0, places, dout)  # <- embedding_overwritten
        return dtable, None


def worded(rng):
    return {
        "table": rng.standard_normal((5, 3)),
        "w": rng.standard_normal((3, 2)),
        "ids": np.array([4, 1, 1, 0, 4, 1]),
    }


wrong(
    "embedding_overwritten",
    lambda table, w, ids: jnp.tanh(table[ids] @ w),
    lambda table, w, ids: torch.tanh(Embedding.apply(table, ids) @ w),
    worded,
    "dtable = empty.scatter_add(0, places, dout)",
)

# --- another path is differentiated ---


class Rounded(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.round()

    @staticmethod
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        return dout * (x.abs() <= 1)  # <- straight_through_clipped


def quantised_jax(x, w):
    h = jnp.tanh(x @ w / 8) * 2
    return (h + lax.stop_gradient(jnp.round(h) - h)) @ w.T


wrong(
    "straight_through_clipped",
    quantised_jax,
    lambda x, w: Rounded.apply(torch.tanh(x @ w / 8) * 2) @ w.T,
    {"x": (3, 4), "w": (4, 5)},
)


def still_torch(x, g, w):
    h = torch.sin(x @ w)
    with torch.no_grad():
        r = torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)
    return torch.exp(h * r * g)  # <- norm_of_still_statistics


def still_jax(x, g, w):
    h = jnp.sin(x @ w)
    r = lax.rsqrt(jnp.mean(h**2, -1, keepdims=True) + 1e-6)  # <- norm_of_still_statistics
    return jnp.exp(h * r * g)  # <- norm_of_still_statistics


wrong("norm_of_still_statistics", still_jax, still_torch, {"x": (3, 4), "g": (5,), "w": (4, 5)})


class Reversed(Function):
    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dout):
        return ctx.strength * dout, None  # <- reversal_without_its_sign


@jax.custom_vjp
def reversed_jax(x):
    return x


reversed_jax.defvjp(lambda x: (x, None), lambda _, dout: (-0.5 * dout,))

wrong(
    "reversal_without_its_sign",
    lambda x, w, v: (x @ w, jnp.tanh(reversed_jax(x @ w) @ v)),
    lambda x, w, v: (x @ w, torch.tanh(Reversed.apply(x @ w, 0.5) @ v)),
    MLP,
)

# --- right ---


class RightTanh(Function):
    @staticmethod
    def forward(ctx, a):
        h = torch.tanh(a)
        ctx.save_for_backward(h)
        return h

    @staticmethod
    def backward(ctx, dh):
        (h,) = ctx.saved_tensors
        return dh * (1 - h * h)


class RightNorm(Function):
    @staticmethod
    def forward(ctx, x, g, b, eps):
        mean = x.mean(-1, keepdim=True)
        rstd = (x.var(-1, keepdim=True, unbiased=False) + eps).rsqrt()
        n = (x - mean) * rstd
        ctx.save_for_backward(n, g, rstd)
        return n * g + b

    @staticmethod
    def backward(ctx, dout):
        n, g, rstd = ctx.saved_tensors
        dn = dout * g
        dx = rstd * (dn - dn.mean(-1, keepdim=True) - n * (dn * n).mean(-1, keepdim=True))
        return dx, (dout * n).sum((0, 1)), dout.sum((0, 1)), None


def right_mlp(x, w, v):
    h = RightTanh.apply(x @ w / 2)
    return torch.softmax(h @ v, -1), h.square().mean()


RIGHT["tanh"] = Pair(jax=mlp_jax, torch=right_mlp, inputs=MLP)
RIGHT["layer norm"] = Pair(jax=normed_jax, torch=Block(RightNorm), inputs=ROWS)
