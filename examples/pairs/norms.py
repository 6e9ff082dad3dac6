"""Normalisation layers: defaults differ (eps, layout, which variance), and so does accuracy.

flax is needed: `pip install "backprop-parity[examples]"`.
"""

import flax.linen as nn
import jax.numpy as jnp
import torch
import torch.nn.functional as F

from parity import Pair

ROWS = [(7, 5), (3, 32), (2, 4, 10)]
IMAGES = [(2, 4, 5, 5), (3, 6, 4, 2), (1, 8, 3, 3)]


def layer_norm(**options):
    """Return flax's LayerNorm as a function of x, weight and bias."""

    def run(x, weight, bias):
        layer = nn.LayerNorm(dtype=x.dtype, param_dtype=x.dtype, **options)
        return layer.apply({"params": {"scale": weight, "bias": bias}}, x)

    return run


def torch_layer_norm(x, weight, bias):
    """torch's, eps 1e-5."""
    return F.layer_norm(x, x.shape[-1:], weight, bias)


def affine(shape):
    """x, weight and bias."""
    return {"x": shape, "weight": shape[-1:], "bias": shape[-1:]}


def small(shape):
    """x of size 1e-3, where eps is as large as the variance."""

    def inputs(rng):
        width = shape[-1]
        return {
            "x": rng.normal(size=shape) * 1e-3,
            "weight": rng.normal(size=width),
            "bias": rng.normal(size=width),
        }

    return inputs


def far(shape):
    """x about 1000, where E[x^2] - E[x]^2 cancels."""

    def inputs(rng):
        width = shape[-1]
        return {
            "x": rng.normal(size=shape) + 1000,
            "weight": rng.normal(size=width),
            "bias": rng.normal(size=width),
        }

    return inputs


def pairs(jax, torch, inputs, shapes=ROWS):
    """Return the pair at each shape."""
    return [Pair(jax=jax, torch=torch, inputs=inputs(shape)) for shape in shapes]


# flax's eps is 1e-6, torch's 1e-5: convention
layer_norm_defaults = pairs(layer_norm(), torch_layer_norm, affine)
layer_norm_small = pairs(layer_norm(), torch_layer_norm, small)
layer_norm_same_eps = pairs(layer_norm(epsilon=1e-5), torch_layer_norm, affine)

# flax's fast variance loses the digits that torch keeps: less accurate
layer_norm_far = pairs(layer_norm(epsilon=1e-5), torch_layer_norm, far)
layer_norm_far_slow = pairs(
    layer_norm(epsilon=1e-5, use_fast_variance=False), torch_layer_norm, far
)


def rms_norm(x, weight):
    """flax's, epsilon 1e-6."""
    layer = nn.RMSNorm(dtype=x.dtype, param_dtype=x.dtype)
    return layer.apply({"params": {"scale": weight}}, x)


# torch's eps is the dtype's: convention
rms_norm_defaults = pairs(
    rms_norm,
    lambda x, weight: F.rms_norm(x, x.shape[-1:], weight),
    lambda shape: {"x": shape, "weight": shape[-1:]},
)


def group_norm(**options):
    """Return flax's GroupNorm in two groups; flax has the channels last, torch second."""

    def run(x, weight, bias):
        layer = nn.GroupNorm(num_groups=2, dtype=x.dtype, param_dtype=x.dtype, **options)
        last = jnp.moveaxis(x, 1, -1)
        normed = layer.apply({"params": {"scale": weight, "bias": bias}}, last)
        return jnp.moveaxis(normed, -1, 1)

    return run


def channels(shape):
    """x, and a weight and a bias for each channel."""
    return {"x": shape, "weight": shape[1:2], "bias": shape[1:2]}


def torch_group_norm(x, weight, bias):
    """torch's in two groups."""
    return F.group_norm(x, 2, weight, bias)


# eps again: convention
group_norm_defaults = pairs(group_norm(), torch_group_norm, channels, IMAGES)
group_norm_same_eps = pairs(group_norm(epsilon=1e-5), torch_group_norm, channels, IMAGES)


def batch_norm(x, weight, bias):
    """Return flax's BatchNorm in training: its output and its new running variance."""
    layer = nn.BatchNorm(
        use_running_average=False, momentum=0.9, dtype=x.dtype, param_dtype=x.dtype
    )
    width = x.shape[-1]
    variables = {
        "params": {"scale": weight, "bias": bias},
        "batch_stats": {"mean": jnp.zeros(width, x.dtype), "var": jnp.ones(width, x.dtype)},
    }
    out, state = layer.apply(variables, x, mutable=["batch_stats"])
    return out, state["batch_stats"]["var"]


def torch_batch_norm(x, weight, bias):
    """Return torch's batch norm in training: its output and its new running variance."""
    mean, var = torch.zeros_like(bias), torch.ones_like(bias)
    return F.batch_norm(x, mean, var, weight, bias, training=True), var


BATCHES = [(7, 5), (8, 3), (33, 16)]

batch_norm_output = pairs(
    lambda *inputs: batch_norm(*inputs)[0],
    lambda *inputs: torch_batch_norm(*inputs)[0],
    affine,
    BATCHES,
)

# torch keeps the unbiased variance, flax the biased one: convention
batch_norm_running_var = [
    Pair(
        jax=lambda *inputs: batch_norm(*inputs)[1],
        torch=lambda *inputs: torch_batch_norm(*inputs)[1],
        inputs=affine(shape),
        forward_only=True,
    )
    for shape in BATCHES
]

# torch divides by n - 1, JAX by n: convention
variance = pairs(lambda x: jnp.var(x, 0), lambda x: x.var(0), lambda shape: {"x": shape}, BATCHES)
deviation = pairs(lambda x: jnp.std(x, 0), lambda x: x.std(0), lambda shape: {"x": shape}, BATCHES)
