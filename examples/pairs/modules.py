"""Layers of equinox and torch with the same weights: one function each.

equinox keeps a linear layer's weight as torch does, (out, in), and its eps is torch's too.
equinox is needed: `pip install "backprop-parity[examples]"`.
"""

import equinox as eqx
import jax
import torch
import torch.nn.functional as F

from parity import Pair

SHAPES = [(7, 5), (3, 32), (16, 4)]
WIDTH = 6


def pairs(jax, torch, inputs):
    """Return the pair at each shape."""
    return [Pair(jax=jax, torch=torch, inputs=inputs(*shape)) for shape in SHAPES]


def equinox_linear(x, weight, bias):
    """equinox's Linear, made for one example and mapped over the batch."""
    layer = eqx.nn.Linear(weight.shape[1], weight.shape[0], key=jax.random.key(0))
    layer = eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, bias))
    return jax.vmap(layer)(x)


linear = pairs(
    equinox_linear,
    F.linear,
    lambda batch, width: {"x": (batch, width), "weight": (WIDTH, width), "bias": (WIDTH,)},
)


def equinox_layer_norm(x, weight, bias):
    """equinox's LayerNorm, eps 1e-5 as torch's."""
    layer = eqx.nn.LayerNorm(x.shape[-1])
    layer = eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, bias))
    return jax.vmap(layer)(x)


def torch_layer_norm(x, weight, bias):
    """torch's, as the module that a model would hold."""
    layer = torch.nn.LayerNorm(x.shape[-1], dtype=x.dtype)
    return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, x)


layer_norm = pairs(
    equinox_layer_norm,
    torch_layer_norm,
    lambda batch, width: {"x": (batch, width), "weight": (width,), "bias": (width,)},
)
