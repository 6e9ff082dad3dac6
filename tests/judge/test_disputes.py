"""Many gradients in dispute at once, from made-up functions: who is blamed, and at what price."""

import numpy as np
import pytest

from parity import memory
from parity.judge import disputes
from parity.judge.disputes import Disputes
from parity.judge.space import Space
from parity.judge.tensor import Tensor

COUNT = 6
"""Inputs, in pairs of which the products are added up; one more is added as it is, five times."""


def asked(off, factor=(1.0, 1.5), sizes=(1.0, 1.0, 1.0)):
    """Return (findings by name, forward runs): two functions that differ by a factor.

    ``off`` is added to the second one's gradients, in shares of them, by place.
    """
    rng, runs = np.random.default_rng(0), [0]
    leaves = tuple(rng.uniform(0.5, 1.0, 1) for _ in range(COUNT + 1))

    def value(times, x):
        runs[0] += 1
        pairs = zip(sizes, x[:-1:2], x[1::2], strict=True)
        total = 5 * x[-1][0] + sum(size * a[0] * b[0] for size, a, b in pairs)
        return {"out": np.array(times * total)}

    def slopes(times, shares, x):
        right = [sizes[i // 2] * x[i + 1 - 2 * (i % 2)] for i in range(COUNT)]
        right.append(np.array([5.0]))
        return [times * g * (1 + shares.get(i, 0.0)) for i, g in enumerate(right)]

    sides = {"a": (factor[0], {}), "b": (factor[1], off)}
    outputs = {name: lambda x, t=t: value(t, x) for name, (t, _) in sides.items()}
    gradients = {name: lambda x, t=t, o=o: slopes(t, o, x) for name, (t, o) in sides.items()}
    forward = Tensor("out", {c: f(leaves)["out"] for c, f in outputs.items()}, np.array(1.0))
    names = [f"x{i}" for i in range(COUNT + 1)]
    tensors = [
        Tensor(name, {c: f(leaves)[i] for c, f in gradients.items()}, np.ones(leaves[i].shape))
        for i, name in enumerate(names)
    ]
    space, above = Space(leaves), {"out": np.array(1.0)}
    found = Disputes([forward], tensors, space, outputs, above, gradients)
    runs[0] = 0
    return {t.name: found.finding(t) for t in tensors}, runs[0]


def test_gradients_that_are_right_together_are_not_asked_one_by_one(monkeypatch):
    findings, runs = asked({})
    assert not any(finding.wrong for finding in findings.values())
    assert all(finding.told for finding in findings.values())
    monkeypatch.setattr(disputes, "CLEAR", -1.0)
    one_by_one, many = asked({})
    assert [f.wrong for f in one_by_one.values()] == [f.wrong for f in findings.values()]
    assert runs < many / 4


def test_of_heavy_inputs_none_is_asked_alone_unless_some_are_wrong_together(monkeypatch):
    _, joint = asked({})
    monkeypatch.setattr(disputes, "CLEAR", -1.0)
    _, alone = asked({})
    monkeypatch.setattr(memory, "HEAVY", 0)
    assert asked({})[1] == joint
    monkeypatch.setattr(disputes, "HEAVILY", -1.0)
    findings, together = asked({})
    assert joint < together < alone / 2
    assert not any(finding.wrong for finding in findings.values())
    findings, _ = asked({3: 0.05})
    assert {name for name, finding in findings.items() if finding.wrong} == {"x3"}


@pytest.mark.parametrize("place", range(COUNT))
def test_one_wrong_gradient_among_functions_that_differ_is_blamed(place):
    findings, _ = asked({place: 0.05})
    blamed = {name: finding.wrong for name, finding in findings.items() if finding.wrong}
    assert blamed == {f"x{place}": ("b",)}


def test_a_small_gradient_is_not_hidden_by_large_ones():
    findings, _ = asked({5: 0.05}, sizes=(1.0, 1.0, 1e-4))
    assert findings["x5"].wrong == ("b",)


@pytest.mark.parametrize("first", range(0, COUNT, 2))
def test_two_errors_of_one_size_do_not_cancel(first):
    """That of a small product with respect to both factors, times what each is."""
    sizes = [1e-4 if pair == first // 2 else 1.0 for pair in range(COUNT // 2)]
    findings, _ = asked({first: 1.0, first + 1: 1.0}, sizes=sizes)
    blamed = {name for name, finding in findings.items() if finding.wrong}
    assert blamed == {f"x{first}", f"x{first + 1}"}
