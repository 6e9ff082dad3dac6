"""Mistakes that people make in the exercises, as rules that compute one wrong gradient.

Every rule takes right values by name (tensors, and gradients as d + name) and the framework's
module, `torch` or `jax.numpy`. What it may be called is a list of patterns for ``kind: key`` of a
cause. `TABLE` holds the mistakes that the rules of diagnosis were made for, `UNSEEN` and `LATER`
those that they were not, `BENIGN` what is no mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

EPS = 1e-5


class Values(dict[str, Any]):
    """Right values by name, as attributes; sizes too."""

    def __getattr__(self, name: str) -> Any:
        return self[name]

    @property
    def n(self) -> int:
        return int(self["Xb"].shape[0])

    @property
    def vocab(self) -> int:
        return int(self["C"].shape[0])


class Mistake(NamedTuple):
    """One wrong rule, and how a cause of it may be called: the first pattern is the best name."""

    id: str
    tensor: str
    rule: Callable[[Values, Any], Any]
    names: tuple[str, ...]
    exercise: int = 1
    only: str = ""
    """The framework in which it can be made, if one alone."""


def hot(v: Values, xp: Any, index: Any = None, classes: int | None = None) -> Any:
    """One-hot rows, as numbers of the run's dtype."""
    index = v.Yb if index is None else index
    classes = v.vocab if classes is None else classes
    letters = xp.arange(classes)
    return xp.where(index[..., None] == letters, 1.0, 0.0 * v.b2[0])


def uses(v: Values, xp: Any, index: Any = None) -> Any:
    """One-hot rows of every use of a letter: (uses, letters)."""
    return hot(v, xp, (v.Xb if index is None else index).reshape(-1))


def rows(v: Values) -> Any:
    """The gradient of every use of a letter: (uses, embd)."""
    return v.demb.reshape(-1, v.C.shape[1])


def argmax_hot(v: Values, xp: Any) -> Any:
    return hot(v, xp, v.logits.argmax(1))


def softmax(x: Any, xp: Any, axis: int) -> Any:
    e = xp.exp(x - x.max())
    return e / e.sum(axis, keepdims=True)


def batchnorm(
    v: Values,
    *,
    scale: Any = None,
    mean: float = 1.0,
    variance: Any = 1.0,
) -> Any:
    """Exercise 3's line, with a factor outside and one for each of its terms."""
    n, d = v.n, v.dhpreact
    scale = v.bngain * v.bnvar_inv / n if scale is None else scale
    last = n / (n - 1) * v.bnraw * (d * v.bnraw).sum(0)
    return scale * (n * d - mean * d.sum(0) - variance * last)


def in_place(v: Values, xp: Any) -> Any:
    dlogits = v.probs
    dlogits[xp.arange(v.n), v.Yb] -= 1
    dlogits /= v.n
    return dlogits


def loop(v: Values, xp: Any) -> Any:
    """Right, but it asks for a number while it is traced."""
    saturated = bool(abs(v.h).max() >= 1)
    return v.dh * (1.0 - v.h**2) if not saturated else v.dh * (1.0 - v.h) * (1.0 + v.h)


class Counter:
    """A rule that adds to what it returned the last time."""

    def __init__(self) -> None:
        self.held: dict[Any, Any] = {}

    def __call__(self, v: Values, xp: Any) -> Any:
        key = tuple(v.dbndiff.shape), str(v.dbndiff.dtype)
        self.held[key] = self.held.get(key, 0.0) + v.dbndiff + v.dbnmeani / v.n
        return self.held[key]


def first_use(v: Values, xp: Any) -> Any:
    mask = uses(v, xp)
    first = mask * (mask.cumsum(0) == 1)
    return first.T @ rows(v)


def last_use(v: Values, xp: Any) -> Any:
    mask = xp.flip(uses(v, xp), (0,))
    last = mask * (mask.cumsum(0) == 1)
    return last.T @ xp.flip(rows(v), (0,))


def other_order(v: Values) -> Any:
    e = v.emb.shape
    return v.dembcat.reshape(e[0], e[2], e[1]).swapaxes(1, 2)


SUMMED = r"another tensor: the gradient of .* summed over axis ."
EDIT = r"edit: .*"
"""The same in terms of the right line: allowed beside any other name."""
N1 = r"\(n-1\)"

TABLE = (
    # cross-entropy
    Mistake("CE01", "logprobs", lambda v, xp: -1.0 * hot(v, xp), (r"factor: n",)),
    Mistake(
        "CE03",
        "logprobs",
        lambda v, xp: xp.ones_like(v.probs) * (-1 / v.n),
        (r"selection: (row|extra)",),
    ),
    Mistake(
        "CE05",
        "probs",
        lambda v, xp: 1 / v.probs,
        (
            r"not linear: upstream missing",
            r"another tensor: 1/probs",
            r"power: the gradient of logprobs\^-1",
        ),
    ),
    Mistake("CE07", "counts_sum_inv", lambda v, xp: v.counts * v.dprobs, (r"shape: sum 1",)),
    Mistake(
        "CE09", "counts_sum_inv", lambda v, xp: (v.counts * v.dprobs).sum(1), (r"shape: reshape",)
    ),
    Mistake(
        "CE11", "counts_sum", lambda v, xp: v.counts_sum**-2 * v.dcounts_sum_inv, (r"factor: -1",)
    ),
    Mistake("CE13", "counts", lambda v, xp: v.counts_sum_inv * v.dprobs, (r"paths: \(0, 1\)",)),
    Mistake(
        "CE15",
        "counts",
        lambda v, xp: v.counts_sum_inv * v.dprobs + 2 * v.dcounts_sum,
        (r"paths: \(2, 1\)",),
    ),
    Mistake(
        "CE17",
        "norm_logits",
        lambda v, xp: v.norm_logits * v.dcounts,
        (r"power: .*norm_logits.*", EDIT),
    ),
    Mistake("CE19", "logit_maxes", lambda v, xp: xp.zeros_like(v.counts_sum), (r"zeros: 0",)),
    Mistake(
        "CE21",
        "logits",
        lambda v, xp: v.dnorm_logits,
        (r"paths: \(0, 1\)", r"another tensor: the gradient of norm_logits"),
    ),
    Mistake(
        "CE23",
        "logits",
        lambda v, xp: v.dnorm_logits + v.logits.argmax(1)[:, None] * v.dlogit_maxes,
        (r"selection: position",),
    ),
    # its fused rule
    Mistake(
        "FX02", "logits", lambda v, xp: (v.probs - hot(v, xp)) / v.vocab, (r"factor: n/vocab",), 2
    ),
    Mistake(
        "FX04",
        "logits",
        lambda v, xp: v.probs / v.n,
        (r"paths: \(1, 0\)", r"another tensor: 1/n times probs"),
        2,
    ),
    Mistake(
        "FX06",
        "logits",
        lambda v, xp: (softmax(v.logits, xp, 0) - hot(v, xp)) / v.n,
        (r"edit: .*softmax\(logits, 0\)",),
        2,
    ),
    Mistake(
        "FX08",
        "logits",
        lambda v, xp: (
            (
                v.probs - hot(v, xp).max(0, keepdims=True)[0]
                if xp.__name__ == "torch"
                else v.probs - hot(v, xp).max(0, keepdims=True)
            )
            / v.n
        ),
        (r"selection: batch",),
        2,
    ),
    Mistake(
        "FX10",
        "logits",
        lambda v, xp: (softmax(v.probs, xp, 1) - hot(v, xp)) / v.n,
        (r"edit: .*softmax\(probs, 1\)",),
        2,
    ),
    Mistake(
        "FX12", "logits", lambda v, xp: (v.probs - hot(v, xp)) / v.n / v.n, (r"factor: 1/n",), 2
    ),
    # second linear layer
    Mistake("L202", "W2", lambda v, xp: v.dlogits.T @ v.h, (r"shape: transposed",)),
    Mistake(
        "L204",
        "W2",
        lambda v, xp: v.hpreact.T @ v.dlogits,
        (r"product: reads hpreact where h belongs",),
    ),
    Mistake("L206", "b2", lambda v, xp: v.dlogits.sum(0, keepdims=True), (r"shape: reshape", EDIT)),
    Mistake(
        "L208",
        "b2",
        lambda v, xp: v.dlogits.sum(1),
        (r"reduction: summed over axis 1, not summed over axis 0", SUMMED),
    ),
    # tanh
    Mistake("TH01", "hpreact", lambda v, xp: v.dh, (r"another tensor: the gradient of h",)),
    Mistake(
        "TH03",
        "hpreact",
        lambda v, xp: (1 - v.h) ** 2 * v.dh,
        (r"edit: .*\(1\.0 - h\) \*\* 2", r"power: .*"),
    ),
    Mistake(
        "TH05", "hpreact", lambda v, xp: v.h * (1 - v.h) * v.dh, (r"power: h\^1 \* \(1 \+ h\)\^-1",)
    ),
    Mistake(
        "TH07",
        "hpreact",
        lambda v, xp: 1 - v.h**2,
        (r"not linear: upstream missing", r"power: the gradient of h\^-1"),
    ),
    # batchnorm, step by step
    Mistake(
        "BA01",
        "bngain",
        lambda v, xp: v.dhpreact.sum(0, keepdims=True),
        (r"another tensor: the gradient of (hpreact summed over axis 0|bnbias)",),
    ),
    Mistake("BA03", "bngain", lambda v, xp: (v.bnraw * v.dhpreact).sum(0), (r"shape: reshape",)),
    Mistake(
        "BA05",
        "bngain",
        lambda v, xp: (v.bndiff * v.dhpreact).sum(0, keepdims=True),
        (r"product: reads bndiff where bnraw belongs", r"power: bnvar_inv\^-1"),
    ),
    Mistake(
        "BA07",
        "bnbias",
        lambda v, xp: v.dhpreact.sum(1, keepdims=True),
        (r"reduction: summed over axis 1, not summed over axis 0", SUMMED),
    ),
    Mistake("BA09", "bnraw", lambda v, xp: v.dhpreact / v.bngain, (r"power: bngain\^-2",)),
    Mistake("BN01", "bnvar_inv", lambda v, xp: v.bndiff * v.dbnraw, (r"shape: sum 0",)),
    Mistake(
        "BN03",
        "bnvar_inv",
        lambda v, xp: (v.bndiff * v.dhpreact).sum(0, keepdims=True),
        (
            r"product: reads the gradient of hpreact where that of bnraw belongs",
            r"power: bngain\^-1",
        ),
    ),
    Mistake(
        "BN05",
        "bnvar",
        lambda v, xp: 0.5 * (v.bnvar + EPS) ** -1.5 * v.dbnvar_inv,
        (r"factor: -1",),
    ),
    Mistake(
        "BN07",
        "bnvar",
        lambda v, xp: -0.5 * v.bnvar**-1.5 * v.dbnvar_inv,
        (r"edit: bnvar \+ eps -> bnvar",),
    ),
    Mistake(
        "BN09",
        "bnvar",
        lambda v, xp: -0.5 * (v.bnvar + EPS) ** 1.5 * v.dbnvar_inv,
        (r"edit: .*1\.5.*", r"power: .*"),
    ),
    Mistake(
        "BN11",
        "bndiff2",
        lambda v, xp: 1 / v.n * xp.ones_like(v.bndiff2) * v.dbnvar,
        (rf"factor: {N1}/n",),
    ),
    Mistake("BN13", "bndiff2", lambda v, xp: 1 / (v.n - 1) * v.dbnvar, (r"shape: broadcast",)),
    Mistake("BN15", "bndiff", lambda v, xp: v.bnvar_inv * v.dbnraw, (r"paths: \(0, 1\)",)),
    Mistake(
        "BN17",
        "bndiff",
        lambda v, xp: v.bnvar_inv * v.dbnraw + v.bndiff * v.dbndiff2,
        (r"paths: \(1/2, 1\)",),
    ),
    Mistake(
        "BN19",
        "bndiff",
        lambda v, xp: v.bnvar_inv * v.dbnraw + 2 * v.dbndiff2,
        (r"edit: .*-> 2 \* dbndiff2", r"paths: bndiff2 \* bndiff\^-1"),
    ),
    Mistake(
        "BN21",
        "bndiff",
        lambda v, xp: v.bnvar_inv * v.dbnraw + 4 * v.bndiff * v.dbndiff2,
        (r"paths: \(2, 1\)",),
    ),
    Mistake(
        "BN23", "bndiff", lambda v, xp: v.dhprebn, (r"another tensor: the gradient of hprebn",)
    ),
    Mistake("BM01", "bnmeani", lambda v, xp: v.dbndiff.sum(0, keepdims=True), (r"factor: -1",)),
    Mistake("BM03", "bnmeani", lambda v, xp: -v.dbndiff.mean(0, keepdims=True), (r"factor: 1/n",)),
    Mistake(
        "BM06",
        "hprebn",
        lambda v, xp: v.dbndiff,
        (r"paths: \(1, 0\)", r"another tensor: the gradient of bndiff"),
    ),
    Mistake(
        "BM08",
        "hprebn",
        lambda v, xp: v.dbndiff + 1 / (v.n - 1) * v.dbnmeani,
        (rf"paths: \(1, n/{N1}\)",),
    ),
    Mistake(
        "BM10",
        "hprebn",
        lambda v, xp: 1 / v.n * v.dbnmeani * xp.ones_like(v.dbndiff),
        (r"paths: \(0, 1\)",),
    ),
    # its fused rule
    Mistake(
        "FB02",
        "hprebn",
        lambda v, xp: batchnorm(v, scale=v.bnvar_inv / v.n),
        (r"power: bngain\^-1", EDIT),
        3,
    ),
    Mistake(
        "FB04",
        "hprebn",
        lambda v, xp: batchnorm(v, scale=v.bngain * v.bnvar_inv),
        (r"factor: n",),
        3,
    ),
    Mistake(
        "FB06", "hprebn", lambda v, xp: batchnorm(v, variance=0), (r"paths: \(0, 1, 1\)", EDIT), 3
    ),
    Mistake("FB08", "hprebn", lambda v, xp: batchnorm(v, mean=-1), (r"paths: \(1, -1\)", EDIT), 3),
    Mistake(
        "FB10",
        "hprebn",
        lambda v, xp: batchnorm(v, variance=v.bngain),
        (r"paths: .*bndiff2.* \* bngain\^1",),
        3,
    ),
    Mistake(
        "FB12",
        "hprebn",
        lambda v, xp: (
            v.bngain
            * v.bnvar_inv
            / v.n
            * (
                v.n * v.dhpreact
                - v.dhpreact.sum()
                - v.n / (v.n - 1) * v.bnraw * (v.dhpreact * v.bnraw).sum()
            )
        ),
        (r"edit: .*sum\(\).*; .*sum\(\).*",),
        3,
    ),
    Mistake(
        "FB14",
        "hprebn",
        lambda v, xp: batchnorm(v, scale=v.bngain * v.bnvar_inv**2 / v.n),
        (r"power: bnvar_inv\^1", EDIT),
        3,
    ),
    # first linear layer and embedding
    Mistake("L102", "b1", lambda v, xp: -v.dhprebn.sum(0), (r"factor: -1",)),
    Mistake(
        "L104",
        "embcat",
        lambda v, xp: v.dhprebn @ v.W1.reshape(v.W1.T.shape),
        (r"product: W1 is reshaped before axes \(1, 0\) were moved",),
    ),
    Mistake("EM02", "emb", lambda v, xp: other_order(v), (r"order: .*",)),
    Mistake(
        "EM04",
        "C",
        lambda v, xp: (uses(v, xp).T @ rows(v)) / uses(v, xp).sum(0).clip(1)[:, None],
        (r"indices: average",),
    ),
    Mistake("EM06", "C", lambda v, xp: uses(v, xp, v.Xb.T).T @ rows(v), (r"indices: crossed",)),
    Mistake("EM08", "C", lambda v, xp: 2 * (uses(v, xp).T @ rows(v)), (r"factor: 2",)),
    Mistake("EM10", "C", first_use, (r"indices: first", r"indices: one")),
    # more than one tensor, or one framework
    Mistake("X01", "logits", in_place, (r"impure: input",), 2, "torch"),
    Mistake("X03", "hprebn", Counter(), (r"impure: again",), 1, "torch"),
    Mistake(
        "X05", "bnvar", lambda v, xp: -0.5 * v.dbnvar_inv**3 * v.dbnvar_inv, (r"not linear: .*",)
    ),
    Mistake(
        "X05b",
        "bndiff",
        lambda v, xp: v.dbnvar_inv * v.dbnraw + 2 * v.bndiff * v.dbndiff2,
        (r"not linear: .*", r"edit: bnvar_inv \* dbnraw -> dbnvar_inv \* dbnraw"),
    ),
    Mistake(
        "X07",
        "hprebn",
        lambda v, xp: batchnorm(v, variance=(v.n - 1) / v.n),
        (rf"paths: \({N1}/n, 1, 1\)", EDIT),
        3,
    ),
    Mistake("X09", "C", last_use, (r"indices: last", r"indices: one", EDIT)),
    Mistake("X13", "W2", lambda v, xp: v.h[:, :-1].T @ v.dlogits, (r"shape: .*",)),
    Mistake("X13b", "hpreact", lambda v, xp: (1 - v.h[:, :-1] ** 2) * v.dh, (r"raises: .*",)),
    Mistake("X15", "hpreact", loop, (r"not traceable: .*",), 1, "jax"),
)

BENIGN = (
    Mistake(
        "before the variance's path",
        "bnmeani",
        lambda v, xp: -(v.bnvar_inv * v.dbnraw).sum(0, keepdims=True),
        (),
    ),
    Mistake("rounded once", "hpreact", lambda v, xp: v.dh - v.h * v.h * v.dh, ()),
    Mistake("two factors", "hpreact", lambda v, xp: (1 - v.h) * (1 + v.h) * v.dh, ()),
    Mistake("another order", "b2", lambda v, xp: xp.flip(v.dlogits, (0,)).sum(0), ()),
    Mistake(
        "another order", "W2", lambda v, xp: (v.h[:, :, None] * v.dlogits[:, None, :]).sum(0), ()
    ),
    Mistake("a quotient", "probs", lambda v, xp: v.dlogprobs / v.probs, ()),
    Mistake("a product", "probs", lambda v, xp: (1 / v.probs) * v.dlogprobs, ()),
    Mistake("the cube", "bnvar", lambda v, xp: -0.5 * v.bnvar_inv**3 * v.dbnvar_inv, ()),
    Mistake("the fused route", "logits", lambda v, xp: (v.probs - hot(v, xp)) / v.n, ()),
    Mistake("the fused route", "logits", lambda v, xp: v.probs / v.n - hot(v, xp) / v.n, (), 2),
    Mistake(
        "the other softmax",
        "logits",
        lambda v, xp: (softmax(v.logits, xp, 1) - hot(v, xp)) / v.n,
        (),
        2,
    ),
    Mistake(
        "multiplied out",
        "hprebn",
        lambda v, xp: (
            v.bngain * v.bnvar_inv * (v.dhpreact - v.dhpreact.mean(0))
            - v.bngain * v.bnvar_inv / (v.n - 1) * v.bnraw * (v.dhpreact * v.bnraw).sum(0)
        ),
        (),
        3,
    ),
    Mistake("by a mask", "C", lambda v, xp: uses(v, xp).T @ rows(v), ()),
    Mistake("by a mask", "logprobs", lambda v, xp: -1.0 / v.n * hot(v, xp), ()),
    Mistake(
        "minus n times the mean",
        "bnmeani",
        lambda v, xp: -v.n * v.dbndiff.mean(0, keepdims=True),
        (),
    ),
)


def without_letter(v: Values, xp: Any, letter: int) -> Any:
    keep = xp.where(xp.arange(v.vocab) == letter, 0.0, 1.0 + 0.0 * v.b2)
    return (uses(v, xp).T @ rows(v)) * keep[:, None]


def clipped(x: Any, fraction: float) -> Any:
    limit = float(abs(x).max()) * fraction
    return x.clip(-limit, limit)


UNSEEN = (
    Mistake(
        "rows paired with the next index",
        "logprobs",
        lambda v, xp: -1.0 / v.n * xp.roll(hot(v, xp), 1, 0),
        (r"selection: row shift 1", r"order: roll 0 1"),
    ),
    Mistake("sign of the mean", "logprobs", lambda v, xp: 1.0 / v.n * hot(v, xp), (r"factor: -1",)),
    Mistake(
        "one target forgotten",
        "logprobs",
        lambda v, xp: (
            -1.0
            / v.n
            * hot(v, xp)
            * xp.where(xp.arange(v.n) == 1, 0.0, 1.0 + 0.0 * v.probs[:, 0])[:, None]
        ),
        (r"selection: lost", r"slices: axis 0 zero"),
    ),
    Mistake(
        "times for divided by", "probs", lambda v, xp: v.dlogprobs * v.probs, (r"power: probs\^2",)
    ),
    Mistake("the square", "probs", lambda v, xp: v.dlogprobs / v.probs**2, (r"power: probs\^-1",)),
    Mistake("detached", "probs", lambda v, xp: xp.zeros_like(v.probs), (r"zeros: 0",)),
    Mistake(
        "minus the second path",
        "counts",
        lambda v, xp: v.counts_sum_inv * v.dprobs - v.dcounts_sum,
        (r"paths: \(-1, 1\)",),
    ),
    Mistake(
        "sum for its inverse",
        "counts",
        lambda v, xp: v.counts_sum * v.dprobs + v.dcounts_sum,
        (r"edit: counts_sum_inv.*", r"paths: probs \* .*"),
    ),
    Mistake(
        "normalised",
        "counts",
        lambda v, xp: (
            (v.counts_sum_inv * v.dprobs + v.dcounts_sum)
            / ((v.counts_sum_inv * v.dprobs + v.dcounts_sum) ** 2).sum() ** 0.5
        ),
        (r"factor: 1/\(its norm\)", r"not linear: .*"),
    ),
    Mistake(
        "square and minus forgotten",
        "counts_sum",
        lambda v, xp: v.counts_sum**-1 * v.dcounts_sum_inv,
        (r"power: -1 \* counts_sum\^1", r"power: -1 \* counts_sum_inv\^-1"),
    ),
    Mistake(
        "probs for counts",
        "norm_logits",
        lambda v, xp: v.probs * v.dcounts,
        (r"power: counts_sum_inv\^1", r"power: counts_sum\^-1"),
    ),
    Mistake(
        "divided by counts",
        "norm_logits",
        lambda v, xp: v.dcounts / v.counts,
        (r"power: counts\^-2",),
    ),
    Mistake(
        "maximum for sum",
        "logit_maxes",
        lambda v, xp: -xp.amax(v.dnorm_logits, 1)[:, None],
        (r"not linear: not linear", r"reduction: .*", r"edit: .*max.*"),
    ),
    Mistake(
        "the smallest",
        "logits",
        lambda v, xp: v.dnorm_logits + hot(v, xp, v.logits.argmin(1)) * v.dlogit_maxes,
        (r"edit: .*argmin.*",),
    ),
    Mistake(
        "columns reversed",
        "h",
        lambda v, xp: xp.flip(v.dlogits, (1,)) @ v.W2.T,
        (r"product: .* flipped along axis 1", r"order: .*"),
    ),
    Mistake("averaged", "W2", lambda v, xp: v.h.T @ v.dlogits / v.n, (r"factor: 1/n",)),
    Mistake(
        "rows of another batch",
        "W2",
        lambda v, xp: xp.roll(v.h, 1, 0).T @ v.dlogits,
        (r"product: .* shifted by -?1 along axis 0", r"order: .*"),
    ),
    Mistake("averaged", "b2", lambda v, xp: v.dlogits.mean(0), (r"factor: 1/n",)),
    Mistake(
        "the first row", "b2", lambda v, xp: v.dlogits[0], (r"reduction: its first slice alone.*",)
    ),
    Mistake(
        "clipped",
        "hpreact",
        lambda v, xp: clipped((1 - v.h**2) * v.dh, 0.5),
        (r"elementwise: clipped", r"not linear: .*"),
    ),
    Mistake(
        "plus for minus",
        "hpreact",
        lambda v, xp: (1 + v.h**2) * v.dh,
        (r"edit: 1\.0 - h \*\* 2 -> 1\.0 \+ h \*\* 2",),
    ),
    Mistake(
        "square root",
        "hpreact",
        lambda v, xp: (1 - v.h**2) ** 0.5 * v.dh,
        (r"power: .*1 - h.*", EDIT),
    ),
    Mistake("tanh of tanh", "hpreact", lambda v, xp: (1 - xp.tanh(v.h) ** 2) * v.dh, (EDIT,)),
    Mistake(
        "averaged", "bngain", lambda v, xp: (v.bnraw * v.dhpreact).mean(0)[None], (r"factor: 1/n",)
    ),
    Mistake(
        "last row forgotten",
        "bngain",
        lambda v, xp: (v.bnraw * v.dhpreact)[:-1].sum(0)[None],
        (r"product: row . is left out", r"reduction: .*", r"indices: .*"),
    ),
    Mistake(
        "gain too many",
        "bnbias",
        lambda v, xp: (v.bngain * v.dhpreact).sum(0)[None],
        (r"power: bngain\^1",),
    ),
    Mistake(
        "bias for gain",
        "bnraw",
        lambda v, xp: v.bnbias * v.dhpreact,
        (r"edit: bngain.* -> bnbias.*", r"power: .*bnbias.*"),
    ),
    Mistake(
        "divided",
        "bnvar_inv",
        lambda v, xp: (v.bndiff * v.dbnraw).sum(0)[None] / (v.n - 1),
        (r"factor: 1/\(n-1\)",),
    ),
    Mistake(
        "exponent as in the forward",
        "bnvar",
        lambda v, xp: -0.5 * (v.bnvar + EPS) ** -0.5 * v.dbnvar_inv,
        (r"power: bnvar_inv\^-2", r"edit: .*"),
    ),
    Mistake(
        "another epsilon",
        "bnvar",
        lambda v, xp: -0.5 * (v.bnvar + 1e-3) ** -1.5 * v.dbnvar_inv,
        (r"constant: eps = 0.001", r"edit: .*eps.*"),
    ),
    Mistake(
        "not averaged",
        "bndiff2",
        lambda v, xp: xp.ones_like(v.bndiff2) * v.dbnvar,
        (r"factor: \(n-1\)",),
    ),
    Mistake(
        "bnraw for bndiff",
        "bndiff",
        lambda v, xp: v.bnvar_inv * v.dbnraw + 2 * v.bnraw * v.dbndiff2,
        (r"paths: bndiff2 \* bnvar_inv\^1", r"edit: .*bnraw.*"),
    ),
    Mistake(
        "over everything",
        "bnmeani",
        lambda v, xp: -v.dbndiff.sum() * xp.ones_like(v.bnmeani),
        (r"reduction: summed over everything.*", r"edit: .*"),
    ),
    Mistake(
        "mean forgotten", "hprebn", lambda v, xp: v.dbndiff + v.dbnmeani, (r"paths: \(1, n\)",)
    ),
    Mistake(
        "absolute value",
        "hprebn",
        lambda v, xp: abs(v.dbndiff + v.dbnmeani / v.n),
        (r"elementwise: absolute value", r"not linear: .*"),
    ),
    Mistake(
        "neither mean nor variance",
        "hprebn",
        lambda v, xp: v.bngain * v.bnvar_inv * v.dhpreact,
        (r"paths: \(0, 1, 0\)", r"edit: .*"),
        3,
    ),
    Mistake(
        "not normalised",
        "hprebn",
        lambda v, xp: (
            v.bngain
            * v.bnvar_inv
            / v.n
            * (
                v.n * v.dhpreact
                - v.dhpreact.sum(0)
                - v.n / (v.n - 1) * v.bndiff * (v.dhpreact * v.bndiff).sum(0)
            )
        ),
        (r"paths: .* \* bnvar_inv\^-2", r"edit: .*"),
        3,
    ),
    Mistake(
        "features reversed",
        "embcat",
        lambda v, xp: xp.flip(v.dhprebn @ v.W1.T, (1,)),
        (r"order: flip 1", r"product: .* flipped along axis ."),
    ),
    Mistake(
        "values, not gradients",
        "W1",
        lambda v, xp: v.embcat.T @ v.hprebn,
        (r"not linear: upstream missing", r"edit: .*hprebn.*"),
    ),
    Mistake(
        "block reversed",
        "emb",
        lambda v, xp: xp.flip(v.dembcat.reshape(v.emb.shape), (1,)),
        (r"order: flip 1",),
    ),
    Mistake(
        "a letter left out",
        "C",
        lambda v, xp: without_letter(v, xp, 0),
        (r"selection: lost", r"slices: axis 0 zero", r"indices: .*"),
    ),
    Mistake(
        "the first position alone",
        "C",
        lambda v, xp: hot(v, xp, v.Xb[:, 0]).T @ v.demb[:, 0],
        (r"indices: only 0",),
    ),
    Mistake(
        "off by one",
        "C",
        lambda v, xp: xp.roll(uses(v, xp).T @ rows(v), 1, 0),
        (r"order: roll 0 1", r"indices: index \+1"),
    ),
    Mistake("averaged", "b1", lambda v, xp: v.dhprebn.mean(0), (r"factor: 1/n",)),
    Mistake("mean forgotten", "logits", lambda v, xp: v.probs - hot(v, xp), (r"factor: n",), 2),
    Mistake(
        "logits for probs",
        "logits",
        lambda v, xp: (v.logits - hot(v, xp)) / v.n,
        (r"edit: softmax\(logits, 1\) -> logits",),
        2,
    ),
    Mistake(
        "smoothed labels",
        "logits",
        lambda v, xp: (v.probs - 0.9 * hot(v, xp) - 0.1 / v.vocab) / v.n,
        (r"paths: .*", r"edit: .*"),
        2,
    ),
    Mistake("sign", "logits", lambda v, xp: (hot(v, xp) - v.probs) / v.n, (r"factor: -1",), 2),
)

LATER = (
    Mistake("half of it", "logprobs", lambda v, xp: -0.5 / v.n * hot(v, xp), (r"factor: 1/2",)),
    Mistake(
        "probs - 1 at the target",
        "logprobs",
        lambda v, xp: (v.probs - 1) * hot(v, xp) / v.n,
        (r"power: .*probs.*",),
    ),
    Mistake(
        "log for its derivative",
        "probs",
        lambda v, xp: v.dlogprobs * v.logprobs,
        (r"power: .*logprobs.*", EDIT),
    ),
    Mistake(
        "probs for counts",
        "counts_sum_inv",
        lambda v, xp: (v.probs * v.dprobs).sum(1)[:, None],
        (r"product: reads probs where counts belongs", r"power: counts_sum.*"),
    ),
    Mistake(
        "averaged over letters",
        "counts_sum_inv",
        lambda v, xp: (v.counts * v.dprobs).mean(1)[:, None],
        (r"factor: 1/vocab",),
    ),
    Mistake(
        "cube for square",
        "counts_sum",
        lambda v, xp: -(v.counts_sum**-3) * v.dcounts_sum_inv,
        (r"power: counts_sum\^-1", r"power: counts_sum_inv\^1"),
    ),
    Mistake(
        "log for square", "counts_sum", lambda v, xp: -xp.log(v.counts_sum) * v.dcounts_sum_inv, ()
    ),
    Mistake(
        "only the second path",
        "counts",
        lambda v, xp: v.dcounts_sum * xp.ones_like(v.counts),
        (r"paths: \(1, 0\)",),
    ),
    Mistake("exponential of counts", "norm_logits", lambda v, xp: xp.exp(v.counts) * v.dcounts, ()),
    Mistake("the first column", "logit_maxes", lambda v, xp: -v.dnorm_logits[:, :1], ()),
    Mistake(
        "maximum's path to all columns",
        "logits",
        lambda v, xp: v.dnorm_logits + v.dlogit_maxes,
        (r"selection: row",),
    ),
    Mistake(
        "maximum's path subtracted",
        "logits",
        lambda v, xp: v.dnorm_logits - argmax_hot(v, xp) * v.dlogit_maxes,
        (r"paths: \(-1, 1\)",),
    ),
    Mistake(
        "bias of the wrong layer",
        "h",
        lambda v, xp: v.dlogits @ v.W2.T + v.b1,
        (r"not linear: not linear",),
    ),
    Mistake(
        "norm_logits for logits",
        "h",
        lambda v, xp: v.dnorm_logits @ v.W2.T,
        (r"product: reads the gradient of norm_logits where that of logits belongs",),
    ),
    Mistake(
        "batch reversed",
        "W2",
        lambda v, xp: xp.flip(v.h, (0,)).T @ v.dlogits,
        (r"product: .*flipped along axis 0",),
    ),
    Mistake(
        "squared",
        "W2",
        lambda v, xp: (v.h.T @ v.dlogits) ** 2,
        (r"elementwise: square", r"not linear: .*"),
    ),
    Mistake("summed from the second row", "b2", lambda v, xp: v.dlogits[1:].sum(0), ()),
    Mistake(
        "largest for sum",
        "b2",
        lambda v, xp: xp.amax(v.dlogits, 0),
        (r"reduction: the maximum over axis 0.*", r"not linear: .*"),
    ),
    Mistake(
        "hpreact for h",
        "hpreact",
        lambda v, xp: (1 - v.hpreact**2) * v.dh,
        (r"edit: .*hpreact.*", r"power: .*"),
    ),
    Mistake("masked as relu", "hpreact", lambda v, xp: v.dh * (v.h > 0), ()),
    Mistake(
        "(1 - h) alone", "hpreact", lambda v, xp: (1 - v.h) * v.dh, (r"power: \(1 \+ h\)\^-1", EDIT)
    ),
    Mistake(
        "saturated units dropped",
        "hpreact",
        lambda v, xp: (1 - v.h**2) * v.dh * (abs(v.h) < 0.7),
        (r"selection: lost", r"unknown.*"),
    ),
    Mistake(
        "hpreact for bnraw",
        "bngain",
        lambda v, xp: (v.hpreact * v.dhpreact).sum(0)[None],
        (r"product: reads hpreact where bnraw belongs",),
    ),
    Mistake(
        "dbnraw for dhpreact",
        "bnbias",
        lambda v, xp: v.dbnraw.sum(0)[None],
        (r"another tensor: the gradient of bnraw summed over axis 0",),
    ),
    Mistake(
        "gain over the batch", "bnraw", lambda v, xp: v.bngain * v.dhpreact / v.n, (r"factor: 1/n",)
    ),
    Mistake(
        "gain squared", "bnraw", lambda v, xp: v.bngain**2 * v.dhpreact, (r"power: bngain\^1",)
    ),
    Mistake(
        "hprebn for bndiff",
        "bnvar_inv",
        lambda v, xp: (v.hprebn * v.dbnraw).sum(0)[None],
        (r"product: reads hprebn where bndiff belongs",),
    ),
    Mistake(
        "2 forgotten in the root",
        "bnvar",
        lambda v, xp: -((v.bnvar + EPS) ** -1.5) * v.dbnvar_inv,
        (r"factor: 2",),
    ),
    Mistake(
        "bnvar_inv to the first",
        "bnvar",
        lambda v, xp: -0.5 * v.bnvar_inv * v.dbnvar_inv,
        (r"power: bnvar_inv\^-2",),
    ),
    Mistake(
        "minus 2",
        "bndiff2",
        lambda v, xp: 1 / (v.n - 2) * xp.ones_like(v.bndiff2) * v.dbnvar,
        (r"factor: \(n-1\)/\(n-2\)", r"factor: .*"),
    ),
    Mistake(
        "last row zero",
        "bndiff2",
        lambda v, xp: (
            1 / (v.n - 1) * xp.ones_like(v.bndiff2) * v.dbnvar * (xp.arange(v.n) < v.n - 1)[:, None]
        ),
        (r"selection: lost", r"order: shift 0 -1"),
    ),
    Mistake(
        "variance's path negative",
        "bndiff",
        lambda v, xp: v.bnvar_inv * v.dbnraw - 2 * v.bndiff * v.dbndiff2,
        (r"paths: \(-1, 1\)",),
    ),
    Mistake(
        "direct path twice",
        "bndiff",
        lambda v, xp: 2 * v.bnvar_inv * v.dbnraw + 2 * v.bndiff * v.dbndiff2,
        (r"paths: \(1, 2\)",),
    ),
    Mistake(
        "bnvar for bnvar_inv",
        "bndiff",
        lambda v, xp: v.bnvar * v.dbnraw + 2 * v.bndiff * v.dbndiff2,
        (r"edit: bnvar_inv.* -> bnvar.*", r"paths: .*"),
    ),
    Mistake(
        "dbnraw for dbndiff",
        "bnmeani",
        lambda v, xp: -v.dbnraw.sum(0)[None],
        (r"another tensor: -1 times the gradient of bnraw summed over axis 0",),
    ),
    Mistake(
        "mean's path negative",
        "hprebn",
        lambda v, xp: v.dbndiff - v.dbnmeani / v.n,
        (r"paths: \(1, -1\)",),
    ),
    Mistake(
        "mean's path in one row",
        "hprebn",
        lambda v, xp: v.dbndiff + v.dbnmeani * (xp.arange(v.n) == 0)[:, None],
        (),
    ),
    Mistake("no mean", "hprebn", lambda v, xp: batchnorm(v, mean=0), (r"paths: \(1, 0\)",), 3),
    Mistake(
        "half the variance",
        "hprebn",
        lambda v, xp: batchnorm(v, variance=0.5),
        (r"paths: \(1/2, 1, 1\)",),
        3,
    ),
    Mistake(
        "by the variance, not its root",
        "hprebn",
        lambda v, xp: batchnorm(v, scale=v.bngain / (v.bnvar + EPS) / v.n),
        (r"power: bnvar_inv\^1",),
        3,
    ),
    Mistake("rows averaged", "hprebn", lambda v, xp: 0 * v.dhpreact + batchnorm(v).mean(0), (), 3),
    Mistake(
        "columns shifted",
        "embcat",
        lambda v, xp: xp.roll(v.dhprebn @ v.W1.T, 1, 1),
        (r"order: roll 1 1", r"product: .*shifted.*"),
    ),
    Mistake(
        "hidden units reversed",
        "W1",
        lambda v, xp: v.embcat.T @ xp.flip(v.dhprebn, (1,)),
        (r"order: flip 1", r"product: .*flipped.*"),
    ),
    Mistake(
        "added to itself",
        "W1",
        lambda v, xp: v.embcat.T @ v.dhprebn + v.W1,
        (r"not linear: not linear",),
    ),
    Mistake(
        "hpreact for hprebn",
        "b1",
        lambda v, xp: v.dhpreact.sum(0),
        (r"another tensor: the gradient of hpreact summed over axis 0",),
    ),
    Mistake(
        "positions in another order",
        "emb",
        lambda v, xp: v.dembcat.reshape(v.emb.shape)[:, [1, 0, 2]],
        (r"order: permuted 1",),
    ),
    Mistake(
        "counted once more",
        "C",
        lambda v, xp: (uses(v, xp).T @ rows(v)) * uses(v, xp).sum(0)[:, None],
        (r"indices: times",),
    ),
    Mistake(
        "the last example forgotten",
        "C",
        lambda v, xp: uses(v, xp, v.Xb[:-1]).T @ v.demb[:-1].reshape(-1, v.C.shape[1]),
        (r"indices: without row .*",),
    ),
    Mistake(
        "columns of the table exchanged",
        "C",
        lambda v, xp: xp.flip(uses(v, xp).T @ rows(v), (1,)),
        (r"order: flip 1", r"order: permuted 1"),
    ),
    Mistake(
        "temperature 2",
        "logits",
        lambda v, xp: (softmax(v.logits / 2, xp, 1) - hot(v, xp)) / v.n,
        (),
        2,
    ),
    Mistake(
        "target twice",
        "logits",
        lambda v, xp: (v.probs - 2 * hot(v, xp)) / v.n,
        (r"paths: \(1, 2\)",),
        2,
    ),
    Mistake(
        "mean over all entries",
        "logits",
        lambda v, xp: (v.probs - hot(v, xp)) / v.n / v.vocab,
        (r"factor: 1/\(n\*vocab\)", r"factor: 1/vocab"),
        2,
    ),
)
