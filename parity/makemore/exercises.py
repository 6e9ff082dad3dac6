"""The notebook's exercises as functions of arrays, each by hand and by autodiff.

The twins have the same names, so each exercise is written once and works with either framework's
side (`frameworks/jax_side.py`, `torch_side.py`). Runs and judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from parity.judge.compare import FLOAT64
from parity.makemore import recipe
from parity.pairs.legs import Arrays, call

ROWS = tuple(
    """logprobs probs counts_sum_inv counts_sum counts norm_logits logit_maxes logits h W2 b2
    hpreact bngain bnbias bnraw bnvar_inv bnvar bndiff2 bndiff bnmeani hprebn embcat W1 b1 emb
    C""".split()
)
"""Exercise 1's tensors in the order in which the notebook compares them."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: its inputs' names, the gradients to compare, and its two ways in a framework.

    ``by_hand`` and ``by_autodiff`` take a framework's side and return a function of the inputs in
    order, which returns ({forward tensor}, {gradient}).
    """

    number: int
    title: str
    inputs: tuple[str, ...]
    rows: tuple[str, ...]
    by_hand: Callable[[ModuleType], Callable[..., Any]]
    by_autodiff: Callable[[ModuleType], Callable[..., Any]]
    above: str = "loss"
    """The tensor whose gradient the exercise starts from."""

    def take(self, batch: Arrays, dtype: np.dtype) -> tuple[np.ndarray, ...]:
        """Return this exercise's inputs in order, floats in ``dtype``; exact, they are float32."""
        values = (batch[name] for name in self.inputs)
        return tuple(x.astype(dtype) if x.dtype == np.float32 else x for x in values)


def _twin(side: ModuleType, name: str) -> Any:
    return import_module(f"{side.TWIN}.{name}")


def _chunked_by_hand(side: ModuleType) -> Callable[..., Any]:
    params_type, chunked = _twin(side, "params").Params, _twin(side, "chunked")

    def run(*inputs: Any) -> Any:
        params, Xb, Yb = params_type(*inputs[:7]), *inputs[7:]
        loss, activations = chunked.forward(params, Xb, Yb)
        dparams, dactivations = chunked.backward(params, activations, Xb, Yb)
        return activations._asdict() | {"loss": loss}, dparams._asdict() | dactivations._asdict()

    return run


def _chunked_by_autodiff(side: ModuleType) -> Callable[..., Any]:
    params_type, chunked_grads = _twin(side, "params").Params, _twin(side, "autodiff").chunked_grads

    def run(*inputs: Any) -> Any:
        loss, activations, *grads = chunked_grads(params_type(*inputs[:7]), *inputs[7:])
        return activations._asdict() | {"loss": loss}, grads[0]._asdict() | grads[1]._asdict()

    return run


def _cross_entropy_by_hand(side: ModuleType) -> Callable[..., Any]:
    ops = _twin(side, "ops")

    def run(logits: Any, Yb: Any, dloss: Any) -> Any:
        loss, residual = ops.cross_entropy_forward(logits, Yb)
        return {"loss": loss}, {"logits": ops.cross_entropy_backward(residual, dloss)[0]}

    return run


def _cross_entropy_by_autodiff(side: ModuleType) -> Callable[..., Any]:
    ops = _twin(side, "ops")

    def run(logits: Any, Yb: Any, dloss: Any) -> Any:
        out, (dlogits,) = side.vjp(
            lambda logits: {"loss": ops.cross_entropy_forward(logits, Yb)[0]},
            (logits,),
            {"loss": dloss},
        )
        return out, {"logits": dlogits}

    return run


def _batchnorm_by_hand(side: ModuleType) -> Callable[..., Any]:
    ops = _twin(side, "ops")

    def run(*inputs: Any) -> Any:
        hpreact, residual = ops.batchnorm_forward(*inputs[:3])
        grads = ops.batchnorm_backward(residual, inputs[3])
        return {"hpreact": hpreact}, dict(zip(BATCHNORM.rows, grads, strict=True))

    return run


def _batchnorm_by_autodiff(side: ModuleType) -> Callable[..., Any]:
    ops = _twin(side, "ops")

    def run(*inputs: Any) -> Any:
        out, grads = side.vjp(
            lambda *inputs: {"hpreact": ops.batchnorm_forward(*inputs)[0]},
            inputs[:3],
            {"hpreact": inputs[3]},
        )
        return out, dict(zip(BATCHNORM.rows, grads, strict=True))

    return run


CHUNKED = Exercise(
    1,
    "every step of the network",
    (*recipe.NAMES, "Xb", "Yb"),
    ROWS,
    _chunked_by_hand,
    _chunked_by_autodiff,
)
CROSS_ENTROPY = Exercise(
    2,
    "cross-entropy in one go",
    ("logits", "Yb", "dloss"),
    ("logits",),
    _cross_entropy_by_hand,
    _cross_entropy_by_autodiff,
)
BATCHNORM = Exercise(
    3,
    "batchnorm in one go",
    ("hprebn", "bngain", "bnbias", "dhpreact"),
    ("hprebn", "bngain", "bnbias"),
    _batchnorm_by_hand,
    _batchnorm_by_autodiff,
    above="hpreact",
)
EXERCISES = {exercise.number: exercise for exercise in (CHUNKED, CROSS_ENTROPY, BATCHNORM)}


def layer_inputs() -> Callable[[Arrays], Arrays]:
    """Return a function from a batch to what Exercises 2 and 3 start from, as float32.

    logits, hprebn and dhpreact are computed once, in float64 by the fused layers, and given to
    every corner alike: what is compared is the layer, not what came before it.
    """
    from parity.frameworks import jax_side

    ops = _twin(jax_side, "ops")

    def run(*inputs: Any) -> Any:
        C, W1, b1, W2, b2, bngain, bnbias, Xb, Yb = inputs
        embcat, _ = ops.embedding_forward(C, Xb)
        hprebn, _ = ops.linear_forward(embcat, W1, b1)
        hpreact, _ = ops.batchnorm_forward(hprebn, bngain, bnbias)
        h, tanh = ops.tanh_forward(hpreact)
        logits, linear = ops.linear_forward(h, W2, b2)
        loss, cross_entropy = ops.cross_entropy_forward(logits, Yb)
        dlogits, _ = ops.cross_entropy_backward(cross_entropy, loss / loss)
        (dhpreact,) = ops.tanh_backward(tanh, ops.linear_backward(linear, dlogits)[0])
        return {"logits": logits, "hprebn": hprebn, "dhpreact": dhpreact}

    compiled = jax_side.compiled(run)

    def inputs(batch: Arrays) -> Arrays:
        values = call(jax_side, FLOAT64, compiled, CHUNKED.take(batch, FLOAT64))
        return {name: value.astype(np.float32) for name, value in values.items()}

    return inputs
