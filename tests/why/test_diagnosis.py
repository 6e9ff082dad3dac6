"""Every mistake is caught and called by its name, nothing is guessed, what is right is left alone.

Judged on batches of 7 and 32 examples in both frameworks and dtypes; names must come from values
alone, so they survive when every tensor is renamed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from parity.errors import UsageError
from parity.frameworks import jax_side, torch_side
from parity.judge.compare import FLOAT32, FLOAT64
from parity.judge.verdict import Status
from parity.makemore.data import load
from parity.makemore.exercises import ROWS
from parity.makemore.network_walk import (
    diagnosis_batch,
    fused,
    network,
    probe,
    starts_from,
    walk_pass,
)
from parity.makemore.notebook import Options, batches
from parity.why.answers import Line
from parity.why.causes.context import Context
from parity.why.causes.fitting import Problem
from parity.why.diagnosis import Cause, Kind, diagnose
from parity.why.rule_walk import judge_rule
from parity.why.variants import Formula
from parity.why.walk import Bench
from tests.shared import mistakes
from tests.shared.mistakes import BENIGN, EDIT, LATER, TABLE, UNSEEN, Mistake, Values
from tests.shared.sampled import few

WORDS = {jax_side: jnp, torch_side: torch}


@cache
def bench(n: int, given: tuple[str, ...] | None) -> Bench:
    """The notebook's first batch of ``n`` examples, with right values."""
    batch = next(batches(Options(batch_size=n), load()))
    exact = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in batch.items()}
    exact.pop("dloss")
    return (fused() if given else network()).bench(exact, given=given)


def given(mistake: Mistake) -> tuple[str, ...] | None:
    return starts_from(mistake.exercise)


def rule(mistake: Mistake, side: ModuleType) -> Any:
    made = deepcopy(mistake.rule)  # a rule that remembers starts anew
    return lambda values: made(Values(values), WORDS[side])


def judged(mistake: Mistake, n: int, side: ModuleType, dtype: np.dtype) -> Line:
    own = given(mistake)
    return judge_rule(mistake.tensor, rule(mistake, side), side, dtype, bench(n, own), probe(own))


def matching(causes: Iterable[Cause], mistake: Mistake) -> list[bool]:
    """Whether each cause is a name that the mistake may be called by."""
    patterns = mistake.names
    return [any(re.fullmatch(p, f"{c.kind}: {c.key}") for p in patterns) for c in causes]


def misnamed(causes: Iterable[Cause], mistake: Mistake) -> list[str]:
    """The causes that are no name of the mistake, nor an edit that gives the same numbers."""
    named = [c for c in causes if c.kind is not Kind.UNKNOWN]
    return [
        str(cause)
        for cause, right in zip(named, matching(named, mistake), strict=True)
        if not right and not re.fullmatch(EDIT, f"{cause.kind}: {cause.key}")
    ]


def each(table: Iterable[Mistake], *, torch: int = 1, jax: int = 1) -> pytest.MarkDecorator:
    """Every ``torch``-th mistake in torch and ``jax``-th in JAX, and those that only JAX has."""
    cases = [
        pytest.param(side, mistake, id=f"{side.TWIN}-{mistake.tensor}-{mistake.id}")
        for side, step in ((torch_side, torch), (jax_side, jax))
        for i, mistake in enumerate(table)
        if mistake.only in side.TWIN and (i % step == 0 or mistake.only)
    ]
    return pytest.mark.parametrize(("side", "mistake"), cases)


INVISIBLE = ("CE19", "L102")
"""What the loss cannot see: the right gradient is zero there."""
BY_LUCK = ("CE21", "CE23")
"""Seen or not, as it happens: at the loss they are wrong by the rounding of a zero."""


def check_named(side: ModuleType, mistake: Mistake, n: int, dtype: np.dtype) -> None:
    line = judged(mistake, n, side, dtype)
    assert line.causes, "not caught"
    if mistake.id not in BY_LUCK:
        assert (line.status is Status.RIGHT) == (mistake.id in INVISIBLE)
    assert misnamed(line.causes, mistake) == []
    assert matching(line.causes, mistake)[0], [str(c) for c in line.causes]
    assert all(c.tensor == mistake.tensor and c.hint.endswith("?") for c in line.causes)


@each(TABLE, torch=3, jax=8)
def test_a_mistake_is_caught_and_named(side: ModuleType, mistake: Mistake) -> None:
    check_named(side, mistake, 7, FLOAT32)


@pytest.mark.full
@pytest.mark.parametrize(("n", "dtype"), [(7, FLOAT64), (32, FLOAT32)], ids=str)
@each(TABLE)
def test_a_mistake_is_caught_and_named_everywhere(
    side: ModuleType, mistake: Mistake, n: int, dtype: np.dtype
) -> None:
    check_named(side, mistake, n, dtype)


@each(BENIGN, jax=3)
def test_what_is_right_is_accepted(side: ModuleType, mistake: Mistake) -> None:
    for dtype in (FLOAT32, FLOAT64):
        assert judged(mistake, 7, side, dtype).status is Status.RIGHT


@pytest.mark.full
@each(BENIGN)
def test_what_is_right_is_accepted_at_32(side: ModuleType, mistake: Mistake) -> None:
    for dtype in (FLOAT32, FLOAT64):
        assert judged(mistake, 32, side, dtype).status is Status.RIGHT


def test_right_for_this_loss_alone_is_explained() -> None:
    early = next(m for m in BENIGN if m.id == "before the variance's path")
    (cause,) = judged(early, 7, torch_side, FLOAT64).causes
    assert cause.sentence.startswith("right for this result, though not as a rule of this step")


def rates(table: Iterable[Mistake]) -> tuple[int, int, list[str]]:
    """How many are caught, how many named, and what is named wrongly."""
    caught = named = 0
    wrong = []
    for mistake in table:
        causes = judged(mistake, 7, torch_side, FLOAT64).causes
        caught += bool(causes)
        named += any(matching(causes, mistake))
        wrong += misnamed(causes, mistake)
    return caught, named, wrong


@pytest.mark.full
def test_unseen_mistakes_are_caught_most_are_named_none_wrongly() -> None:
    """Mistakes that no rule was made for; after a first look at these, rules were added."""
    caught, named, wrong = rates(UNSEEN)
    assert (caught, wrong) == (len(UNSEEN), [])
    assert named >= 46


@pytest.mark.full
def test_mistakes_thought_of_later_are_caught_most_are_named_none_wrongly() -> None:
    """After these no rule was added."""
    caught, named, wrong = rates(LATER)
    assert (caught, wrong) == (len(LATER), [])
    assert named >= 44


# Names come from values: not from what anything is called.


def renamed(context: Context) -> Context:
    """The same context with other names for every tensor, size, path and formula."""
    names = sorted({*context.tensors, *context.gradients}, key=len, reverse=True)
    new = {name: f"t{i}" for i, name in enumerate(sorted(names))}
    new |= {f"d{name}": f"g{i}" for i, name in enumerate(sorted(names))}
    sizes = {name: f"size{i}" for i, name in enumerate(context.sizes)}

    class Renaming(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            return ast.Name(new.get(node.id, node.id), node.ctx)

    return replace(
        context,
        sizes={sizes[k]: v for k, v in context.sizes.items()},
        tensors={new[k]: v for k, v in context.tensors.items()},
        gradients={new[k]: v for k, v in context.gradients.items()},
        paths={
            " > ".join(new.get(part, part) for part in k.split(" > ")): v
            for k, v in context.paths.items()
        },
        formulas=tuple(
            Formula(
                tuple(
                    ast.parse(ast.unparse(Renaming().visit(ast.parse(ast.unparse(s))))).body[0]
                    for s in f.code
                ),
                {new.get(k, k): v for k, v in f.values.items()},
                f.namespace,
            )
            for f in context.formulas
        ),
        rule=None,
        upstream=(),
        tensor="it",
    )


@pytest.mark.parametrize(
    "mistake",
    few([m for m in TABLE if not m.only and m.id != "FB12"], every=7),
    ids=lambda m: m.id,
)
def test_renaming_every_tensor_changes_no_finding(mistake: Mistake) -> None:
    own = given(mistake)
    held = probe(own)
    context = replace(held.walk.context(mistake.tensor, held, FLOAT64), upstream=())
    values = {k: torch.tensor(v) for k, v in held.tensors.items()}
    values |= {f"d{k}": torch.tensor(v) for k, v in held.above.items()}
    try:
        got = mistake.rule(Values(values), torch).numpy()
    except RuntimeError:
        return  # a rule that raises has no numbers to look at
    right = held.answers[mistake.tensor].right
    first, second = diagnose(got, right, context), diagnose(got, right, renamed(context))
    assert [(c.kind, c.evidence) for c in first if "coefficients" not in c.evidence] == [
        (c.kind, c.evidence) for c in second if "coefficients" not in c.evidence
    ] or [c.kind for c in first] == [c.kind for c in second]


# Two at once, and where a fault starts.


def backward(*wrong: Mistake) -> Any:
    """A whole backward pass in torch, of right lines but for the wrong ones."""

    def run(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        walk = network()
        exact = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in batch.items()}
        values = {k: torch.tensor(v) for k, v in walk.forward(exact).items()}
        held = Values(values)
        for name in ORDER:
            lines = {m.tensor: m.rule for m in wrong} if wrong else {}
            line = lines.get(name, RIGHT[name])
            held[f"d{name}"] = line(held, torch)
        return {name: held[f"d{name}"].numpy() for name in ORDER}

    return run


def scatter(v: Values, xp: Any) -> Any:
    return torch.zeros_like(v.C).index_put((v.Xb,), v.demb, accumulate=True)


RIGHT: dict[str, Any] = {
    "logprobs": lambda v, xp: -1.0 / v.n * mistakes.hot(v, xp),
    "probs": lambda v, xp: v.dlogprobs / v.probs,
    "counts_sum_inv": lambda v, xp: (v.counts * v.dprobs).sum(1, keepdims=True),
    "counts_sum": lambda v, xp: -(v.counts_sum**-2) * v.dcounts_sum_inv,
    "counts": lambda v, xp: v.counts_sum_inv * v.dprobs + v.dcounts_sum,
    "norm_logits": lambda v, xp: v.counts * v.dcounts,
    "logit_maxes": lambda v, xp: -v.dnorm_logits.sum(1, keepdims=True),
    "logits": lambda v, xp: v.dnorm_logits + mistakes.argmax_hot(v, xp) * v.dlogit_maxes,
    "h": lambda v, xp: v.dlogits @ v.W2.T,
    "W2": lambda v, xp: v.h.T @ v.dlogits,
    "b2": lambda v, xp: v.dlogits.sum(0),
    "hpreact": lambda v, xp: (1.0 - v.h**2) * v.dh,
    "bngain": lambda v, xp: (v.bnraw * v.dhpreact).sum(0, keepdims=True),
    "bnbias": lambda v, xp: v.dhpreact.sum(0, keepdims=True),
    "bnraw": lambda v, xp: v.bngain * v.dhpreact,
    "bnvar_inv": lambda v, xp: (v.bndiff * v.dbnraw).sum(0, keepdims=True),
    "bnvar": lambda v, xp: -0.5 * (v.bnvar + mistakes.EPS) ** -1.5 * v.dbnvar_inv,
    "bndiff2": lambda v, xp: 1 / (v.n - 1) * torch.ones_like(v.bndiff2) * v.dbnvar,
    "bndiff": lambda v, xp: v.bnvar_inv * v.dbnraw + 2 * v.bndiff * v.dbndiff2,
    "bnmeani": lambda v, xp: -v.dbndiff.sum(0, keepdims=True),
    "hprebn": lambda v, xp: v.dbndiff + 1 / v.n * v.dbnmeani,
    "embcat": lambda v, xp: v.dhprebn @ v.W1.T,
    "W1": lambda v, xp: v.embcat.T @ v.dhprebn,
    "b1": lambda v, xp: v.dhprebn.sum(0),
    "emb": lambda v, xp: v.dembcat.reshape(v.emb.shape),
    "C": scatter,
}
ORDER = tuple(RIGHT)


def test_a_right_pass_is_right() -> None:
    assert ROWS[:3] + ROWS[3:5] + ROWS[5:] == ORDER or {*ORDER} == {*ROWS}
    lines = walk_pass(backward(), diagnosis_batch(1))
    assert {line.status for line in lines} == {Status.RIGHT}
    assert len(lines) == 26


@pytest.mark.parametrize("tensor", few(ORDER, "logit_maxes"))
def test_a_fault_is_placed_where_it_starts(tensor: str) -> None:
    def faulty(v: Values, xp: Any) -> Any:
        return RIGHT[tensor](v, xp) + 0.01 * torch.cos(
            torch.arange(v[tensor].numel()).double()
        ).reshape(v[tensor].shape)

    lines = walk_pass(backward(Mistake("", tensor, faulty, ())), diagnosis_batch(1))
    assert [line.tensor for line in lines if line.status is Status.INTRODUCED] == [tensor]
    for line in lines:
        if ROWS.index(line.tensor) < ROWS.index(tensor):
            assert line.status is Status.RIGHT


def chained(mistake: Mistake) -> bool:
    """Whether a mistake can stand in a whole pass, and finished gradients alone can name it."""
    others = """CE07 CE09 CE19 CE21 CE23 L102 L202 L206 L208 BA03 BA07 BN01 BN13 BN23 X05 X05b X13
        X13b""".split()
    return mistake.exercise == 1 and not mistake.only and mistake.id not in others


@cache
def alone(mistake: Mistake) -> tuple[tuple[Kind, str], ...]:
    lines = walk_pass(backward(mistake), diagnosis_batch(1))
    (line,) = (line for line in lines if line.status is Status.INTRODUCED)
    assert line.tensor == mistake.tensor
    return tuple((c.kind, c.key) for c in line.causes)


def pairs(count: int) -> list[tuple[Mistake, Mistake]]:
    random = np.random.default_rng(0)
    usable = [m for m in TABLE if chained(m)]
    found: list[tuple[Mistake, Mistake]] = []
    while len(found) < count:
        a, b = (usable[i] for i in random.choice(len(usable), 2, replace=False))
        if a.tensor != b.tensor:
            found.append((a, b))
    return found


PAIRS = pairs(20)


@pytest.mark.full
@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda mistake: mistake.id)
def test_two_mistakes_are_both_placed_and_named_as_if_alone(one: Mistake, other: Mistake) -> None:
    pair = one, other
    lines = walk_pass(backward(*pair), diagnosis_batch(1))
    red = {line.tensor: line for line in lines if line.status is Status.INTRODUCED}
    assert {*red} == {mistake.tensor for mistake in pair}
    for mistake in pair:
        causes = red[mistake.tensor].causes
        assert tuple((c.kind, c.key) for c in causes) == alone(mistake)
        assert any(matching(causes, mistake)), [str(c) for c in causes]


# Nothing is guessed.


def noise_like(x: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, x.size]).standard_normal(x.shape)


@pytest.mark.parametrize("tensor", few(ORDER, every=13))
def test_random_numbers_have_no_cause(tensor: str) -> None:
    held = probe(None)
    right = held.answers[tensor].right
    context = held.walk.context(tensor, held, FLOAT64)
    for dtype, got in (
        (FLOAT64, noise_like(right, 1)),
        (FLOAT32, right * (1 + 1e-3 * noise_like(right, 2))),
    ):
        causes = diagnose(got.astype(dtype), right, context)
        assert [str(c) for c in causes if c.kind is not Kind.UNKNOWN] == []
        assert "float64 says" in causes[0].evidence


def test_accepting_everything_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Problem, "accepts", lambda self, candidate: True)
    with pytest.raises((AssertionError, ValueError)):
        test_random_numbers_have_no_cause("hpreact")


def test_what_is_right_has_no_cause() -> None:
    held = probe(None)
    for tensor in ORDER:
        right = held.answers[tensor].right
        context = held.walk.context(tensor, held, FLOAT64)
        for dtype in (FLOAT32, FLOAT64):
            assert diagnose(right.astype(dtype), right, context) == []


@pytest.mark.full
def test_the_rounding_of_a_zero_is_not_called_non_linear() -> None:
    """Columns of dhprebn add up to zero, whatever comes from above: what is left obeys no law."""
    averaged = next(m for m in LATER if m.id == "rows averaged")
    causes = judged(averaged, 7, torch_side, FLOAT64).causes
    assert [cause.kind for cause in causes] == [Kind.UNKNOWN]


# Two plain tensors, and nothing else known.

X = np.random.default_rng(0).standard_normal((5, 7))
PLAIN = (
    (X * 4 / 5, "factor: (s0-1)/s0"),
    (-X, "factor: -1"),
    (X * 7, "factor: s1"),
    (X * 1.2345, "factor: 1.2345"),
    (X.T, "shape: transposed"),
    (X[None], "shape: reshape"),
    (X.sum(), "shape: sum all"),
    (X.sum(keepdims=True), "shape: sum all"),
    (X[::-1], "order: flip 0"),
    (np.roll(X, 1, 1), "order: roll 1 1"),
    (X[[1, 0, 2, 4, 3]], "order: permuted 0"),
    (X + 0.3, "offset: 0.3"),
    (np.abs(X), "elementwise: absolute value"),
    (np.clip(X, -1, 1), "elementwise: clipped"),
    (np.zeros_like(X), "zeros: 0"),
    (X * np.arange(1, 6)[:, None], "slices: axis 0"),
    (X * np.array([1, 1, 1, 0, 1])[:, None], "selection: lost"),
    (X / np.linalg.norm(X), "factor: 1/(its norm)"),
    (np.where(X > 1, np.nan, X), "not finite: NaN"),
)


@pytest.mark.parametrize(("got", "name"), PLAIN, ids=[name for _, name in PLAIN])
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_two_tensors_alone(got: np.ndarray, name: str, dtype: np.dtype) -> None:
    causes = diagnose(got.astype(dtype), X)
    assert f"{causes[0].kind}: {causes[0].key}" == name
    assert len(causes) == 1


A, B, ABOVE = (np.random.default_rng(k).standard_normal((5, 7)) for k in (3, 4, 5))
ROW = ABOVE[:1]
SUMS = {
    "2 * a + the gradient of v": (2 * A + ROW, 2 * A * ROW, {}),
    "a + the gradient of u": (B * ROW + A + ABOVE, B * ROW + A * ABOVE, {"u": A * ABOVE}),
    "-1 * a + the gradient of v": (-A + ROW + B, -A * ROW + B, {"v": -A * ROW, "b": B}),
    "b + the gradient of u": (B + ABOVE, B * ABOVE, {}),
}


@pytest.mark.parametrize("said", SUMS)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_a_sum_for_a_product(said: str, dtype: np.dtype) -> None:
    """2 * a + dv for 2 * a * dv, alone or as one of several paths."""
    got, right, paths = SUMS[said]
    known = Context(tensors={"a": A, "b": B}, gradients={"u": ABOVE, "v": ROW}, paths=paths)
    causes = diagnose(got.astype(dtype), right, known)
    assert any(f"{said} where " in cause.sentence for cause in causes), causes


def test_many_paths_are_said_last_and_only_what_is_off() -> None:
    terms = {
        name: np.random.default_rng(k).standard_normal((4, 3)) for k, name in enumerate("abcde")
    }
    a, b, _, d, e = terms.values()
    known = Context(paths=terms, gradients={"h": 2 * a - b + d / 2 + e})
    causes = diagnose(2 * a - b + d / 2 + e, sum(terms.values()), known)
    assert [str(cause.kind) for cause in causes] == ["another tensor", "paths"]
    assert causes[1].evidence.startswith("coefficients a 2, b -1, c 0, d 1/2, the other is 1")


def test_two_names_that_fit_are_both_given() -> None:
    (x, y) = diagnose(X * 7, X, Context(sizes={"batch": 7, "classes": 7}))
    assert {x.key, y.key} == {"batch", "classes"}


def test_an_update_in_the_wrong_direction() -> None:
    step = 0.1 * noise_like(X, 3)
    (cause,) = diagnose(X + step, X - step, Context(paths={"the parameter": X, "the step": -step}))
    assert (cause.kind, cause.key) == (Kind.PATHS, "(1, -1)")


def test_where_wrong_entries_are() -> None:
    index = np.array([0, 1, 1, 3])
    right = noise_like(np.empty((5, 3)), 1)
    got = right + np.array([0, 1, 0, 0, 0])[:, None] * noise_like(right, 2)
    (cause,) = diagnose(got, right, Context(tensors={"ix": index}))
    assert "exactly the rows that ix reads more than once" in cause.sentence
    assert "all within axis 0 at 1" in cause.sentence
    h = np.tanh(3 * noise_like(right, 4))
    got = np.where(np.abs(h) > 0.9, noise_like(right, 5), right)
    (cause,) = diagnose(got, right, Context(tensors={"h": h}))
    assert "exactly where h is largest" in cause.sentence


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="got is <U1; give an array of numbers"):
        diagnose(np.array("a"), X)
    with pytest.raises(UsageError, match="reference is <U1"):
        diagnose(X, np.array("a"))


@pytest.mark.parametrize("way", ["conj", "-conj", "i", "-i", "real", "imag", "2", "shape"])
def test_complex_numbers(way: str) -> None:
    right = X + 1j * noise_like(X, 7)
    got = {
        "conj": right.conj(),
        "-conj": -right.conj(),
        "i": 1j * right,
        "-i": -1j * right,
        "real": right.real + 0j,
        "imag": 1j * right.imag,
        "2": 2 * right,
        "shape": right[None],
    }[way]
    (cause,) = diagnose(got, right)
    if way in ("2", "shape"):
        assert cause.kind is (Kind.FACTOR if way == "2" else Kind.SHAPE)
    else:
        assert (cause.kind, cause.key) == (Kind.CONJUGATED, way)
    assert diagnose(right * (1 + 1e-16), right) == []


def test_the_page_prints_what_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "diagnosis.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for code, printed in blocks:
        with redirect_stdout(StringIO()) as out:
            exec(code, {})
        assert out.getvalue() == printed
