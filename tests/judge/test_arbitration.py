"""Who is right, from made-up witnesses: no framework, and the answer known on paper."""

import numpy as np
import pytest

from parity.judge.arbitration import Problem, arbitrate
from parity.judge.kinks import ELEMENTS
from parity.judge.slopes import slope
from parity.judge.witness import Witness


def decide(loss, x, truth, **claims):
    """Arbitrate claimed gradients at x; away from x every witness is right."""
    x = np.asarray(x, float)

    def gradient(claim):
        return lambda y: np.asarray(claim, float) if np.array_equal(y, x) else truth(y)

    witnesses = [Witness(name, loss, gradient(claim)) for name, claim in claims.items()]
    gradients = {name: np.asarray(claim, float) for name, claim in claims.items()}
    first, *others = gradients.values()
    disputed = np.any([first != other for other in others], axis=0)
    scale = np.where(x != 0, np.abs(x), 1.0)
    blur = np.full(x.size, 1e-14)
    problem = Problem(witnesses, x, gradients, disputed, scale, blur)
    return arbitrate(problem, np.random.default_rng(0))


def always(claim):
    """A gradient that is wrong everywhere, not at one point only."""
    return lambda y: claim


@pytest.mark.parametrize("ahead", [0, 1, -1])
@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (lambda x: np.exp(x).sum(), lambda x: np.exp(x)),
        (lambda x: (np.sin(3 * x) * x).sum(), lambda x: 3 * np.cos(3 * x) * x + np.sin(3 * x)),
        (lambda x: (1 / (x + 4)).sum(), lambda x: -1 / (x + 4) ** 2),
    ],
)
def test_a_slope_is_as_good_as_it_says(function, derivative, ahead):
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, along = rng.normal(size=5), rng.normal(size=5)
        found = slope(function, x, along, ahead)
        error = abs(found.value - derivative(x) @ along)
        assert error <= found.resolution
        assert found.resolution < (1e-7 if ahead else 1e-9)


def test_no_smaller_steps_are_asked_once_a_claim_is_met():
    x, along = np.random.default_rng(0).normal(size=(2, 5))
    right = float(np.exp(x) @ along)
    asked = []

    def loss(y):
        asked[-1] += 1
        return float(np.exp(y).sum())

    found = []
    for claimed in (np.nan, right, right * (1 + 1e-6)):
        asked.append(0)
        found.append(slope(loss, x, along, claimed=claimed))
    unclaimed, met, missed = found
    assert asked[1] < asked[0] / 1.5
    assert asked[2] == asked[0]
    assert missed == unclaimed
    assert abs(met.value - right) <= met.resolution <= 2 * unclaimed.resolution


def test_a_slope_knows_when_it_knows_nothing():
    noise = np.random.default_rng(0)
    assert slope(lambda x: noise.normal(), np.ones(1), np.ones(1)).resolution > 1
    assert np.isnan(slope(lambda x: np.nan, np.ones(1), np.ones(1)).value)


def test_a_slope_is_as_good_as_it_says_near_jumps():
    """Large steps cross the places where softplus with a threshold jumps by 2e-9."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        x, dout = rng.uniform(-5, 30, 66), rng.normal(size=66)

        def loss(v, dout=dout):
            return float(dout @ np.where(v > 20, v, np.log1p(np.exp(np.minimum(v, 20)))))

        along = np.where(x > 20, x * rng.choice([-1.0, 1.0], 66), 0)
        found = slope(loss, x, along)
        assert abs(found.value - dout @ along) <= 8 * found.resolution
        assert found.resolution < 0.1 * 2e-9 * np.abs(dout * along).sum()


def test_one_sided_slopes_part_at_a_kink():
    def absolute(x):
        return np.abs(x).sum()

    ahead, behind = (slope(absolute, np.zeros(1), np.ones(1), side) for side in (1, -1))
    assert ahead.value == pytest.approx(1)
    assert behind.value == pytest.approx(-1)


def test_the_gradient_that_is_no_slope_is_wrong():
    def sines(x):
        return np.sin(x).sum()

    x = np.array([0.3, 1.1, -2.0])
    right = np.cos(x)
    off = right + np.array([0, 0, 1e-6])
    for wrong in (right * 1.0001, off, -right, right * 0, right * np.nan):
        claims = {"a": right, "b": wrong}
        witnesses = [Witness(name, sines, always(claim)) for name, claim in claims.items()]
        blur = np.full(3, 1e-15)
        problem = Problem(witnesses, x, claims, right != wrong, np.abs(x), blur)
        found = arbitrate(problem, np.random.default_rng(0))
        assert (found.kink, found.wrong) == (False, ("b",))
        assert found.resolution < 1e-9


def test_two_functions_are_both_right():
    x = np.array([0.3, 1.1])
    one = Witness("a", lambda y: np.sin(y).sum(), np.cos)
    two = Witness("b", lambda y: 2 * np.sin(y).sum(), lambda y: 2 * np.cos(y))
    gradients = {"a": np.cos(x), "b": 2 * np.cos(x)}
    everything, blur = np.ones(2, bool), np.full(2, 1e-15)
    problem = Problem([one, two], x, gradients, everything, x, blur)
    found = arbitrate(problem, np.random.default_rng(0))
    assert (found.kink, found.wrong) == (False, ())


def largest(x):
    return x.max()


def first_of_largest(x):
    gradient = np.zeros(x.size)
    gradient[np.argmax(x)] = 1
    return gradient


@pytest.mark.parametrize(
    ("claim", "right"),
    [
        ((1, 0), True), ((0, 1), True), ((0.5, 0.5), True), ((0.2, 0.8), True),
        ((0, 0), False), ((1, 1), False), ((0.5, 0.6), False), ((0.5, 0.4999), False),
        ((2, -1), False), ((-1, 2), False), ((np.nan, 0), False),
    ],
)  # fmt: skip
def test_a_tie_of_two(claim, right):
    found = decide(largest, [2, 2], first_of_largest, a=(1, 0), b=claim)
    if claim == (1, 0):
        return
    assert found.kink
    assert found.wrong == (() if right else ("b",))


@pytest.mark.parametrize(
    ("claim", "right"),
    [
        ((1 / 3, 1 / 3, 1 / 3), True), ((0, 0.5, 0.5), True), ((0, 0, 1), True),
        ((0, 0, 0), False), ((0.5, 0.5, 0.5), False), ((1, 1, -1), False), ((0, 1, 1), False),
    ],
)  # fmt: skip
def test_a_tie_of_three(claim, right):
    found = decide(largest, [2, 2, 2], first_of_largest, a=(1, 0, 0), b=claim)
    assert found.kink
    assert found.wrong == (() if right else ("b",))


def test_one_wrong_value_among_many_ties():
    """Summed over all ties at once, a hundred right ones would hide it."""
    rows = 25
    x = np.repeat(np.arange(1.0, rows + 1), 2)

    def loss(y):
        return y.reshape(rows, 2).max(1).sum()

    def truth(y):
        pairs = y.reshape(rows, 2)
        return (pairs == pairs.max(1, keepdims=True)).astype(float).reshape(-1)

    first, shared = np.tile([1.0, 0.0], rows), np.tile([0.5, 0.5], rows)
    assert decide(loss, x, truth, a=first, b=shared).wrong == ()
    spoiled = shared.copy()
    spoiled[20:22] = 0.0
    assert decide(loss, x, truth, a=first, b=spoiled).wrong == ("b",)


def test_a_wrong_value_where_the_other_half_of_the_tie_agrees():
    """(0, 0) against (1, 0): only one element is in dispute, and alone 0 would be right."""
    assert decide(largest, [2, 2], first_of_largest, a=(1, 0), b=(0, 0)).wrong == ("b",)


@pytest.mark.parametrize(("value", "right"), [(0, True), (1, True), (-1, True), (1.001, False)])
def test_abs_at_zero(value, right):
    def absolute(x):
        return np.abs(x).sum()

    x = np.array([0.0, 2.0, 0.0, -3.0])
    a, b = np.array([0.3, 1, 0.3, -1]), np.array([value, 1, value, -1.0])
    found = decide(absolute, x, np.sign, a=a, b=b)
    assert found.kink
    assert found.wrong == (() if right else ("b",))


def test_many_kinks_are_sampled_and_the_count_is_said():
    x = np.zeros(5 * ELEMENTS)
    a, b = np.zeros_like(x), np.ones_like(x)
    found = decide(lambda y: np.abs(y).sum(), x, np.sign, a=a, b=b)
    assert (found.kink, found.wrong, found.looked) == (True, (), ELEMENTS)
