"""A search over a long program begins where the two part, and ends there if that is it."""

import re

import jax.numpy as jnp
import torch

import parity
from parity.trial.trial import Trial
from parity.why.conventions.near import is_near
from parity.why.conventions.search import explain

NUMBERS = [0.3 + 0.07 * i for i in range(8)]


def long(tanh, x, last):
    for number in NUMBERS:
        x = tanh(x * number) + number / 2
    return tanh(x * last)


def test_a_line_is_near_and_one_that_begins_like_it_is_not():
    assert is_near("gelu at gpt2.py:47 (h.0.mlp.1, GELU)", {"gpt2.py:47"})
    assert not is_near("gelu at gpt2.py:47 (h.0.mlp.1, GELU)", {"gpt2.py:4", "ogpt2.py:47"})
    assert is_near("anything", frozenset())


def test_what_is_at_the_line_is_tried_first():
    pair = parity.Pair(
        jax=lambda x: long(jnp.tanh, x, 0.9),
        torch=lambda x: long(torch.tanh, x, 0.8),
        inputs={"x": (3,)},
        forward_only=True,
    )
    trial = Trial(pair, 0, ("float64",))
    line = f"test_near.py:{long.__code__.co_firstlineno + 3}"
    found = explain(trial.legs, trial.solved, lines={line})
    assert "0.9" in found.causes[0].sentence
    assert sum(map(int, re.findall(r"\d+", found.tried))) < 30  # of 91
