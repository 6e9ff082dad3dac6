"""Kinks that are no simple maximum: what the gradients nearby allow, from made-up witnesses."""

import numpy as np
import pytest

from parity.judge.arbitration import Problem, arbitrate
from parity.judge.hull import within
from parity.judge.witness import Witness
from tests.judge.test_arbitration import decide

CORNERS = np.array([[0.0, 0], [1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("claim", "inside"),
    [
        ((0, 0), True), ((0.2, 0.3), True), ((0.5, 0.5), True), ((1 / 3, 1 / 3), True),
        ((0.5, 0.6), False), ((-0.01, 0.5), False), ((1, 1), False), ((np.nan, 0), False),
    ],
)  # fmt: skip
def test_a_mixture_of_three_points(claim, inside):
    assert within(CORNERS, np.array(claim, float), np.full(2, 1e-6)) == inside


def test_a_mixture_in_many_dimensions():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(90, 30))
    mixed = rng.dirichlet(np.ones(90)) @ points
    off = points.mean(0) + 3 * (points[7] - points.mean(0))
    tolerance = np.full(30, 1e-6)
    assert within(points, mixed, tolerance)
    assert within(points, points[3], tolerance)
    assert not within(points, off, tolerance)
    assert not within(points[:0], mixed, tolerance)


def weighted_sort(weights):
    """<weights, sort(x)> and its gradient where nothing ties."""
    w = np.array(weights, float)

    def gradient(x):
        found = np.zeros(x.size)
        found[np.argsort(x)] = w
        return found

    return lambda x: float(w @ np.sort(x)), gradient


@pytest.mark.parametrize(
    ("claim", "right"),
    [
        ((2, -1, 3), True), ((-1, 3, 2), True), ((4 / 3, 4 / 3, 4 / 3), True),
        ((0.5, 0.5, 3), True), ((0, 0, 0), False), ((2, 2, 2), False), ((3, 3, -2), False),
        ((4, 1, -1), False),
    ],
)  # fmt: skip
def test_a_sorted_tie_of_three_takes_any_order_and_any_mean_of_orders(claim, right):
    """Neither convex nor concave: (2, -1, 3) is not between slopes, and is a gradient nearby."""
    loss, gradient = weighted_sort([2, -1, 3])
    found = decide(loss, [1, 1, 1], gradient, a=(2, 3, -1), b=claim)
    assert found.kink
    assert found.wrong == (() if right else ("b",))


def test_ten_equals_in_any_order():
    """3,628,800 orders, of a function that is neither convex nor concave: none is met by chance."""
    rng = np.random.default_rng(0)
    weights = rng.permutation(10) + 1.0
    loss, gradient = weighted_sort(weights)
    claims = [rng.permutation(weights) for _ in range(2)]
    assert decide(loss, np.ones(10), gradient, a=claims[0], b=claims[1]).wrong == ()
    claims[1][:2] = 11, claims[1][:2].sum() - 11
    assert decide(loss, np.ones(10), gradient, a=claims[0], b=claims[1]).wrong == ("b",)


def difference_of_maxima(x):
    a, b, d = x
    return max(a, b) - max(b, d)


def its_gradient(x):
    a, b, d = x
    return np.array([a > b, (b > a) * 1.0 - (b > d), -1.0 * (d > b)], float)


@pytest.mark.parametrize(
    ("claim", "right"),
    [
        ((1, -1, 0), True), ((0, 1, -1), True), ((0.5, 0, -0.5), True), ((1, 0, -1), True),
        ((0, 0, 0), True), ((1, 0, 0), False), ((1, 1, -1), False), ((0.5, 0.5, -0.5), False),
        ((2, -1, -1), False),
    ],
)  # fmt: skip
def test_a_difference_of_maxima(claim, right):
    found = decide(difference_of_maxima, [0, 0, 0], its_gradient, a=(0.5, 0, -0.5), b=claim)
    if claim == (0.5, 0, -0.5):
        return
    assert found.kink
    assert found.wrong == (() if right else ("b",))


def test_many_units_of_both_signs_at_their_kinks():
    """2**12 pieces: a sample alone holds few of them, and the corner of all units off is one."""
    v = np.where(np.arange(12) % 3 == 0, -1.0, 1.5)

    def loss(x):
        return float(v @ np.maximum(x[:12] + x[12], 0))

    def gradient(x):
        on = v * (x[:12] + x[12] > 0)
        return np.append(on, on.sum())

    def claim(share):
        return np.append(share * v, (share * v).sum())

    x = np.zeros(13)
    assert decide(loss, x, gradient, a=claim(0.0), b=claim(0.5)).wrong == ()
    assert decide(loss, x, gradient, a=claim(0.5), b=claim(1.1)).wrong == ("b",)
    torn = claim(0.5)
    torn[12] += 0.3
    assert decide(loss, x, gradient, a=claim(0.5), b=torn).wrong == ("b",)


@pytest.mark.parametrize("claim", [0.0, 1.0, np.nan, 0.5 + 1e-4])
def test_where_all_gradients_nearby_agree_only_they_are_right(claim):
    """softplus by max and abs at 0: 0 is between no slopes, for the function is smooth."""

    def softplus(x):
        return float(np.logaddexp(x, 0).sum())

    def truth(x):
        return 1 / (1 + np.exp(-x))

    x = np.array([0.0, 1.0])
    right = truth(x)
    found = decide(softplus, x, truth, a=right, b=(claim, right[1]))
    assert (found.kink, found.wrong, found.smooth) == (False, ("b",), ("b",))


def test_a_smooth_point_beside_a_kink():
    """x0 * x1 where both are 0, by division, beside a tie whose value is right."""

    def loss(x):
        return float(x[0] * x[1] * x[2] + abs(x[3]))

    def truth(x):
        return np.array([x[1] * x[2], x[0] * x[2], x[0] * x[1], np.sign(x[3])])

    x = np.array([0.0, 0.0, 3.0, 0.0])
    found = decide(loss, x, truth, a=(0, 0, 0, 1), b=(np.nan, np.nan, 0, 0))
    assert (found.kink, found.wrong, found.smooth) == (True, ("b",), ("b",))


def test_an_error_that_is_small_beside_the_dispute_is_wrong_all_the_same():
    """Three corners: one right, one far off, and one off by a third of that."""
    x = np.array([0.3, 1.1])
    right = np.cos(x)
    claims = {"a": right, "b": right + 0.3, "c": right + 1.0}
    witnesses = [
        Witness(name, lambda y: float(np.sin(y).sum()), lambda y, g=g: g)
        for name, g in claims.items()
    ]
    problem = Problem(witnesses, x, claims, np.ones(2, bool), x, np.full(2, 1e-15))
    found = arbitrate(problem, np.random.default_rng(0))
    assert (found.kink, found.wrong) == (False, ("b", "c"))


@pytest.mark.parametrize(("claim", "wrong"), [((0.5, 0.5, 1), ("b",)), ((0.5, 0.5, 2), ())])
def test_a_fault_beside_a_kink_is_not_hidden_by_it(claim, wrong):
    """Along one direction through both, a wrong slope may lie between two right ones."""

    def loss(x):
        return float(max(x[0], x[1]) + 2 * x[2])

    def truth(x):
        return np.array([x[0] >= x[1], x[1] > x[0], 2.0], float)

    x = np.array([1.0, 1.0, 0.3])
    witnesses = [
        Witness("a", loss, truth),
        Witness("b", loss, lambda y: truth(y) * [1, 1, claim[2] / 2] if y[0] != y[1] else claim),
    ]
    gradients = {"a": truth(x), "b": np.array(claim, float)}
    disputed = gradients["a"] != gradients["b"]
    problem = Problem(witnesses, x, gradients, disputed, np.abs(x), np.full(3, 1e-15))
    found = arbitrate(problem, np.random.default_rng(0))
    assert (found.wrong, found.apart) == (wrong, False)
