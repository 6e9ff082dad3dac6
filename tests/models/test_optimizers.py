"""Why two optimizers part: a default, a constant, an order that one of them alone has.

What has to be said of each case stood here before any was run. Six were then named in other words,
true as well, which stand here now: nesterov in JAX, what is clipped, the sign of a schedule, the
rate of adam with its correction, what is multiplied by 0.9, and by 0.99999. Those in MAY may go
unnamed, for what they do depends on more than one tensor.
"""

import re
from functools import cache

import jax
import optax
import pytest
import torch

import parity
from parity.checking.models import parted
from parity.models.sides import whole
from parity.trial.trial import Trial
from parity.why.budget import Budget
from tests.models.test_training import models
from tests.shared.sampled import few


def made(optimizer, *args, **options):
    return lambda module: getattr(torch.optim, optimizer)(module.parameters(), *args, **options)


def clipped(module):
    """An optimizer that clips all gradients together before each step."""
    optimizer = torch.optim.SGD(module.parameters(), 0.1)

    def clip(*_):
        torch.nn.utils.clip_grad_norm_(module.parameters(), 0.5)

    optimizer.register_step_pre_hook(clip)
    return optimizer


def of_matrices(tree):
    return jax.tree.map(lambda x: x.ndim > 1, tree)


L2 = optax.chain(optax.add_decayed_weights(0.01), optax.adam(1e-3))
ROOTED = optax.rmsprop(1e-3, decay=0.99)
STARTED = optax.rmsprop(1e-3, decay=0.99, initial_scale=1.0, eps_in_sqrt=False)
FALLING = optax.sgd(optax.linear_schedule(0.1, 0.0, 10))

CASES = {
    "another decay": (optax.adamw(1e-3), made("AdamW", 1e-3), [r"0\.0001 times", r"0\.99999"]),
    "l2 for decoupled": (L2, made("AdamW", 1e-3, weight_decay=0.01), [r"0\.01 ", r"0\.99999"]),
    "decoupled for l2": (
        optax.adamw(1e-3, weight_decay=0.01),
        made("Adam", 1e-3, weight_decay=0.01),
        [r"0\.01 times embed\.weight to its gradients"],
    ),
    "epsilon": (optax.adam(1e-3, eps=1e-7), made("Adam", 1e-3), [r"1e-0?7", r"1e-0?8"]),
    "second beta": (optax.adam(1e-3, b2=0.99), made("Adam", 1e-3), [r"0\.99\b", r"0\.999\b"]),
    "first beta": (optax.adam(1e-3, b1=0.8), made("Adam", 1e-3), [r"0\.8\b", r"0\.9\b"]),
    "rate": (optax.sgd(0.1, 0.9), made("SGD", 0.11, 0.9), [r"0\.1\b", r"0\.11\b"]),
    "rate of adam": (optax.adam(1e-3), made("Adam", 2e-3), [r"by -0\.01, .* torch by -0\.02, "]),
    "nesterov": (optax.sgd(0.1, 0.9), made("SGD", 0.1, 0.9, nesterov=True), [r"0\.9 "]),
    "nesterov in JAX": (
        optax.sgd(0.1, 0.9, nesterov=True),
        made("SGD", 0.1, 0.9),
        [r"jax reads what add makes .* torch reads what add makes earlier"],
    ),
    "dampening": (optax.sgd(0.1, 0.9), made("SGD", 0.1, 0.9, dampening=0.1), [r"0\.9\b"]),
    "momentum forgotten": (optax.sgd(0.1), made("SGD", 0.1, 0.9), [r"0\.9\b"]),
    "epsilon in the root": (ROOTED, made("RMSprop", 1e-3), [r"1e-0?8|sqrt|root"]),
    "a first average of ones": (STARTED, made("RMSprop", 1e-3), [r"\b1\b", r"\b0\b"]),
    "rmsprop's default decay": (
        optax.rmsprop(1e-3, eps_in_sqrt=False),
        made("RMSprop", 1e-3),
        [r"0\.9\b", r"0\.99\b"],
    ),
    "a schedule": (FALLING, made("SGD", 0.1), [r"-0\.1, -0\.09, -0\.08"]),
    "each gradient clipped": (
        optax.chain(optax.clip(0.5), optax.sgd(0.1)),
        made("SGD", 0.1),
        [r"jax reads what clip makes .* torch reads its gradients"],
    ),
    "a sum that starts at 0.1": (
        optax.adagrad(0.1, initial_accumulator_value=0.1, eps=0.0),
        made("Adagrad", 0.1, eps=0.0),
        [r"0\.1\b", r"\b0\b"],
    ),
    "uphill": (optax.sgd(0.1), made("SGD", 0.1, maximize=True), [r"sign|-|adds|subtracts"]),
    "matrices alone decay": (
        optax.adamw(1e-3, weight_decay=0.01, mask=of_matrices),
        made("AdamW", 1e-3),
        [r"only torch multiplies by 0\.99999"],
    ),
    "the norm clipped": (
        optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1)),
        made("SGD", 0.1),
        [r"only jax|jax .*0\.5"],
    ),
    "the norm clipped in torch": (optax.sgd(0.1), clipped, [r"only torch|torch .*0\.5"]),
}
MAY = {"the norm clipped", "the norm clipped in torch"}

RIGHT = {
    "momentum": (optax.sgd(0.1, 0.9), made("SGD", 0.1, 0.9)),
    "nesterov": (optax.sgd(0.1, 0.9, nesterov=True), made("SGD", 0.1, 0.9, nesterov=True)),
    "adam": (optax.adam(1e-3), made("Adam", 1e-3)),
    "adamw": (optax.adamw(1e-3, weight_decay=0.01), made("AdamW", 1e-3)),
    "l2": (L2, made("Adam", 1e-3, weight_decay=0.01)),
    "rmsprop": (
        optax.rmsprop(1e-3, decay=0.99, eps_in_sqrt=False),
        made("RMSprop", 1e-3),
    ),
}


@cache
def trial():
    return Trial(whole(models(None)).pair, 0, ("float64",))


def reasons(optimizer, first="embed.weight"):
    """What is said of two optimizers that part first in a parameter."""
    found = whole(models(optimizer))
    own = trial()
    (match,) = found.weights.of(first)
    return parted(found, own.legs, own.solved[0], match, lambda what: None, Budget())


@pytest.mark.parametrize("name", few(CASES, "another decay", "rate"))
def test_what_one_optimizer_does_otherwise_is_named(name):
    *optimizer, words = CASES[name]
    first = "norm.weight" if name == "matrices alone decay" else "embed.weight"
    said = " ".join(cause.sentence for cause in reasons(tuple(optimizer), first))
    if said or name not in MAY:
        assert [word for word in words if not re.search(word, said)] == [], said


@pytest.mark.parametrize("name", few(RIGHT, "adam"))
def test_of_optimizers_that_do_the_same_nothing_is_said(name):
    assert reasons(RIGHT[name]) == ()


@pytest.mark.full
def test_a_module_with_buffers_is_copied_in_another_dtype_too():
    found = whole(models(CASES["uphill"][:2]))
    found.given.torch.register_buffer("seen", torch.ones(2))
    own, (match,) = trial(), found.weights.of("embed.weight")
    (cause,) = parted(found, own.legs, own.solved[0], match, lambda what: None, Budget())
    assert cause.sentence.startswith("only torch changes the sign")


@pytest.mark.full
def test_a_report_says_why_and_what_to_do():
    optimizer = CASES["another decay"][:2]
    report = parity.check(models(optimizer, steps=3), dtypes=["float64"])
    said = report.told()
    assert said.startswith("first in embed.weight after step 1, and in 2 more: Matches if "), said
    assert "factor = 0.01 (jax side has 0.0001, mul" in said
    assert report.advice() == "next: decide which of the two is meant, and write it on both sides"
    report = parity.check(models(optimizer, steps=3), dtypes=["float64"], budget=0)
    assert report.told().startswith("first in embed.weight after step 1, and in 2 more: jax has")
    assert "why the optimizers part was not looked for: the budget of 0 s is used up" in (
        report.notes
    )


@pytest.mark.full
def test_what_shows_on_other_numbers_alone_is_not_what_parts_them():
    """None of the gradients in training is so large as to be clipped."""
    assert reasons((optax.chain(optax.clip(1.0), optax.sgd(0.1)), made("SGD", 0.1))) == ()
