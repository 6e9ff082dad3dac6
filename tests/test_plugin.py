"""The pytest plugin, in pytest runs of its own: the report is the failure, a seed replays it."""

import re
import subprocess
import sys

import numpy as np
import pytest

from parity.pytest_plugin import seed_of

PAIRS = """
import parity
import torch  # jax only where it is needed: it takes longest

def test_agrees(parity_check):
    tanh = parity.Rule(lambda x: (x.tanh(), x.tanh()), lambda y, dout: (dout * (1 - y * y),))
    report = parity_check(torch=tanh, inputs={"x": (3,)})
    assert report.options.pair == "test_agrees"

def test_differs_by_luck(parity_check):
    # 2 x above 1.5: whether any element is there depends on the seed
    import jax.numpy as jnp
    parity_check(
        jax=lambda x: jnp.where(x > 1.5, 2 * x, x),
        torch=lambda x: x * 1,
        inputs=lambda rng: {"x": rng.normal(size=4)},
    )

def test_never_called(parity_check):
    pass

def test_strict(parity_check):
    hard = torch.nn.functional.hardsigmoid
    rule = parity.Rule(lambda x: (hard(x), x), lambda x, dout: (dout / 6 * (abs(x) < 3),))
    parity_check(torch=rule, inputs={"x": (3,)}, strict=True)
"""


def is_unlucky(seed):
    """Whether test_differs_by_luck has a number above 1.5 with this seed of a session."""
    rng = np.random.default_rng(seed_of("test_pairs.py::test_differs_by_luck", str(seed)))
    return (rng.normal(size=4) > 1.5).any()


@pytest.fixture
def run(pytester):
    pytester.makepyfile(test_pairs=PAIRS)
    return lambda *words: pytester.runpytest_subprocess("-p", "no:cacheprovider", *words)


def failure(result):
    """What is shown of test_differs_by_luck, without how long it took."""
    text = result.stdout.str()
    found = re.search(r"_ test_differs_by_luck _+\n(.*?)\n(=|_)+ ", text, re.DOTALL)
    return found.group(1) if found else None


@pytest.mark.full
def test_a_failure_is_the_report_and_replays_from_its_printed_seed(run):
    seed = next(s for s in range(50) if is_unlucky(s))
    failed = run("-k", "luck", f"--parity-seed={seed}")
    assert f"parity: --parity-seed={seed}\n" in failed.stdout.str()
    said = failure(failed)
    assert said.startswith("test_differs_by_luck\nconvention: first in out")
    assert "fault: neither side" in said
    assert said.endswith(
        f"replay: pytest 'test_pairs.py::test_differs_by_luck' --parity-seed={seed}"
    )
    assert "Traceback" not in failed.stdout.str()
    assert "def run(" not in failed.stdout.str()  # nothing of the harness's own source
    again = run("test_pairs.py::test_differs_by_luck", f"--parity-seed={seed}")
    assert failure(again) == said


def test_passes_fails_and_a_check_that_is_never_made(run):
    result = run("-k", "not luck", "--parity-seed=random")
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(["parity: --parity-seed=*"])
    result.stdout.fnmatch_lines(["*test_never_called asked for parity_check and never called it*"])
    result.stdout.fnmatch_lines(["*less accurate: *torch is accurate to float32 only*"])


def test_a_seed_that_is_none_is_a_usage_error(run):
    result = run("--parity-seed=often")
    assert result.ret == 4
    assert "--parity-seed is 'often'; give a number, or 'random'" in result.stderr.str()


def test_importing_the_plugin_imports_no_framework():
    code = "import sys, parity.pytest_plugin; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "parity.pytest_plugin" in modules
    assert not {"torch", "jax", "numpy", "rich"} & {*modules}
