"""Later mistakes of ports: convolutions and losses.

As further_ports.py, whose tables they are put into; written before any check was run on them.
"""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from jax import lax

from tests.shared.further_ports import mistake, right

# --- convolutions ---

DEEP = {"x": (2, 5, 5, 3), "w": (3, 3, 3, 2)}


def depthwise_jax(wrong):
    def run(x, w):
        w = w.swapaxes(2, 3) if wrong else w
        y = lax.conv_general_dilated(  # <- depthwise_multiplier_first
            x, w.reshape(3, 3, 1, 6), (1, 1), "VALID", feature_group_count=3,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        return jax.nn.relu(y)

    return run


def depthwise_torch(x, w):
    w = w.permute(2, 3, 0, 1).reshape(6, 1, 3, 3)
    y = F.conv2d(x.permute(0, 3, 1, 2), w, groups=3)  # <- depthwise_multiplier_first
    return y.permute(0, 2, 3, 1).relu()


mistake("depthwise_multiplier_first", depthwise_jax(True), depthwise_torch, DEEP,
        r"ax[ei]s|order|interleaved|only jax transposes|elements \d apart")  # fmt: skip
right("depthwise", depthwise_jax(False), depthwise_torch, DEEP)
SHUFFLE = {"x": (2, 3, 4, 8), "w": (8, 8)}


def shuffle_jax(wrong):
    def run(x, w):
        n, h, k, c = x.shape
        y = x @ w
        if wrong:
            y = y.reshape(n, h, k, 2, 2, c // 4)  # <- pixels_before_channels
            y = y.transpose(0, 1, 3, 2, 4, 5)
        else:
            y = y.reshape(n, h, k, c // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        return jnp.tanh(y.reshape(n, 2 * h, 2 * k, c // 4))

    return run


def shuffle_torch(x, w):
    y = F.pixel_shuffle((x @ w).permute(0, 3, 1, 2), 2)  # <- pixels_before_channels
    return torch.tanh(y.permute(0, 2, 3, 1))


mistake("pixels_before_channels", shuffle_jax(True), shuffle_torch, SHUFFLE,
        r"ax[ei]s|order|interleaved|elements \d apart")  # fmt: skip
right("pixel_shuffle", shuffle_jax(False), shuffle_torch, SHUFFLE)


def resized_torch(x):
    y = F.interpolate(x, (8, 6), mode="bilinear", align_corners=True)  # <- resized_by_the_corners
    return torch.tanh(y)


def resized_jax(x):
    y = jax.image.resize(x, (2, 3, 8, 6), "linear")  # <- resized_by_the_corners
    return jnp.tanh(y)


mistake("resized_by_the_corners", resized_jax, resized_torch, {"x": (2, 3, 4, 3)},
        r"align_corners")  # fmt: skip


def pooled_jax(x):
    y = lax.reduce_window(x, 0.0, lax.add, (1, 1, 3, 3), (1, 1, 2, 2),
                          ((0, 0), (0, 0), (1, 1), (1, 1)))  # fmt: skip
    return jnp.sin(y / 9)  # <- pooled_with_the_padding


def pooled_torch(counted):
    return lambda x: torch.sin(F.avg_pool2d(  # <- pooled_with_the_padding
        x, 3, 2, 1, count_include_pad=counted))  # fmt: skip


mistake("pooled_with_the_padding", pooled_jax, pooled_torch(False), {"x": (2, 3, 5, 6)},
        r"count_include_pad|divides")  # fmt: skip
right("pooled", pooled_jax, pooled_torch(True), {"x": (2, 3, 5, 6)})


def raised_jax(low, high):
    def run(x, w):
        y = lax.conv_general_dilated(  # <- output_padded_before
            x, w[::-1], (1,), [(low, high)], lhs_dilation=(2,),
            dimension_numbers=("NHC", "HOI", "NHC"),
        )  # fmt: skip
        return jax.nn.softplus(y)

    return run


def raised_torch(x, w):
    y = F.conv_transpose1d(x.mT, w.permute(2, 1, 0), stride=2, padding=1, output_padding=1)
    return F.softplus(y.mT)


UP = {"x": (2, 4, 3), "w": (3, 2, 3)}
mistake("output_padded_before", raised_jax(2, 1), raised_torch, UP, r"padding|pads")
right("raised", raised_jax(1, 2), raised_torch, UP)

# --- losses ---

THREE = {"a": (5, 4), "p": (5, 4), "n": (5, 4)}


def triplet_torch(a, p, n):
    return F.triplet_margin_loss(a, p, n, margin=2.0, eps=0.0)


def triplet_jax(wrong):
    def run(a, p, n):
        near, far = jnp.sum((a - p) ** 2, -1), jnp.sum((a - n) ** 2, -1)  # <- triplet_of_squares
        if not wrong:
            near, far = jnp.sqrt(near), jnp.sqrt(far)
        return jnp.mean(jnp.maximum(near - far + 2.0, 0))  # <- triplet_of_squares

    return run


mistake("triplet_of_squares", triplet_jax(True), triplet_torch, THREE,
        r"only torch takes the (square )?root|sqrt")  # fmt: skip
right("triplet", triplet_jax(False), triplet_torch, THREE)
VIEWS = {"a": (4, 3), "b": (4, 3)}


def views_jax(a, b):
    z = jnp.concatenate([a, b])
    z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    scores = z @ z.T / 0.5
    scores = jnp.where(jnp.eye(8, dtype=bool), -jnp.inf, scores)  # <- views_of_themselves
    target = jnp.roll(jnp.arange(8), 4)
    return -jnp.mean(jax.nn.log_softmax(scores, 1)[jnp.arange(8), target])


def views_torch(wrong):
    def run(a, b):
        z = F.normalize(torch.cat([a, b]), dim=1)
        scores = z @ z.T / 0.5
        if not wrong:
            scores = scores.masked_fill(torch.eye(8, dtype=torch.bool), -torch.inf)
        return F.cross_entropy(scores, torch.arange(8).roll(4))  # <- views_of_themselves

    return run


mistake("views_of_themselves", views_jax, views_torch(True), VIEWS, r"only jax masks|mask")
right("views", views_jax, views_torch(False), VIEWS)
DISTIL = {"s": (6, 5), "t": (6, 5)}


def distilled_torch(s, t):
    soft = (t / 3).softmax(-1)
    return F.kl_div((s / 3).log_softmax(-1), soft, reduction="batchmean") * 9


def distilled_jax(wrong):
    def run(s, t):
        log_p, log_q = jax.nn.log_softmax(t / 3), jax.nn.log_softmax(s / 3)
        terms = jnp.exp(log_p) * (log_p - log_q)
        if wrong:
            return 9 * terms.mean()  # <- distilled_mean_of_all
        return 9 * terms.sum() / len(s)

    return run


mistake("distilled_mean_of_all", distilled_jax(True), distilled_torch, DISTIL,
        r"mean|divides by 30.*by 6|batchmean|reduction|factor")  # fmt: skip
right("distilled", distilled_jax(False), distilled_torch, DISTIL)


def segmented(rng):
    return {"x": rng.normal(size=(3, 4, 4)), "y": rng.integers(0, 2, (3, 4, 4))}


def tversky_torch(x, y):
    p, y = x.sigmoid().flatten(1), y.flatten(1).to(x.dtype)
    hits = (p * y).sum(1)
    false, missed = (p * (1 - y)).sum(1), ((1 - p) * y).sum(1)
    return (1 - (hits + 1) / (hits + 0.3 * false + 0.7 * missed + 1)).mean()


def tversky_jax(x, y):
    p = jax.nn.sigmoid(x)
    hits = jnp.sum(p * y, (1, 2))
    false = jnp.sum(p * (1 - y), (1, 2))
    missed = jnp.sum((1 - p) * y, (1, 2))
    below = hits + 0.7 * false + 0.3 * missed  # <- tversky_weights_exchanged
    return jnp.mean(1 - (hits + 1) / (below + 1))


mistake("tversky_weights_exchanged", tversky_jax, tversky_torch, segmented,
        r"0\.7.*0\.3|0\.3.*0\.7|exchanged|reads")  # fmt: skip
