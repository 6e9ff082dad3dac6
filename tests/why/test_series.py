"""Two loops whose numbers change from turn to turn otherwise: named, both series shown."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from jax import lax

from parity import Pair
from tests.shared.sampled import few
from tests.why.test_inside import said

STEPS, SIZE = 5, 4
SHAPES = {"p": (SIZE,), "grads": (STEPS, SIZE)}


def pair(ours, theirs):
    return Pair(jax=ours, torch=theirs, inputs=SHAPES)


def decayed_late(p, grads):
    rate = 0.1
    for g in grads:
        p = p - rate * g
        rate *= 0.9
    return p


def decayed_first(p, grads):
    rate = 0.1
    for g in grads:
        rate *= 0.9
        p = p - rate * g
    return p


def linear_in_a_scan(p, grads):
    def turn(carry, g):
        p, t = carry
        return (p - 0.1 * (1 - t / 10) * g, t + 1), None

    return lax.scan(turn, (p, jnp.zeros(())), grads)[0][0]


def cosine(p, grads):
    for t, g in enumerate(grads):
        p = p - 0.1 * 0.5 * (1 + math.cos(math.pi * t / 10)) * g
    return p


def with_optax(optimizer):
    def run(p, grads):
        state = optimizer.init(p)
        for g in grads:
            updates, state = optimizer.update(g, state, p)
            p = optax.apply_updates(p, updates)
        return p

    return run


def with_torch(make, rate=None):
    def run(p, grads):
        p = torch.nn.Parameter(p.detach().clone())
        optimizer = make([p])
        schedule = rate and torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        for g in grads:
            p.grad = g.clone()
            optimizer.step()
            schedule and schedule.step()
        return p.detach()

    return run


def averaged(decay):
    """An average of weights whose decay warms up."""

    def run(p, grads):
        average = p
        for t, g in enumerate(grads):
            p = p - 0.1 * g
            average = decay(t) * average + (1 - decay(t)) * p
        return average

    return run


def sampled(first):
    """Steps of a sampler, from the noisiest on."""
    kept = np.cumprod(1 - np.linspace(0.01, 0.2, STEPS + 1))

    def run(p, grads):
        for t, noise in enumerate(grads):
            now, then = kept[STEPS - t - first], kept[STEPS - t - 1]
            x = (p - math.sqrt(1 - now) * noise) / math.sqrt(now)
            p = math.sqrt(then) * x + math.sqrt(1 - then) * noise
        return p

    return run


def clipped(xp):
    def run(p, grads):
        for g in grads:
            p = p - 0.1 * g / (xp.linalg.norm(g) if xp is torch else 1 + xp.linalg.norm(g))
        return p

    return run


CASES = {
    "a turn behind": (
        pair(decayed_late, decayed_first),
        ["jax multiplies by 0.1, 0.09, ", "torch by 0.09, 0.081, ", "one turn behind"],
    ),
    "a turn ahead": (
        pair(decayed_first, decayed_late),
        ["jax multiplies by 0.09, 0.081, ", "torch by 0.1, 0.09, ", "one turn ahead"],
    ),
    "another curve": (
        pair(linear_in_a_scan, cosine),
        ["by 0.1, 0.09, 0.08, 0.07, ...", "by 0.1, 0.0975528, 0.0904508, 0.0793893, ..."],
    ),
    "with the correction of a moment": (
        Pair(
            jax=with_optax(optax.adam(optax.linear_schedule(0.0, 0.1, 10))),
            torch=with_torch(lambda p: torch.optim.Adam(p, 0.1), lambda t: (t + 1) / 10),
            inputs=SHAPES,
            forward_only=True,
        ),
        ["by 0, -0.01, -0.02, ", "what comes to -0.01, -0.02, ", "one turn behind"],
    ),
    "two at once": (
        Pair(
            jax=with_optax(optax.nadam(0.01)),
            torch=with_torch(lambda p: torch.optim.NAdam(p, 0.01)),
            inputs=SHAPES,
            forward_only=True,
        ),
        ["the running average (momentum) of grads by -0.0473684, ", "torch by -0.00564518, "],
    ),
    "an average of weights": (
        pair(averaged(lambda t: 0.9), averaged(lambda t: min(0.9, (1 + t) / (10 + t)))),
        ["from turn to turn", "0.9, 0.9, ", "0.1, 0.181818, "],
    ),
    "a sampler": (pair(sampled(0), sampled(1)), ["from turn to turn"]),
}


@pytest.mark.parametrize("name", few(CASES, "a turn behind", "two at once"))
def test_numbers_of_all_turns_are_named(name):
    case, words = CASES[name]
    sentence = said(case)
    assert [word for word in words if word not in sentence] == [], sentence


def test_numbers_that_the_inputs_make_are_no_series():
    assert "from turn to turn" not in said(pair(clipped(jnp), clipped(torch)))


def test_what_is_the_same_in_the_first_turn_alone_stands_nowhere_else():
    """There a momentum of zeros is decayed, which is zeros in any order."""
    sentence = said(
        Pair(
            jax=with_optax(optax.sgd(0.1, 0.9, nesterov=True)),
            torch=with_torch(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
            inputs=SHAPES,
            forward_only=True,
        )
    )
    assert "jax reads 0.9 times what add makes" in sentence
    assert "in another order" not in sentence


def test_jit_hides_none():
    assert "one turn behind" in said(pair(jax.jit(decayed_late), decayed_first))
