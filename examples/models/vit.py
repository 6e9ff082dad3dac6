"""A small vision transformer in torch and in flax linen, with the attention of each library.

torch keeps queries, keys and values in one matrix, flax a kernel for each, split into heads.
"""

import flax.linen as fnn
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

import parity

WIDTH, HEADS, PATCH, IMAGE, CLASSES, LAYERS = 8, 2, 2, 4, 5, 2


class Block(nn.Module):
    """Attention and a perceptron, each after a layer norm and added to what goes in."""

    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        h = self.norm1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    """Images to logits, by a class token."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, (IMAGE // PATCH) ** 2 + 1, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, image):
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class JaxBlock(fnn.Module):
    """The same block."""

    @fnn.compact
    def __call__(self, x):
        h = fnn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm1")(x)
        x = x + fnn.MultiHeadDotProductAttention(HEADS, name="attn")(h)
        h = fnn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm2")(x)
        h = fnn.gelu(fnn.Dense(4 * WIDTH, name="fc1")(h), approximate=False)
        return x + fnn.Dense(WIDTH, name="fc2")(h)


class JaxViT(fnn.Module):
    """The same model; images come as torch has them."""

    @fnn.compact
    def __call__(self, image):
        x = jnp.moveaxis(image, 1, -1)
        x = fnn.Conv(WIDTH, (PATCH, PATCH), PATCH, padding="VALID", name="patches")(x)
        x = x.reshape(len(x), -1, WIDTH)
        normal = fnn.initializers.normal()
        token = self.param("token", normal, (1, 1, WIDTH))
        positions = self.param("positions", normal, (1, x.shape[1] + 1, WIDTH))
        x = jnp.concatenate([jnp.tile(token, (len(x), 1, 1)), x], 1) + positions
        for i in range(LAYERS):
            x = JaxBlock(name=f"block{i}")(x)
        x = fnn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm")(x)
        return fnn.Dense(CLASSES, name="head")(x[:, 0])


def linear(state, name):
    """Return a dense layer's parameters."""
    return {"kernel": state[f"{name}.weight"].T, "bias": state[f"{name}.bias"]}


def norm(state, name):
    """Return a layer norm's parameters."""
    return {"scale": state[f"{name}.weight"], "bias": state[f"{name}.bias"]}


def attention(state, name):
    """Return the attention's parameters: heads are axes of their own in flax."""
    size = WIDTH // HEADS
    weights = np.split(state[f"{name}.in_proj_weight"], 3)
    biases = np.split(state[f"{name}.in_proj_bias"], 3)
    found = {}
    for part, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
        found[part] = {
            "kernel": weight.T.reshape(WIDTH, HEADS, size),
            "bias": bias.reshape(HEADS, size),
        }
    out = state[f"{name}.out_proj.weight"].T.reshape(HEADS, size, WIDTH)
    found["out"] = {"kernel": out, "bias": state[f"{name}.out_proj.bias"]}
    return found


def converted(module):
    """Return flax's variables with a torch module's weights."""
    state = {name: x.numpy() for name, x in module.state_dict().items()}
    params = {name: state[name] for name in ("token", "positions")}
    kernel = state["patches.weight"].transpose(2, 3, 1, 0)
    params["patches"] = {"kernel": kernel, "bias": state["patches.bias"]}
    for i in range(LAYERS):
        block = f"blocks.{i}"
        params[f"block{i}"] = {
            "attn": attention(state, f"{block}.attn"),
            **{name: norm(state, f"{block}.{name}") for name in ("norm1", "norm2")},
            **{name: linear(state, f"{block}.{name}") for name in ("fc1", "fc2")},
        }
    params["norm"], params["head"] = norm(state, "norm"), linear(state, "head")
    return {"params": params}


torch.manual_seed(0)
module = ViT().eval()
variables = converted(module)

vit = parity.Pair(jax=(JaxViT(), variables), torch=module, inputs={"image": (2, 3, IMAGE, IMAGE)})
