"""A language model on an LSTM in torch, and in JAX as a function of a dictionary.

The JAX cell has one matrix for input and state, torch has two.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

import parity

VOCABULARY, WIDTH, HIDDEN = 17, 6, 5


class Recurrent(nn.Module):
    """Characters to logits."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.lstm = nn.LSTM(WIDTH, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, ids):
        out, _ = self.lstm(self.embed(ids))
        return self.head(out)


def cell(params, state, x):
    """One step: gates in torch's order, i f g o."""
    h, c = state
    gates = jnp.concatenate([x, h], -1) @ params["kernel"] + params["b_x"] + params["b_h"]
    i, f, g, o = jnp.split(gates, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def apply(params, ids):
    """Return the logits of a batch of sequences."""
    x = params["embed"][ids]
    start = jnp.zeros((len(ids), HIDDEN), x.dtype)
    _, out = jax.lax.scan(
        lambda state, x: cell(params["cell"], state, x), (start, start), x.swapaxes(0, 1)
    )
    return out.swapaxes(0, 1) @ params["head"]["kernel"] + params["head"]["bias"]


def converted(module):
    """Return the dictionary with a torch module's weights."""
    state = {name: x.numpy() for name, x in module.state_dict().items()}
    w_x, w_h = state["lstm.weight_ih_l0"], state["lstm.weight_hh_l0"]
    return {
        "embed": state["embed.weight"],
        "cell": {
            "kernel": np.concatenate([w_x, w_h], 1).T,
            "b_x": state["lstm.bias_ih_l0"],
            "b_h": state["lstm.bias_hh_l0"],
        },
        "head": {"kernel": state["head.weight"].T, "bias": state["head.bias"]},
    }


torch.manual_seed(0)
module = Recurrent()
params = converted(module)

lstm = parity.Pair(
    jax=parity.Model(apply, params),
    torch=module,
    inputs={"ids": np.random.default_rng(0).integers(0, VOCABULARY, (2, 4))},
)
