"""Training: both loops walk together, chunks change nothing, the notebook's run comes out."""

from importlib import import_module

import numpy as np
import pytest
import torch

from parity.frameworks import jax_side, torch_side
from parity.judge.compare import ulps
from parity.makemore import recipe
from parity.makemore.data import load
from parity.makemore.seeds import Generator
from torch_ref.ops import (
    batchnorm_forward,
    cross_entropy_forward,
    embedding_forward,
    linear_forward,
    tanh_forward,
)

FLOAT32 = np.dtype(np.float32)

# Published with the notebook: the losses printed every 10,000 steps, and the final losses.
PRINTED = (
    "3.8101 2.1927 2.3847 2.4974 1.9947 2.2664 2.3816 2.0237 2.3433 2.1643 "
    "1.9384 2.3152 2.0338 2.4350 2.2667 2.0973 2.0412 1.8830 2.0602 1.9895"
).split()
FINAL = {"train": 2.0716681480407715, "val": 2.109276294708252}

each_side = pytest.mark.parametrize("side", [jax_side, torch_side], ids=lambda side: side.TWIN)


def start(hidden=200, skip=2288):
    """Return the notebook's Exercise 4: parameters, and the generator before the first minibatch.

    Its global stream has passed Exercise 1 (128 words) and five executions of the initialising cell
    (432 words each).
    """
    generator, unseeded = Generator(recipe.SEED), Generator(recipe.GLOBAL_SEED)
    unseeded.skip(skip)
    params = recipe.initial_params(generator, unseeded, vocab=27, block=3, hidden=hidden)
    return tuple(params.values()), generator


def train(side, params, ix, lr, chunk, function=None):
    """Run the side's loop over ``ix`` in chunks; return (parameters, losses) as NumPy arrays."""
    split = load().train
    steps = function or import_module(f"{side.TWIN}.train").train_steps
    params_type = import_module(f"{side.TWIN}.params").Params
    losses = []
    with side.exactly(FLOAT32):
        X, Y = side.from_numpy((split.X, split.Y))
        params = params_type(*side.from_numpy(params))
        for first in range(0, len(ix), chunk):
            part = side.from_numpy((ix[first : first + chunk], lr[first : first + chunk]))
            params, found = steps(params, X, Y, *part)
            losses.append(side.to_numpy(found))
        return side.to_numpy(tuple(params)), np.concatenate(losses)


def indices(generator, steps, n=32):
    return generator.randint(len(load().train.Y), (steps, n))


def rates(steps):
    return np.where(np.arange(steps) < 100_000, 0.1, 0.01).astype(np.float32)


@each_side
def test_the_chunk_size_changes_no_bit(side):
    params, generator = start(hidden=20)
    ix = indices(generator, 14)
    whole, losses = train(side, params, ix, rates(14), 14)
    for chunk in (1, 7):
        parts, same = train(side, params, ix, rates(14), chunk)
        assert np.array_equal(losses, same)
        assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_both_loops_and_autodiff_walk_together():
    """200 steps; the oracle is torch's own autograd and its own optimiser."""
    params, generator = start()
    ix = indices(generator, 200)
    lr = np.full(200, 0.1, np.float32)
    ours = {side.TWIN: train(side, params, ix, lr, 100) for side in (jax_side, torch_side)}

    C, W1, b1, W2, b2, bngain, bnbias = leaves = [torch.tensor(p).requires_grad_() for p in params]
    optimiser = torch.optim.SGD(leaves, lr=0.1)
    split, expected = load().train, []
    for batch in ix:
        x, _ = embedding_forward(C, torch.tensor(split.X[batch]))
        x, _ = batchnorm_forward(linear_forward(x, W1, b1)[0], bngain, bnbias)
        x, _ = linear_forward(tanh_forward(x)[0], W2, b2)
        loss, _ = cross_entropy_forward(x, torch.tensor(split.Y[batch]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        expected.append(loss.item())
    assert expected[-1] < expected[0]
    for found, losses in ours.values():
        np.testing.assert_allclose(losses, expected, rtol=2e-6)  # measured: 3e-7
        for a, b in zip(found, leaves, strict=True):
            np.testing.assert_allclose(a, b.detach(), atol=2e-6)  # measured: 3e-7


@each_side
def test_the_first_printed_loss(side):
    params, generator = start()
    _, losses = train(side, params, indices(generator, 1), rates(1), 1)
    assert f"{losses[0]:.4f}" == PRINTED[0]


def test_other_words_of_the_stream_give_another_run():
    """The same run from the words of Exercise 1 does not print the published loss."""
    params, generator = start(skip=0)
    _, losses = train(jax_side, params, indices(generator, 1), rates(1), 1)
    assert f"{losses[0]:.4f}" != PRINTED[0]


@pytest.mark.full
def test_the_notebooks_200000_steps():
    """By the package alone, in JAX; `parity reproduce` does it in both, in its own test."""
    side = jax_side
    params, generator = start()
    ix = indices(generator, 200_000)
    trained, losses = train(side, params, ix, rates(200_000), 10_000)
    assert [f"{loss:.4f}" for loss in losses[::10_000]] == PRINTED

    evaluate = import_module(f"{side.TWIN}.evaluate")
    dataset = load()
    with side.exactly(FLOAT32):
        params = import_module(f"{side.TWIN}.params").Params(*side.from_numpy(trained))
        statistics = evaluate.calibrate(params, *side.from_numpy((dataset.train.X,)))
        for name, published in FINAL.items():
            X, Y = side.from_numpy(getattr(dataset, name))
            ours = side.to_numpy(evaluate.split_loss(params, statistics, X, Y))
            gap = ulps(np.array([ours]), np.array([published], np.float32))[0]
            assert gap <= 2, (name, float(ours))


@pytest.mark.full
@each_side
def test_members_together_are_members_alone(side):
    """Two networks, two orders, two rates, with room for more steps than are taken."""
    twin, evaluate = (import_module(f"{side.TWIN}.{name}") for name in ("train", "evaluate"))
    starts, generator = [start(hidden=20, skip=skip)[0] for skip in (0, 40)], Generator(5)
    params_type = import_module(f"{side.TWIN}.params").Params
    ix = np.stack([indices(generator, 7) for _ in starts])
    lr = np.stack([np.full(7, rate, np.float32) for rate in (0.1, 0.2)])
    split = load().test
    with side.exactly(FLOAT32):
        X, Y = side.from_numpy((split.X, split.Y))
        ix %= len(split.Y)
        members = params_type(
            *side.from_numpy(tuple(np.stack(p) for p in zip(*starts, strict=True)))
        )
        together, losses = twin.train_members(members, X, Y, *side.from_numpy((ix, lr)), 5)
        found = side.to_numpy(tuple(together)), side.to_numpy(losses)[:, :5]
        final = side.to_numpy(evaluate.member_losses(together, ((X, Y), (X[:50], Y[:50]))))
        for member, params in enumerate(starts):
            own = side.from_numpy((ix[member, :5], lr[member, :5]))
            alone, own_losses = twin.train_steps(params_type(*side.from_numpy(params)), X, Y, *own)
            expected = side.to_numpy(tuple(alone)), side.to_numpy(own_losses)
            statistics = evaluate.calibrate(alone, X)
            for place, part in enumerate(((X, Y), (X[:50], Y[:50]))):
                loss = side.to_numpy(evaluate.split_loss(alone, statistics, *part))
                assert abs(final[member, place] - loss) < 1e-5
            pairs = [*zip((p[member] for p in found[0]), expected[0], strict=True)]
            for ours, theirs in (*pairs, (found[1][member], expected[1])):
                assert np.abs(ours - theirs).max() <= (0 if side is jax_side else 1e-5)
