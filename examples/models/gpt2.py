"""A small GPT-2 in torch and in equinox: tied head, one fused matrix for queries, keys, values.

equinox is needed: `pip install "backprop-parity[examples]"`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import parity

VOCABULARY, CONTEXT, WIDTH, HEADS, LAYERS = 23, 8, 12, 3, 2


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self):
        super().__init__()
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH)
        self.c_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = self.c_attn(x).split(WIDTH, -1)
        q, k, v = (z.unflatten(-1, (HEADS, -1)).transpose(1, 2) for z in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(out.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a perceptron, each after a layer norm and added to what goes in."""

    def __init__(self):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(WIDTH), Attention()
        self.ln_2 = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU("tanh"), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """Token numbers to logits."""

    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.h = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, ids):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.h:
            x = block(x)
        return {"logits": self.lm_head(self.ln_f(x)), "cache": None}


class JaxBlock(eqx.Module):
    """The same block, for one sequence."""

    ln_1: eqx.nn.LayerNorm
    ln_2: eqx.nn.LayerNorm
    qkv: eqx.nn.Linear
    out: eqx.nn.Linear
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 4)
        self.ln_1, self.ln_2 = eqx.nn.LayerNorm(WIDTH), eqx.nn.LayerNorm(WIDTH)
        self.qkv = eqx.nn.Linear(WIDTH, 3 * WIDTH, key=keys[0])
        self.out = eqx.nn.Linear(WIDTH, WIDTH, key=keys[1])
        self.up = eqx.nn.Linear(WIDTH, 4 * WIDTH, key=keys[2])
        self.down = eqx.nn.Linear(4 * WIDTH, WIDTH, key=keys[3])

    def attention(self, x):
        q, k, v = jnp.split(jax.vmap(self.qkv)(x), 3, -1)
        q, k, v = (z.reshape(len(x), HEADS, -1) for z in (q, k, v))
        scores = jnp.einsum("qhd,khd->hqk", q, k) / (WIDTH // HEADS) ** 0.5
        causal = jnp.tril(jnp.ones((len(x), len(x)), bool))
        weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
        out = jnp.einsum("hqk,khd->qhd", weights, v).reshape(len(x), WIDTH)
        return jax.vmap(self.out)(out)

    def __call__(self, x):
        x = x + self.attention(jax.vmap(self.ln_1)(x))
        h = jax.nn.gelu(jax.vmap(self.up)(jax.vmap(self.ln_2)(x)))
        return x + jax.vmap(self.down)(h)


class JaxGPT2(eqx.Module):
    """The same model, for one sequence."""

    tokens: jax.Array
    positions: jax.Array
    blocks: list
    norm: eqx.nn.LayerNorm

    def __init__(self, key):
        keys = jax.random.split(key, LAYERS + 2)
        self.tokens = jax.random.normal(keys[0], (VOCABULARY, WIDTH))
        self.positions = jax.random.normal(keys[1], (CONTEXT, WIDTH))
        self.blocks = [JaxBlock(key) for key in keys[2:]]
        self.norm = eqx.nn.LayerNorm(WIDTH)

    def __call__(self, ids):
        x = self.tokens[ids] + self.positions[: len(ids)]
        for block in self.blocks:
            x = block(x)
        return {"logits": jax.vmap(self.norm)(x) @ self.tokens.T, "cache": None}


def converted(module):
    """Return the equinox model with a torch module's weights."""
    state = {name: jnp.asarray(x.detach().numpy()) for name, x in module.named_parameters()}
    model = JaxGPT2(jax.random.key(0))

    def take(model, where, name):
        return eqx.tree_at(where, model, state[name])

    model = take(model, lambda m: m.tokens, "wte.weight")
    model = take(model, lambda m: m.positions, "wpe.weight")
    layers = {"qkv": "attn.c_attn", "out": "attn.c_proj", "up": "mlp.0", "down": "mlp.2"}
    for i in range(LAYERS):
        for ours, theirs in (layers | {"ln_1": "ln_1", "ln_2": "ln_2"}).items():
            for part in ("weight", "bias"):
                model = take(
                    model,
                    lambda m, i=i, ours=ours, part=part: getattr(getattr(m.blocks[i], ours), part),
                    f"h.{i}.{theirs}.{part}",
                )
    return model


torch.manual_seed(0)
module = GPT2().eval()
model = converted(module)

gpt2 = parity.Pair(
    jax=parity.Model(lambda model, ids: jax.vmap(model)(ids), model),
    torch=module,
    inputs={"ids": np.random.default_rng(0).integers(0, VOCABULARY, (2, 7))},
)
