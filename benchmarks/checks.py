"""What a check costs: processor time, against one float32 pass of both sides, and memory.

    python benchmarks/checks.py [tiny] [gpt] [unet] [--layers N] [--pairs N]

`tiny` checks N tiny pairs of different functions in one process and says how the memory grows;
`gpt` is a transformer of N layers (12 are 9.5 million parameters), `unet` a convolutional U-Net of
2 + 2 blocks with cross-attention. Each runs in a process of its own. Ratios hold on any machine.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import parity

HEADS, WIDTH, VOCABULARY, LENGTH = 8, 256, 65, 32


def resident() -> float:
    """Return the process's memory now, in megabytes (on Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak() -> float:
    """Return the process's peak memory so far, in megabytes (on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return weights that keep the size of what they are multiplied with."""
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)


# The models, in the words that both frameworks have.


def layer_norm(xp: ModuleType, x: Any, gain: Any, bias: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred / xp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gain + bias


def attention(xp: ModuleType, softmax: Any, q: Any, k: Any, v: Any, mask: Any = 0.0) -> Any:
    """Attention of (..., length, width) in HEADS heads."""

    def split(x: Any) -> Any:
        return xp.swapaxes(x.reshape(*x.shape[:-1], HEADS, -1), -3, -2)

    q, k, v = split(q), split(k), split(v)
    scores = q @ xp.swapaxes(k, -1, -2) / q.shape[-1] ** 0.5 + mask
    out = xp.swapaxes(softmax(scores, -1) @ v, -3, -2)
    return out.reshape(*out.shape[:-2], -1)


def gpt(xp: ModuleType, softmax: Any, causal: Any) -> Any:
    """A decoder: tokens' embeddings, blocks of attention and MLP before which stands a norm."""

    def forward(p: Any) -> Any:
        x = p["embedding"][p["tokens"]] + p["position"]
        for block in p["blocks"]:
            q, k, v = (layer_norm(xp, x, *block["norm 1"]) @ w for w in block["qkv"])
            x = x + attention(xp, softmax, q, k, v, causal) @ block["out"]
            h = layer_norm(xp, x, *block["norm 2"]) @ block["up"]
            x = x + (h * (xp.tanh(h) + 1)) @ block["down"]
        return layer_norm(xp, x, *p["norm"]) @ p["embedding"].T

    return forward


def gpt_inputs(layers: int, rng: np.random.Generator) -> dict[str, Any]:
    one, zero = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def block() -> dict[str, Any]:
        return {
            "norm 1": [one, zero],
            "qkv": [normal(rng, WIDTH, WIDTH) for _ in range(3)],
            "out": normal(rng, WIDTH, WIDTH),
            "norm 2": [one, zero],
            "up": normal(rng, WIDTH, 4 * WIDTH) / 2,
            "down": normal(rng, 4 * WIDTH, WIDTH),
        }

    return {
        "tokens": rng.integers(0, VOCABULARY, (2, LENGTH)),
        "embedding": normal(rng, VOCABULARY, WIDTH),
        "position": normal(rng, LENGTH, WIDTH),
        "blocks": [block() for _ in range(layers)],
        "norm": [one, zero],
    }


def unet(xp: ModuleType, softmax: Any, conv: Any, pool: Any, grow: Any) -> Any:
    """Two blocks down (32 and 64 channels), cross-attention in the middle, two blocks up."""

    def block(x: Any, w: Any) -> Any:
        return xp.tanh(conv(xp.tanh(conv(x, w["a"])), w["b"])) + conv(x, w["skip"])

    def forward(p: Any) -> Any:
        first = block(p["image"], p["down"][0])
        second = block(pool(first), p["down"][1])
        x = xp.swapaxes(second.reshape(*second.shape[:2], -1), 1, 2)
        q, k, v = x @ p["q"], p["text"] @ p["k"], p["text"] @ p["v"]
        x = x + attention(xp, softmax, q, k, v)
        x = xp.swapaxes(x, 1, 2).reshape(second.shape)
        x = block(xp.concatenate([x, second], 1), p["up"][0])
        return block(xp.concatenate([grow(x), first], 1), p["up"][1])

    return forward


def unet_inputs(rng: np.random.Generator) -> dict[str, Any]:
    def block(c: int, d: int) -> dict[str, Any]:
        return {
            "a": normal(rng, d, c, 3, 3),
            "b": normal(rng, d, d, 3, 3),
            "skip": normal(rng, d, c, 1, 1),
        }

    return {
        "image": normal(rng, 2, 3, 8, 8),
        "text": normal(rng, 2, 7, 64),
        "down": [block(3, 32), block(32, 64)],
        **{name: normal(rng, 64, 64) for name in "qkv"},
        "up": [block(128, 64), block(96, 3)],
    }


def gpt_pair(layers: int) -> parity.Pair:
    import jax
    import jax.numpy as jnp
    import torch

    hidden = np.triu(np.full((LENGTH, LENGTH), -(2.0**20), np.float32), 1)
    return parity.Pair(
        jax=lambda p: gpt(jnp, jax.nn.softmax, jnp.asarray(hidden))(p),
        torch=lambda p: gpt(torch, torch.softmax, torch.tensor(hidden))(p),
        inputs=lambda rng: {"p": gpt_inputs(layers, rng)},
        name=f"GPT of {layers} layers",
    )


def unet_pair() -> parity.Pair:
    import jax
    import jax.numpy as jnp
    import torch
    import torch.nn.functional as F

    def same(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME")

    def halved(x: Any) -> Any:
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))

    return parity.Pair(
        jax=unet(jnp, jax.nn.softmax, same, halved, lambda x: x.repeat(2, 2).repeat(2, 3)),
        torch=unet(
            torch,
            torch.softmax,
            lambda x, w: F.conv2d(x, w, padding="same"),
            lambda x: F.avg_pool2d(x, 2),
            lambda x: F.interpolate(x, scale_factor=2),
        ),
        inputs=lambda rng: {"p": unet_inputs(rng)},
        name="U-Net",
    )


def tiny_pair(i: int) -> parity.Pair:
    """Another function and another shape for every ``i``."""
    import jax.numpy as jnp
    import torch

    def make(xp: ModuleType) -> Any:
        return lambda x, w: xp.tanh((x @ w) * (1 + i / 7)).sum(0) * xp.exp(-x[0, 0])

    shapes = {"x": (3 + i % 5, 2 + i // 5 % 7), "w": (2 + i // 5 % 7, 1 + i % 3)}
    return parity.Pair(jax=make(jnp), torch=make(torch), inputs=shapes, name=f"tiny {i}")


# What is measured.


def one_pass(pair: parity.Pair) -> float:
    """Seconds of processor time for one float32 forward and backward pass of both sides, eager."""
    import jax
    import jax.numpy as jnp
    import torch
    from torch.utils import _pytree

    (p,) = pair.inputs(np.random.default_rng(0)).values()

    def loss(p: Any) -> Any:
        return jnp.sum(pair.jax(p) ** 2)

    gradient = jax.jit(jax.grad(loss, allow_int=True))
    mine = jax.tree.map(jnp.asarray, p)
    jax.block_until_ready(gradient(mine))

    def both() -> None:
        jax.block_until_ready(gradient(mine))
        leaves, kind = _pytree.tree_flatten(p)
        tensors = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in leaves]
        (pair.torch(_pytree.tree_unflatten(tensors, kind)) ** 2).sum().backward()

    both()
    started = time.process_time()
    for _ in range(3):
        both()
    return (time.process_time() - started) / 3


def model(pair: parity.Pair) -> None:
    """Print what one check of a model costs."""
    unit = one_pass(pair)
    before, started, wall = resident(), time.process_time(), time.perf_counter()
    report = parity.check(pair)
    took, waited = time.process_time() - started, time.perf_counter() - wall
    print(
        f"{pair.name}: {report.verdict}; {took:.1f} s of processor time ({waited:.0f} s), "
        f"{took / unit:.0f} passes of {unit * 1e3:.0f} ms; "
        f"memory {before:.0f} MB before, {peak():.0f} MB at its peak"
    )


def tiny(count: int) -> None:
    """Print what tiny pairs cost, and how the process grows."""
    tenth = 0.0
    started = time.process_time()
    for i in range(count):
        assert parity.check(tiny_pair(i)).exit_code() == 0, i
        if i == 9:
            tenth = resident()
        if i % 50 == 49 or i == 9:
            print(f"tiny pair {i + 1}: {resident():.0f} MB", flush=True)
    took = (time.process_time() - started) / count
    print(f"{count} tiny pairs: {took:.2f} s each; {resident() - tenth:+.0f} MB after the tenth")


def main() -> None:
    """Run each asked-for measurement in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", nargs="*", default=["tiny", "gpt", "unet"])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=200)
    options = parser.parse_args()
    if len(options.what) > 1:
        for what in options.what:
            own = [sys.executable, __file__, what, "--layers", str(options.layers)]
            subprocess.run([*own, "--pairs", str(options.pairs)], check=True)
    elif options.what == ["tiny"]:
        tiny(options.pairs)
    else:
        model(gpt_pair(options.layers) if options.what == ["gpt"] else unet_pair())


if __name__ == "__main__":
    main()
