"""A detach put in or left out in a transformer block: the right line, on the side that has it."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as F
from jax import lax

import parity
from parity import Pair, Rule
from parity.trial.trial import Trial
from parity.why.detached import detached
from tests.shared.sampled import few

E, HEADS = 6, 2
BLOCK = {
    "x": (2, 3, E),
    "g": (E,),
    "qkv": (3 * E, E),
    "proj": (E, E),
    "up": (8, E),
    "down": (E, 8),
}


def block_torch(*cut):
    def run(x, g, qkv, proj, up, down):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        scale = scale.detach() if 0 in cut else scale  # <- torch 0
        h = x * scale * g
        h = h.detach() if 1 in cut else h  # <- torch 1
        q, k, v = (h @ qkv.T).chunk(3, -1)
        k = k.detach() if 2 in cut else k  # <- torch 2
        v = v.detach() if 3 in cut else v  # <- torch 3
        q, k, v = (t.view(2, 3, HEADS, -1).transpose(1, 2) for t in (q, k, v))
        a = torch.softmax(q @ k.transpose(-1, -2) / 3**0.5, -1)
        a = a.detach() if 4 in cut else a  # <- torch 4
        y = (a @ v).transpose(1, 2).reshape(2, 3, E) @ proj.T
        y = y.detach() if 5 in cut else y  # <- torch 5
        short = x.detach() if 6 in cut else x  # <- torch 6
        x = short + y
        u = F.silu(x @ up.T)
        u = u.detach() if 7 in cut else u  # <- torch 7
        gate = torch.sigmoid(x)
        gate = gate.detach() if 8 in cut else gate  # <- torch 8
        out = x + gate * (u @ down.T)
        return out, (out.detach() if 9 in cut else out).square().mean()  # <- torch 9

    return run


def block_jax(*cut):
    def run(x, g, qkv, proj, up, down):
        scale = lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)
        scale = lax.stop_gradient(scale) if 0 in cut else scale  # <- jax 0
        h = x * scale * g
        h = lax.stop_gradient(h) if 1 in cut else h  # <- jax 1
        q, k, v = jnp.split(h @ qkv.T, 3, -1)
        k = lax.stop_gradient(k) if 2 in cut else k  # <- jax 2
        v = lax.stop_gradient(v) if 3 in cut else v  # <- jax 3
        q, k, v = (t.reshape(2, 3, HEADS, -1).transpose(0, 2, 1, 3) for t in (q, k, v))
        a = jax.nn.softmax(q @ k.swapaxes(-1, -2) / 3**0.5, -1)
        a = lax.stop_gradient(a) if 4 in cut else a  # <- jax 4
        y = (a @ v).transpose(0, 2, 1, 3).reshape(2, 3, E) @ proj.T
        y = lax.stop_gradient(y) if 5 in cut else y  # <- jax 5
        short = lax.stop_gradient(x) if 6 in cut else x  # <- jax 6
        x = short + y
        u = jax.nn.silu(x @ up.T)
        u = lax.stop_gradient(u) if 7 in cut else u  # <- jax 7
        gate = jax.nn.sigmoid(x)
        gate = lax.stop_gradient(gate) if 8 in cut else gate  # <- jax 8
        out = x + gate * (u @ down.T)
        return out, jnp.mean((lax.stop_gradient(out) if 9 in cut else out) ** 2)  # <- jax 9

    return run


def line(mark):
    lines = Path(__file__).read_text().splitlines()
    number = next(n for n, text in enumerate(lines, 1) if re.search(rf"# <- {mark}$", text))
    return f"test_detached.py:{number}"


def said(pair):
    """Return what is said of the gradients, which are not judged here."""
    trial = Trial(pair, 0, ("float64",))
    cause = detached(trial.legs, trial.solved)
    return cause.sentence if cause is not None else ""


PUT_IN = [(side, place) for side in ("torch", "jax") for place in range(10)]


@pytest.mark.parametrize(("side", "place"), few(PUT_IN))
def test_a_detach_of_one_side_is_placed(side, place):
    cut = {"torch": (), "jax": ()} | {side: (place,)}
    pair = Pair(jax=block_jax(*cut["jax"]), torch=block_torch(*cut["torch"]), inputs=BLOCK)
    verb = "detaches a value" if side == "torch" else "stops a gradient"
    assert said(pair).startswith(f"{side} {verb} at {line(f'{side} {place}')}; once it passes")


@pytest.mark.full
def test_it_is_in_the_first_line():
    pair = Pair(jax=block_jax(), torch=block_torch(4), inputs=BLOCK)
    report = parity.check(pair, dtypes=("float64",))
    assert f"torch detaches a value at {line('torch 4')}" in report.summary()


@pytest.mark.full
@pytest.mark.parametrize("place", range(10))
def test_one_left_out_of_two_is_placed(place):
    other = 8 if place != 8 else 7
    pair = Pair(jax=block_jax(other), torch=block_torch(place, other), inputs=BLOCK)
    assert said(pair).startswith(f"torch detaches a value at {line(f'torch {place}')}; once it")


@pytest.mark.full
def test_a_wrong_rule_is_no_detach():
    def backward(residual, dout):
        return (2 * dout,)

    wrong = Rule(lambda x: (lax.stop_gradient(x) + jnp.sin(x), None), backward)
    pair = Pair(jax=wrong, torch=lambda x: x.detach() + torch.sin(x), inputs={"x": (3,)})
    assert said(pair) == ""


def test_a_wrong_rule_beside_a_softmax_is_no_detach():
    """softmax holds back its maximum's gradient, and differs in nothing once it is passed on."""
    right = Rule(
        lambda x: (torch.softmax(x, -1), torch.softmax(x, -1)),
        lambda p, dout: (p * (dout - (dout * p).sum(-1, keepdim=True)) * 2,),
    )
    pair = Pair(jax=lambda x: jax.nn.softmax(x, -1), torch=right, inputs={"x": (2, 3)})
    assert said(pair) == ""
