"""A network trained with a mistake in one gradient, beside the right one: it trains anyway.

The backward pass is the course's own 26 lines in JAX, one of them exchanged. Judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from parity.errors import UsageError
from parity.judge.compare import FLOAT32
from parity.learn.course import Step, course
from parity.learn.reading import reads, source
from parity.makemore.data import Dataset
from parity.makemore.evaluation import split_losses, statistics
from parity.makemore.exercises import ROWS
from parity.makemore.recipe import NAMES
from parity.makemore.training import Config, initial, rates, side_of, to_params

OTHER = 1
"""The seed of other batches and parameters: how far luck alone moves a loss."""


class Mistake(NamedTuple):
    """A mistake that can be trained with."""

    name: str
    """`bndiff2.1`: the tensor, and which of the mistakes in its gradient."""
    step: Step
    body: str


class Trained(NamedTuple):
    """What came of one training."""

    losses: np.ndarray
    """Of each step."""
    validation: float


def steps() -> dict[str, Step]:
    """Return the step of each of the 26 gradients, in their order."""
    held = {s.gradient: s for e in course() if e.network and not e.fused for s in e.steps}
    return {name: held[name] for name in ROWS}


def mistakes() -> dict[str, Mistake]:
    """Return the mistakes of the course that can be made in JAX, by name."""
    found = [
        Mistake(f"{name}.{number}", step, wrong.body["jax"])
        for name, step in steps().items()
        for number, wrong in enumerate((w for w in step.wrong if "jax" in w.body), 1)
    ]
    return {mistake.name: mistake for mistake in found}


def chosen(name: str) -> Mistake:
    """Return a mistake by its name, or a tensor's first; UsageError where there is none."""
    known = mistakes()
    wanted = name if "." in name else f"{name.removeprefix('d')}.1"
    if wanted not in known:
        raise UsageError(f"there is no mistake {name}; `parity learn wrong` lists them")
    return known[wanted]


def trained(
    mistake: Mistake | None, dataset: Dataset, count: int, seed: int | None = None
) -> Trained:
    """Train ``count`` steps at a rate of 0.1 with every line right but the mistake's."""
    side, config = side_of("jax"), Config(steps=count, n_hidden=64, lr="0.1")
    config = config if seed is None else Config(**{**vars(config), "seed": seed})
    params, generator = initial(config, dataset)
    ix = generator.randint(len(dataset.train.Y), (count, config.batch_size))
    with side.exactly(FLOAT32):
        given = (dataset.train.X, dataset.train.Y, ix, rates(config.lr, 0, count))
        descend = side.descent(_loss_and_grads(mistake))
        try:
            found, losses = descend(to_params(side, params), *side.from_numpy(given))
        except (KeyError, TypeError, ValueError) as error:
            said = str(error).strip().split("\n")[0]
            if isinstance(error, KeyError):
                said = f"it reads {error.args[0]}, which is not there yet"
            name = mistake.name if mistake else "the right pass"
            raise UsageError(f"with {name} no step can be taken: {said}") from error
        params = dict(zip(NAMES, side.to_numpy(tuple(found)), strict=True))
        losses = side.to_numpy(losses)
    fixed = statistics(side, params, dataset)
    return Trained(losses, split_losses(side, params, fixed, dataset)["val"])


def rule(step: Step, body: str) -> Callable[[Mapping[str, Any]], Any]:
    """Return a body in JAX as a function of all values by name."""
    names: dict[str, Any] = {"jax": import_module("jax"), "jnp": import_module("jax.numpy")}
    exec(source("rule", step, body), names)
    asked, function = reads(step, body), names["rule"]
    return lambda values: function(*(values[name] for name in asked))


def summary(right: Trained, other: Trained, wrong: Trained, name: str) -> list[str]:
    """Return the losses of a right training, of one with other luck and of a wrong one."""
    last = max(1, len(right.losses) // 6)
    first = len(right.losses) - last + 1
    rows = (("right", right), ("right, another seed", other), (f"wrong: {name}", wrong))
    said = [f"{'':24}loss, steps {first:,} to {len(right.losses):,}   validation loss"]
    said += [f"{n:24}{one.losses[-last:].mean():<27.4f}{one.validation:.4f}" for n, one in rows]
    return [*said, "", _verdict(right, other, wrong)]


def _verdict(right: Trained, other: Trained, wrong: Trained) -> str:
    if not (np.all(np.isfinite(wrong.losses)) and wrong.losses[-1] < wrong.losses[0]):
        return "This one does not train: a loss curve shows it."
    apart = wrong.validation - right.validation
    luck = abs(other.validation - right.validation)
    side = "above" if apart > 0 else "below"
    if abs(apart) <= luck:
        return (
            f"It trains anyway: {abs(apart):.4f} {side} the right one, where another seed makes "
            f"{luck:.4f}. No loss curve shows this mistake; a gradient check does."
        )
    return (
        f"It trains anyway, to a loss {abs(apart):.4f} {side} the right one's; another seed makes "
        f"{luck:.4f}. Without the right curve beside it, who would know?"
    )


def _loss_and_grads(mistake: Mistake | None) -> Callable[..., Any]:
    chunked = import_module("jax_impl.chunked")
    bodies = {name: step.solution["jax"] for name, step in steps().items()}
    if mistake:
        bodies[mistake.step.gradient] = mistake.body
    rules = {name: rule(step, bodies[name]) for name, step in steps().items()}

    def loss_and_grads(params: Any, Xb: Any, Yb: Any) -> Any:
        loss, activations = chunked.forward(params, Xb, Yb)
        values = {**params._asdict(), **activations._asdict(), "Xb": Xb, "Yb": Yb}
        values |= {"n": Xb.shape[0], "vocab": params.C.shape[0]}
        for name in ROWS:
            found = values[f"d{name}"] = rules[name](values)
            if found.shape != values[name].shape:
                raise ValueError(
                    f"d{name} has shape {found.shape}, {name} has {values[name].shape}"
                )
        grads = {name: values[f"d{name}"].astype(params.C.dtype) for name in NAMES}
        return loss, type(params)(**grads)

    return loss_and_grads
