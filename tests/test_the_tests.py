"""Break each guarded thing on purpose: the test that guards it must fail."""

from pathlib import Path

import numpy as np
import pytest
import torch

import jax_impl
import parity.frameworks.jaxpr_rounding as jaxpr_rounding
import parity.frameworks.torch_noise as torch_noise
import parity.frameworks.torch_operations as torch_operations
import parity.frameworks.torch_rounding as torch_rounding
import parity.judge.judging
import parity.makemore.notebook
import torch_ref
from parity.judge.compare import Difference, Distance
from tests import test_imports
from tests.frameworks import test_noise, test_torch_noise
from tests.judge import test_compare, test_verdict
from tests.shared import twins

failure = pytest.raises((AssertionError, pytest.fail.Exception))


def test_a_comparator_that_lets_nan_pass_is_caught(monkeypatch):
    def lenient(value, reference, sigma):
        ratio = np.nan_to_num(np.abs(value - reference) / sigma, nan=0.0, posinf=0.0)
        return Distance(float(ratio.max()), (0, 0))

    monkeypatch.setattr(parity.judge.judging, "distance", lenient)
    with failure:
        test_verdict.test_not_finite_in_one_corner_fails("jax", np.nan)


def test_a_comparator_of_means_is_caught(monkeypatch):
    def means(value, reference, sigma):
        return Distance(float(abs(value.mean() - reference.mean()) / sigma.mean()), (0, 0))

    monkeypatch.setattr(parity.judge.judging, "distance", means)
    with failure:
        test_verdict.test_reversed_rows_fail_although_every_mean_agrees()


def test_a_comparator_satisfied_by_any_element_is_caught(monkeypatch):
    def anywhere(value, reference, sigma):
        return Distance(float((np.abs(value - reference) / sigma).min()), (0, 0))

    monkeypatch.setattr(parity.judge.judging, "distance", anywhere)
    with failure:
        test_verdict.test_a_row_of_one_wrong_element_fails()


def test_a_tolerance_that_grows_with_the_array_is_caught(monkeypatch):
    monkeypatch.setattr(parity.judge.judging, "BOUND", 32.0 * 2.0**45)
    with failure:
        test_verdict.test_one_wrong_corner_is_named("torch", 1 + 1e-5)


def test_a_comparator_that_skips_structure_is_caught(monkeypatch):
    monkeypatch.setattr(parity.judge.judging, "structure", lambda *_: "")
    with pytest.raises((AssertionError, ValueError)):
        test_verdict.test_shape_comes_before_any_number()


def test_a_comparator_that_broadcasts_is_caught(monkeypatch):
    def broadcasting(left, a, right, b):
        return Difference(left, right, bool(np.all(a == b)), True, 0.0, 0.0, ())

    monkeypatch.setattr(test_compare, "compare", broadcasting)
    with failure:
        test_compare.test_compare_never_broadcasts()


def test_a_yardstick_without_noise_is_caught(monkeypatch):
    monkeypatch.setattr(jaxpr_rounding, "U0", 0.0)
    with failure:
        test_noise.test_one_rounding_has_noise_of_the_value(None)


def test_a_yardstick_that_forgets_cancellation_is_caught(monkeypatch):
    monkeypatch.setattr(jaxpr_rounding, "EXACT", jaxpr_rounding.EXACT | {"add", "sub"})
    with failure:
        test_noise.test_noise_sees_cancellation()


def test_a_yardstick_that_repeats_its_noise_in_a_loop_is_caught(monkeypatch):
    monkeypatch.setattr(jaxpr_rounding.Noise, "inside", lambda self, turn: self)
    with failure:
        test_noise.test_every_turn_of_a_loop_has_noise_of_its_own()


def test_a_yardstick_that_calls_everything_noisy_is_caught(monkeypatch):
    monkeypatch.setattr(jaxpr_rounding, "EXACT", frozenset())
    with failure:
        test_noise.test_what_is_exact_has_no_noise(np.transpose, np.full((2, 3), 1 / 3))


def test_a_yardstick_that_rounds_a_number_anew_each_time_is_caught(monkeypatch):
    monkeypatch.setattr(jaxpr_rounding.Noise, "number", lambda self, value: self.draw(()))
    with failure:
        test_noise.test_a_number_in_the_code_is_rounded_alike_everywhere()


def test_a_torch_yardstick_that_leaves_kernels_closed_is_caught(monkeypatch):
    monkeypatch.setattr(torch_operations, "decomposition_of", lambda func: None)
    monkeypatch.setattr(torch_rounding, "_componentwise", torch_rounding._round)
    torch_rounding.rule_of.cache_clear()
    with failure:
        test_torch_noise.test_a_fused_kernel_is_opened()
    monkeypatch.undo()
    torch_rounding.rule_of.cache_clear()


def test_a_torch_yardstick_that_leaves_traces_is_caught(monkeypatch):
    monkeypatch.setattr(torch_noise._Watch, "restore", lambda self: None)
    with failure:
        test_torch_noise.test_what_it_changes_it_puts_back(torch.ones(6, 6).double() / 3)


def test_a_torch_yardstick_that_trusts_in_place_operations_is_caught(monkeypatch):
    monkeypatch.setattr(torch_rounding, "written", lambda *_: [])
    monkeypatch.setattr(
        torch_rounding, "_call", lambda func, args, kwargs: (func(*args, **kwargs), [])
    )
    with failure:
        test_torch_noise.test_in_place_and_out_are_disturbed_once(test_torch_noise.in_a_view)


def test_a_broken_twin_is_caught():
    left, right = (twins.read(Path(package.__path__[0])) for package in (jax_impl, torch_ref))
    assert twins.complaints(left, right) == []
    name = next(name for name, source in right.items() if "dx = dout @ W.T" in source)
    broken = right | {name: right[name].replace("dx = dout @ W.T", "dx = dout @ W.mT")}
    assert twins.complaints(left, broken)


def test_a_check_that_is_never_called_is_caught(monkeypatch, capsys):
    """A run that judges nothing has no verdict and cannot pass."""
    monkeypatch.setattr(
        parity.makemore.notebook.Bench,
        "judge",
        lambda *_: parity.makemore.notebook.Judged({}, [], [], {}, 0),
    )
    with pytest.raises((ValueError, AssertionError)):
        parity.makemore.notebook.run(parity.makemore.notebook.Options(exercises=(2,))).exit_code()


@pytest.mark.full
def test_an_import_that_brings_the_other_framework_is_caught(tmp_path):
    """The import test has a probe for exactly this; it is broken there and seen to fail."""
    test_imports.test_the_probe_sees_what_it_looks_for(tmp_path)
