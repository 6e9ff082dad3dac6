"""The pytest plugin: a `parity_check` fixture whose failure output is the report.

    def test_gelu(parity_check):
        parity_check(jax=jax_gelu, torch=torch_gelu, inputs={"x": (7, 5)})

Every test gets a seed of its own, from `--parity-seed` and the test's id, so that a failure runs
again as it was. Imports no framework, nor NumPy, until the fixture is called.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --parity-seed."""
    parser.getgroup("parity").addoption(
        "--parity-seed",
        default="0",
        metavar="SEED",
        help="a number, or 'random' for another one each time (default: 0)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Turn 'random' into a number before any worker starts, so that all have the same."""
    given = config.getoption("--parity-seed")
    if given == "random":
        config.option.parity_seed = str(random.SystemRandom().randrange(2**32))
    elif not given.isdecimal():
        raise pytest.UsageError(f"--parity-seed is {given!r}; give a number, or 'random'")


def pytest_report_header(config: pytest.Config) -> str:
    """Say the seed with which this run can be repeated."""
    return f"parity: --parity-seed={config.getoption('--parity-seed')}"


def seed_of(test: str, session_seed: str) -> int:
    """Return a test's own seed: a checksum of the session's and the test's id."""
    return zlib.crc32(f"{session_seed} {test}".encode())


@pytest.fixture
def parity_check(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """A function that checks a pair and fails the test with the report unless it agrees.

    Takes a `parity.Pair`, or the arguments of one; ``seeds`` is how many (1), ``dtypes`` which
    (float32, float64), ``strict`` fails lost accuracy too. Returns the report. A test that asks for
    it and never calls it is an error.
    """
    called = False
    session_seed = request.config.getoption("--parity-seed")
    first = seed_of(request.node.nodeid, session_seed)

    def run(
        pair: Any = None,
        *,
        seeds: int = 1,
        dtypes: Sequence[str] = ("float32", "float64"),
        strict: bool = False,
        **arguments: Any,
    ) -> Any:
        __tracebackhide__ = True
        nonlocal called
        called = True
        import parity

        if pair is None:
            pair = parity.Pair(**arguments)
        elif arguments:
            raise parity.UsageError(
                f"parity_check got a Pair and {', '.join(arguments)} as well; give one or the other"
            )
        report = parity.check(
            pair.named(request.node.name), seeds=range(first, first + seeds), dtypes=dtypes
        )
        if report.exit_code(strict):
            replay = f"replay: pytest '{request.node.nodeid}' --parity-seed={session_seed}"
            pytest.fail(f"{report.text()}{replay}", pytrace=False)
        return report

    yield run
    if not called:
        pytest.fail(f"{request.node.name} asked for parity_check and never called it", False)
