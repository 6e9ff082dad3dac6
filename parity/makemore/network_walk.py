"""The walk through the notebook's own network: its names, its right lines, a batch for diagnosis.

What `walk.py` does for any function, set up for Exercises 1 to 3.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from parity.judge.compare import FLOAT64
from parity.makemore import recipe
from parity.makemore.exercises import CHUNKED, EXERCISES, ROWS, Exercise
from parity.pairs.legs import call
from parity.why.answers import Answer, Line
from parity.why.causes.context import Arrays
from parity.why.edits import needed, parse, statements, targets
from parity.why.rule_walk import Rule, judge_rule
from parity.why.variants import Formula
from parity.why.walk import Bench, Walk

LETTERS = (3, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0)
"""How often each letter of the diagnosis batch is read."""

FUSED_FORMULAS = {
    "logits": ("dlogits = (softmax(logits, 1) - one_hot(Yb, vocab)) / n",),
    "hprebn": (
        "dhprebn = bngain * bnvar_inv / n * (n * dhpreact - dhpreact.sum(0)"
        " - n / (n - 1) * bnraw * (dhpreact * bnraw).sum(0))",
    ),
}
"""Exercises 2 and 3: right lines as people write them, to be edited."""


def diagnosis_batch(seed: int = 0) -> dict[str, np.ndarray]:
    """Return inputs on which different mistakes give different numbers, in float64.

    All sizes differ and are no powers of two; letters are read 0, 1 and 3 times; gain and bias are
    random; and the variances are so small that the notebook's epsilon weighs as much as they do.
    """
    rng = np.random.default_rng([seed, 5])
    n, block, embd, hidden, vocab = 5, 3, 2, 7, 11
    shapes: dict[str, tuple[int, ...]] = {
        "C": (vocab, embd),
        "W1": (block * embd, hidden),
        "b1": (hidden,),
        "W2": (hidden, vocab),
        "b2": (vocab,),
        "bngain": (1, hidden),
        "bnbias": (1, hidden),
    }
    batch = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    batch["W1"] *= 4e-3
    batch["bngain"] += np.where(batch["bngain"] < 0, -0.5, 0.5)
    return batch | {
        "Xb": rng.permutation(np.repeat(np.arange(vocab), LETTERS)).reshape(n, block),
        "Yb": rng.permutation(vocab)[[0, 1, 2, 3, 0]],
    }


@cache
def network() -> Walk:
    """Return the walk through `jax_impl.chunked.forward`, made once."""
    chunked, params = import_module("jax_impl.chunked"), import_module("jax_impl.params").Params

    def forward(values: Mapping[str, Any]) -> dict[str, Any]:
        held = params(*(values[name] for name in recipe.NAMES))
        loss, activations = chunked.forward(held, values["Xb"], values["Yb"])
        return activations._asdict() | {"loss": loss}

    return Walk(forward, assumed=("loss",), sizes=sizes, formulas=_one_step)


@cache
def fused() -> Walk:
    """Return the same walk with Exercise 2's and 3's right lines to be edited."""
    walk = network()
    return walk.with_formulas(_fused_steps)


@cache
def right_of_diagnosis(seed: int = 0) -> Mapping[str, Answer]:
    """Return what each gradient of a diagnosis batch should be, measured once."""
    return network().whole(diagnosis_batch(seed))


def walk_pass(
    backward: Callable[[Arrays], Arrays],
    batch: Arrays,
    whole: Mapping[str, Answer] | None = None,
) -> list[Line]:
    """Walk a whole backward pass, a function of the inputs, on ``batch``.

    The causes are those of the diagnosis batch, where they are told apart best, with the numbers
    of ``batch`` where it shows them too. ``whole`` are its right gradients, where they are known.
    """
    lines = network().by_arrays(backward(batch), _exact(batch), ROWS, whole=whole)
    probe = diagnosis_batch()
    found = network().by_arrays(backward(probe), probe, ROWS, whole=right_of_diagnosis())
    named = {line.tensor: line for line in found}

    def merged(line: Line) -> Line:
        here = {(cause.kind, cause.key): cause for cause in line.causes}
        there = named[line.tensor].causes if line.tensor in named else ()
        causes = tuple(here.get((cause.kind, cause.key), cause) for cause in there)
        return replace(line, causes=causes or line.causes)

    return [merged(line) if line.causes else line for line in lines]


def walk_rules(
    rules: Mapping[str, Rule],
    batch: Arrays,
    side: ModuleType,
    dtype: np.dtype = FLOAT64,
    *,
    exercise: int = 1,
) -> list[Line]:
    """Walk rules of one exercise by tensor name, each given right values of the side's framework.

    Judged on ``batch`` in ``dtype``, named on the diagnosis batch in float64.
    """
    given = starts_from(exercise)
    bench = (fused() if given else network()).bench(_exact(batch), given=given)
    return [
        judge_rule(name, rule, side, dtype, bench, probe(given)) for name, rule in rules.items()
    ]


def starts_from(exercise: int) -> tuple[str, ...] | None:
    """Return the tensors whose gradients a rule is given: all, None, where it is one step."""
    return None if exercise == CHUNKED.number else (EXERCISES[exercise].above,)


def walk_exercise(exercise: Exercise, side: ModuleType, batch: Arrays) -> list[Line]:
    """Walk one exercise as a framework's twin has it, on ``batch``."""
    function = exercise.by_hand(side)
    if exercise is CHUNKED:
        return walk_pass(
            lambda inputs: call(side, FLOAT64, function, exercise.take({**inputs}, FLOAT64))[1],
            batch,
        )

    def rule_of(name: str) -> Rule:
        return lambda values: function(*(values[given] for given in exercise.inputs))[1][name]

    rules = {name: rule_of(name) for name in exercise.rows}
    return walk_rules(rules, batch, side, exercise=exercise.number)


@cache
def probe(given: tuple[str, ...] | None = None) -> Bench:
    """Return the diagnosis batch under random gradients; for a fused rule, what it is ``given``."""
    return (fused() if given else network()).bench(diagnosis_batch(), random=True, given=given)


def _exact(batch: Arrays) -> dict[str, np.ndarray]:
    names = (*recipe.NAMES, "Xb", "Yb")
    return {
        name: batch[name].astype(np.float64) if batch[name].dtype.kind == "f" else batch[name]
        for name in names
    }


def sizes(inputs: Arrays) -> dict[str, int]:
    """Return the sizes of a batch by name."""
    n, block = inputs["Xb"].shape
    vocab, embd = inputs["C"].shape
    return {"n": n, "vocab": vocab, "hidden": inputs["W2"].shape[0], "block": block, "embd": embd}


# The right lines, read from the source of torch's twin: small arrays are fastest there.


@cache
def _backward() -> tuple[dict[str, Any], tuple[ast.stmt, ...]]:
    module = import_module("torch_ref.chunked")
    text = Path(str(module.__file__)).read_text(encoding="utf-8")
    (function,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == "backward"
    )
    return dict(vars(module)), statements(parse(ast.unparse(function)))


def _values(tensors: Arrays, gradients: Arrays) -> dict[str, Any]:
    torch = import_module("torch")
    values: dict[str, Any] = {
        name: torch.tensor(value, dtype=torch.float64 if value.dtype.kind == "f" else torch.int64)
        for name, value in (
            dict(tensors) | {f"d{name}": value for name, value in gradients.items()}
        ).items()
    }
    known = sizes(tensors)
    return values | {"n": known["n"], "vocab": known["vocab"], "eps": 1e-5}


def _one_step(name: str, tensors: Arrays, gradients: Arrays) -> tuple[Formula, ...]:
    namespace, code = _backward()
    values = _values(tensors, gradients)
    index = next(i for i, s in enumerate(code) if targets(s) == (f"d{name}",))
    wanted = tuple(code[i] for i in needed(code, index, values))
    return (Formula(wanted, values, namespace),)


def _fused_steps(name: str, tensors: Arrays, gradients: Arrays) -> tuple[Formula, ...]:
    if name not in FUSED_FORMULAS:  # one step, in the fused exercises too
        return _one_step(name, tensors, gradients)
    torch = import_module("torch")
    namespace = dict(_backward()[0]) | {"softmax": torch.softmax}
    values = _values(tensors, gradients)
    return tuple(Formula.of(source, values, namespace) for source in FUSED_FORMULAS[name])
