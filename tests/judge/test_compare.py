"""The comparator measures what it says: ULPs, coordinates, and nothing passes by accident."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from parity.judge import compare as comparing
from parity.judge.compare import compare, distance, spread, structure, ulps

DTYPES = [np.float32, np.float64]


def finite(dtype):
    width = np.dtype(dtype).itemsize * 8
    return st.floats(width=width, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), steps=st.integers(0, 40))
def test_ulps_counts_the_steps_of_nextafter(dtype, data, steps):
    start = data.draw(finite(dtype).filter(lambda x: abs(x) < 1e30), label="start")
    x = y = dtype(start)
    for _ in range(steps):
        y = np.nextafter(y, dtype(np.inf))
    assert ulps(np.array([x]), np.array([y]))[0] == steps
    assert ulps(np.array([y]), np.array([x]))[0] == steps


@pytest.mark.parametrize("dtype", DTYPES)
def test_ulps_at_the_edges(dtype):
    tiny = np.nextafter(dtype(0), dtype(1))
    assert ulps(np.array([dtype(-0.0)]), np.array([dtype(0.0)]))[0] == 0
    assert ulps(np.array([-tiny]), np.array([tiny]))[0] == 2
    assert ulps(np.array([dtype(np.nan)]), np.array([dtype(np.nan)]))[0] == np.inf
    largest = np.finfo(dtype).max
    assert ulps(np.array([largest]), np.array([dtype(np.inf)]))[0] == 1


def test_compare_never_broadcasts():
    with pytest.raises(ValueError, match=r"\(64,\).*\(1, 64\)"):
        compare("a", np.zeros(64), "b", np.zeros((1, 64)))
    with pytest.raises(ValueError, match="float32"):
        compare("a", np.zeros(3, np.float32), "b", np.zeros(3))


def test_structure_says_what_is_wrong():
    assert structure("jax", np.zeros((1, 64)), (1, 64), np.dtype(float)) == ""
    sentence = structure("jax", np.zeros(64), (1, 64), np.dtype(float))
    assert sentence == "jax returns shape (64,) for a tensor of shape (1, 64)"
    assert "float32 in a float64 run" in structure(
        "torch", np.zeros(2, np.float32), (2,), np.dtype(float)
    )


def test_compare_names_the_worst_coordinate():
    a = np.zeros((3, 4))
    b = a.copy()
    b[2, 1] = 0.5
    pair = compare("a", a, "b", b)
    assert (pair.exact, pair.approximate, pair.maxdiff, pair.worst) == (False, False, 0.5, (2, 1))


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_infinitely_far_from_what_is(poison):
    a, b = np.ones(5), np.ones(5)
    b[3] = poison
    pair = compare("a", a, "b", b)
    assert (pair.exact, pair.approximate) == (False, False)
    assert pair.maxdiff == np.inf
    assert pair.worst == (3,)
    for value, reference in ((a, b), (b, a)):
        far = distance(value, reference, np.ones(5))
        assert far.sigmas == np.inf
        assert far.worst == (3,)


def test_infinities_of_two_signs_differ():
    far = distance(np.array([np.inf]), np.array([-np.inf]), np.ones(1))
    assert far.sigmas == np.inf
    assert compare("a", np.array([np.inf]), "b", np.array([-np.inf])).maxdiff == np.inf


def test_nan_is_never_exact():
    both = np.array([np.nan])
    assert not compare("a", both, "b", both).exact


@given(arrays.arrays(np.float64, st.integers(1, 20), elements=finite(np.float64)))
def test_an_array_equals_itself(a):
    pair = compare("a", a, "b", a.copy())
    assert (pair.exact, pair.maxdiff, pair.ulp) == (True, 0.0, 0.0)


def test_distance_is_in_sigmas_of_the_element():
    value, reference = np.array([1.0, 2.0]), np.array([1.5, 2.1])
    far = distance(value, reference, np.array([1.0, 0.05]))
    assert far.sigmas == pytest.approx(2.0)
    assert far.worst == (1,)


def test_a_zero_is_as_far_from_a_zero_as_in_an_array():
    """NumPy warns of integers that wrap around in scalars, and a loss is one."""
    zero, one = np.array(0.0, np.float32), np.array(2.0**-149, np.float32)
    assert ulps(zero, zero) == ulps(zero, -zero) == 0
    assert ulps(-zero, one) == 1


def test_a_large_array_is_looked_at_in_parts_and_found_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    right = rng.normal(size=(5, 7))
    value = right + 1e-3 * rng.normal(size=right.shape) ** 3
    value[2, 3] = right[2, 3]
    yard = np.full(right.shape, 1e-6)
    whole = compare("a", value, "b", right), spread(value, right, yard)
    monkeypatch.setattr(comparing, "CHUNK", 4)
    parts = compare("a", value, "b", right), spread(value, right, yard)
    assert parts == whole
    assert sum(whole[1].counts) == right.size
