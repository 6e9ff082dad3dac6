"""A pair of models as a pair of functions: their weights are inputs, under torch's names.

Each JAX leaf is made of torch's tensors inside the JAX function, so that its gradients come out in
torch's names and layouts by the chain rule. Matches nothing itself, and compares nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np

from parity.errors import UsageError
from parity.frameworks.opened import Opened
from parity.models.layout import Piece
from parity.models.mapping import read
from parity.models.match import Match, Weights
from parity.models.weights import matched
from parity.pairs.pair import Model, Pair, Rule
from parity.pairs.tree import Constant


@dataclass(frozen=True)
class Whole:
    """Two models that should be one: taken apart, matched, and as a pair of functions."""

    torch: Opened
    jax: Opened
    weights: Weights
    pair: Pair
    """The pair of functions; its inputs are the models' own, then torch's tensors."""
    given: Pair
    """The pair of models, as the user wrote it."""
    run: Callable[..., Any]
    """(leaves of JAX's by path, inputs in order) -> what of the JAX model is compared."""
    after: Pair
    """The same inputs -> what is left of each of `averages`, in order, as JAX has it."""
    averages: tuple[Match, ...]
    """Torch's buffers that JAX has in their own layout: running statistics are among them."""

    @property
    def lacking(self) -> dict[str, str]:
        """{parameter of torch's that is in no leaf, or not wholly: a sentence about it}.

        A buffer that JAX does not hold may be made in its code: nothing is said of it.
        """
        return {n: s for n, s in self.weights.unread.items() if n not in self.torch.buffers}


def is_of_models(pair: Pair) -> bool:
    """Return whether both sides are models, of which weights can be matched.

    Raises UsageError where one side is, and the other cannot be called with the same inputs.
    """
    torch = sys.modules.get("torch")
    is_module = torch is not None and isinstance(pair.torch, torch.nn.Module)
    adapter = "parity.frameworks.jax_models"
    plain = pair.jax is None or isinstance(pair.jax, Rule)
    is_model = not plain and (
        isinstance(pair.jax, Model) or bool(import_module(adapter).kind(pair.jax))
    )
    if isinstance(pair.jax, tuple) and not is_model:
        raise UsageError(
            "jax= is a tuple that is no model; give (linen module, variables), haiku's "
            "(transformed, params) or (transformed, params, state), or parity.Model(apply, params)"
        )
    if not is_module and isinstance(pair.jax, Model | tuple):
        raise UsageError("jax= is a model and torch= is not; give the torch.nn.Module")
    asked = [name for name in OWN if getattr(pair, name) not in (None, "values")]
    if asked and not (is_module and is_model):
        raise UsageError(f"{asked[0]}= is for two models; give a torch.nn.Module and a JAX model")
    for name in ("loss", "optimizer"):
        _require_two(name, getattr(pair, name))
    if pair.steps < 1:
        raise UsageError(f"steps={pair.steps}: give 1 or more")
    if pair.targets is not None and pair.loss is None:
        raise UsageError("targets= are for a loss; give loss=(JAX's, torch's)")
    return is_module and is_model


OWN = ("pick", "weights", "loss", "targets", "optimizer")
"""What is asked of two models alone."""


def _require_two(name: str, given: Any) -> None:
    """Raise UsageError unless what is given for both sides is a tuple of two."""
    if given is None:
        return
    what = {
        "loss": "functions of what the model returns",
        "optimizer": "optimizers: an optax transformation, and a function of a torch module",
    }[name]
    two = isinstance(given, tuple) and len(given) == 2 and callable(given[1])
    if not two or not (callable(given[0]) if name == "loss" else hasattr(given[0], "update")):
        raise UsageError(f"{name}= is (JAX's, torch's): two {what}")


def whole(pair: Pair) -> Whole:
    """Return two models with their weights matched, as one pair of functions."""
    torch = import_module("parity.frameworks.torch_modules").opened(pair.torch)
    jax = _opened(pair.jax)
    return of_weights(pair, torch, jax, _matched(pair.weights, torch, jax))


def with_weights(before: Whole, weights: Weights) -> Whole:
    """Return the same two models with their weights matched otherwise."""
    return of_weights(before.given, before.torch, before.jax, weights)


def of_weights(pair: Pair, torch: Opened, jax: Opened, weights: Weights) -> Whole:
    """Return the pair of functions that these weights make of two models."""
    inside = {name for name in torch.buffers if not weights.of(name)}
    given = tuple(name for name in torch.tensors if name not in inside)
    names, targets = _input_names(pair, torch), tuple(map(str, pair.targets or ()))
    count = len(names) + len(targets)
    taken = {*torch.tensors}
    labels = [f"input {name}" if name in taken else name for name in names]
    labels += [f"target {name}" if name in {*taken, *labels} else name for name in targets]

    def inputs(rng: np.random.Generator) -> dict[str, Any]:
        own = pair.inputs(rng) if callable(pair.inputs) else pair.inputs
        values = [*own.values()] if isinstance(own, dict) else [*own]
        values += (pair.targets or {}).values()
        tensors = {
            name: Constant(x) if name in torch.buffers else x
            for name, x in torch.tensors.items()
            if name in given
        }
        return dict(zip(labels, values, strict=True)) | tensors

    by_name = names if _are_named(pair) else ()

    def outcome(side: int, model: Opened, tensors: Mapping[str, Any], own: Sequence[Any]) -> Any:
        out = _picked(pair.pick, _called(model, model.call, tensors, own[: len(names)], by_name))
        if pair.loss is None:
            return out
        return {"loss": pair.loss[side](out, **dict(zip(targets, own[len(names) :], strict=True)))}

    def of_torch(*args: Any) -> Any:
        tensors = dict(zip(given, args[count:], strict=True))
        return outcome(1, torch, tensors, args[:count])

    def run(leaves: Mapping[str, Any], own: Sequence[Any]) -> Any:
        return outcome(0, jax, leaves, own)

    def leaves_of(args: Sequence[Any]) -> dict[str, Any]:
        tensors = dict(zip(given, args[count:], strict=True))
        return {leaf: match.layout.of(tensors) for leaf, match in weights.matches.items()}

    def of_jax(*args: Any) -> Any:
        return run(leaves_of(args), args[:count])

    order = [*torch.tensors]
    plain_ones = [m for m in weights.matches.values() if _is_plain_buffer(m, torch)]
    averages = tuple(sorted(plain_ones, key=lambda m: order.index(m.layout.sources()[0])))

    def left_by_torch(*args: Any) -> list[Any]:
        tensors = dict(zip(given, args[count:], strict=True))
        left = _called(torch, torch.after, tensors, args[: len(names)], by_name)
        return [match.layout.of(left) for match in averages]

    def left_by_jax(*args: Any) -> list[Any]:
        left = _called(jax, jax.after, leaves_of(args), args[: len(names)], by_name)
        return [left[match.leaf] for match in averages]

    plain: dict[str, Any] = dict.fromkeys(OWN) | {"weights": "values"}
    functions = replace(pair, jax=of_jax, torch=of_torch, inputs=inputs, **plain)
    after = replace(functions, jax=left_by_jax, torch=left_by_torch, forward_only=True)
    return Whole(torch, jax, weights, functions, pair, run, after, averages)


def _is_plain_buffer(match: Match, torch: Opened) -> bool:
    """Return whether a leaf is one buffer of torch's, or a slice of it, with nothing moved."""
    layout = match.layout
    return (
        isinstance(layout, Piece)
        and layout.source in torch.buffers
        and layout.order == tuple(range(len(layout.order)))
        and not layout.turned
    )


def _opened(model: Any) -> Opened:
    adapter = import_module("parity.frameworks.jax_models")
    if not isinstance(model, Model):
        found: Opened = adapter.opened(model)
        return found
    of_function: Opened = adapter.of_function(model.apply, model.params)
    return of_function


def _matched(weights: Any, torch: Opened, jax: Opened) -> Weights:
    if weights in ("values", "structure"):
        return matched(torch.tensors, jax.tensors, by_value=weights == "values")
    given = {torch.shared.get(name, name): paths for name, paths in read(weights).items()}
    return matched(torch.tensors, jax.tensors, given)


def _are_named(pair: Pair) -> bool:
    given = pair.inputs(np.random.default_rng(0)) if callable(pair.inputs) else pair.inputs
    return isinstance(given, dict)


def _input_names(pair: Pair, torch: Opened) -> tuple[str, ...]:
    """Return the names of the models' own inputs, in order."""
    given = pair.inputs(np.random.default_rng(0)) if callable(pair.inputs) else pair.inputs
    if isinstance(given, dict):
        return tuple(map(str, given))
    if type(given) not in (tuple, list):
        raise UsageError("inputs= of two models is a dictionary {name: input}, or a tuple")
    more = (f"input {i + 1}" for i in range(len(torch.parameters), len(given)))
    return (*torch.parameters[: len(given)], *more)


def _called(
    model: Opened,
    run: Callable[..., Any],
    tensors: Mapping[str, Any],
    inputs: Sequence[Any],
    names: Sequence[str],
) -> Any:
    """Run a model; each input goes by its name where the model knows all of them, else in order."""
    known = {*model.parameters} | model.keywords
    if names and {*names} <= known:
        return run(tensors, (), dict(zip(names, inputs, strict=True)))
    named = dict(zip(names, inputs, strict=False))
    by_name = {name: named[name] for name in named if name in model.keywords}
    args = [x for i, x in enumerate(inputs) if not names or names[i] not in by_name]
    return run(tensors, args, by_name)


def _picked(pick: Any, out: Any) -> Any:
    """Return what of a model's output is compared."""
    if pick is None:
        return out
    if callable(pick):
        return pick(out)
    if isinstance(pick, str) and not isinstance(out, Mapping):
        if not hasattr(out, pick):
            raise UsageError(f"pick={pick!r}: the output has no {pick}; it is {type(out).__name__}")
        return getattr(out, pick)
    try:
        return out[pick]
    except (KeyError, IndexError, TypeError) as error:
        there = ", ".join(map(str, out)) if isinstance(out, Mapping) else type(out).__name__
        raise UsageError(f"pick={pick!r} is not in the output; there is {there}") from error
