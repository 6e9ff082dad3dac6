"""The harness's own error rates: the arithmetic always, the measurement in the long run."""

import inspect

import pytest

from parity.__main__ import main
from parity.selftest import jax_healthy, torch_healthy
from parity.selftest.cases import CASES, healthy
from parity.selftest.rates import Rate, measure, trials, upper_bound
from parity.selftest.torch_faulty import FAULTS


def functions(module):
    return {
        name: str(inspect.signature(f))
        for name, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__
    }


def test_the_healthy_functions_are_twins_and_all_are_used():
    assert functions(jax_healthy) == functions(torch_healthy)
    assert [*functions(jax_healthy)] == [*functions(torch_healthy)]
    assert {function for function, _ in CASES.values()} == {*functions(jax_healthy)}
    assert len(CASES) >= 30
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize(
    ("count", "runs", "bound"),
    [(0, 300, 0.00994), (0, 3, 0.6316), (1, 20, 0.2161), (5, 10, 0.7776), (3, 3, 1.0), (0, 0, 1.0)],
)
def test_the_upper_bound_is_clopper_and_pearsons(count, runs, bound):
    """Published tables, and 1 - 0.05**(1/n) for none of n."""
    assert upper_bound(count, runs) == pytest.approx(bound, abs=1e-4)


def test_a_rate_counts_runs_and_names_each_failure_once():
    rate = Rate()
    for failed in (True, False, True):
        rate.add("x", failed)
    assert (rate.count, rate.runs, rate.names) == (2, 3, ["x"])
    assert str(rate) == "2 of 3 (at most 98.3%)"


@pytest.mark.parametrize("name", ["rotation"])
def test_a_healthy_function_passes(name):
    assert all(found.verdict.passes for found in trials(healthy(name), 1))


@pytest.mark.parametrize("name", ["one element times 1.001"])
def test_a_fault_is_caught(name):
    fault = next(fault for fault in FAULTS if fault.name == name)
    assert not any(f.verdict.passes for f in trials(healthy(fault.case, fault.torch), 1))


def test_the_command_fails_where_a_fault_is_missed(monkeypatch, capsys):
    import parity.selftest.rates as rates
    import parity.selftest.torch_faulty as faulty

    fake = faulty.Fault("none at all", "silu", torch_healthy.silu)
    monkeypatch.setattr(faulty, "FAULTS", [fake])
    monkeypatch.setattr(rates, "CASES", {"silu": CASES["silu"]})
    assert main(["selftest", "--seeds", "1"]) == 1
    said = capsys.readouterr().out
    assert "false alarms: 0 of 1" in said
    assert "misses: 1 of 1" in said
    assert "miss: none at all" in said


@pytest.mark.full
def test_no_false_alarm_and_no_miss():
    rates = measure(seeds=2)  # the command takes 20
    assert rates.alarms.names == []
    assert rates.alarms.runs == 2 * len(CASES)
    assert rates.misses.names == []
    assert rates.misses.runs == 2 * len(FAULTS)
