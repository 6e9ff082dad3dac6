"""A decay in the gradient on one side and beside the step on the other: named, with both lines.

Every case was written before the code was run on it, and what has to be said of all but the one
step, which was first said of two regions, and is now said as the others are.
"""

import optax
import pytest
import torch

from parity import Pair, check
from tests.shared.sampled import few
from tests.why.test_inside import said
from tests.why.test_series import SHAPES, pair, with_optax, with_torch


def momentum(decay, beside):
    """Momentum by hand; the decay goes through it, or is taken beside it."""

    def run(p, grads):
        m = 0 * p
        for g in grads:
            if decay and not beside:
                g = g + decay * p
            m = 0.9 * m + g
            p = p - 0.1 * (m + decay * p if beside else m)
        return p

    return run


def scaled(p, grads):
    m = 0 * p
    for g in grads:
        m = 0.9 * m + g
        p = p * (1 - 0.1 * 0.05) - 0.1 * m
    return p


def one_step(beside):
    """A step of a bounded size."""

    def run(p, g):
        d = g if beside else g + 0.05 * p
        step = p - 0.1 * d / (abs(d) + 0.1)
        return step - 0.1 * 0.05 * p if beside else step

    return run


def of_two(beside):
    """Two arrays, updated in turn."""

    def run(w, b, grads, more):
        held = {"w": w, "b": b}
        momenta = {name: 0 * x for name, x in held.items()}
        for each in zip(grads, more, strict=True):
            for name, g in zip(held, each, strict=True):
                p = held[name]
                momenta[name] = 0.9 * momenta[name] + (g if beside else g + 0.05 * p)
                held[name] = p - 0.1 * (momenta[name] + 0.05 * p if beside else momenta[name])
        return held

    return run


BOTH = {"w": (4,), "b": (3,), "grads": (4, 4), "more": (4, 3)}
STEP = {"p": (5,), "g": (5,)}


def adam(decay):
    return with_torch(lambda p: torch.optim.Adam(p, 0.1, weight_decay=decay))


CASES = {
    "adamw for l2": (
        Pair(
            jax=with_optax(optax.adamw(0.1, weight_decay=0.01)),
            torch=adam(0.01),
            inputs=SHAPES,
            forward_only=True,
        ),
        ["jax adds 0.01 times p to what div makes", "torch adds 0.01 times p to grads"],
    ),
    "l2 for adamw": (
        Pair(
            jax=with_optax(optax.chain(optax.add_decayed_weights(0.01), optax.adam(0.1))),
            torch=with_torch(lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.01)),
            inputs=SHAPES,
            forward_only=True,
        ),
        ["jax adds 0.01 times p to grads", "torch multiplies p by 0.999", "in torch alone"],
    ),
    "by hand": (
        pair(momentum(0.05, False), momentum(0.05, True)),
        ["jax adds 0.05 times p to grads", "torch adds 0.05 times p to "],
    ),
    "of another size": (
        pair(momentum(0.05, True), momentum(0.5, False)),
        ["jax adds 0.05 times p to what add makes", "torch adds 0.5 times p to grads"],
    ),
    "against a factor": (
        pair(momentum(0.05, False), scaled),
        ["jax adds 0.05 times p to grads", "torch multiplies p by 0.995", "in torch alone"],
    ),
    "in one step": (
        Pair(jax=one_step(False), torch=one_step(True), inputs=STEP),
        ["jax adds 0.05 times p to g", "torch subtracts 0.005 times p from what sub makes"],
    ),
    "of two arrays": (
        Pair(jax=of_two(True), torch=of_two(False), inputs=BOTH),
        ["jax adds 0.05 times w to what add makes", "torch adds 0.05 times w to grads"],
    ),
}


@pytest.mark.parametrize("name", few(CASES, "by hand", "of two arrays"))
def test_the_way_of_a_decay_is_named(name):
    case, words = CASES[name]
    sentence = said(case)
    assert [word for word in words if word not in sentence] == [], sentence


@pytest.mark.full
def test_two_sides_that_decay_directly_are_not_told_apart_by_that():
    sentence = said(
        Pair(
            jax=with_optax(optax.adamw(0.1, weight_decay=0.05)),
            torch=with_torch(lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.01)),
            inputs=SHAPES,
            forward_only=True,
        )
    )
    assert "torch multiplies p by 0.999" in sentence, sentence
    assert "alone" not in sentence


def test_of_the_same_decay_in_another_spelling_nothing_is_said():
    report = check(pair(momentum(0.05, True), scaled), dtypes=["float64"])
    assert report, report.text()


def test_a_decay_that_one_side_lacks_is_not_called_another_way():
    sentence = said(pair(momentum(0.05, False), momentum(0.0, False)))
    assert "only jax adds" in sentence, sentence
