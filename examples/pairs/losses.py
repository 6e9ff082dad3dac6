"""Losses of torch and optax: the same but for reductions, factors, eps and clamps.

optax is needed: `pip install "backprop-parity[examples]"`.
"""

import jax
import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F

from parity import Pair

SHAPES = [(7, 5), (32, 3), (4, 27)]


def pairs(jax, torch, inputs, shapes=SHAPES):
    """Return the pair at each shape."""
    return [Pair(jax=jax, torch=torch, inputs=inputs(*shape)) for shape in shapes]


def labelled(rows, classes):
    """Logits and labels."""
    return lambda rng: {
        "logits": rng.normal(size=(rows, classes)),
        "labels": rng.integers(0, classes, rows),
    }


def partly_labelled(rows, classes):
    """Logits and labels, the first of which is to be ignored."""

    def inputs(rng):
        labels = rng.integers(0, classes, rows)
        labels[0] = -100
        return {"logits": rng.normal(size=(rows, classes)), "labels": labels}

    return inputs


def two(rows, columns):
    """A prediction and a target."""
    return {"x": (rows, columns), "y": (rows, columns)}


def optax_cross_entropy(logits, labels):
    """optax's, one loss an example, and their mean."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


cross_entropy = pairs(optax_cross_entropy, F.cross_entropy, labelled)
# optax knows no ignore_index: convention
ignore_index = pairs(optax_cross_entropy, F.cross_entropy, partly_labelled)


def smoothed(logits, labels):
    """optax's cross-entropy of smoothed one-hot labels."""
    one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(one_hot, 0.1)).mean()


label_smoothing = pairs(
    smoothed,
    lambda logits, labels: F.cross_entropy(logits, labels, label_smoothing=0.1),
    labelled,
)


def optax_kl(x, y):
    """optax's, one divergence an example, and their mean."""
    return optax.kl_divergence(jax.nn.log_softmax(x), jax.nn.softmax(y)).mean()


def torch_kl(reduction):
    """Return torch's with a reduction."""
    return lambda x, y: F.kl_div(x.log_softmax(-1), y.softmax(-1), reduction=reduction)


# torch's "mean" is over all elements: convention
kl_mean = pairs(optax_kl, torch_kl("mean"), two)
kl_batchmean = pairs(optax_kl, torch_kl("batchmean"), two)

# optax's l2_loss has a factor 1/2: convention
l2_loss = pairs(lambda x, y: optax.l2_loss(x, y).mean(), F.mse_loss, two)
squared_error = pairs(lambda x, y: optax.squared_error(x, y).mean(), F.mse_loss, two)


def optax_huber(x, y):
    """optax's, delta 1/2, and its mean."""
    return optax.huber_loss(x, y, delta=0.5).mean()


huber = pairs(optax_huber, lambda x, y: F.huber_loss(x, y, delta=0.5), two)
# smooth_l1 is huber divided by beta: convention
smooth_l1 = pairs(optax_huber, lambda x, y: F.smooth_l1_loss(x, y, beta=0.5), two)


def alignments(batch, frames, labels, classes):
    """Logits for a sequence, and a shorter sequence of labels that are not blank."""
    return lambda rng: {
        "logits": rng.normal(size=(batch, frames, classes)),
        "labels": rng.integers(1, classes, (batch, labels)),
    }


def optax_ctc(logits, labels):
    """optax's, one loss an example."""
    return optax.ctc_loss(logits, jnp.zeros(logits.shape[:2]), labels, jnp.zeros(labels.shape))


def torch_ctc(reduction):
    """Return torch's with a reduction; it has the time axis first."""

    def run(logits, labels):
        batch, frames, _ = logits.shape
        log_probs = logits.log_softmax(-1).transpose(0, 1)
        lengths = torch.full((batch,), frames), torch.full((batch,), labels.shape[1])
        return F.ctc_loss(log_probs, labels, *lengths, reduction=reduction)

    return run


CTC = [(2, 8, 3, 5), (3, 12, 4, 6), (1, 6, 2, 4)]
ctc = pairs(optax_ctc, torch_ctc("none"), alignments, CTC)
# torch's "mean" divides by the length of the labels first: convention
ctc_mean = pairs(lambda *x: optax_ctc(*x).mean(), torch_ctc("mean"), alignments, CTC)


def three(rows, columns):
    """An anchor, a positive and a negative."""
    return {"anchor": (rows, columns), "positive": (rows, columns), "negative": (rows, columns)}


# torch adds an eps inside the distance: convention
triplet = pairs(
    lambda *inputs: optax.losses.triplet_margin_loss(*inputs).mean(),
    F.triplet_margin_loss,
    three,
)


def improbable(rows, columns):
    """Probabilities, some so small that -log p passes 100."""

    def inputs(rng):
        p = rng.uniform(0.1, 0.9, (rows, columns))
        p[:, 0] = 1e-44
        return {"p": p}

    return inputs


# torch clamps the logarithm at -100: convention
binary_cross_entropy = pairs(
    lambda p: -jnp.log(p).mean(),
    lambda p: F.binary_cross_entropy(p, torch.ones_like(p)),
    improbable,
)
