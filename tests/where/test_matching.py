"""Values as they are known by: the same numbers however they lie, and no others."""

import numpy as np
import pytest

from parity.where.matching import Index, print_of, same, unscaled

SIGMA = 1e-15


def known(x):
    return print_of(x, SIGMA)


@pytest.fixture(scope="module", params=[(5, 8), (2**9, 3 * 2**8)], ids=["small", "sampled"])
def x(request):
    return np.random.default_rng(0).normal(size=request.param)


def test_the_same_numbers_are_known_however_they_lie(x):
    rng = np.random.default_rng(1)
    for other in (x.T, x[::-1], rng.permuted(x, axis=None), x * (1 + 2.0**-52)):
        assert same(known(x), known(other))
    few = x[:5, :8]
    assert same(known(few), known(np.tile(few, (2000, 1))))
    assert not same(known(few), known(np.tile(few + 1e-9, (2000, 1))))
    for often in (2, 3):
        assert same(known(x), known(np.repeat(x, often, 0)))
        assert same(known(np.tile(x, (often, 1))), known(x))
    assert not same(known(np.repeat(x, 2, 0)), known(np.tile(x, (3, 1))))


def test_one_number_that_is_another_makes_another_value(x):
    for share in (1e-6, 1e-2, 10.0):
        other = x.copy()
        other[3, 4] *= 1 + share
        assert not same(known(x), known(other))
        assert not same(known(x), known(np.repeat(other, 3, 1)))


def test_a_value_at_another_scale_or_turned_is_known_too(x):
    ways = unscaled(known(-3.7 * x))
    assert [same(unscaled(known(x))[0], way) for way in ways] == [False, True]
    assert Index([known(x + 1), None, known(x)]).find(known(x.T)) == [2]


def test_sizes_are_right_of_what_is_not_finite_too(x):
    assert known(x).size == pytest.approx(np.sqrt(np.mean(x**2)), rel=1e-14)
    masked = np.where(x > 0, x, -np.inf)
    assert known(masked).size == pytest.approx(np.sqrt(np.mean(x[x > 0] ** 2)), rel=1e-14)
    assert same(known(masked), known(masked.T))
    tiny = 1e-170 * x
    assert known(tiny).size == pytest.approx(1e-170 * known(x).size, rel=1e-14)
