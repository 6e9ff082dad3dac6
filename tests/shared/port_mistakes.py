"""Mistakes of ports, each with the line where it stands: `# <- name` marks it, on either side.

Where one side leaves something out, the line of the other that does it is marked. The torch side
is right throughout; every function is as somebody would write it who ports it. ``CAUSES`` has, for
each, what the sentence must say that names the cause.
"""

import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax

from parity import Pair

MISTAKES: dict[str, Pair] = {}


def marked(name: str, file: str = __file__) -> set[str]:
    """Return file:line of every line that is marked with a name."""
    path = Path(file)
    return {
        f"{path.name}:{number}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(rf"# <- .*\b{name}\b", line)
    }


def mistake(name, jax_side, torch_side, inputs, **options):
    MISTAKES[name] = Pair(jax=jax_side, torch=torch_side, inputs=inputs, **options)


# --- attention ---

E, HEADS = 12, 3
ATTENTION = {"x": (2, 4, E), "qkv": (3 * E, E), "bias": (3 * E,), "proj": (E, E)}


def attention_torch(x, qkv, bias, proj):
    n, length, _ = x.shape
    q, k, v = F.linear(x, qkv, bias).chunk(3, -1)
    q, k, v = (t.view(n, length, HEADS, -1).transpose(1, 2) for t in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # <- attention_not_causal
    return y.transpose(1, 2).reshape(n, length, E) @ proj.T


def attention_jax(wrong):
    def run(x, qkv, bias, proj):
        n, length, _ = x.shape
        fused = x @ qkv.T + bias
        if wrong == "attention_bias_forgotten":
            fused = x @ qkv.T  # <- attention_bias_forgotten
        q, k, v = jnp.split(fused, 3, -1)
        if wrong == "attention_k_and_v_exchanged":
            q, v, k = jnp.split(fused, 3, -1)  # <- attention_k_and_v_exchanged
        if wrong == "attention_heads_split_the_other_way":
            q, k = (
                t.reshape(n, length, -1, HEADS).transpose(  # <- attention_heads_split_the_other_way
                    0, 3, 1, 2
                )  # <- attention_heads_split_the_other_way
                for t in (q, k)
            )
        else:
            q = q.reshape(n, length, HEADS, -1).transpose(0, 2, 1, 3)
            k = k.reshape(n, length, HEADS, -1).transpose(0, 2, 1, 3)
        v = v.reshape(n, length, HEADS, -1).transpose(0, 2, 1, 3)
        scores = jnp.einsum("bhqd,bhkd->bhqk", q, k)
        if wrong == "attention_scale_of_the_model":
            scores = scores / math.sqrt(E)  # <- attention_scale_of_the_model
        else:
            scores = scores / math.sqrt(E // HEADS)
        if wrong == "attention_mask_keeps_the_next":
            keep = jnp.tril(jnp.ones((length, length), bool), 1)  # <- attention_mask_keeps_the_next
        else:
            keep = jnp.tril(jnp.ones((length, length), bool))
        if wrong != "attention_not_causal":
            scores = jnp.where(keep, scores, -1e30)
        weights = jax.nn.softmax(scores, -1)
        y = jnp.einsum("bhqk,bhkd->bhqd", weights, v)
        if wrong == "attention_heads_not_moved_back":
            y = y.reshape(n, length, E)  # <- attention_heads_not_moved_back
        else:
            y = y.transpose(0, 2, 1, 3).reshape(n, length, E)
        return y @ proj.T

    return run


for name in """attention_bias_forgotten attention_k_and_v_exchanged
attention_heads_split_the_other_way attention_scale_of_the_model attention_mask_keeps_the_next
attention_not_causal attention_heads_not_moved_back""".split():
    mistake(name, attention_jax(name), attention_torch, ATTENTION)


# --- normalisations ---

ROWS = {"x": (4, 5, 6), "g": (6,), "b": (6,)}


def layer_norm_torch(x, g, b):
    return torch.tanh(F.layer_norm(x, (6,), g, b, 1e-5))


def layer_norm_ddof(x, g, b):
    centred = x - x.mean(-1, keepdims=True)
    variance = x.var(-1, keepdims=True, ddof=1)  # <- layer_norm_ddof
    return jnp.tanh(centred / jnp.sqrt(variance + 1e-5) * g + b)


def layer_norm_eps_outside(x, g, b):
    centred = x - x.mean(-1, keepdims=True)
    variance = x.var(-1, keepdims=True)
    return jnp.tanh(centred / (jnp.sqrt(variance) + 1e-5) * g + b)  # <- layer_norm_eps_outside


mistake("layer_norm_ddof", layer_norm_ddof, layer_norm_torch, ROWS)
mistake("layer_norm_eps_outside", layer_norm_eps_outside, layer_norm_torch, ROWS)


def rms_norm_torch(x, g):
    h = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
    return torch.sigmoid(h * (1 + g))  # <- rms_norm_weight_without_one


def rms_norm_jax(x, g):
    h = x * lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)
    return jax.nn.sigmoid(h * g)  # <- rms_norm_weight_without_one


mistake("rms_norm_weight_without_one", rms_norm_jax, rms_norm_torch, {"x": (4, 5, 6), "g": (6,)})
IMAGES = {"x": (2, 6, 4, 3), "g": (6,), "b": (6,)}


def group_norm_torch(x, g, b):
    return F.silu(F.group_norm(x, 3, g, b))


def group_norm_jax(x, g, b):
    n, c, h, w = x.shape
    grouped = x.reshape(n, c // 3, 3, h, w)  # <- group_norm_interleaved
    mean = grouped.mean((1, 3, 4), keepdims=True)
    variance = grouped.var((1, 3, 4), keepdims=True)
    x = ((grouped - mean) / jnp.sqrt(variance + 1e-5)).reshape(n, c, h, w)
    return jax.nn.silu(x * g[:, None, None] + b[:, None, None])


mistake("group_norm_interleaved", group_norm_jax, group_norm_torch, IMAGES)


def batch_norm_torch(x, g, b):
    return F.relu(F.batch_norm(x, None, None, g, b, training=True))


def batch_norm_jax(x, g, b):
    mean = x.mean((2, 3), keepdims=True)  # <- batch_norm_over_the_image_only
    variance = ((x - mean) ** 2).mean((2, 3), keepdims=True)  # <- batch_norm_over_the_image_only
    normal = (x - mean) * lax.rsqrt(variance + 1e-5)
    return jax.nn.relu(normal * g[:, None, None] + b[:, None, None])


mistake("batch_norm_over_the_image_only", batch_norm_jax, batch_norm_torch, IMAGES)
BLOCK = {"x": (2, 4, 6), "g": (6,), "b": (6,), "up": (8, 6), "down": (6, 8)}


def block_torch(x, g, b, up, down):
    h = F.layer_norm(x, (6,), g, b)  # <- block_normalised_after
    return x + F.linear(F.gelu(F.linear(h, up)), down)


def block_jax(x, g, b, up, down):
    h = x + jax.nn.gelu(x @ up.T, approximate=False) @ down.T  # <- block_normalised_after
    mean, variance = h.mean(-1, keepdims=True), h.var(-1, keepdims=True)
    return (h - mean) * lax.rsqrt(variance + 1e-5) * g + b


mistake("block_normalised_after", block_jax, block_torch, BLOCK)


def feed_torch(x, g, b, up, down):
    h = F.layer_norm(x, (6,), g, b)
    return x + F.linear(F.gelu(F.linear(h, up)), down)


def feed_jax(wrong):
    def run(x, g, b, up, down):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        h = (x - mean) * lax.rsqrt(variance + 1e-5) * g + b
        if wrong == "feed_gelu_approximate":
            h2 = jax.nn.gelu(h @ up.T)  # <- feed_gelu_approximate
        elif wrong == "feed_silu_for_gelu":
            h2 = jax.nn.silu(h @ up.T)  # <- feed_silu_for_gelu
        else:
            h2 = jax.nn.gelu(h @ up.T, approximate=False)
        if wrong == "feed_residual_of_the_norm":
            return h + h2 @ down.T  # <- feed_residual_of_the_norm
        return x + h2 @ down.T

    return run


for name in ("feed_gelu_approximate", "feed_silu_for_gelu", "feed_residual_of_the_norm"):
    mistake(name, feed_jax(name), feed_torch, BLOCK)


# --- recurrent cells ---

H = 3
CELL = {
    "x": (4, 2, 5),
    "h": (2, H),
    "wi": (3 * H, 5),
    "wh": (3 * H, H),
    "bi": (3 * H,),
    "bh": (3 * H,),
}


def gru_torch(x, h, wi, wh, bi, bh):
    out = []
    for xt in x:
        ri, zi, ni = F.linear(xt, wi, bi).chunk(3, -1)
        rh, zh, nh = F.linear(h, wh, bh).chunk(3, -1)
        r, z = torch.sigmoid(ri + rh), torch.sigmoid(zi + zh)
        n = torch.tanh(ni + r * nh)
        h = (1 - z) * n + z * h
        out.append(h)
    return torch.stack(out)


def gru_jax(wrong):
    def run(x, h, wi, wh, bi, bh):
        def turn(h, xt):
            ri, zi, ni = jnp.split(xt @ wi.T + bi, 3, -1)
            rh, zh, nh = jnp.split(h @ wh.T + bh, 3, -1)
            if wrong == "gru_gates_in_another_order":
                zi, ri, ni = jnp.split(xt @ wi.T + bi, 3, -1)  # <- gru_gates_in_another_order
                zh, rh, nh = jnp.split(h @ wh.T + bh, 3, -1)  # <- gru_gates_in_another_order
            r, z = jax.nn.sigmoid(ri + rh), jax.nn.sigmoid(zi + zh)
            if wrong == "gru_reset_before_the_product":
                hidden = (r * h) @ wh[2 * H :].T  # <- gru_reset_before_the_product
                n = jnp.tanh(ni + hidden + bh[2 * H :])
            else:
                n = jnp.tanh(ni + r * nh)
            if wrong == "gru_update_turned_round":
                z = 1 - z  # <- gru_update_turned_round
            h = (1 - z) * n + z * h
            return h, h

        return lax.scan(turn, h, x)[1]

    return run


for name in (
    "gru_gates_in_another_order",
    "gru_reset_before_the_product",
    "gru_update_turned_round",
):
    mistake(name, gru_jax(name), gru_torch, CELL)

LONG = {"x": (3, 2, 5), "h": (2, H), "c": (2, H), "wi": (4 * H, 5), "wh": (4 * H, H)}


def lstm_torch(x, h, c, wi, wh):
    for xt in x:
        i, f, g, o = (F.linear(xt, wi) + F.linear(h, wh)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return h, c


def lstm_jax(wrong):
    def run(x, h, c, wi, wh):
        for xt in x:
            i, f, g, o = jnp.split(xt @ wi.T + h @ wh.T, 4, -1)
            if wrong == "lstm_forget_bias":
                f = f + 1.0  # <- lstm_forget_bias
            if wrong == "lstm_candidate_by_sigmoid":
                g = jax.nn.sigmoid(g)  # <- lstm_candidate_by_sigmoid
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * g
            else:
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            if wrong == "lstm_output_without_tanh":
                h = jax.nn.sigmoid(o) * c  # <- lstm_output_without_tanh
            else:
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return h, c

    return run


for name in ("lstm_forget_bias", "lstm_candidate_by_sigmoid", "lstm_output_without_tanh"):
    mistake(name, lstm_jax(name), lstm_torch, LONG)


# --- convolutions ---

CONV = {"x": (2, 3, 6, 6), "w1": (4, 3, 3, 3), "b1": (4,), "w2": (4, 4, 3, 3), "s": (4, 3, 1, 1)}


def residual_torch(x, w1, b1, w2, s):
    h = F.relu(F.conv2d(x, w1, b1, stride=2, padding=1))
    h = F.conv2d(h, w2, padding=1)
    return F.relu(h + F.conv2d(x, s, stride=2)).mean((2, 3))


LAYOUT = ("NCHW", "OIHW", "NCHW")


def conv(x, w, stride=1, padding="SAME", dilation=1):
    return lax.conv_general_dilated(  # <- conv_padding_same conv_kernel_turned conv_dilated
        x, w, (stride, stride), padding, rhs_dilation=(dilation,) * 2, dimension_numbers=LAYOUT
    )


def residual_jax(wrong):
    def run(x, w1, b1, w2, s):
        even = [(1, 1), (1, 1)]
        h = conv(x, w1, 2, "SAME" if wrong == "conv_padding_same" else even)  # <- conv_padding_same
        if wrong == "conv_bias_after_relu":
            h = jax.nn.relu(h) + b1[:, None, None]  # <- conv_bias_after_relu
        else:
            h = jax.nn.relu(h + b1[:, None, None])
        if wrong == "conv_kernel_turned":
            h = conv(h, w2[:, :, ::-1, ::-1], 1, even)  # <- conv_kernel_turned
        elif wrong == "conv_dilated":
            h = conv(h, w2, 1, [(2, 2), (2, 2)], 2)  # <- conv_dilated
        else:
            h = conv(h, w2, 1, even)
        short = conv(x, s, 2, "VALID")
        if wrong == "conv_relu_before_the_sum":
            h = jax.nn.relu(h) + short  # <- conv_relu_before_the_sum
        else:
            h = jax.nn.relu(h + short)
        if wrong == "conv_pooled_by_maximum":
            return h.max((2, 3))  # <- conv_pooled_by_maximum
        return h.mean((2, 3))

    return run


for name in """conv_padding_same conv_bias_after_relu conv_kernel_turned conv_dilated
conv_relu_before_the_sum conv_pooled_by_maximum""".split():
    mistake(name, residual_jax(name), residual_torch, CONV)


# --- losses ---


def logits(rng):
    return {"z": rng.normal(size=(6, 5)), "y": rng.integers(0, 5, 6)}


def smoothed_torch(z, y):
    return F.cross_entropy(z, y, label_smoothing=0.1)


def smoothed_jax(z, y):
    onehot = jax.nn.one_hot(y, 5, dtype=z.dtype)
    target = onehot * 0.9 + 0.1 * (1 - onehot) / 4  # <- loss_smoothing_over_the_others
    return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(z), -1))


mistake("loss_smoothing_over_the_others", smoothed_jax, smoothed_torch, logits)


def focal_torch(z, y):
    logp = F.log_softmax(z, -1).gather(1, y[:, None])[:, 0]
    return (-((1 - logp.exp()) ** 2) * logp).mean()


def focal_jax(z, y):
    logp = jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1)[:, 0]
    return jnp.mean(-((1 - jnp.exp(logp)) * 2) * logp)  # <- loss_focal_factor_for_power


mistake("loss_focal_factor_for_power", focal_jax, focal_torch, logits)
TWO = {"a": (5, 4), "b": (5, 4)}


def huber_torch(a, b):
    return F.huber_loss(torch.tanh(a), b, delta=0.5)


def huber_jax(a, b):
    d = jnp.abs(jnp.tanh(a) - b)
    return jnp.mean(jnp.where(d < 0.5, 0.5 * d**2, d - 0.25))  # <- loss_huber_not_scaled


mistake("loss_huber_not_scaled", huber_jax, huber_torch, TWO)


def contrast_torch(a, b):
    a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
    return F.cross_entropy(a @ b.T / 0.07, torch.arange(5))


def contrast_jax(a, b):
    a = a / jnp.linalg.norm(a, axis=0, keepdims=True)  # <- loss_contrast_normalised_by_columns
    b = b / jnp.linalg.norm(b, axis=-1, keepdims=True)
    return -jnp.mean(jnp.diag(jax.nn.log_softmax(a @ b.T / 0.07)))


mistake("loss_contrast_normalised_by_columns", contrast_jax, contrast_torch, TWO)
GAUSS = {"mu": (4, 3), "s": (4, 3), "x": (4, 3)}


def elbo_torch(mu, s, x):
    rec = ((torch.tanh(mu) - x) ** 2).sum(-1)
    kl = -0.5 * (1 + s - mu**2 - s.exp()).sum(-1)
    return (rec + kl).mean()


def elbo_jax(mu, s, x):
    rec = jnp.sum((jnp.tanh(mu) - x) ** 2, -1)
    kl = -0.5 * jnp.sum(1 + s - mu**2 - jnp.exp(s) ** 2, -1)  # <- loss_kl_of_the_deviation
    return jnp.mean(rec + kl)


mistake("loss_kl_of_the_deviation", elbo_jax, elbo_torch, GAUSS)


# --- samplers ---

STEPS = 4
DIFFUSION = {"x": (3, 5), "w": (5, 5), "noise": (STEPS, 3, 5)}
BETAS = np.linspace(1e-2, 0.3, STEPS)


def ddpm_torch(x, w, noise):
    betas = torch.as_tensor(BETAS)
    alphas = 1 - betas
    bars = alphas.cumprod(0)
    for t in reversed(range(STEPS)):
        eps = torch.tanh(x @ w)
        mean = (x - betas[t] / torch.sqrt(1 - bars[t]) * eps) / torch.sqrt(alphas[t])
        x = mean + torch.sqrt(betas[t]) * noise[t]
    return x


def ddpm_jax(wrong):
    def run(x, w, noise):
        betas = jnp.asarray(BETAS)
        alphas = 1 - betas
        bars = jnp.cumprod(alphas)
        for t in reversed(range(STEPS)):
            eps = jnp.tanh(x @ w)
            if wrong == "sampler_alpha_for_its_product":
                scale = betas[t] / jnp.sqrt(1 - alphas[t])  # <- sampler_alpha_for_its_product
            else:
                scale = betas[t] / jnp.sqrt(1 - bars[t])
            mean = (x - scale * eps) / jnp.sqrt(alphas[t])
            if wrong == "sampler_variance_for_deviation":
                x = mean + betas[t] * noise[t]  # <- sampler_variance_for_deviation
            else:
                x = mean + jnp.sqrt(betas[t]) * noise[t]
        return x

    return run


for name in ("sampler_alpha_for_its_product", "sampler_variance_for_deviation"):
    mistake(name, ddpm_jax(name), ddpm_torch, DIFFUSION)

FLOW = {"x": (3, 5), "w": (5, 5)}


def heun_torch(x, w):
    dt = 0.2
    for _ in range(3):
        d = torch.tanh(x @ w) - x
        d2 = torch.tanh((x + dt * d) @ w) - (x + dt * d)
        x = x + dt * (d + d2) / 2
    return x


def heun_jax(x, w):
    dt = 0.2
    for _ in range(3):
        d = jnp.tanh(x @ w) - x
        d2 = jnp.tanh((x + dt * d) @ w) - x  # <- sampler_second_slope_at_the_start
        x = x + dt * (d + d2) / 2
    return x


mistake("sampler_second_slope_at_the_start", heun_jax, heun_torch, FLOW)


def guided_torch(x, w):
    free, given = torch.sin(x @ w), torch.cos(x @ w)
    eps = free + 3.0 * (given - free)
    return (x - 0.4 * eps) / 0.9


def guided_jax(x, w):
    free, given = jnp.sin(x @ w), jnp.cos(x @ w)
    eps = given + 3.0 * (given - free)  # <- sampler_guidance_from_the_wrong_end
    return (x - 0.4 * eps) / 0.9


mistake("sampler_guidance_from_the_wrong_end", guided_jax, guided_torch, FLOW)


# --- steps of optimizers ---

UPDATE = {"p": (6,), "g": (3, 6)}


def with_torch(make):
    def run(p, g):
        p = torch.nn.Parameter(p.detach().clone())
        optimizer = make([p])
        for gt in g:
            p.grad = gt.clone()
            optimizer.step()
        return p.detach()

    return run


def adam_jax(wrong):
    def run(p, g):
        m = v = jnp.zeros_like(p)
        for t, gt in enumerate(g, 1):
            if wrong == "step_decay_in_the_gradient":
                gt = gt + 0.05 * p  # <- step_decay_in_the_gradient
            m = 0.9 * m + 0.1 * gt
            if wrong == "step_second_moment_not_squared":
                v = 0.999 * v + 0.001 * jnp.abs(gt)  # <- step_second_moment_not_squared
            else:
                v = 0.999 * v + 0.001 * gt**2
            m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
            if wrong == "step_eps_inside_the_root":
                step = m_hat / jnp.sqrt(v_hat + 1e-4)  # <- step_eps_inside_the_root
            else:
                step = m_hat / (jnp.sqrt(v_hat) + 1e-4)
            if wrong == "step_decay_in_the_gradient":
                p = p - 0.1 * step
            else:
                p = p - 0.1 * step - 0.1 * 0.05 * p
        return p

    return run


for name in (
    "step_decay_in_the_gradient",
    "step_second_moment_not_squared",
    "step_eps_inside_the_root",
):
    mistake(
        name,
        adam_jax(name),
        with_torch(lambda p: torch.optim.AdamW(p, 0.1, eps=1e-4, weight_decay=0.05)),
        UPDATE,
        forward_only=True,
    )


def nesterov_jax(p, g):
    velocity = jnp.zeros_like(p)
    for gt in g:
        velocity = 0.9 * velocity + gt
        p = p - 0.1 * velocity  # <- step_without_looking_ahead
    return p


mistake(
    "step_without_looking_ahead",
    nesterov_jax,
    with_torch(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True)),
    UPDATE,
    forward_only=True,
)


# --- shapes and tables ---

TOKENS = {"table": (7, 4), "w": (4, 7)}


def positions_torch(table, w):
    at = torch.arange(5, dtype=table.dtype)[:, None]
    angle = at / 10000.0 ** (torch.arange(0, 4, 2, dtype=table.dtype) / 4)
    signal = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
    return (table[:5] + signal) @ w


def positions_jax(table, w):
    at = jnp.arange(5, dtype=table.dtype)[:, None]
    angle = at / 10000.0 ** (jnp.arange(0, 4, 2, dtype=table.dtype) / 4)
    signal = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)  # <- table_halves_for_pairs
    return (table[:5] + signal) @ w


mistake("table_halves_for_pairs", positions_jax, positions_torch, TOKENS)
GROUPED = {"q": (2, 4, 3, 5), "k": (2, 2, 3, 5)}


def grouped_torch(q, k):
    return torch.tanh(q @ k.repeat_interleave(2, 1).transpose(-1, -2))


def grouped_jax(q, k):
    return jnp.tanh(q @ jnp.tile(k, (1, 2, 1, 1)).swapaxes(-1, -2))  # <- shape_tiled_for_repeated


mistake("shape_tiled_for_repeated", grouped_jax, grouped_torch, GROUPED)
PATCHES = {"x": (2, 4, 4, 3), "w": (12, 5)}


def patches_torch(x, w):
    x = x.reshape(2, 2, 2, 2, 2, 3).permute(0, 1, 3, 2, 4, 5)  # <- shape_patches_without_exchange
    return F.relu(x.reshape(2, 4, 12) @ w)


def patches_jax(x, w):
    return jax.nn.relu(x.reshape(2, 4, 12) @ w)  # <- shape_patches_without_exchange


mistake("shape_patches_without_exchange", patches_jax, patches_torch, PATCHES)


# --- what a sentence has to say that names the cause, written before any explanation was tried ---

CAUSES = {
    "attention_bias_forgotten": r"only torch adds .*|does not use bias",
    "attention_k_and_v_exchanged": r"\[0, 2, 1\]|exchanged",
    "attention_heads_split_the_other_way": r"interleaved|axes|splits",
    "attention_scale_of_the_model": r"divi.*\b2\b.*3\.46|3\.46.*\b2\b|sqrt\(3\)",
    "attention_mask_keeps_the_next": r"diagonal|shifted by one|one off",
    "attention_not_causal": r"only torch .*mask|is_causal",
    "attention_heads_not_moved_back": r"without (transpos|mov)|axes|transposes",
    "layer_norm_ddof": r"ddof|n - 1|correction|\b5\b.*\b6\b",
    "layer_norm_eps_outside": r"(epsilon|1e-5).*(inside|outside|before|after)",
    "rms_norm_weight_without_one": r"only torch adds 1|shift = 1|x for x \+ y",
    "group_norm_interleaved": r"interleaved|axes|groups",
    "batch_norm_over_the_image_only": r"ax[ei]s.*2, 3.*0, 2, 3|ax[ei]s",
    "block_normalised_after": r"norm.*(before|after|where)",
    "feed_gelu_approximate": r"approximate",
    "feed_silu_for_gelu": r"silu.*gelu|gelu.*silu",
    "feed_residual_of_the_norm": r"reads",
    "gru_gates_in_another_order": r"\[1, 0, 2\]|exchanged",
    "gru_reset_before_the_product": r"(mul|product|multipl).*(before|after)",
    "gru_update_turned_round": r"1 - |exchanged|turned round|reads",
    "lstm_forget_bias": r"only jax adds 1|shift = |x for x \+ y",
    "lstm_candidate_by_sigmoid": r"sigmoid.*tanh|tanh.*sigmoid",
    "lstm_output_without_tanh": r"only torch .*tanh|x for tanh",
    "conv_padding_same": r"padding \(1, 1\).*\(0, 1\)|padding \(0, 1\).*\(1, 1\)",
    "conv_bias_after_relu": r"(maximum|relu).*(before|after)",
    "conv_kernel_turned": r"flip|turned",
    "conv_dilated": r"dilation",
    "conv_relu_before_the_sum": r"(maximum|relu).*(before|after)",
    "conv_pooled_by_maximum": r"max.*mean|mean.*max",
    "loss_smoothing_over_the_others": r"divisor = 5|divi.*\b4\b.*\b5\b|1 - ",
    "loss_focal_factor_for_power": r"(square|power|pow).*(2 x|multipl|mul|product)"
    r"|(2 x|multipl|mul|product).*(square|power|pow)",
    "loss_huber_not_scaled": r"only torch (multiplies|scales).*0\.5|factor = 0\.5|x for x y",
    "loss_contrast_normalised_by_columns": r"axis 0.*axis 1|axis 1.*axis 0|axis",
    "loss_kl_of_the_deviation": r"only jax .*(square|pow)|x for (x\^2|a power of x)|exponent = 1",
    "sampler_alpha_for_its_product": r"cumprod|cumulative product|reads",
    "sampler_variance_for_deviation": r"only torch .*(root|sqrt)|x for sqrt",
    "sampler_second_slope_at_the_start": r"reads",
    "sampler_guidance_from_the_wrong_end": r"reads|cos.*sin|sin.*cos",
    "step_decay_in_the_gradient": r"only jax adds|decay",
    "step_second_moment_not_squared": r"abs.*squar|squar.*abs|\|x\|.*squar|abs.*pow",
    "step_eps_inside_the_root": r"(epsilon|1e-4|0\.0001).*(inside|outside|before|after)",
    "step_without_looking_ahead": r"only torch adds|nesterov|reads",
    "table_halves_for_pairs": r"interleaved|axes",
    "shape_tiled_for_repeated": r"interleaved|repeat.*tile|tile.*repeat",
    "shape_patches_without_exchange": r"axes|transposes|without transpos",
}


def mean_of_means(x, y):
    logs = jax.nn.log_softmax(x)
    keep = (y >= 0).astype(x.dtype)
    loss = -jnp.take_along_axis(logs, jnp.maximum(y, 0)[:, None], 1)[:, 0] * keep
    return (loss[:4].sum() / keep[:4].sum() + loss[4:].sum() / keep[4:].sum()) / 2


LUCKY = Pair(
    jax=mean_of_means,
    torch=lambda x, y: F.cross_entropy(x, y, ignore_index=-1),
    inputs=lambda rng: {"x": rng.normal(size=(8, 3)), "y": np.array([1, -1, -1, 0, 0, 2, 2, 1])},
)
"""With these labels two ignored rows moved into the other half make the mean of means the mean."""
