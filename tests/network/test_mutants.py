"""The harness must bite: every single mistake in a hand-written backward pass has to be noticed.

All single edits of every line, at every place, in both packages, and the mistakes that people are
known to make. What is not noticed has to be listed here with the reason why it is no mistake.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest

from parity.frameworks import jax_side, torch_side
from parity.why.edit_rules import RULES
from parity.why.edits import Mutant, edits, mutants, parse, targets
from tests.shared import stepwise
from tests.shared.sampled import few
from tests.shared.stepwise import (
    EPS,
    FLOAT64,
    LAYERS,
    SIDES,
    Case,
    activations,
    batch,
    layer_case,
    line_by_line,
    loss_and_grads_case,
    loss_case,
    measured,
    random_case,
    source,
)

FUNCTIONS = ("backward", *(f"{op}_backward" for op in LAYERS), "loss_and_grads")
WORD = {jax_side: "jnp", torch_side: "torch"}

each_side = pytest.mark.parametrize("side", SIDES, ids=lambda side: side.TWIN)


@cache
def cases(side: ModuleType, function: str) -> tuple[Case, ...]:
    """Return the same function under several inputs, those that reject most first."""
    if function == "backward":
        return (
            random_case(side, 1),
            random_case(side, 2, eps=0.1),
            loss_case(side, 3),
        )
    if function == "loss_and_grads":
        return tuple(loss_and_grads_case(side, seed) for seed in (1, 2, 3))
    return tuple(layer_case(side, seed, function.removesuffix("_backward")) for seed in (1, 2, 3))


# Edits that leave the mathematics as it was.


class Equivalent(NamedTuple):
    """Edits that change nothing; … stands for anything, xp for jnp and torch."""

    function: str
    edit: str
    reason: str
    sides: tuple[ModuleType, ...] = SIDES

    def matches(self, mutant: Mutant) -> bool:
        text = re.sub(r"\b(jnp|torch)\.", "xp.", str(mutant))
        return re.fullmatch(re.escape(self.edit).replace("…", ".*"), text) is not None


SHAPE = "of this tensor only the shape is read"
ZERO = "minus zero is zero"
LAST = "of two axes the last is axis 1"
EVEN = "an even power"
PROMOTED = "integers times floats are floats of the same dtype"
DTYPE = "all these tensors have one dtype"
EQUIVALENT = (
    Equivalent("backward", "… -> …, _bnmeani, _hprebn, …", "neither is used"),
    Equivalent("backward", "… -> …, _norm_logits, _logit_maxes, …", "neither is used"),
    Equivalent("backward", "n, vocab: logits.shape -> ….shape", SHAPE),
    Equivalent("backward", "dlogprobs: xp.zeros_like(logprobs) -> xp.zeros_like(…)", SHAPE),
    Equivalent("backward", "dlogprobs: xp.zeros_like(logprobs) -> -xp.zeros_like(logprobs)", ZERO),
    Equivalent(
        "backward",
        "dlogprobs: ….set(-1.0 / n) -> ….add(-1.0 / n)",
        "every row is written once, over a zero",
        (jax_side,),
    ),
    Equivalent("backward", "dlogprobs: ….scatter(1, … -> ….scatter(-1, …", LAST, (torch_side,)),
    Equivalent(
        "backward",
        "dlogprobs: Yb.reshape(n, 1) -> Yb.reshape(n, -1)",
        "-1 asks for what is left, which is 1",
        (torch_side,),
    ),
    Equivalent("backward", "dcounts_sum_inv: ….sum(1, … -> ….sum(-1, …", LAST),
    Equivalent("backward", "dcounts_sum: counts_sum ** (-2) -> (-counts_sum) ** (-2)", EVEN),
    Equivalent("backward", "dlogit_maxes: ….sum(1, … -> ….sum(-1, …", LAST),
    *(
        Equivalent(
            "backward",
            f"argmax: logits.argmax -> {name}.argmax",
            "along a row it only falls and rises with logits",
        )
        for name in ("_norm_logits", "counts", "probs", "logprobs")
    ),
    Equivalent("backward", "argmax: logits.argmax(1) -> logits.argmax(-1)", LAST),
    Equivalent("backward", "argmax: logits.dtype -> ….dtype", DTYPE),
    Equivalent(
        "backward",
        "argmax: one_hot(…, dtype=logits.dtype) -> one_hot(logits.argmax(1), vocab)",
        "the default is the dtype of the run",
        (jax_side,),
    ),
    Equivalent(
        "backward",
        "argmax: ….to(logits.dtype) -> one_hot(logits.argmax(1), vocab)",
        PROMOTED,
        (torch_side,),
    ),
    Equivalent(
        "backward",
        "argmax: ….to(logits.dtype) -> one_hot(logits.argmax(1), vocab).to()",
        PROMOTED,
        (torch_side,),
    ),
    Equivalent("backward", "argmax: logits.dtype -> logits", DTYPE, (torch_side,)),
    Equivalent("backward", "dhpreact: h ** 2 -> (-h) ** 2", EVEN),
    Equivalent(
        "backward",
        "dbndiff2: 1 / (n - 1) * xp.ones_like(bndiff2) -> 1 / (n - 1) / xp.ones_like(bndiff2)",
        "to divide by one is to multiply by one",
    ),
    Equivalent(
        "backward",
        "dbndiff2: 1 / (n - 1) * xp.ones_like(bndiff2) -> (1 / (n - 1)) ** xp.ones_like(bndiff2)",
        "the first power is the number",
    ),
    Equivalent("backward", "dbndiff2: xp.ones_like(bndiff2) -> xp.ones_like(…)", SHAPE),
    Equivalent("backward", "demb: emb.shape -> (-emb).shape", SHAPE),
    Equivalent("backward", "dC: xp.zeros_like(C) -> xp.zeros_like(-C)", SHAPE),
    Equivalent("backward", "dC: xp.zeros_like(C) -> -xp.zeros_like(C)", ZERO),
    Equivalent("embedding_backward", "demb: Xb.shape -> (-Xb).shape", SHAPE),
    Equivalent("embedding_backward", "demb: C.shape -> (-C).shape", SHAPE),
    Equivalent("embedding_backward", "demb: C.shape[1] -> C.shape[-1]", LAST),
    Equivalent("embedding_backward", "dC: xp.zeros_like(C) -> xp.zeros_like(-C)", SHAPE),
    Equivalent("embedding_backward", "dC: xp.zeros_like(C) -> -xp.zeros_like(C)", ZERO),
    Equivalent(
        "batchnorm_backward",
        "… = residual -> bnraw, bngain, bnvar_inv = residual",
        "they are only multiplied with each other",
    ),
    Equivalent("batchnorm_backward", "n: bnraw.shape -> ….shape", SHAPE),
    Equivalent("tanh_backward", "dhpreact: h ** 2 -> (-h) ** 2", EVEN),
    Equivalent("cross_entropy_backward", "n, vocab: logprobs.shape -> (-logprobs).shape", SHAPE),
    Equivalent("cross_entropy_backward", "target: logprobs.dtype -> (-logprobs).dtype", DTYPE),
    Equivalent(
        "cross_entropy_backward",
        "target: one_hot(Yb, vocab, dtype=logprobs.dtype) -> one_hot(Yb, vocab)",
        "the default is the dtype of the run",
        (jax_side,),
    ),
    Equivalent(
        "cross_entropy_backward",
        "target: one_hot(Yb, vocab).to(logprobs.dtype) -> one_hot(Yb, vocab)",
        PROMOTED,
        (torch_side,),
    ),
    Equivalent(
        "cross_entropy_backward",
        "target: one_hot(Yb, vocab).to(logprobs.dtype) -> one_hot(Yb, vocab).to()",
        PROMOTED,
        (torch_side,),
    ),
    Equivalent(
        "cross_entropy_backward", "target: logprobs.dtype -> logprobs", DTYPE, (torch_side,)
    ),
    Equivalent(
        "loss_and_grads",
        "hprebn, linear1: linear_forward(embcat, W1, b1) -> linear_forward(embcat, W1, -b1)",
        "batchnorm subtracts the mean, and b1 with it",
    ),
    Equivalent("loss_and_grads", "dlogits, _: xp.ones_like(loss) -> xp.ones_like(-loss)", SHAPE),
    Equivalent(
        "loss_and_grads",
        "return: Params(… -> Params(dC, dW1, -db1, …",
        "db1 is zero, since batchnorm subtracts b1 with the mean",
    ),
)


# The proof.


class Tally(NamedTuple):
    """How many mutants of one function were rejected, and how many are no mistakes."""

    rejected: int
    equivalent: int


def prove(tries: Sequence[Case], equivalent: Sequence[Equivalent]) -> Tally:
    """Judge every mutant of a function; raise AssertionError for one that is wrongly accepted.

    A mutant is rejected if one of ``tries`` turns a line red; it survives if none does. A survivor
    must be listed as ``equivalent``, and what is listed must survive, and must exist.
    """
    first = tries[0]
    count: Counter[bool] = Counter()
    met = set()
    for mutant in mutants(source(first.module, first.name), first.values()):
        survives = not reds(tries, mutant)
        listed = [entry for entry in equivalent if entry.matches(mutant)]
        assert survives or not listed, f"listed as equivalent, but it is not: {mutant}"
        assert listed or not survives, f"survives: {mutant}"
        met.update(listed)
        count[survives] += 1
    missing = [entry.edit for entry in equivalent if entry not in met]
    assert not missing, f"listed as equivalent, but no such mutant: {missing}"
    return Tally(count[False], count[True])


def reds(tries: Sequence[Case], mutant: Mutant) -> dict[int, str]:
    """Return the lines that a mutant turns red in the first of ``tries`` where it does.

    A line that computes a gradient can only turn itself red: to every other line its value is given
    as it should be. Lines that compute no gradient are judged by the lines that read them.
    """
    judged = (case.red(mutant.applied(case.code), case.readers(mutant.index)) for case in tries)
    return next(filter(None, judged), {})


def listed(side: ModuleType, function: str) -> list[Equivalent]:
    return [e for e in EQUIVALENT if e.function == function and side in e.sides]


@pytest.fixture(scope="module")
def tallies(request: pytest.FixtureRequest) -> Iterator[dict[str, Tally]]:
    """Collect the counts, and say at the end how many mutants every file had."""
    found: dict[str, Tally] = {}
    yield found
    capture = request.config.pluginmanager.getplugin("capturemanager")
    files: dict[str, list[Tally]] = {}
    for name, tally in found.items():
        files.setdefault(name.rpartition(".")[0], []).append(tally)
    with capture.global_and_fixture_disabled():
        print()
        for file, parts in sorted(files.items()):
            rejected, equivalent = map(sum, zip(*parts, strict=True))
            print(
                f"{file}: {rejected + equivalent} mutants, {rejected} rejected, "
                f"{equivalent} proven to change nothing"
            )


each_function = pytest.mark.parametrize(
    ("side", "function"),
    few(
        [(side, function) for side in SIDES for function in FUNCTIONS],
        (jax_side, FUNCTIONS[1]),
        (torch_side, FUNCTIONS[-1]),
    ),
    ids=lambda x: getattr(x, "TWIN", x),
)


@each_function
def test_every_mutant_is_rejected_or_changes_nothing(
    side: ModuleType, function: str, tallies: dict[str, Tally]
) -> None:
    tries = cases(side, function)
    with side.exactly(FLOAT64):
        tally = prove(tries, listed(side, function))
    tallies[f"{tries[0].module.__name__}.{function}"] = tally
    assert tally.rejected >= 24


@each_function
def test_what_is_not_mutated_is_green(side: ModuleType, function: str) -> None:
    with side.exactly(FLOAT64):
        for case in cases(side, function):
            assert case.red(case.code) == {}


@each_side
def test_every_line_that_computes_a_gradient_is_judged(side: ModuleType) -> None:
    (case, *_) = cases(side, "backward")
    gradients = [i for i, s in enumerate(case.code) if any(t.startswith("d") for t in targets(s))]
    assert list(case.answers) == [*gradients, len(case.code) - 1]
    assert len(gradients) == len(case.answers[len(case.code) - 1]) == 26
    for index in case.answers:
        assert case.readers(index) == (index,)


def own_line(case: Case, mutant: Mutant) -> None:
    """Assert that a mutant of a gradient's line turns it red or nothing, all lines judged."""
    red = case.red(mutant.applied(case.code))
    assert set(red) <= {mutant.index}, f"{mutant}: {red}"


@pytest.mark.parametrize("number", few([0, 2], 0))
@pytest.mark.parametrize("side", few(SIDES, torch_side), ids=lambda side: side.TWIN)
def test_one_mistake_is_one_red_line(side: ModuleType, number: int) -> None:
    case = cases(side, "backward")[number]
    with side.exactly(FLOAT64):
        first = {m.index: m for m in mutants(source(case.module, case.name), case.values())}
        for index in case.answers:
            own_line(case, first[index])


@pytest.mark.full
@each_side
def test_mistakes_spread_over_a_line_are_one_red_line(side: ModuleType) -> None:
    (case, *_) = cases(side, "backward")
    with side.exactly(FLOAT64):
        every = [*mutants(source(case.module, case.name), case.values())]
        for index in case.answers:
            own = [mutant for mutant in every if mutant.index == index]
            for mutant in own[:: max(1, len(own) // 3)]:
                own_line(case, mutant)


@each_side
def test_line_by_line_is_the_chain_rule(side: ModuleType) -> None:
    """Given the loss's gradients, the answers line by line are the loss's gradients again."""
    case = cases(side, "backward")[-1]
    whole = {targets(case.code[i])[0]: a for i, (a, *more) in case.answers.items() if not more}
    inputs = batch(3)
    upstream = {name: answer.right for name, answer in whole.items()} | {"dloss": np.array(1.0)}
    values = inputs | activations(side, inputs, EPS) | upstream | {"eps": np.array(EPS)}
    found = measured(side, line_by_line, values)
    assert found.keys() == whole.keys()
    assert len(found) == 26
    for name, answer in found.items():
        assert stepwise.difference(answer.right, whole[name]) == "", name


DIFFERENT = "by hand against autodiff in float64"
"""What the harness says of a value that is more than rounding away."""

# Mistakes that people make, as expressions; xp is the framework.


class Mistake(NamedTuple):
    """A line as somebody wrote it."""

    name: str
    target: str
    expression: str

    def code(self, side: ModuleType, case: Case) -> tuple[tuple[ast.stmt, ...], int]:
        """Return the function with this line in the right one's place, and which it is."""
        index = next(i for i, s in enumerate(case.code) if targets(s) == (self.target,))
        text = f"{self.target} = {self.expression}".replace("xp.", f"{WORD[side]}.")
        edit = ast.parse(text).body[0]
        return (*case.code[:index], edit, *case.code[index + 1 :]), index


HOT = "xp.where(xp.arange(vocab) == Yb[:, None], 1.0, xp.zeros_like(probs))"
USES = "one_hot(Xb.reshape(-1), C.shape[0])[:, :, None]"
EACH = "demb.reshape(-1, 1, C.shape[1])"
VARIANCE = "n / (n - 1) * bnraw * (dhpreact * bnraw).sum(0)"
SOFTMAX2 = "xp.exp(xp.exp(logprobs)) / xp.exp(xp.exp(logprobs)).sum(1, keepdims=True)"

WRONG_SHAPE = {
    "backward": (
        Mistake("not summed over the columns", "dcounts_sum_inv", "counts * dprobs"),
        Mistake("axis not kept", "dcounts_sum_inv", "(counts * dprobs).sum(1)"),
        Mistake("transposed", "dW2", "dlogits.T @ h"),
        Mistake("axis kept", "db2", "dlogits.sum(0, keepdims=True)"),
        Mistake("wrong axis", "db2", "dlogits.sum(1)"),
        Mistake("axis not kept", "dbngain", "(bnraw * dhpreact).sum(0)"),
        Mistake("wrong axis", "dbnbias", "dhpreact.sum(1, keepdims=True)"),
        Mistake("not summed over the rows", "dbnvar_inv", "bndiff * dbnraw"),
        Mistake("not replicated", "dbndiff2", "1 / (n - 1) * dbnvar"),
    ),
}

WRONG_VALUE = {
    "backward": (
        Mistake("mean forgotten", "dlogprobs", f"-1.0 * {HOT}"),
        Mistake("selection forgotten", "dlogprobs", "-1.0 / n * xp.ones_like(logprobs)"),
        Mistake("upstream dropped", "dprobs", "1.0 / probs"),
        Mistake("minus forgotten", "dcounts_sum", "counts_sum**-2 * dcounts_sum_inv"),
        Mistake("second path dropped", "dcounts", "counts_sum_inv * dprobs"),
        Mistake("second path twice", "dcounts", "counts_sum_inv * dprobs + 2 * dcounts_sum"),
        Mistake("exp' taken for x", "dnorm_logits", "_norm_logits * dcounts"),
        Mistake("not what went in", "dW2", "_hpreact.T @ dlogits"),
        Mistake("tanh' forgotten", "dhpreact", "dh"),
        Mistake("square of the whole", "dhpreact", "(1.0 - h) ** 2 * dh"),
        Mistake("sigmoid's rule", "dhpreact", "h * (1.0 - h) * dh"),
        Mistake("upstream dropped", "dhpreact", "1.0 - h**2"),
        Mistake("bnraw forgotten", "dbngain", "dhpreact.sum(0, keepdims=True)"),
        Mistake("not normalised", "dbngain", "(bndiff * dhpreact).sum(0, keepdims=True)"),
        Mistake("divided by the gain", "dbnraw", "dhpreact / bngain"),
        Mistake("gain skipped", "dbnvar_inv", "(bndiff * dhpreact).sum(0, keepdims=True)"),
        Mistake("minus forgotten", "dbnvar", "0.5 * (bnvar + eps) ** -1.5 * dbnvar_inv"),
        Mistake("eps forgotten", "dbnvar", "-0.5 * bnvar**-1.5 * dbnvar_inv"),
        Mistake("sign of the exponent", "dbnvar", "-0.5 * (bnvar + eps) ** 1.5 * dbnvar_inv"),
        Mistake("no Bessel", "dbndiff2", "1 / n * xp.ones_like(bndiff2) * dbnvar"),
        Mistake("variance path dropped", "dbndiff", "bnvar_inv * dbnraw"),
        Mistake("2 forgotten", "dbndiff", "bnvar_inv * dbnraw + bndiff * dbndiff2"),
        Mistake("bndiff forgotten", "dbndiff", "bnvar_inv * dbnraw + 2 * dbndiff2"),
        Mistake("variance path twice", "dbndiff", "bnvar_inv * dbnraw + 4 * bndiff * dbndiff2"),
        Mistake("two names, one array", "dbndiff", "dhprebn"),
        Mistake("mean for sum", "dbnmeani", "-dbndiff.mean(0, keepdims=True)"),
        Mistake("sign", "dbnmeani", "dbndiff.sum(0, keepdims=True)"),
        Mistake("mean's path dropped", "dhprebn", "dbndiff"),
        Mistake("mean's path alone", "dhprebn", "1 / n * dbnmeani * xp.ones_like(dbndiff)"),
        Mistake("Bessel in the mean", "dhprebn", "dbndiff + 1 / (n - 1) * dbnmeani"),
        Mistake("reshape for transpose", "dembcat", "dhprebn @ W1.reshape(W1.T.shape)"),
        Mistake(
            "axes in another order",
            "demb",
            "dembcat.reshape(n, emb.shape[2], emb.shape[1]).swapaxes(1, 2)",
        ),
        Mistake("averaged over uses", "dC", f"({USES} * {EACH}).sum(0) / {USES}.sum(0).clip(1)"),
        Mistake("flattened across", "dC", f"({USES.replace('Xb', 'Xb.T')} * {EACH}).sum(0)"),
        Mistake("added twice", "dC", f"2 * ({USES} * {EACH}).sum(0)"),
        Mistake("first use only", "dC", f"({USES} * ({USES}.cumsum(0) == 1) * {EACH}).sum(0)"),
    ),
    "batchnorm_backward": tuple(
        Mistake(name, "dhprebn", expression)
        for name, expression in (
            (
                "gain forgotten",
                f"bnvar_inv / n * (n * dhpreact - dhpreact.sum(0) - {VARIANCE})",
            ),
            (
                "n forgotten",
                f"bngain * bnvar_inv * (n * dhpreact - dhpreact.sum(0) - {VARIANCE})",
            ),
            (
                "variance dropped",
                "bngain * bnvar_inv / n * (n * dhpreact - dhpreact.sum(0))",
            ),
            (
                "mean added",
                f"bngain * bnvar_inv / n * (n * dhpreact + dhpreact.sum(0) - {VARIANCE})",
            ),
            (
                "gain twice",
                f"bngain * bnvar_inv / n * (n * dhpreact - dhpreact.sum(0) - bngain * {VARIANCE})",
            ),
            (
                "summed over everything",
                "bngain * bnvar_inv / n * (n * dhpreact - dhpreact.sum()"
                f" - {VARIANCE.replace('sum(0)', 'sum()')})",
            ),
            (
                "bnvar_inv twice",
                f"bngain * bnvar_inv**2 / n * (n * dhpreact - dhpreact.sum(0) - {VARIANCE})",
            ),
            (
                "the other variance",
                "bngain * bnvar_inv / n * (n * dhpreact - dhpreact.sum(0)"
                " - bnraw * (dhpreact * bnraw).sum(0))",
            ),
        )
    ),
    "cross_entropy_backward": tuple(
        Mistake(name, "dlogits", expression)
        for name, expression in (
            ("divided by the letters", "(xp.exp(logprobs) - target) / vocab * dloss"),
            ("target forgotten", "xp.exp(logprobs) / n * dloss"),
            (
                "softmax along the batch",
                "(xp.exp(logprobs) / xp.exp(logprobs).sum(0) - target) / n * dloss",
            ),
            ("all rows", "(xp.exp(logprobs) - target.max(0, keepdims=True)[0]) / n * dloss"),
            ("softmax of a softmax", f"({SOFTMAX2} - target) / n * dloss"),
            ("divided twice", "(xp.exp(logprobs) - target) / n / n * dloss"),
            ("upstream dropped", "(xp.exp(logprobs) - target) / n"),
        )
    ),
}

# Wrong as the rule of that line, and yet the loss's own gradients cannot tell.
UNSEEN_AT_THE_LOSS = {
    "backward": (
        Mistake("left at zero", "dlogit_maxes", "xp.zeros_like(counts_sum)"),
        Mistake("maximum's path dropped", "dlogits", "dnorm_logits"),
        Mistake("the fused rule", "dlogits", f"(probs - {HOT}) / n"),
        Mistake("before the variance's", "dbnmeani", "-(bnvar_inv * dbnraw).sum(0, keepdims=True)"),
        Mistake(
            "the fused rule",
            "dhprebn",
            f"bngain * bnvar_inv / n * (n * dhpreact - dhpreact.sum(0) - {VARIANCE})",
        ),
        Mistake("sign", "db1", "-dhprebn.sum(0)"),
    ),
}

POSITION = Mistake(
    "position as weight", "dlogits", "dnorm_logits + logits.argmax(1)[:, None] * dlogit_maxes"
)
"""At the loss this adds the rounding of a zero, times a position: seen or not, as it happens."""

BENIGN = {
    "backward": (
        Mistake("by a mask", "dlogprobs", f"-1.0 / n * {HOT}"),
        Mistake("as a product", "dprobs", "dlogprobs * probs**-1"),
        Mistake("by the inverse", "dcounts_sum", "-(counts_sum_inv**2) * dcounts_sum_inv"),
        Mistake("other order", "dcounts", "dcounts_sum + dprobs * counts_sum_inv"),
        Mistake("axis put back", "dlogit_maxes", "-(dnorm_logits.sum(1)[:, None])"),
        Mistake("summed by hand", "dW2", "(h[:, :, None] * dlogits[:, None, :]).sum(0)"),
        Mistake("summed backwards", "db2", "xp.flip(dlogits, (0,)).sum(0)"),
        Mistake("multiplied out", "dhpreact", "dh - h * h * dh"),
        Mistake("two factors", "dhpreact", "(1.0 - h) * (1.0 + h) * dh"),
        Mistake("by the inverse", "dbnvar", "-0.5 * bnvar_inv**3 * dbnvar_inv"),
        Mistake("broadcast", "dbndiff2", "xp.ones_like(bndiff2) * (dbnvar / (n - 1))"),
        Mistake("mean of minus n", "dbnmeani", "-n * dbndiff.mean(0, keepdims=True)"),
        Mistake("by a mask", "dC", f"({USES} * {EACH}).sum(0)"),
    ),
    "batchnorm_backward": (
        Mistake(
            "multiplied out",
            "dhprebn",
            "bngain * bnvar_inv * (dhpreact - dhpreact.mean(0))"
            f" - bngain * bnvar_inv / n * {VARIANCE}",
        ),
    ),
    "cross_entropy_backward": (
        Mistake("divided first", "dlogits", "dloss / n * xp.exp(logprobs) - target * dloss / n"),
    ),
}


def faults(side: ModuleType, function: str, mistake: Mistake) -> tuple[str, str]:
    """Return what is found wrong with the line under random cotangents, and at the loss."""
    found = []
    for case in (cases(side, function)[0], cases(side, function)[-1]):
        code, index = mistake.code(side, case)
        (judged,) = case.readers(index)
        with side.exactly(FLOAT64):
            found.append(case.fault(code, judged))
    return found[0], found[1]


def every(table: dict[str, tuple[Mistake, ...]]) -> pytest.MarkDecorator:
    """Parametrize over a table of mistakes."""
    return pytest.mark.parametrize(
        ("function", "mistake"),
        [
            pytest.param(function, mistake, id=f"{mistake.target}: {mistake.name}")
            for function, mistakes in table.items()
            for mistake in mistakes
        ],
    )


@each_side
@every(WRONG_SHAPE)
def test_a_wrong_shape_is_rejected(side: ModuleType, function: str, mistake: Mistake) -> None:
    for fault in faults(side, function, mistake):
        assert fault.startswith("by hand returns shape")


@each_side
@every(WRONG_VALUE)
def test_a_wrong_value_is_rejected(side: ModuleType, function: str, mistake: Mistake) -> None:
    assert faults(side, function, mistake) == (DIFFERENT, DIFFERENT)


@each_side
@every(UNSEEN_AT_THE_LOSS)
def test_random_cotangents_see_more(side: ModuleType, function: str, mistake: Mistake) -> None:
    assert faults(side, function, mistake) == (DIFFERENT, "")


@each_side
def test_a_position_is_no_weight(side: ModuleType) -> None:
    assert faults(side, "backward", POSITION)[0] == DIFFERENT


@each_side
@every(BENIGN)
def test_another_way_is_accepted(side: ModuleType, function: str, mistake: Mistake) -> None:
    assert faults(side, function, mistake) == ("", "")


# The tests above can fail.


def proof(function: str, equivalent: Sequence[Equivalent]) -> Tally:
    with torch_side.exactly(FLOAT64):
        return prove(cases(torch_side, function), equivalent)


def survivors(case: Case, lines: Sequence[str]) -> set[str]:
    with torch_side.exactly(FLOAT64):
        return {
            str(mutant).replace("torch.", "xp.")
            for mutant in mutants(source(case.module, case.name), case.values())
            if mutant.targets and mutant.targets[0] in lines and not reds([case], mutant)
        }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_checker_that_accepts_everything_is_caught(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepwise, "difference", lambda value, answer: "")
    with pytest.raises(AssertionError, match=r"^survives: "):
        proof(function, listed(torch_side, function))


def test_a_checker_with_a_tolerance_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy.allclose broadcasts, and 1e-5 of a value hides eps."""

    def close(value: object, answer: stepwise.Answer) -> str:
        try:
            return "" if np.allclose(np.asarray(value), answer.right) else "not close"
        except ValueError:
            return "shapes that do not broadcast"

    case = cases(torch_side, "backward")[0]
    lines = ("dbnvar", "dbndiff2", "dbngain")
    strict = survivors(case, lines)
    monkeypatch.setattr(stepwise, "difference", close)
    loose = survivors(case, lines)
    assert strict < loose
    assert loose - strict >= {
        "dbnvar: bnvar + eps -> bnvar",
        "dbndiff2: 1 / (n - 1) * xp.ones_like(bndiff2) -> 1 / (n - 1)",
        "dbngain: (bnraw * dhpreact).sum(0, keepdims=True) -> (bnraw * dhpreact).sum(0)",
    }


def test_the_loss_alone_is_no_proof() -> None:
    """The path through the maximum may be dropped, and nothing shows: softmax ignores a shift."""
    random, _, at_the_loss = cases(torch_side, "backward")
    unseen = survivors(at_the_loss, ["dlogits"]) - survivors(random, ["dlogits"])
    assert "dlogits: dnorm_logits + argmax * dlogit_maxes -> dnorm_logits" in unseen


def test_what_is_listed_must_exist_and_survive() -> None:
    right = listed(torch_side, "tanh_backward")
    assert proof("tanh_backward", right).equivalent == 1
    with pytest.raises(AssertionError, match=r"^survives: dhpreact: h \*\* 2 -> "):
        proof("tanh_backward", [])
    wrong = Equivalent("tanh_backward", "dhpreact: h ** 2 -> h ** 3", "not so")
    with pytest.raises(AssertionError, match=r"^listed as equivalent, but it is not: dhpreact"):
        proof("tanh_backward", [*right, wrong])
    absent = Equivalent("tanh_backward", "dhpreact: h ** 2 -> h ** 7", "no such edit")
    with pytest.raises(AssertionError, match=r"^listed as equivalent, but no such mutant: \['dhp"):
        proof("tanh_backward", [*right, absent])


# The mutants themselves.

SMALL = """def f(x, w, n):
    'Not a statement.'
    y = -x.sum(0, keepdims=True) / n
    return y @ w.T
"""


def test_the_edits_of_a_small_function() -> None:
    values = {"x": np.ones((2, 3)), "w": np.ones((2, 3)), "n": 7, "y": np.ones((1, 3))}
    found: dict[str, set[str]] = {}
    for mutant in mutants(SMALL, values):
        found.setdefault(mutant.edit.rule, set()).add(str(mutant))
    some = {
        "operator": "return: y @ w.T -> w.T @ y",
        "sign": "y: -x.sum(0, keepdims=True) -> x.sum(0, keepdims=True)",
        "number": "y: x.sum(0, keepdims=True) -> x.sum(1, keepdims=True)",
        "flag": "y: keepdims=True -> keepdims=False",
        "term": "y: -x.sum(0, keepdims=True) / n -> -x.sum(0, keepdims=True)",
        "call": "return: w.T -> w",
        "argument": "y: x.sum(0, keepdims=True) -> x.sum(0)",
        "function": "y: x.sum(0, keepdims=True) -> x.mean(0, keepdims=True)",
        "name": "y: x.sum -> w.sum",
    }
    assert found.keys() == some.keys()
    assert sum(map(len, found.values())) == 30
    for rule, edit in some.items():
        assert edit in found[rule], (rule, found[rule])
    assert "y: -x.sum(0, keepdims=True) / n -> -x.sum(0, keepdims=True) * n" in found["operator"]


def test_names_are_exchanged_within_their_kind_and_once_bound() -> None:
    values = {"x": np.ones(3), "y": np.ones(3), "z": np.ones(3, np.int64), "n": 1, "m": 2}
    code = "def f(x, z, n):\n    m = n\n    y = x * m\n    return y"
    names = [str(m) for m in mutants(code, values) if m.edit.rule == "name"]
    assert names == ["y: x * m -> x * n", "return: return y -> return x"]
    assert [m for m in mutants(code) if m.edit.rule == "name"] == []


@each_side
def test_every_rule_finds_something_in_the_network(side: ModuleType) -> None:
    (case, *_) = cases(side, "backward")
    with side.exactly(FLOAT64):
        found = list(mutants(source(case.module, case.name), case.values()))
    assert {m.edit.rule for m in found} == {rule.__name__.lstrip("_") for rule in RULES}
    assert len({(m.index, ast.unparse(m.edit.statement)) for m in found}) == len(found)
    for mutant in found:
        changed = [a is not b for a, b in zip(mutant.applied(case.code), case.code, strict=True)]
        assert changed == [i == mutant.index for i in range(len(case.code))]
        assert ast.unparse(mutant.edit.statement) != ast.unparse(case.code[mutant.index])


def test_an_edit_leaves_the_statement_as_it_was() -> None:
    statement = parse(SMALL).body[1]
    before = ast.dump(statement)
    assert len(list(edits(statement, {"x": "array", "n": "number"}))) > 10
    assert ast.dump(statement) == before


def test_only_a_function_has_mutants() -> None:
    with pytest.raises(TypeError, match="expected a function definition, got Assign"):
        parse("y = 1")
