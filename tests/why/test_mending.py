"""The edit that sets a wrong function right: found where there is one, and only there."""

from pathlib import Path

import numpy as np
import pytest

from parity.why.mending import mends

X, DOUT = np.random.default_rng(0).standard_normal((2, 7, 5))
N = 7


def no_square(h, dout):
    da = dout * (1 - h)
    return da


def wrong_divisor(x, dout):
    n = x.shape[0]
    total = (x * dout).sum(0)
    scaled = total / n
    return scaled


def of_a_global(x, dout):
    return dout * x / N


def in_a_branch(x, dout):
    found = x
    if x.ndim == 2:
        found = x + dout
    return found


def two_slips(x, dout):
    return (1 - x) * dout.sum(1)


def of_a_spectrum(x, dout):
    return np.fft.fft(dout * x)


def of_its_inverse(x, dout):
    dx = np.fft.ifft(dout)
    return dx * x


def of_an_image(x, dout):
    return np.fft.fft2(dout + x)


def along_columns(x, dout):
    return np.fft.fft(dout, axis=0) - x


CASES = {
    of_a_spectrum: (
        5 * np.fft.ifft(DOUT * X),
        "return (dout * x).shape[-1] * np.fft.ifft(dout * x)",
    ),
    of_its_inverse: (np.fft.fft(DOUT) / 5 * X, "dx = np.fft.fft(dout) / dout.shape[-1]"),
    of_an_image: (35 * np.fft.ifft2(DOUT + X), "return np.fft.ifft2(dout + x, norm='forward')"),
    along_columns: (
        7 * np.fft.ifft(DOUT, axis=0) - X,
        "return np.fft.ifft(dout, axis=0, norm='forward') - x",
    ),
    no_square: (DOUT * (1 - X**2), "da = dout * (1 - X * X)".replace("X", "h")),
    wrong_divisor: ((X * DOUT).sum(0) / 6, "scaled = total / (n - 1)"),
    of_a_global: (DOUT * X, "return dout * x"),
    in_a_branch: (X * DOUT, "found = x * dout"),
}


def right_as(wanted):
    def right(found):
        same = found.shape == wanted.shape and np.allclose(found, wanted, rtol=1e-12, atol=0)
        return ("it",) if same else ()

    return right


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_the_line_as_it_should_be(function):
    wanted, line = CASES[function]
    found = [mend for mend in mends(function, (X, DOUT), right_as(wanted)) if mend.line == line]
    assert len(found) == 1
    number = int(found[0].place.removeprefix("test_mending.py:"))
    written = Path(__file__).read_text().splitlines()[number - 1].strip()
    assert written.split()[0] == line.split()[0]
    assert found[0].longer == len(line) - len(written)
    assert found[0].makes == ("it",)


def test_a_lambda_and_what_it_closes_over():
    factor = 3.0
    found = [*mends(lambda x, dout: factor * x * dout, (X, DOUT), right_as(X * DOUT))]
    assert min((mend.line for mend in found), key=len) == "return x * dout"
    found = [*mends(lambda x, dout: x + dout, (X, DOUT), right_as(X * DOUT))], lambda x: 0
    assert [mend.line for mend in found[0]] == ["return x * dout"]


def saved_value_changed(x, dout):
    x *= dout
    print("changed")
    return -x


def counted_in_a_while_loop(x, dout):
    i = 0
    while i < 3:
        i += 1
    return x * dout * i


def added_in_a_loop(x, dout):
    n = x.shape[0]
    total = np.zeros_like(x[0])
    for i in range(n):
        total = x[i] * dout[i]
    return total


def one_turn_short(x, dout):
    n = x.shape[0] - 1
    total = np.zeros_like(x[0])
    for i in range(n):
        total = total + x[i] * dout[i]
    return total


def assigned_in_part(x, dout):
    found = 2 * dout
    found[x.argmax(0), 0] -= 1
    found[0] = dout[0]
    return found


def test_what_is_assigned_to_is_no_expression():
    """`found[0] + x = ...` is none: the search went on with it, and ended in a SyntaxError."""
    wanted = assigned_in_part(X, DOUT) + DOUT
    assert [*mends(assigned_in_part, (X, DOUT), right_as(wanted))] == []


def test_every_run_has_its_own_values(capsys):
    x = X.copy()
    found = [*mends(saved_value_changed, (x, DOUT), right_as(X * DOUT))]
    assert "return x" in [mend.line for mend in found]
    assert np.array_equal(x, X)
    assert capsys.readouterr().out == ""


def test_a_loop_is_left_to_end():
    assert [*mends(counted_in_a_while_loop, (X, DOUT), right_as(X * DOUT))] == []
    found = [*mends(added_in_a_loop, (X, DOUT), right_as((X * DOUT).sum(0)))]
    assert "total = x[i] * dout[i] + total" in [mend.line for mend in found]
    assert [*mends(one_turn_short, (X, DOUT), right_as((X * DOUT).sum(0)))] == []  # n is its length


def test_an_edit_that_would_need_another_is_not_found():
    assert [*mends(two_slips, (X, DOUT), right_as((1 - X**2) * DOUT.sum(1, keepdims=True)))] == []


def test_what_has_no_source_is_left_alone():
    assert [*mends(np.tanh, (X,), right_as(X))] == []
    made = {}
    exec("def f(x): return -x", made)
    assert [*mends(made["f"], (X,), right_as(X))] == []


def test_what_is_right_needs_no_edit_and_the_original_is_untouched():
    before = no_square(X, DOUT).copy()
    assert [*mends(no_square, (X, DOUT), lambda found: ())] == []
    assert np.array_equal(no_square(X, DOUT), before)
