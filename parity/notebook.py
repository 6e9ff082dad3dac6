"""The notebook's exercises on one seeded batch, four ways: by hand and by autodiff, JAX and torch.

The twins have the same names, so each exercise is written once and run with either package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from parity import recipe
from parity.data import Dataset, load
from parity.errors import UsageError
from parity.noise import TINY
from parity.report import Report, Section
from parity.seeds import Generator
from parity.verdict import Row, judge, worst_of

ROWS = tuple(
    """logprobs probs counts_sum_inv counts_sum counts norm_logits logit_maxes logits h W2 b2
    hpreact bngain bnbias bnraw bnvar_inv bnvar bndiff2 bndiff bnmeani hprebn embcat W1 b1 emb
    C""".split()
)
"""Exercise 1's tensors in the order in which the notebook compares them."""

FLOAT64 = np.dtype(np.float64)

Arrays = dict[str, np.ndarray]
Outcome = tuple[Arrays, Arrays]
"""What every corner returns: forward tensors and gradients, by name."""


@dataclass(frozen=True)
class Options:
    """What to run; the defaults are the notebook's own batch."""

    dtype: str = "both"
    n_hidden: int = 64
    batch_size: int = 32
    batches: int = 1
    seed: int = recipe.SEED
    global_seed: int = recipe.GLOBAL_SEED
    global_skip: int = 0
    names: Path | None = None
    exercises: tuple[int, ...] = (1, 2, 3)

    @property
    def dtypes(self) -> tuple[np.dtype, ...]:
        """The dtypes to judge, float32 first."""
        both = {"float32": ("float32",), "float64": ("float64",), "both": ("float32", "float64")}
        return tuple(np.dtype(name) for name in both[self.dtype])


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
        loss, (dlogits,) = side.vjp(
            lambda logits: ops.cross_entropy_forward(logits, Yb)[0], (logits,), dloss
        )
        return {"loss": loss}, {"logits": dlogits}

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
        hpreact, grads = side.vjp(
            lambda *inputs: ops.batchnorm_forward(*inputs)[0], inputs[:3], inputs[3]
        )
        return {"hpreact": hpreact}, dict(zip(BATCHNORM.rows, grads, strict=True))

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
)
EXERCISES = {exercise.number: exercise for exercise in (CHUNKED, CROSS_ENTROPY, BATCHNORM)}


TIES = (
    "{} rows of logits have their maximum more than once: jax.grad shares the gradient among "
    "equals, the others give it to the first; both are subgradients, and the loss sees neither"
)


class Bench:
    """One exercise set up in both frameworks: every corner compiled once, then run on any batch."""

    def __init__(self, exercise: Exercise) -> None:
        from parity.frameworks import jax_side, jaxpr_noise, torch_side

        self.exercise = exercise
        self.legs = [
            (side, corner, function, side.compiled(function))
            for side in (jax_side, torch_side)
            for corner, function in (
                (side.HAND, exercise.by_hand(side)),
                (side.AUTODIFF, exercise.by_autodiff(side)),
            )
        ]
        self.jax: Any = jax_side
        self.yardstick = jaxpr_noise.yardstick(exercise.by_autodiff(jax_side))

    def corners(
        self, inputs: Arrays, dtypes: tuple[np.dtype, ...]
    ) -> tuple[dict[np.dtype, dict[str, Outcome]], Outcome, Outcome]:
        """Run every corner in every dtype: {dtype: {corner: outcome}}, the reference and its noise.

        JAX runs jitted and, in float32, eagerly as well. What is slow is compiling, so each call
        has a thread of its own; torch's calls take turns, since its thread count is one for all.
        """
        jobs: dict[tuple[np.dtype, str], Callable[[], Outcome]] = {}
        for dtype in dtypes:
            for side, corner, function, compiled in self.legs:
                values = _cast(self.exercise, inputs, dtype)
                jobs[dtype, corner] = partial(_call, side, dtype, compiled, values)
                if compiled is not function and dtype == np.float32:
                    jobs[dtype, f"{corner} eager"] = partial(_call, side, dtype, function, values)
        measure = partial(
            _call, self.jax, FLOAT64, self.yardstick, _cast(self.exercise, inputs, FLOAT64)
        )
        with ThreadPoolExecutor() as pool:
            measured = pool.submit(measure)
            futures = {
                key: pool.submit(job)
                for key, job in jobs.items()
                if key[1].startswith(self.jax.HAND)
            }
            done = {key: job() for key, job in jobs.items() if key not in futures}
            outcomes: dict[np.dtype, dict[str, Outcome]] = {dtype: {} for dtype in dtypes}
            for dtype, corner in jobs:
                key = (dtype, corner)
                outcomes[dtype][corner] = futures[key].result() if key in futures else done[key]
            return outcomes, *measured.result()

    def run(
        self, inputs: Arrays, dtypes: tuple[np.dtype, ...], batch: int
    ) -> tuple[dict[str, list[Row]], int]:
        """Return the judged rows, 'forward' and 'gradient', and how many logit rows have a tie."""
        outcomes, reference, noise = self.corners(inputs, tuple(dict.fromkeys((*dtypes, FLOAT64))))
        underflow = _underflow(reference[0])
        rows: dict[str, list[Row]] = {"forward": [], "gradient": []}
        for dtype in dtypes:
            for part, kind in enumerate(("forward", "gradient")):
                names = self.exercise.rows if kind == "gradient" else tuple(reference[0])
                rows[kind] += [
                    judge(
                        name,
                        dtype,
                        {
                            corner: outcome[part][name]
                            for corner, outcome in outcomes[dtype].items()
                        },
                        {
                            corner: outcome[part][name]
                            for corner, outcome in outcomes[FLOAT64].items()
                        },
                        reference[part][name],
                        noise[part][name],
                        underflow,
                        batch,
                    )
                    for name in names
                ]
        return rows, _ties(reference[0]["logits"]) if self.exercise is CHUNKED else 0


def _call(side: Any, dtype: np.dtype, function: Any, values: tuple[np.ndarray, ...]) -> Any:
    with side.exactly(dtype):
        return side.call(function, values)


def _cast(exercise: Exercise, inputs: Arrays, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Return the exercise's inputs in order, floats in ``dtype``; exact, they are float32."""
    values = (inputs[name] for name in exercise.inputs)
    return tuple(x.astype(dtype) if x.dtype == np.float32 else x for x in values)


def _underflow(forward: Arrays) -> str:
    """Return the first forward tensor with values that float32 holds only as subnormals."""
    for name, value in forward.items():
        if np.any((value != 0) & (np.abs(value) < TINY)):
            return name
    return ""


def _ties(logits: np.ndarray) -> int:
    """Return how many rows have their maximum more than once."""
    return int(np.sum((logits == logits.max(1, keepdims=True)).sum(1) > 1))


def layer_inputs() -> Callable[[Arrays], Arrays]:
    """Return a function from a batch to what Exercises 2 and 3 start from, as float32.

    logits, hprebn and dhpreact are computed once, in float64 by the fused layers, and given to
    every corner alike: what is compared is the layer, not what came before it.
    """
    from parity.frameworks import jax_side

    ops = _twin(jax_side, "ops")

    def run(
        C: Any, W1: Any, b1: Any, W2: Any, b2: Any, bngain: Any, bnbias: Any, *data: Any
    ) -> Any:
        embcat, _ = ops.embedding_forward(C, data[0])
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
        values = _call(jax_side, FLOAT64, compiled, _cast(CHUNKED, batch, FLOAT64))
        return {name: value.astype(np.float32) for name, value in values.items()}

    return inputs


def batches(options: Options, dataset: Dataset) -> Iterator[Arrays]:
    """Yield the inputs of every batch: the same parameters, the generator's next minibatch."""
    generator, unseeded = Generator(options.seed), Generator(options.global_seed)
    unseeded.skip(options.global_skip)
    params = recipe.initial_params(
        generator,
        unseeded,
        vocab=dataset.vocab_size,
        block=dataset.block_size,
        hidden=options.n_hidden,
    )
    for _ in range(options.batches):
        Xb, Yb = recipe.minibatch(generator, dataset.train, options.batch_size)
        yield params | {"Xb": Xb, "Yb": Yb, "dloss": np.float32(1.0)}


def run(options: Options, done: Callable[[int], None] = lambda batch: None) -> Report:
    """Run the exercises and judge every tensor; ``done`` is told after each batch."""
    if options.batch_size < 2:
        raise UsageError("batch size 1 has no batch variance; give --batch-size 2 or more")
    for name, value in (("--n-hidden", options.n_hidden), ("--batches", options.batches)):
        if value < 1:
            raise UsageError(f"{name} is {value}; give 1 or more")
    dataset = load(options.names)
    benches = [Bench(EXERCISES[number]) for number in options.exercises]
    rows: list[dict[str, list[list[Row]]]] = [{"forward": [], "gradient": []} for _ in benches]
    layers = layer_inputs()
    tied = 0
    for index, inputs in enumerate(batches(options, dataset)):
        if any(bench.exercise is not CHUNKED for bench in benches):
            inputs = inputs | layers(inputs)
        for bench, kept in zip(benches, rows, strict=True):
            found, ties = bench.run(inputs, options.dtypes, index)
            tied += ties
            for kind, judged in found.items():
                kept[kind].append(judged)
        done(index + 1)
    sections = tuple(
        Section(
            exercise=bench.exercise.number,
            title=bench.exercise.title,
            forward=tuple(worst_of(same) for same in zip(*kept["forward"], strict=True)),
            gradients=tuple(worst_of(same) for same in zip(*kept["gradient"], strict=True)),
        )
        for bench, kept in zip(benches, rows, strict=True)
    )
    return Report(options, sections, (TIES.format(tied),) if tied else ())
