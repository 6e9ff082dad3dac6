"""Mistakes that porters make, ten of each example in examples/models.

Each was written, with what has to be said of it, before any check was run on it, but for the module
of the LSTM's first three, which a first run had shown. `cause` was written before any cause was
looked for.
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
    cause: str = ""
    """Of a model that is written otherwise: a pattern, which a right cause has in it."""
    also: tuple[tuple[str, str], ...] = ()
    """Further edits that the same mistake takes."""


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
        cause=r"diagonal|mask|<=|tril",
    ),
    Mistake(
        "gpt2",
        "gelu's other form",
        "jax.nn.gelu(jax.vmap(self.up)(jax.vmap(self.ln_2)(x)))",
        "jax.nn.gelu(jax.vmap(self.up)(jax.vmap(self.ln_2)(x)), approximate=False)",
        module="h.0.mlp.1",
        cause=r"approximate|tanh|gelu",
    ),
    Mistake(
        "gpt2",
        "scale forgotten",
        'jnp.einsum("qhd,khd->hqk", q, k) / (WIDTH // HEADS) ** 0.5',
        'jnp.einsum("qhd,khd->hqk", q, k)',
        module="h.0.attn",
        cause=r"multipl|divi|factor|scale|sqrt",
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
        cause=r"adds? .*1|\b1\b|shifted",
    ),
    Mistake(
        "lstm",
        "one of two biases forgotten",
        ' + params["b_x"] + params["b_h"]',
        ' + params["b_x"]',
        module="lstm",
        cause=r"bias_hh|does not use|b_h",
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
        "self.bn1 = nnx.BatchNorm(outer, momentum=0.9, rngs=rngs)",
        "self.bn1 = nnx.BatchNorm(outer, momentum=0.9, epsilon=1e-3, rngs=rngs)",
        module="layer1.bn1",
        cause=r"eps|0\.001|1e-0?3",
    ),
    Mistake(
        "resnet",
        "padding of a stride of two",
        "stride, padding=pad, use_bias",
        'stride, padding="SAME", use_bias',
        module="layer2.conv1",
        cause=r"pad",
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
        cause=r"eps|1e-0?6",
    ),
    Mistake(
        "vit",
        "queries not transposed",
        '"kernel": weight.T.reshape(WIDTH, HEADS, size)',
        '"kernel": (weight if part == "query" else weight.T).reshape(WIDTH, HEADS, size)',
        ("block0/attn/query/kernel holds blocks.0.attn.in_proj_weight [24, 8]",),
    ),
    Mistake(
        "gpt2",
        "layer norm's epsilon, of one",
        "self.ln_1, self.ln_2 = eqx.nn.LayerNorm(WIDTH),",
        "self.ln_1, self.ln_2 = eqx.nn.LayerNorm(WIDTH, eps=1e-6),",
        module="h.0.ln_1",
        cause=r"eps|1e-0?6",
    ),
    Mistake(
        "gpt2",
        "heads merged wrongly",
        '"hqk,khd->qhd", weights, v).reshape(len(x), WIDTH)',
        '"hqk,khd->hqd", weights, v).reshape(len(x), WIDTH)',
        module="h.0.attn",
        cause=r"axes|axis|transpos|order|swap",
    ),
    Mistake(
        "gpt2",
        "a tied embedding untied",
        "jax.vmap(self.norm)(x) @ self.tokens.T",
        "jax.vmap(self.norm)(x) @ self.head",
        ("head holds numbers of its own", "wte.weight, which torch ties to lm_head.weight"),
        also=(
            ("    positions: jax.Array\n", "    positions: jax.Array\n    head: jax.Array\n"),
            (
                "        self.norm = eqx.nn.LayerNorm(WIDTH)\n",
                "        self.norm = eqx.nn.LayerNorm(WIDTH)\n"
                "        self.head = jax.random.normal(keys[0], (WIDTH, VOCABULARY))\n",
            ),
        ),
    ),
    Mistake(
        "gpt2",
        "stop_gradient left in",
        "x = self.tokens[ids] + ",
        "x = jax.lax.stop_gradient(self.tokens[ids]) + ",
        module="wte",
        cause=r"detaches|stops|stop_gradient",
    ),
    Mistake(
        "gpt2",
        "what is added is taken after the norm",
        "x = x + self.attention(jax.vmap(self.ln_1)(x))",
        "x = jax.vmap(self.ln_1)(x)\n        x = x + self.attention(x)",
        module="h.0",
        cause=r"adds?\b|reads",
    ),
    Mistake(
        "gpt2",
        "positions counted from one",
        "self.positions[: len(ids)]",
        "self.positions[1 : len(ids) + 1]",
        module="(the whole)",
        cause=r"wpe|positions|row|slice|shift|start",
    ),
    Mistake(
        "lstm",
        "input and state joined in the other order",
        "jnp.concatenate([x, h], -1)",
        "jnp.concatenate([h, x], -1)",
        module="lstm",
        cause=r"order|joined|put together|concat|exchanged",
    ),
    Mistake(
        "lstm",
        "no tanh of the cell",
        "jax.nn.sigmoid(o) * jnp.tanh(c)",
        "jax.nn.sigmoid(o) * c",
        module="lstm",
        cause=r"tanh",
    ),
    Mistake(
        "lstm",
        "a first state of ones",
        "start = jnp.zeros(",
        "start = jnp.ones(",
        module="lstm",
        cause=r"\b[01]\b|ones|zeros",
    ),
    Mistake(
        "lstm",
        "the candidate's activation",
        "jax.nn.sigmoid(i) * jnp.tanh(g)",
        "jax.nn.sigmoid(i) * jax.nn.sigmoid(g)",
        module="lstm",
        cause=r"(sigmoid|logistic).*tanh|tanh.*(sigmoid|logistic)",
    ),
    Mistake(
        "lstm",
        "read backwards",
        "(start, start), x.swapaxes(0, 1)\n",
        "(start, start), x.swapaxes(0, 1), reverse=True\n",
        module="lstm",
        cause=r"revers|flip|backward|other order",
    ),
    Mistake(
        "lstm",
        "stop_gradient left in",
        "    return (h, c), h",
        "    return (jax.lax.stop_gradient(h), c), h",
        module="lstm",
        cause=r"detaches|stops|stop_gradient",
    ),
    Mistake(
        "lstm",
        "the cell of the step before",
        "    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)\n"
        "    h = jax.nn.sigmoid(o) * jnp.tanh(c)\n"
        "    return (h, c), h",
        "    new = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)\n"
        "    h = jax.nn.sigmoid(o) * jnp.tanh(c)\n"
        "    return (h, new), h",
        module="lstm",
        cause=r"reads|before|tanh of",
    ),
    Mistake(
        "resnet",
        "activation before the addition",
        "nnx.silu(self.bn2(self.conv2(x)) + short)",
        "nnx.silu(self.bn2(self.conv2(x))) + short",
        module="layer1",
        cause=r"adds?\b|silu|reads|order",
    ),
    Mistake(
        "resnet",
        "shortcut without its norm",
        "self.short[1](self.short[0](x))",
        "self.short[0](x)",
        module="layer2.downsample.1",
        cause=r"downsample\.1|batch_norm|norm",
    ),
    Mistake(
        "resnet",
        "stop_gradient left in",
        "nnx.silu(self.bn2(self.conv2(x)) + short)",
        "nnx.silu(self.bn2(self.conv2(x)) + jax.lax.stop_gradient(short))",
        module="layer1",
        cause=r"detaches|stops|stop_gradient",
        also=(("import jax.numpy as jnp", "import jax\nimport jax.numpy as jnp"),),
    ),
    Mistake(
        "resnet",
        "the largest for the mean",
        "x.mean((1, 2))",
        "x.max((1, 2))",
        module="(the whole)",
        cause=r"\bmax|\bmean",
    ),
    Mistake(
        "resnet",
        "standard deviation for variance",
        "module.running_var.numpy()",
        "module.running_var.sqrt().numpy()",
        ("holds numbers of its own", "running_var"),
    ),
    Mistake(
        "resnet",
        "momentum of batch norm",
        "self.bn1 = nnx.BatchNorm(outer, momentum=0.9, rngs=rngs)",
        "self.bn1 = nnx.BatchNorm(outer, momentum=0.1, rngs=rngs)",
        module="layer1.bn1",
        cause=r"momentum|\b0\.[19]\b",
        also=(("module.eval()", "module.train()"), ("model.eval()", "model.train()")),
    ),
    Mistake(
        "vit",
        "gelu's other form",
        "approximate=False)",
        "approximate=True)",
        module="blocks.0",
        cause=r"approximate|tanh|gelu",
    ),
    Mistake(
        "vit",
        "queries scaled twice",
        '"kernel": weight.T.reshape(WIDTH, HEADS, size)',
        '"kernel": weight.T.reshape(WIDTH, HEADS, size) / (size**0.5 if part == "query" else 1)',
        ("block0/attn/query/kernel",),
    ),
    Mistake(
        "vit",
        "class token last",
        "jnp.concatenate([jnp.tile(token, (len(x), 1, 1)), x], 1)",
        "jnp.concatenate([x, jnp.tile(token, (len(x), 1, 1))], 1)",
        module="(the whole)",
        cause=r"order|put together|joined|concat|cat\b",
    ),
    Mistake(
        "vit",
        "stop_gradient left in",
        "x], 1) + positions",
        "x], 1) + jax.lax.stop_gradient(positions)",
        module="(the whole)",
        cause=r"detaches|stops|stop_gradient",
        also=(("import jax.numpy as jnp", "import jax\nimport jax.numpy as jnp"),),
    ),
    Mistake(
        "vit",
        "mean of the tokens for the first",
        'name="head")(x[:, 0])',
        'name="head")(x.mean(1))',
        module="(the whole)",
        cause=r"mean|sum|slice|select|first",
    ),
    Mistake(
        "vit",
        "patches in columns",
        "x = x.reshape(len(x), -1, WIDTH)",
        "x = x.swapaxes(1, 2).reshape(len(x), -1, WIDTH)",
        module="(the whole)",
        cause=r"axes|axis|order|transpos|swap",
    ),
    Mistake(
        "vit",
        "last norm left out",
        '        x = fnn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm")(x)\n',
        "",
        module="norm",
        cause=r"norm",
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
    for old, new in ((mistake.old, mistake.new), *mistake.also):
        assert old in text, old
        text = text.replace(old, new)
    return loaded(mistake.file, text, folder)
