"""Checks found in real projects that could not fail: what each would let pass, we must not."""

import jax
import jax.numpy as jnp
import pytest
import torch

from parity import Pair, ParityError, Rule, check


def by_rule(forward, backward):
    """A torch function with a gradient of our own, against JAX's differentiation of the same."""
    return Rule(lambda x: (forward(x), x), lambda x, dout: (backward(x, dout),))


def rejected(pair):
    report = check(pair, dtypes=["float64"], budget=0)
    assert not report
    assert report.exit_code() == 1
    with pytest.raises(ParityError):
        report.assert_ok()
    return report


def test_1_a_tolerance_does_not_grow_with_the_array():
    doubled = by_rule(lambda x: x.sin(), lambda x, dout: 2 * dout * x.cos())
    rejected(Pair(jax=jnp.sin, torch=doubled, inputs={"x": (512,)}))


def test_2_means_are_not_compared():
    flipped = by_rule(lambda x: x.sin(), lambda x, dout: (dout * x.cos()).flip(0))
    rejected(Pair(jax=jnp.sin, torch=flipped, inputs={"x": (7, 5)}))


def test_3_gradients_are_compared_and_not_the_forwards_again():
    wrong = by_rule(lambda x: x.sin(), lambda x, dout: dout)
    report = rejected(Pair(jax=jnp.sin, torch=wrong, inputs={"x": (5,)}))
    assert {row.name for row in report.rows if not row.verdict.passes} == {"x"}


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_4_nan_is_not_below_a_threshold(poison):
    def spoil(x, dout):
        return (dout * x.cos()).index_fill(0, torch.tensor([2]), poison)

    rejected(Pair(jax=jnp.sin, torch=by_rule(lambda x: x.sin(), spoil), inputs={"x": (5,)}))


def test_5_one_element_that_agrees_is_not_enough():
    def spoil(x, dout):
        mask = torch.zeros_like(x)
        mask[0] = 1
        return dout * x.cos() * mask

    rejected(Pair(jax=jnp.sin, torch=by_rule(lambda x: x.sin(), spoil), inputs={"x": (5,)}))


def test_6_a_check_that_is_not_called_is_an_error():
    """tests/test_plugin.py sees the fixture complain; here, that no report is empty."""
    report = check(Pair(jax=jnp.sin, torch=torch.sin, inputs={"x": (5,)}))
    assert len(report.rows) == 4
    assert all(row.distances for row in report.rows)


@pytest.mark.parametrize("side", [0, 1])
def test_7_nothing_that_has_no_partner_is_skipped(side):
    one, two = lambda x: (x,), lambda x: (x, x)
    jax_side, torch_side = (one, two) if side else (two, one)
    report = rejected(Pair(jax=jax_side, torch=torch_side, inputs={"x": (5,)}))
    assert "return the same structure from both" in report.summary()
    short = Rule(lambda x, w: (x * w, (x, w)), lambda r, d: (d * r[1],))
    rejected(Pair(jax=short, torch=lambda x, w: x * w, inputs={"x": (5,), "w": (5,)}))


def test_8_zero_over_zero_is_no_pass():
    def zeros(x, dout):
        return dout * x.cos() * 0

    rejected(Pair(jax=jnp.sin, torch=by_rule(lambda x: x.sin(), zeros), inputs={"x": (5,)}))
    zero = Pair(jax=lambda x: x * 0, torch=lambda x: x * 0, inputs={"x": (5,)})
    both = check(zero, dtypes=["float64"])
    assert all(row.zero for row in both.rows)  # agreed, and marked: zeros would have passed
    assert "~0" in both.text()


def test_9_the_cotangent_is_random():
    """Under a sum, softmax has gradient 0 and any multiple of it passes."""
    twice = by_rule(
        lambda x: x.softmax(-1),
        lambda x, dout: 2 * torch.autograd.functional.vjp(lambda y: y.softmax(-1), x, dout)[1],
    )
    rejected(Pair(jax=lambda x: jax.nn.softmax(x, -1), torch=twice, inputs={"x": (3, 4)}))


def test_10_a_report_is_false_if_it_fails():
    """`assert check(pair)` would otherwise assert that there is a report."""
    alone = {"dtypes": ["float64"], "budget": 0}
    assert check(Pair(jax=jnp.sin, torch=torch.sin, inputs={"x": (5,)}), **alone)
    with pytest.raises(AssertionError):
        assert check(Pair(jax=jnp.sin, torch=torch.cos, inputs={"x": (5,)}), **alone)


def test_a_shape_that_broadcasts_is_not_stretched():
    row = Rule(lambda x: (x.sum(0), x), lambda x, dout: (dout[None],))
    report = rejected(Pair(torch=row, inputs={"x": (4, 3)}))
    assert "has shape [1, 3], x has [4, 3]" in report.text().replace("\n", " ")
    same = Pair(jax=lambda x: x[:1], torch=lambda x: x[0], inputs={"x": (4, 3)})
    assert "the same number of elements; reshape one" in rejected(same).summary()
