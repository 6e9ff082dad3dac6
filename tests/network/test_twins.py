"""jax_impl and torch_ref say the same thing, and the shapes that they state are true.

The rule itself is in `twins.py`; here it is held against the packages, and against broken twins.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared import twins
from tests.shared.sampled import few

ROOT = Path(__file__).parents[2]
REAL = {package: twins.read(ROOT / package) for package in twins.PACKAGES}

JAX = '''
"""A module."""

import jax.numpy as jnp
from jax import Array

from jax_impl.params import EPS

LIMIT = 3


class Residual:
    """Fields."""

    h: Array
    n: int = 1


def first(x: Array, eps: float = EPS) -> Array:
    """Words of its own."""
    n = x.shape[0]
    y = jnp.exp(x)
    if n > LIMIT:
        y = y + eps
    else:
        y = y.at[0].set(1)  # twin: no scatter
    return y


@jnp.vectorize
def second(
    x: Array,
) -> Array:
    for _ in range(3):
        x = x + 1
    return x


def third(x: Array) -> Array:  # twin: loops are slow
    return x * 8
'''
TORCH = '''
"""A module."""

import torch
from torch import Tensor, special

from torch_ref.params import EPS

LIMIT = 3


class Residual:
    """Other words."""

    h: Tensor
    n: int = 1


def first(x: Tensor, eps: float = EPS) -> Tensor:
    """Words
    of its own.
    """
    n = x.shape[0]
    y = torch.exp(x)
    if n > LIMIT:
        y = y + eps
    else:
        y = y.scatter(
            0, 0, 1
        )  # twin: no .at
    return y


@torch.vectorize
def second(
    x: Tensor,
) -> Tensor:
    for _ in range(3):
        x = x + 1
    return x


def third(x: Tensor) -> Tensor:  # twin: loops are fine
    for _ in range(3):
        x = 2 * x
    return x
'''


def found(jax: str, torch: str, name: str = "ops.py") -> list[str]:
    return twins.complaints({name: jax}, {name: torch})


def changed(source: str, old: str, new: str) -> str:
    assert source.count(old) == 1, f"{old!r} must stand once"
    return source.replace(old, new)


def test_the_packages_are_twins() -> None:
    assert twins.complaints(**REAL) == []


def test_every_file_of_the_rule_is_there() -> None:
    assert {"__init__.py", "py.typed", "autodiff.py", *twins.BY_STATEMENT} <= {*REAL["jax_impl"]}


@pytest.mark.parametrize("package", few(twins.PACKAGES, "jax_impl"))
@pytest.mark.parametrize("name", sorted(twins.BY_STATEMENT))
def test_no_line_can_go_unnoticed(package: str, name: str) -> None:
    sources = [{name: REAL[side][name]} for side in twins.PACKAGES]
    here = twins.PACKAGES.index(package)
    lines = sources[here][name].splitlines()
    nodes = list(ast.walk(ast.parse(sources[here][name])))
    excused = {
        line
        for node in nodes
        if isinstance(node, ast.FunctionDef) and "# twin:" in lines[node.lineno - 1]
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    tried = 0
    for node in nodes:
        if not isinstance(node, ast.stmt) or isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if node.lineno in excused or node.end_lineno != node.lineno:
            continue
        edited = [*lines]
        edited[node.lineno - 1] = " " * node.col_offset + "pass"
        sources[here] = {name: "\n".join(edited)}
        assert twins.complaints(*sources), lines[node.lineno - 1]
        tried += 1
    assert tried >= 10


def test_twins_may_differ_in_imports_words_and_tagged_statements() -> None:
    assert found(JAX, TORCH) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("n = x.shape[0]", "n = x.shape[1]", "torch_ref/ops.py:23 `n = x.shape[0]`; make them"),
        ("LIMIT = 3", "LIMIT = 4", "`LIMIT = 4` differs from"),
        ("n > LIMIT", "n >= LIMIT", "`if n >= LIMIT:` differs from"),
        ("y = jnp.exp(x)", "y = torch.exp(x)", "`y = torch.exp(x)` differs from"),
        ("y = jnp.exp(x)", "y = x.exp()", "`y = x.exp()` differs from"),
        ("        x = x + 1", "        x = 1 + x", "`x = 1 + x` differs from"),
        ("    n: int = 1", "    n: int = 2", "`n: int = 2` differs from"),
        ("    h: Array", "    h: jnp.ndarray", "differs from torch_ref/ops.py:15 `h: ARRAY`"),
        ("@jnp.vectorize\n", "", "differs from"),
        ("(x: Array, eps: float = EPS)", "(x: Array, eps: float = 0)", "different signatures"),
        ("third(x: Array)", "third(y: Array)", "different signatures"),
        ('    """Words of its own."""\n', "", "has no counterpart at its place in jax_impl"),
        ("    n = x.shape[0]\n", "    n = x.shape[0]\n    n = 1\n", "no counterpart at its place"),
        ("def second(", "def renamed(", "`def renamed(x: ARRAY) -> ARRAY:` differs from"),
        (".set(1)  # twin: no scatter", ".set(1)", "jax_impl/ops.py does not say `# twin: reason`"),
        (".set(1)  # twin: no scatter", ".set(1)  # twin:", "a tag says why"),
        ("# twin: loops are slow", "", "jax_impl/ops.py does not say `# twin: reason`"),
        ("y = jnp.exp(x)", "y = jnp.exp(x)  # twin: same", "no statement there differs"),
        ("    return y\n", "    # twin: floating\n    return y\n", "no statement there differs"),
        ("    return x * 8", "    return x * 8  # twin: inside", "no statement there differs"),
    ],
)
def test_a_broken_statement_is_reported(old: str, new: str, sentence: str) -> None:
    complaints = found(changed(JAX, old, new), TORCH)
    assert any(sentence in complaint for complaint in complaints), complaints


def test_a_needless_tag_is_reported_on_both_sides() -> None:
    same = "    n = x.shape[0]"
    complaints = found(
        changed(JAX, same, same + "  # twin: a"), changed(TORCH, same, same + "  # twin: b")
    )
    assert complaints == [
        "jax_impl/ops.py:21 is tagged `# twin: a`, but no statement there differs; remove the tag",
        "torch_ref/ops.py:23 is tagged `# twin: b`, but no statement there differs; remove the tag",
    ]


def test_a_function_out_of_order_is_reported() -> None:
    start, stop = JAX.index("def first"), JAX.index("@jnp.vectorize")
    reordered = JAX[:start] + JAX[stop:] + "\n\n" + JAX[start:stop]
    assert any("no counterpart at its place" in c for c in found(reordered, TORCH))
    assert any("another order" in c for c in found(reordered, TORCH, "train.py"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("y = jnp.exp(x)", "y = x.exp()", ""),  # bodies are each framework's own
        ("def second(", "def _second(", "torch_ref/train.py defines second, jax_impl/train.py"),
        ("LIMIT = 3", "_LIMIT = 3", "torch_ref/train.py defines LIMIT, jax_impl/train.py"),
        ("eps: float = EPS", "eps: float = 0", "first is first(x: ARRAY, eps: float=0) -> ARRAY"),
        ("    n: int = 1", "    n: int = 2", "Residual is Residual(): h : ARRAY; n : int = 2 in"),
        ("class Residual:", "class Residual(tuple):", "Residual is Residual(tuple): h"),
        ("third(x: Array) -> Array", "third(x: Array) -> int", "third is third(x: ARRAY) -> int"),
    ],
)
def test_other_files_share_names_and_signatures(old: str, new: str, sentence: str) -> None:
    complaints = found(changed(JAX, old, new), TORCH, "train.py")
    if sentence:
        assert any(sentence in complaint for complaint in complaints), complaints
    else:
        assert complaints == []


def test_a_missing_file_is_reported() -> None:
    assert twins.complaints({"ops.py": "", "train.py": ""}, {"ops.py": "", "py.typed": ""}) == [
        "jax_impl holds train.py, torch_ref does not",
        "torch_ref holds py.typed, jax_impl does not",
    ]


CHECKED = """
import sys
from importlib import import_module
from typing import get_type_hints

import numpy as np
from jaxtyping import TypeCheckError, install_import_hook, jaxtyped

package = sys.argv[1]
with install_import_hook(package, "beartype.beartype"):
    params, chunked, ops, mlp, autodiff, evaluate = (
        import_module(f"{package}.{name}")
        for name in ("params", "chunked", "ops", "mlp", "autodiff", "evaluate")
    )


def trace(function, *args):
    "Call the function; in JAX with tracers alone, which have shapes and need no compiler."
    if package == "torch_ref":
        return function(*args)
    return import_module("jax").eval_shape(function, *args)


def conform(*tuples):
    "Every field has the shape that its NamedTuple states, one size a name over all of them."
    with jaxtyped("context"):
        for value in tuples:
            for name, hint in get_type_hints(type(value)).items():
                if not isinstance(getattr(value, name), hint):
                    raise TypeCheckError(f"{type(value).__name__}.{name}")


def inputs(n, block, embd, hidden, vocab):
    rng = np.random.default_rng(0)
    shapes = [(vocab, embd), (block * embd, hidden), (hidden,), (hidden, vocab), (vocab,)]
    shapes += [(1, hidden), (1, hidden)]
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    arrays += [rng.integers(0, vocab, (n, block)), rng.integers(0, vocab, n)]
    *values, Xb, Yb = map(params.from_numpy, arrays)
    return params.Params(*values), Xb, Yb


def everything(p, Xb, Yb):
    loss, activations = chunked.forward(p, Xb, Yb)
    grads, dactivations = chunked.backward(p, activations, Xb, Yb)
    conform(p, activations, grads, dactivations)
    conform(p, *autodiff.chunked_grads(p, Xb, Yb)[1:])
    conform(p, mlp.loss_and_grads(p, Xb, Yb)[1], autodiff.loss_and_grads(p, Xb, Yb)[1])
    for _, residual in (
        ops.embedding_forward(p.C, Xb),
        ops.linear_forward(activations.embcat, p.W1, p.b1),
        ops.batchnorm_forward(activations.hprebn, p.bngain, p.bnbias),
        ops.tanh_forward(activations.hpreact),
        ops.cross_entropy_forward(activations.logits, Yb),
    ):
        conform(residual)
    tanh = autodiff.differentiable(ops.tanh_forward, ops.tanh_backward)
    assert tanh(activations.hpreact).shape == activations.h.shape
    statistics = evaluate.calibrate(p, Xb)
    conform(statistics)
    evaluate.next_letter(p, statistics, Xb)
    return evaluate.split_loss(p, statistics, Xb, Yb)


for sizes in (5, 3, 2, 7, 11), (2, 1, 1, 1, 1):
    trace(everything, *inputs(*sizes))
p, Xb, Yb = inputs(5, 3, 2, 7, 11)
evaluate.sample(p, evaluate.calibrate(p, Xb), lambda probabilities: 0, 1, 3)

flat = p._replace(bngain=p.bngain.reshape(7))
for function, *args in (
    (ops.batchnorm_forward, Xb[:, :1] * p.b1, flat.bngain, p.bnbias),
    (mlp.loss_and_grads, flat, Xb, Yb),
    (conform, flat),
    (chunked.forward, p, Xb[:4], Yb),
    (chunked.forward, p, Xb, Xb),
    (ops.linear_forward, p.W1, p.W1, p.b1),
    (ops.tanh_backward, ops.TanhResidual(p.W1), p.b1),
    (ops.cross_entropy_forward, p.W1, Yb),
    (evaluate.inference_logits, p, evaluate.Statistics(p.bngain, p.bnbias), Xb * 1.0),
):
    try:
        trace(function, *args)
    except TypeCheckError:
        continue
    raise SystemExit(f"{function.__name__} took a wrong shape")
print("checked", package)
"""


@pytest.fixture(scope="module")
def checks() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """The checks of both packages, running side by side."""
    running = {
        package: subprocess.Popen(
            [sys.executable, "-c", CHECKED, package],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for package in twins.PACKAGES
    }
    yield running
    for process in running.values():
        with process:  # closes its pipes and waits
            process.kill()


@pytest.mark.full
@pytest.mark.parametrize("package", twins.PACKAGES)
def test_the_stated_shapes_hold_when_they_are_checked(
    package: str, checks: dict[str, subprocess.Popen[str]]
) -> None:
    said, complained = checks[package].communicate()
    assert said == f"checked {package}\n", complained
