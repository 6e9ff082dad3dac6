"""What one side does otherwise in the region where two functions part: named, with its line."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jax import lax

from parity import Pair
from parity.pairs.legs import Legs
from parity.where.alignment import aligned
from parity.why.inside.explaining import explained
from parity.why.inside.ground import Ground
from tests.shared.port_mistakes import CAUSES, LUCKY, MISTAKES
from tests.shared.sampled import few

ELSEWHERE = {
    "attention_scale_of_the_model",
    "layer_norm_ddof",
    "conv_padding_same",
    "conv_dilated",
}
"""Numbers and options of operations: the search of whole programs names them."""
SILENT = {
    "block_normalised_after",
    "loss_smoothing_over_the_others",
}
"""Nothing is said, here or there, or by that search."""


def said(pair, seed=0):
    arguments = pair.arguments(np.random.default_rng(seed))
    legs = Legs(pair, arguments)
    found = aligned(legs, arguments.leaves, seconds=60.0)
    cause = explained(legs, found, [arguments.leaves], seconds=60.0)
    return "" if cause is None else cause.sentence


QUICK = ("gru_reset_before_the_product", "attention_heads_split_the_other_way", "layer_norm_ddof")


@pytest.mark.parametrize("name", few(MISTAKES, *QUICK))
def test_the_cause_of_a_mistake_is_named_with_its_line(name):
    sentence = said(MISTAKES[name])
    if name in ELSEWHERE | SILENT:
        assert not sentence
        return
    assert re.search(CAUSES[name], sentence), sentence
    assert "port_mistakes.py:" in sentence


def test_three_in_four_are_named():
    assert len(SILENT | ELSEWHERE) <= len(MISTAKES) / 4


# --- further ones, on either side, written with what has to be said before any was tried ---

HEADS = {"q": (2, 2, 3, 4), "k": (2, 2, 3, 4), "v": (2, 2, 3, 4)}
LAYER = {"x": (4, 3), "w": (3, 3), "b": (3,)}


def attended(q, k, v):
    return jax.nn.softmax(q @ k.swapaxes(-1, -2), -1) @ v


def attended_torch(q, k, v, mask=None):
    scores = q @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1) @ v


def masked(keep, fill=-jnp.inf):
    def run(q, k, v):
        scores = q @ k.swapaxes(-1, -2)
        return jax.nn.softmax(jnp.where(keep(jnp.ones((3, 3), bool)), scores, fill), -1) @ v

    return run


def masked_torch(q, k, v):
    return attended_torch(q, k, v, torch.ones(3, 3, dtype=torch.bool).tril())


def normed(m, x, **options):
    centred = x - x.mean(-1, **options)
    return centred / m.sqrt((centred * centred).mean(-1, **options) + 1e-5)


def lstm(m, sigmoid, gates, order):
    def run(x, h, c, wi, wh):
        for xt in x:
            parts = gates(xt @ wi.T + h @ wh.T)
            i, f, g, o = (parts[k] for k in order)
            c = sigmoid(f) * c + sigmoid(i) * m.tanh(g)
            h = sigmoid(o) * m.tanh(c)
        return h, c

    return run


def damped(xp):
    def run(p, g):
        m = g[0]
        p = p - 0.1 * m
        for gt in g[1:]:
            m = 0.9 * m + gt if xp is jnp else torch.add(0.9 * m, gt, alpha=0.9)
            p = p - 0.1 * m
        return p

    return run


FURTHER = {
    "gradients weighed as the momentum is, in torch": (
        damped(jnp),
        damped(torch),
        {"p": (5,), "g": (4, 5)},
        r"only torch multiplies g by 0\.9",
    ),
    "softmax over the queries": (
        lambda x, w: jnp.tanh(jax.nn.softmax(x @ w, 0) @ w),
        lambda x, w: torch.tanh((x @ w).softmax(-1) @ w),
        {"x": (4, 3), "w": (3, 3)},
        r"jax .* over axis 0.*torch over axis 1",
    ),
    "a sum for a mean": (
        lambda x, w: jnp.tanh((x @ w).sum(0)) * 2,
        lambda x, w: torch.tanh((x @ w).mean(0)) * 2,
        {"x": (4, 3), "w": (3, 3)},
        r"the sum.*the mean|only torch (divides by 4|multiplies by 0\.25)",
    ),
    "relu before the sum, in torch": (
        lambda x, w, b: jnp.sin(jax.nn.relu(x @ w + b)),
        lambda x, w, b: torch.sin(F.relu(x @ w) + b),
        LAYER,
        r"relu (after|before) .*torch|before relu .*torch after",
    ),
    "a mask on one side": (
        masked(jnp.tril),
        attended_torch,
        HEADS,
        r"only jax .*mask",
    ),
    "a mask of the other triangle": (
        masked(jnp.triu),
        masked_torch,
        HEADS,
        r"the mask is transposed|triu.*tril",
    ),
    "masked with zero": (
        masked(jnp.tril, 0.0),
        masked_torch,
        HEADS,
        r"where it is masked jax has 0 .*torch -inf",
    ),
    "no bias in one of two layers": (
        lambda x, w, b: jnp.tanh(jnp.tanh(x @ w) @ w + b),
        lambda x, w, b: torch.tanh(torch.tanh(x @ w + b) @ w + b),
        LAYER,
        r"only torch adds b ",
    ),
    "a gate without its sigmoid": (
        lambda x, w: jnp.tanh(x * (x @ w)),
        lambda x, w: torch.tanh(x * torch.sigmoid(x @ w)),
        {"x": (4, 3), "w": (3, 3)},
        r"only torch (takes|has) sigmoid",
    ),
    "a difference turned round": (
        lambda x, w: jnp.exp(jnp.tanh(x @ w) - jnp.sin(x)) @ w,
        lambda x, w: torch.exp(torch.sin(x) - torch.tanh(x @ w)) @ w,
        {"x": (4, 3), "w": (3, 3)},
        r"exchanged|changes the sign",
    ),
    "the residual of the normed value, in torch": (
        lambda x, w: jnp.sin(x + jnp.tanh(normed(jnp, x, keepdims=True) @ w)),
        lambda x, w: torch.sin((n := normed(torch, x, keepdim=True)) + torch.tanh(n @ w)),
        {"x": (4, 3), "w": (3, 3)},
        r"jax reads x .*where torch reads",
    ),
    "four gates in another order": (
        lstm(jnp, jax.nn.sigmoid, lambda y: jnp.split(y, 4, -1), (0, 2, 1, 3)),
        lstm(torch, torch.sigmoid, lambda y: y.chunk(4, -1), (0, 1, 2, 3)),
        {"x": (3, 2, 3), "h": (2, 2), "c": (2, 2), "wi": (8, 3), "wh": (8, 2)},
        r"\[0, 2, 1, 3\]|exchanged",
    ),
    "heads merged without moving, in torch": (
        lambda q, k, v: jnp.sin(attended(q, k, v).transpose(0, 2, 1, 3).reshape(2, 3, 8)),
        lambda q, k, v: torch.sin(attended_torch(q, k, v).reshape(2, 3, 8)),
        HEADS,
        r"axes",
    ),
    "pixels shuffled in another order": (
        lambda x, w: jnp.tanh(
            (x @ w).reshape(2, 2, 2, 3, 3, 2).transpose(0, 3, 1, 4, 2, 5).reshape(2, 6, 6, 2)
        ),
        lambda x, w: torch.tanh(
            (x @ w).reshape(2, 2, 2, 3, 3, 2).permute(0, 3, 2, 4, 1, 5).reshape(2, 6, 6, 2)
        ),
        {"x": (2, 2, 2, 3, 3, 2), "w": (2, 2)},
        r"axes",
    ),
    "a running sum along the other axis": (
        lambda x, w: jnp.tanh(jnp.cumsum(x @ w, 0)),
        lambda x, w: torch.tanh(torch.cumsum(x @ w, 1)),
        {"x": (4, 3), "w": (3, 3)},
        r"axis 0.*axis 1",
    ),
    "a variance for a deviation": (
        lambda x, w: jnp.tanh(x / (x.var(-1, keepdims=True) + 1e-3) @ w),
        lambda x, w: torch.tanh(x / torch.sqrt(x.var(-1, keepdim=True, correction=0) + 1e-3) @ w),
        {"x": (4, 3), "w": (3, 3)},
        r"only torch takes the square root",
    ),
    "relu for gelu in a scan": (
        lambda x, w: lax.scan(lambda h, xt: ((y := jax.nn.relu(h @ w + xt)), y), x[0], x)[1],
        lambda x, w: _scanned(lambda h, xt: F.gelu(h @ w + xt), x),
        {"x": (3, 2, 3), "w": (3, 3)},
        r"jax has relu .*torch gelu",
    ),
    "the maximum for the mean": (
        lambda x, w: jnp.tanh((x @ w).max(1)) + 1,
        lambda x, w: torch.tanh((x @ w).mean(1)) + 1,
        {"x": (4, 3), "w": (3, 3)},
        r"the maximum.*the mean",
    ),
    "momentum looked ahead": (  # in the first turn what was added up is the gradient itself
        lambda p, grads: _descended(p, jnp.zeros(3), grads, ahead=True),
        lambda p, grads: _descended(p, torch.zeros(3), grads, ahead=False),
        {"p": (3,), "grads": (4, 3)},
        r"jax reads what add makes .*torch reads what add makes",
    ),
    "height and width exchanged": (
        lambda x, w, v: jnp.tanh(x @ w).swapaxes(1, 2).reshape(2, 9, 2) * v,
        lambda x, w, v: _flattened(torch.tanh(x @ w).permute(0, 3, 1, 2)) * v,
        {"x": (2, 3, 3, 4), "w": (4, 2), "v": (9, 2)},
        r"only jax has what tanh makes .*with axes 1 and 2 exchanged",
    ),
    "a weight untransposed": (
        lambda x, w, v: jnp.sin(jnp.tanh(x @ w) @ v),
        lambda x, w, v: torch.sin(torch.tanh(x @ w.T) @ v),
        {"x": (4, 3), "w": (3, 3), "v": (3, 2)},
        r"only torch has w transposed",
    ),
}


def _flattened(x):
    return x.flatten(2).transpose(1, 2)


def _descended(p, momentum, grads, ahead):
    for g in grads:
        momentum = g + 0.9 * momentum
        step = g + 0.9 * momentum if ahead else momentum
        p = p - 0.1 * step
    return p


def _scanned(turn, x):
    h, out = x[0], []
    for xt in x:
        h = turn(h, xt)
        out.append(h)
    return torch.stack(out)


def test_an_order_of_rows_that_is_lucky_is_not_said():
    """With these labels two rows moved make the mean of means the mean."""
    assert not said(LUCKY)


def test_nothing_is_said_of_torch_that_it_does_not_do():
    """A factor taken past log1p would cancel the division; but torch has no factor."""
    pair = Pair(
        jax=lambda x, w: jnp.log1p(jnp.exp(2 * (x @ w))) / 2,
        torch=lambda x, w: F.softplus(x @ w),
        inputs={"x": (4, 3), "w": (3, 3)},
    )
    assert "torch after" not in said(pair)


def test_operations_of_one_line_that_read_more_or_less_are_no_turns():
    jax_side, torch_side, inputs, _ = FURTHER["relu for gelu in a scan"]
    pair = Pair(jax=jax_side, torch=torch_side, inputs=inputs)
    arguments = pair.arguments(np.random.default_rng(0))
    found = aligned(Legs(pair, arguments), arguments.leaves, seconds=60.0)
    ground = Ground(found.one, found.other, found.regions[0], found.one)
    recording = found.one.recording
    for places in (ground.in_turn(p, 2) for p in range(len(recording.operations))):
        made = [recording.operations[p] for p in places]
        assert len({(len(o.inputs), len(o.outputs)) for o in made}) == 1
        for number in range(len(recording.values)):
            ground.turn_by_turn(number, places)


@pytest.mark.parametrize("name", few(FURTHER, "a mask on one side", "relu for gelu in a scan"))
def test_further_causes_are_named(name):
    jax_side, torch_side, inputs, says = FURTHER[name]
    sentence = said(Pair(jax=jax_side, torch=torch_side, inputs=inputs))
    assert re.search(says, sentence), sentence


def test_a_line_is_said_once():
    pair = Pair(
        jax=lambda x: jnp.cumsum(x)[::-1], torch=lambda x: torch.cumsum(x, 0), inputs={"x": (6,)}
    )
    sentence = said(pair)
    assert "only jax flips what cumsum makes" in sentence
    assert len(re.findall(r"test_inside\.py:\d+", sentence)) == 1
