"""Every verdict from made-up corners: what must pass passes, the odd corner is named."""

import numpy as np
import pytest

from parity.judge.judging import judge
from parity.judge.noise import BOUND, U0, sigma
from parity.judge.verdict import Verdict, worst_of

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
CORNERS = ("jax", "jax.grad", "torch", "autograd")
SHAPE = (7, 5)


def world(seed=0):
    """Return a reference, noise of one ulp an element, and corners that differ by rounding."""
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=SHAPE)
    noise = np.abs(reference) + 0.1

    def around(dtype):
        unit = np.finfo(dtype).eps / 2
        return {
            corner: (reference + unit * noise * rng.normal(size=SHAPE)).astype(dtype)
            for corner in CORNERS
        }

    return reference, noise, around(np.float32), around(np.float64)


def judged(corners, exact, reference, noise, dtype=FLOAT32, **more):
    return judge("t", dtype, corners, exact, reference, noise, **more)


def change(corners, corner, function):
    return corners | {corner: function(corners[corner])}


def test_rounding_passes():
    reference, noise, corners, exact = world()
    row = judged(corners, exact, reference, noise)
    assert row.verdict is Verdict.ROUNDING
    assert row.odd == ()
    assert 0 < row.sigmas < BOUND / 2
    assert len(row.pairs) == 6


def test_equal_bits_are_identical():
    reference, noise, corners, exact = world()
    same = {corner: corners["jax"] for corner in CORNERS}
    assert judged(same, exact, reference, noise).verdict is Verdict.IDENTICAL


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("factor", [31 / 32, -1.0, 2.0, 1 + 1e-5])
def test_one_wrong_corner_is_named(corner, factor):
    reference, noise, corners, exact = world()
    wrong = [
        change(group, corner, lambda x: (x * factor).astype(x.dtype)) for group in (corners, exact)
    ]
    row = judged(*wrong, reference, noise)
    assert row.verdict is Verdict.DIFFERENT
    assert row.odd == (corner,)
    assert corner in row.reason


def test_a_wrong_reference_does_not_acquit_its_own_corner():
    reference, noise, corners, exact = world()
    wrong = {g: x * 2 for g, x in exact.items() if g == "jax.grad"}
    row = judged(change(corners, "jax.grad", lambda x: x * 2), exact | wrong, reference * 2, noise)
    assert row.odd == ("jax.grad",)


def test_two_against_two_blames_nobody():
    reference, noise, corners, exact = world()
    for corner in ("jax", "jax.grad"):
        corners, exact = (
            change(g, corner, lambda x: x * x.dtype.type(2)) for g in (corners, exact)
        )
    row = judged(corners, exact, reference, noise)
    assert row.verdict is Verdict.DIFFERENT
    assert row.odd == ()
    assert "jax and jax.grad against torch and autograd" in row.reason


def test_a_row_of_one_wrong_element_fails():
    reference, noise, corners, exact = world()

    def spoil(x):
        y = x.copy()
        y[3, 2] += x.dtype.type(1e-3)
        return y

    row = judged(change(corners, "torch", spoil), change(exact, "torch", spoil), reference, noise)
    assert row.verdict is Verdict.DIFFERENT
    assert "[3, 2]" in row.reason


def test_reversed_rows_fail_although_every_mean_agrees():
    reference, noise, corners, exact = world()
    flip = [change(group, "jax", lambda x: x[::-1]) for group in (corners, exact)]
    assert judged(*flip, reference, noise).odd == ("jax",)


def test_shape_comes_before_any_number():
    reference, noise, corners, exact = world()
    flat = [change(group, "torch", lambda x: x.reshape(-1)) for group in (corners, exact)]
    row = judged(*flat, reference, noise)
    assert row.verdict is Verdict.DIFFERENT
    assert row.odd == ("torch",)
    assert "(35,)" in row.reason
    assert "(7, 5)" in row.reason


def test_a_gradient_that_would_broadcast_fails():
    reference, noise, corners, exact = (
        x if not isinstance(x, dict) else {c: v[:1] for c, v in x.items()} for x in world()
    )
    narrow = [change(group, "jax", lambda x: x[0]) for group in (corners, exact)]
    row = judged(*narrow, reference[:1], noise[:1])
    assert row.verdict is Verdict.DIFFERENT
    assert "(5,)" in row.reason


def test_float32_inside_a_float64_run_fails():
    reference, noise, corners, exact = world()
    row = judged(corners, change(exact, "torch", lambda x: x.astype(np.float32)), reference, noise)
    assert row.verdict is Verdict.DIFFERENT
    assert "float32 in a float64 run" in row.reason


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("corner", CORNERS)
def test_not_finite_in_one_corner_fails(corner, poison):
    reference, noise, corners, exact = world()

    def spoil(x):
        y = x.copy()
        y[0, 0] = poison
        return y

    everywhere = judged(
        change(corners, corner, spoil), change(exact, corner, spoil), reference, noise
    )
    assert everywhere.verdict is Verdict.DIFFERENT
    assert everywhere.odd == (corner,)
    in_float32 = judged(change(corners, corner, spoil), exact, reference, noise)
    assert in_float32.verdict is Verdict.DIFFERENT
    assert in_float32.odd == (corner,)


def test_nan_in_every_corner_is_not_comparable():
    reference, noise, corners, exact = world()
    reference = np.full_like(reference, np.nan)
    corners, exact = (
        {c: np.full_like(v, np.nan) for c, v in group.items()} for group in (corners, exact)
    )
    row = judged(corners, exact, reference, noise)
    assert row.verdict is Verdict.NOT_COMPARABLE
    assert "NaN in every corner" in row.reason
    assert not row.verdict.passes


def test_lost_accuracy_is_named_and_passes():
    reference, noise, corners, exact = world()
    rough = change(corners, "torch", lambda x: (x * (1 + 3e-5)).astype(np.float32))
    row = judged(rough, exact, reference, noise)
    assert row.verdict is Verdict.LESS_ACCURATE
    assert row.odd == ("torch",)
    assert row.verdict.passes


def test_a_corner_ten_times_worse_than_the_rest_is_named_before_it_fails():
    reference, noise, _, exact = world()
    exactly = {corner: reference.astype(np.float32) for corner in CORNERS}
    rough = exactly | {"jax": (reference + 20 * U0 * noise).astype(np.float32)}
    row = judged(rough, exact, reference, noise)
    assert row.sigmas < BOUND
    assert row.verdict is Verdict.LESS_ACCURATE
    assert row.odd == ("jax",)


def test_flushed_subnormals_are_a_convention():
    reference, noise, corners, exact = world()
    flushed = change(corners, "jax", lambda x: np.full_like(x, np.nan))
    row = judged(flushed, exact, reference, noise, flushed="counts")
    assert row.verdict is Verdict.CONVENTION
    assert "first in counts" in row.reason
    assert not row.verdict.passes


def test_a_tensor_that_zeros_would_match_says_so():
    _, noise, _, _ = world()
    rng = np.random.default_rng(1)
    tiny = {c: (rng.normal(size=SHAPE) * U0).astype(np.float32) for c in CORNERS}
    tiny64 = {c: rng.normal(size=SHAPE) * 2.0**-53 for c in CORNERS}
    row = judged(tiny, tiny64, tiny64["jax.grad"], noise)
    assert row.zero
    reference, noise, corners, exact = world()
    assert not judged(corners, exact, reference, noise).zero


def test_float64_is_judged_by_its_own_roundoff():
    reference, noise, _, exact = world()
    assert judged(exact, exact, reference, noise, FLOAT64).verdict is Verdict.ROUNDING
    off = change(exact, "jax", lambda x: x * (1 + 1e-10))
    assert judged(off, off, reference, noise, FLOAT64).odd == ("jax",)


def test_the_worst_batch_is_kept():
    reference, noise, corners, exact = world()
    good = judged(corners, exact, reference, noise, batch=0)
    wrong = [change(group, "jax", lambda x: -x) for group in (corners, exact)]
    bad = judged(*wrong, reference, noise, batch=1)
    assert worst_of([good, bad, good]) is bad


def test_only_four_verdicts_pass():
    assert [v.name for v in Verdict if v.passes] == [
        "IDENTICAL", "ROUNDING", "KINK", "LESS_ACCURATE",
    ]  # fmt: skip


def test_sigma_scales_with_the_roundoff_and_never_vanishes():
    noise = np.array([1.0, 0.0, 2.0])
    single, double = sigma(noise, np.float32), sigma(noise, np.float64)
    assert np.all(single > 0)
    np.testing.assert_allclose(double / single, 2.0**-29, rtol=1e-6)
    assert np.all(sigma(np.zeros(3), np.float32) > 0)


def rough(noise, reference, row=None, **own):
    from parity.judge.judging import rougher
    from parity.judge.verdict import Row

    row = row or Row("t", "float32", Verdict.ROUNDING)
    corners = {"jax": reference.astype(np.float32), "torch": (reference + noise).astype(np.float32)}
    errors = {side: U0 * np.abs(x).max() for side, x in own.items()}
    return rougher(row, corners, reference, own, lambda: errors)


def test_the_side_with_ten_times_the_noise_is_named():
    reference = np.linspace(1, 2, 7)
    even = rough(0.0, reference, jax=reference, torch=9 * reference)
    assert even.verdict is Verdict.ROUNDING
    row = rough(0.0, reference, jax=reference, torch=50 * reference)
    assert (row.verdict, row.odd) == (Verdict.LESS_ACCURATE, ("torch",))
    small = rough(0.0, reference, jax=0 * reference, torch=9 * reference)
    assert small.verdict is Verdict.ROUNDING  # exact against a few roundings is no loss


def test_what_rounding_moves_by_a_twentieth_is_not_called_rounding():
    reference = np.linspace(1, 2, 7)
    noise = np.full(7, 1e6)
    assert rough(0.01, reference, jax=noise, torch=noise).verdict is Verdict.ROUNDING
    assert rough(0.2, reference, jax=noise, torch=noise).verdict is Verdict.LESS_ACCURATE


def test_a_tensor_of_zeros_has_no_digits_to_lose():
    """b1 of the notebook: 1e-17 in float64, 1e-9 in float32, and both are 0."""
    reference = np.full(7, 1e-17)
    row = rough(1e-9, reference, jax=np.full(7, 0.1), torch=np.full(7, 9.0))
    assert row.verdict is Verdict.ROUNDING


def test_an_error_that_the_yardstick_does_not_foresee_is_no_lost_accuracy():
    reference, noise, corners, exact = world()
    wrong = change(corners, "torch", lambda x: (x * 1.2).astype(np.float32))
    assert judged(wrong, exact, reference, noise).verdict is Verdict.DIFFERENT
    foreseen = judged(wrong, exact, reference, noise * 1e5)  # rounding may take every digit
    assert foreseen.verdict is not Verdict.DIFFERENT


def test_a_row_is_as_far_as_its_farthest_corner():
    from parity.judge.compare import Distance
    from parity.judge.verdict import Row

    near, far = Distance(1.0, ()), Distance(30.0, ())
    row = Row("t", "float32", Verdict.ROUNDING, distances={"a": near, "b": far, "c": near})
    assert row.sigmas == 30
    assert Row("t", "float32", Verdict.ROUNDING).sigmas == np.inf


def test_the_more_severe_verdict_is_kept_though_it_is_nearer():
    from parity.judge.compare import Distance
    from parity.judge.verdict import Row

    def row(verdict, sigmas):
        return Row("t", "float32", verdict, distances={"a": Distance(sigmas, ())})

    wrong, poor, fine = (
        row(Verdict.DIFFERENT, 2.0), row(Verdict.LESS_ACCURATE, 1e9), row(Verdict.ROUNDING, 3.0),
    )  # fmt: skip
    assert worst_of([fine, wrong, poor]) is wrong
    assert worst_of([fine, row(Verdict.ROUNDING, 5.0)]).sigmas == 5


def test_the_reference_is_the_middle_of_those_that_agree():
    """Two corners 40 sigma of float32 apart, equal in float64 up to 20 of its own."""
    noise = np.ones(5)
    unit = np.finfo(np.float64).eps / 2 * np.hypot(1, 0.1)
    exact = {"a": np.ones(5), "b": np.ones(5) + 20 * unit}
    row = judge("t", FLOAT64, exact, exact, exact["a"], noise)
    assert {c: round(d.sigmas) for c, d in row.distances.items()} == {"a": 10, "b": 10}


@pytest.mark.parametrize("verdict", [Verdict.KINK, Verdict.CONVENTION])
def test_a_passing_corner_that_leaves_its_float64_self_is_named(verdict):
    from parity.judge.judging import unlike_itself
    from parity.judge.verdict import Row

    exact = {"jax": np.array([1.0, 0.0]), "torch": np.array([0.0, 1.0])}
    yard = dict.fromkeys(("jax", "jax eager", "torch"), np.full(2, 6e-8))
    near = {"jax": exact["jax"].astype(np.float32), "jax eager": exact["jax"].astype(np.float32),
            "torch": exact["torch"].astype(np.float32)}  # fmt: skip
    row = Row("t", "float32", verdict)
    assert unlike_itself(row, near, exact, yard) is row
    for poison, expected in ((1.0, Verdict.LESS_ACCURATE), (np.nan, Verdict.DIFFERENT)):
        strays = near | {"jax eager": near["jax eager"] + np.float32(poison)}
        found = unlike_itself(row, strays, exact, yard)
        if verdict is Verdict.CONVENTION:
            assert found is row
        else:
            assert (found.verdict, found.odd) == (expected, ("jax eager",))


@pytest.mark.parametrize(("sides", "passes"), [(1, True), (-1, False)])
def test_infinities_agree_only_with_their_sign(sides, passes):
    noise = np.ones(3)
    a = np.array([1.0, np.inf, 2.0])
    exact = {"a": a, "b": a * np.array([1, sides, 1])}
    row = judge("t", FLOAT64, exact, exact, a, noise)
    assert row.verdict.passes == passes
    narrow = {c: x.astype(np.float32) for c, x in {"a": a, "b": a}.items()}
    narrow["b"][1] = 3e38  # finite, where float64 has an infinity
    assert judge("t", FLOAT32, narrow, {"a": a, "b": a}, a, noise).verdict is Verdict.DIFFERENT
