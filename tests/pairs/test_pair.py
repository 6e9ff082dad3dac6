"""What a Pair is made of: named inputs, random numbers that can be read, trees and back."""

from typing import NamedTuple

import numpy as np
import pytest

from parity.errors import UsageError
from parity.pairs.digits import cast, in_precision
from parity.pairs.pair import Pair, Rule, short_decimals
from parity.pairs.tree import flatten, positions, rebuild


class Point(NamedTuple):
    x: float
    y: float


TREES = [
    3,
    None,
    {"b": 1, "a": [2, (3,)]},
    Point(1, {"c": 2}),
    [None, Point(1, 2), ()],
]


@pytest.mark.parametrize("tree", TREES)
def test_a_tree_is_itself_again(tree):
    leaves = [leaf for _, leaf in flatten(tree)]
    assert rebuild(tree, iter(leaves)) == tree
    assert type(rebuild(tree, iter(leaves))) is type(tree)
    assert [leaf for _, leaf in positions(tree)] == leaves


def test_leaves_have_the_names_that_python_would_use():
    tree = {"params": Point(1, [2, 3])}
    assert [name for name, _ in flatten(tree, "p")] == [
        "p['params'].x", "p['params'].y[0]", "p['params'].y[1]",
    ]  # fmt: skip
    assert next(name for name, _ in positions(tree, "p")) == "p['params'][0]"


@pytest.mark.parametrize("shape", [(), (1,), (7, 5), (0,), (30, 1000)])
def test_random_numbers_are_short_distinct_and_not_zero(shape):
    numbers = short_decimals(np.random.default_rng(0), shape)
    assert numbers.shape == shape
    assert np.unique(numbers).size == numbers.size
    assert np.all(numbers != 0)
    assert np.all(np.abs(numbers) < 3)
    decimals = max((len(repr(float(abs(x))).split(".")[1]) for x in numbers.flat), default=0)
    assert decimals <= (2 if numbers.size < 100 else 4)


def f(x, w):
    return x


def arguments(inputs, jax=f, torch=f, seed=0):
    return Pair(jax=jax, torch=torch, inputs=inputs).arguments(np.random.default_rng(seed))


def test_inputs_are_named_by_dictionary_or_by_parameter():
    assert arguments({"a": (2,), "b": np.ones(3)}).names == ("a", "b")
    assert arguments((np.ones(2), {"k": np.ones(3)})).names == ("x", "w['k']")
    assert arguments((np.ones(2),), jax=lambda *x: x, torch=f).names == ("x",)
    assert arguments((np.ones(2), 1), jax=lambda *x: x, torch=lambda *x: x).names == (
        "x[0]", "x[1]",
    )  # fmt: skip
    rule = Rule(lambda p, q: (p, None), lambda r, d: (d, d))
    assert arguments((1.0, 2.0), jax=rule).names == ("p", "q")


def test_inputs_come_again_with_the_seed_and_are_rebuilt():
    def inputs(rng):
        return rng.normal(size=2), {"k": rng.normal()}

    made = [arguments(inputs, seed=seed) for seed in (3, 3, 4)]
    assert np.array_equal(made[0].leaves[0], made[1].leaves[0])
    assert not np.array_equal(made[0].leaves[0], made[2].leaves[0])
    assert made[0].build([1, 2]) == [1, {"k": 2}]


def test_floats_are_widened_and_integers_kept():
    given = (np.ones(2, np.float16), np.arange(3, dtype=np.int8))
    floats, integers = arguments(given).leaves
    assert floats.dtype == np.float64
    assert integers.dtype == np.int8
    assert arguments(given).floating == ("x",)
    assert arguments((1j, True)).leaves[0].dtype == np.complex128


def test_a_shape_is_a_shape_only_in_a_dictionary():
    assert arguments({"x": (2, 3), "w": ()}).leaves[0].shape == (2, 3)
    with pytest.raises(UsageError, match="input x is str"):
        arguments(("words", 1))


def test_numbers_keep_the_digits_of_the_narrowest_dtype_and_their_range():
    x = np.array([0.1, 1e-60, -3e200, 0.0, np.inf])
    for name, dtype in (("float32", np.float32), ("float16", np.float16)):
        rounded = in_precision(x, np.dtype(name))
        assert rounded[0] == float(dtype(0.1))
        assert np.allclose(rounded[:3], x[:3], rtol=2e-3, atol=0)
        assert np.array_equal(rounded[3:], x[3:])
    assert np.array_equal(in_precision(x, np.dtype(np.float64)), x)
    z = in_precision(np.array([0.1 + 0.7j]), np.dtype(np.float32))
    assert z == np.complex64(0.1 + 0.7j)
    assert cast(z, np.dtype(np.float32)).dtype == np.complex64
    assert cast(np.arange(3), np.dtype(np.float32)).dtype == np.arange(3).dtype
