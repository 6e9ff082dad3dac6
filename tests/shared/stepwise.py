"""A hand-written backward pass run line by line, each line given right values: one mistake is one
red line.

The right answer to ``dX = ...`` comes from no hand-written line. It is the sum, over the lines of
`chunked.forward` that read X, of the framework's own derivative of that one line, given the
cotangents of what it computes. These are the loss's own gradients, or random numbers: under the
former some mistakes cannot be seen. `parity.verdict` judges in float64; no tolerance is set here.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from parity.frameworks import jax_side, jaxpr_noise, torch_side
from parity.judge.judging import judge
from parity.judge.verdict import Verdict
from parity.why.edits import needed, parse, reads, statements, targets

SIDES = (jax_side, torch_side)
FLOAT64 = np.dtype(np.float64)
EPS = 1e-5
N, BLOCK, EMBD, HIDDEN, VOCAB = 7, 3, 4, 5, 11  # pairwise different, and no power of two matters
PARAMS = {
    "C": (VOCAB, EMBD),
    "W1": (BLOCK * EMBD, HIDDEN),
    "b1": (HIDDEN,),
    "W2": (HIDDEN, VOCAB),
    "b2": (VOCAB,),
    "bngain": (1, HIDDEN),
    "bnbias": (1, HIDDEN),
}
LAYERS = {
    "embedding": ("C", "Xb"),
    "linear": ("embcat", "W1", "b1"),
    "batchnorm": ("hprebn", "bngain", "bnbias"),
    "tanh": ("hpreact",),
    "cross_entropy": ("logits", "Yb"),
}

Code = tuple[ast.stmt, ...]
Arrays = dict[str, np.ndarray]
Values = Mapping[str, Any]
Reference = Callable[[ModuleType, Values], dict[str, Any]]


# Reading a function and running a part of it.


def twin(side: ModuleType, name: str) -> Any:
    """Return a module of the side's network package."""
    return import_module(f"{side.TWIN}.{name}")


def source(module: ModuleType, name: str) -> str:
    """Return the source of one function of ``module``."""
    text = Path(str(module.__file__)).read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return str(ast.get_source_segment(text, node))
    raise LookupError(f"{module.__name__} has no function {name}")


@cache
def body(module: ModuleType, name: str) -> Code:
    """Return the statements of one function of ``module``."""
    return statements(parse(source(module, name)))


def step(module: ModuleType, code: Code, index: int, given: Values) -> Any:
    """Run one statement of a function, with those it needs; return what it assigns or returns."""
    *before, last = (code[i] for i in needed(code, index, given))
    values = vars(module) | dict(given)
    exec(compile(ast.Module(before, []), str(module.__file__), "exec"), values)
    assert isinstance(last, ast.Assign | ast.Return)
    assert last.value is not None
    result = eval(compile(ast.Expression(last.value), str(module.__file__), "eval"), values)
    if isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Tuple):
        (*_,) = result
    return result


# A function to be judged.


class Answer(NamedTuple):
    """What one value should be, and its rounding noise in units of the roundoff."""

    right: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True)
class Case:
    """A hand-written function, what its lines are given, and what they should compute."""

    module: ModuleType
    name: str
    given: Values
    answers: Mapping[int, tuple[Answer, ...]]
    """Keyed by statement; one for each array that it assigns or returns."""

    @property
    def code(self) -> Code:
        """The statements as they stand in the file."""
        return body(self.module, self.name)

    def values(self) -> Values:
        """Return what every name of the function stands for when it runs."""
        values = vars(self.module) | dict(self.given)
        program = ast.Module([s for s in self.code if not isinstance(s, ast.Return)], [])
        exec(compile(program, str(self.module.__file__), "exec"), values)
        return values

    def readers(self, index: int) -> tuple[int, ...]:
        """Return the judged statements that statement ``index`` can turn red: itself, as a rule."""
        return tuple(i for i in self.answers if index in needed(self.code, i, self.given))

    def red(self, code: Code, rows: Iterable[int] | None = None) -> dict[int, str]:
        """Return what is wrong with each of ``code``'s judged statements, of all or of ``rows``."""
        faults = {i: self.fault(code, i) for i in (self.answers if rows is None else rows)}
        return {i: fault for i, fault in faults.items() if fault}

    def fault(self, code: Code, index: int) -> str:
        """Return what is wrong with one statement, or an empty string."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # to warn is not to be wrong
                found = list(_flat(step(self.module, code, index, self.given)))
        except Exception as error:
            return f"raises {type(error).__name__}: {error}"
        answers = self.answers[index]
        if len(found) != len(answers):
            return f"gives {len(found)} values, not {len(answers)}"
        return next(filter(None, map(difference, found, answers)), "")


def _flat(value: Any) -> Iterator[Any]:
    """Yield what nested tuples hold, except None: an integer input has no gradient."""
    if isinstance(value, tuple):
        for item in value:
            yield from _flat(item)
    elif value is not None:
        yield value


def difference(value: Any, answer: Answer) -> str:
    """Return the harness's sentence on how a value differs from its answer, if it does."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return f"gives {type(value).__name__}, no array"
    corners = {"by hand": np.asarray(value), "autodiff": answer.right}
    row = judge("", FLOAT64, corners, corners, *answer)
    return "" if row.verdict in (Verdict.IDENTICAL, Verdict.ROUNDING) else row.reason


# The inputs.


def batch(seed: int) -> Arrays:
    """Return the network's nine inputs: gain and bias random, one letter never used, three once."""
    random = np.random.default_rng(seed)
    letters = np.repeat(np.arange(VOCAB), [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 0])
    return {name: random.standard_normal(shape) for name, shape in PARAMS.items()} | {
        "Xb": random.permutation(letters).reshape(N, BLOCK),
        "Yb": random.integers(0, VOCAB, N),
    }


def activations(side: ModuleType, inputs: Arrays, eps: float) -> Arrays:
    """Return the loss and the intermediates of `chunked.forward`."""

    def run(*values: Any) -> Any:
        loss, named = twin(side, "chunked").forward(values[:7], *values[7:], eps)
        return {"loss": loss} | named._asdict()

    with side.exactly(FLOAT64):
        return side.to_numpy(side.compiled(run)(*side.from_numpy(tuple(inputs.values()))))


def cotangents(like: Arrays, seed: int) -> Arrays:
    """Return random numbers under d + name."""
    random = np.random.default_rng([seed, 1])  # not the numbers of `batch`
    return {f"d{name}": random.standard_normal(value.shape) for name, value in like.items()}


def tensors(side: ModuleType, values: Arrays) -> dict[str, Any]:
    """Return ``values`` in the side's framework."""
    with side.exactly(FLOAT64):
        return {name: twin(side, "params").from_numpy(value) for name, value in values.items()}


# The right answers: each framework's own derivatives, and the noise that rounding gives them.


def line_by_line(side: ModuleType, values: Values) -> dict[str, Any]:
    """Return dX for every X, through the lines of `chunked.forward` that read X and those alone."""
    module = twin(side, "chunked")
    code = body(module, "forward")
    found: dict[str, Any] = {}
    for index, statement in enumerate(code):
        dout = values.get("d" + ",".join(targets(statement)))
        for name in reads(statement) if dout is not None else ():
            if f"d{name}" in values:

                def line(value: Any, name: str = name, index: int = index) -> Any:
                    return {"out": step(module, code, index, {**values, name: value})}

                _, (grad,) = side.vjp(line, (values[name],), {"out": dout})
                found[f"d{name}"] = found.get(f"d{name}", 0.0) + grad
    return found


def network(side: ModuleType, values: Values) -> dict[str, Any]:
    """Return the gradients of the loss in every tensor of `chunked.forward`, under d + name."""
    params = twin(side, "params").Params(*(values[name] for name in PARAMS))
    _, _, *parts = twin(side, "autodiff").chunked_grads(params, values["Xb"], values["Yb"])
    return {f"d{name}": grad for part in parts for name, grad in part._asdict().items()}


@cache
def layer(op: str) -> Reference:
    """Return a function for the gradients of one layer of `ops.py`."""

    def run(side: ModuleType, values: Values) -> dict[str, Any]:
        def primal(*inputs: Any) -> Any:
            return {"out": getattr(twin(side, "ops"), f"{op}_forward")(*inputs)[0]}

        inputs = tuple(values[name] for name in LAYERS[op])
        _, grads = side.vjp(primal, inputs, {"out": values["dout"]})
        return dict(zip(LAYERS[op], grads, strict=False))  # integers come last and have none

    return run


def loss_and_grads(side: ModuleType, values: Values) -> dict[str, Any]:
    """Return the loss and the parameters' gradients."""
    params = twin(side, "params").Params(*(values[name] for name in PARAMS))
    loss, grads = twin(side, "autodiff").loss_and_grads(params, values["Xb"], values["Yb"])
    return {"loss": loss} | grads._asdict()


@cache
def yardstick(reference: Reference) -> Callable[..., Any]:
    """Return the harness's measure of rounding noise, kept since it compiles once a shape."""
    return jaxpr_noise.yardstick(partial(reference, jax_side))


def measured(side: ModuleType, reference: Reference, values: Arrays) -> dict[str, Answer]:
    """Return the side's own ``reference(values)`` by name, each with its noise."""
    with jax_side.exactly(FLOAT64):
        right, noise = yardstick(reference)(tensors(jax_side, values))
    if side is not jax_side:
        with side.exactly(FLOAT64):
            right = reference(side, tensors(side, values))
    return {name: Answer(np.asarray(right[name]), np.asarray(noise[name])) for name in right}


# The cases.


def random_case(side: ModuleType, seed: int, eps: float = EPS) -> Case:
    """Return `chunked.backward`, every line given random cotangents and judged as a rule by itself.

    Only the loss's own cotangent is 1, as `backward` takes it to be.
    """
    inputs = batch(seed)
    named = activations(side, inputs, eps)
    floats = {name: inputs[name] for name in PARAMS} | named
    upstream = cotangents(floats, seed) | {"dloss": np.array(1.0)}
    values = {**inputs, **named, **upstream, "eps": np.array(eps)}
    return _chunked(side, inputs | named, upstream, measured(side, line_by_line, values), eps)


def loss_case(side: ModuleType, seed: int) -> Case:
    """Return `chunked.backward`, every line given and judged by the gradients of the loss."""
    inputs = batch(seed)
    right = measured(side, network, inputs)
    upstream = {name: answer.right for name, answer in right.items()}
    return _chunked(side, inputs | activations(side, inputs, EPS), upstream, right, EPS)


def _chunked(
    side: ModuleType, values: Arrays, upstream: Arrays, right: Mapping[str, Answer], eps: float
) -> Case:
    module, params = twin(side, "chunked"), twin(side, "params").Params
    of, grads = tensors(side, values), tensors(side, upstream)
    given = {
        f"d{name}": grads[f"d{name}"] for name in (*params._fields, *module.Activations._fields)
    } | {
        "params": params(*(of[name] for name in params._fields)),
        "activations": module.Activations(*(of[name] for name in module.Activations._fields)),
        "Xb": of["Xb"],
        "Yb": of["Yb"],
        "eps": eps,
    }
    code = body(module, "backward")
    answers = {i: (right[t],) for i, s in enumerate(code) for t in targets(s) if t in right}
    returned = (upstream[f"d{name}"] for name in (*params._fields, *module.Activations._fields))
    answers[len(code) - 1] = tuple(Answer(value, np.zeros_like(value)) for value in returned)
    return Case(module, "backward", given, answers)


def layer_case(side: ModuleType, seed: int, op: str) -> Case:
    """Return one ``x_backward`` of `ops.py`, given its forward's residual and random numbers."""
    module = twin(side, "ops")
    inputs = batch(seed)
    inputs |= activations(side, inputs, EPS)
    forward_inputs = tensors(side, {name: inputs[name] for name in LAYERS[op]})
    with side.exactly(FLOAT64):
        out, residual = getattr(module, f"{op}_forward")(*forward_inputs.values())
    dout = cotangents({"out": np.asarray(out)}, seed)
    found = measured(side, layer(op), {name: inputs[name] for name in LAYERS[op]} | dout)
    name = f"{op}_backward"
    _, dout_name = (argument.arg for argument in parse(source(module, name)).args.args)
    given = {"residual": residual, dout_name: tensors(side, dout)["dout"]}
    order = (found[name] for name in LAYERS[op] if name in found)
    return Case(module, name, given, {len(body(module, name)) - 1: tuple(order)})


def loss_and_grads_case(side: ModuleType, seed: int) -> Case:
    """Return `mlp.loss_and_grads` as a whole."""
    module, params_type = twin(side, "mlp"), twin(side, "params").Params
    found = measured(side, loss_and_grads, batch(seed))
    of = tensors(side, batch(seed))
    given = {"params": params_type(*(of[name] for name in PARAMS)), "Xb": of["Xb"], "Yb": of["Yb"]}
    last = len(body(module, "loss_and_grads")) - 1
    order = ("loss", *params_type._fields)
    return Case(module, "loss_and_grads", given, {last: tuple(found[name] for name in order)})
