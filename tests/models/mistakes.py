"""Mistakes that porters make, one edit each of an example in examples/models.

Each was written, with what has to be said of it, before any check was run on it, but for the module
of the LSTM's, which a first run had shown.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[2] / "examples" / "models"


class Mistake(NamedTuple):
    """One edit of an example, and what has to be said of it."""

    file: str
    name: str
    old: str
    new: str
    said: tuple[str, ...] = ()
    """Of weights that were converted wrongly: words of the cause, all of them."""
    module: str = ""
    """Of a model that is written otherwise: the innermost module where that begins."""


MISTAKES = [
    Mistake(
        "gpt2",
        "a square transposed",
        "return eqx.tree_at(where, model, state[name])",
        'return eqx.tree_at(where, model, state[name].T if "c_proj" in name else state[name])',
        ("blocks/0/out/weight holds h.0.attn.c_proj.weight [12, 12] transposed", "as it is"),
    ),
    Mistake(
        "gpt2",
        "causal mask off by one",
        "jnp.tril(jnp.ones((len(x), len(x)), bool))",
        "jnp.tril(jnp.ones((len(x), len(x)), bool), 1)",
        module="h.0.attn",
    ),
    Mistake(
        "gpt2",
        "gelu's other form",
        "jax.nn.gelu(jax.vmap(self.up)(jax.vmap(self.ln_2)(x)))",
        "jax.nn.gelu(jax.vmap(self.up)(jax.vmap(self.ln_2)(x)), approximate=False)",
        module="h.0.mlp.1",
    ),
    Mistake(
        "gpt2",
        "scale forgotten",
        'jnp.einsum("qhd,khd->hqk", q, k) / (WIDTH // HEADS) ** 0.5',
        'jnp.einsum("qhd,khd->hqk", q, k)',
        module="h.0.attn",
    ),
    Mistake(
        "lstm",
        "gates in another order",
        "i, f, g, o = jnp.split",
        "i, f, o, g = jnp.split",
        ("cell/kernel", "in the order [0, 1, 3, 2]"),
    ),
    Mistake(
        "lstm",
        "forget gate's bias added",
        "jax.nn.sigmoid(f) * c",
        "jax.nn.sigmoid(f + 1) * c",
        module="lstm",
    ),
    Mistake(
        "lstm",
        "one of two biases forgotten",
        ' + params["b_x"] + params["b_h"]',
        ' + params["b_x"]',
        module="lstm",
    ),
    Mistake(
        "resnet",
        "kernels turned",
        ".permute(2, 3, 1, 0).numpy()",
        ".permute(2, 3, 1, 0).flip(0, 1).numpy()",
        ("conv1/kernel holds conv1.weight", "flipped", "with its kernel turned"),
    ),
    Mistake(
        "resnet",
        "batch norm's epsilon",
        "self.bn1 = nnx.BatchNorm(outer, rngs=rngs)",
        "self.bn1 = nnx.BatchNorm(outer, epsilon=1e-3, rngs=rngs)",
        module="layer1.bn1",
    ),
    Mistake(
        "resnet",
        "padding of a stride of two",
        "stride, padding=pad, use_bias",
        'stride, padding="SAME", use_bias',
        module="layer2.conv1",
    ),
    Mistake(
        "resnet",
        "two norms exchanged",
        'for name in ("conv1", "bn1", "conv2", "bn2"):\n'
        "            load(getattr(model, name), getattr(module, name))",
        'for name in ("conv1", "bn1", "conv2", "bn2"):\n'
        '            other = {"bn1": "bn2", "bn2": "bn1"}.get(name, name)\n'
        "            load(getattr(model, name), getattr(module, other))",
        ("holds layer1.bn2.running_mean", "exchanged"),
    ),
    Mistake(
        "vit",
        "heads merged wrongly",
        ".T.reshape(HEADS, size, WIDTH)",
        ".T.reshape(size, HEADS, WIDTH).swapaxes(0, 1)",
        ("block0/attn/out/kernel holds blocks.0.attn.out_proj.weight",),
    ),
    Mistake(
        "vit",
        "layer norm's epsilon",
        'epsilon=1e-5, use_fast_variance=False, name="norm1"',
        'epsilon=1e-6, use_fast_variance=False, name="norm1"',
        module="blocks.0.norm1",
    ),
    Mistake(
        "vit",
        "queries not transposed",
        '"kernel": weight.T.reshape(WIDTH, HEADS, size)',
        '"kernel": (weight if part == "query" else weight.T).reshape(WIDTH, HEADS, size)',
        ("block0/attn/query/kernel holds blocks.0.attn.in_proj_weight [24, 8]",),
    ),
]


def source(file: str) -> str:
    """The source of an example, with one layer for two."""
    text = (FOLDER / f"{file}.py").read_text(encoding="utf-8")
    return text.replace(", LAYERS = 23, 8, 12, 3, 2", ", LAYERS = 23, 8, 12, 3, 1").replace(
        ", LAYERS = 8, 2, 2, 4, 5, 2", ", LAYERS = 8, 2, 2, 4, 5, 1"
    )


def loaded(file: str, text: str, folder: Path):
    """The pair of an example whose source is this text."""
    path = folder / f"{file}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"example_{file}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, file)


def wrong(mistake: Mistake, folder: Path):
    """The pair of an example with one mistake in it."""
    text = source(mistake.file)
    assert text.count(mistake.old) >= 1, mistake.old
    return loaded(mistake.file, text.replace(mistake.old, mistake.new), folder)
