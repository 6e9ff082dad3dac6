"""pytest's own tool for testing plugins; what JAX compiled is kept from one test to the next."""

import os
import sys

import pytest

pytest_plugins = ["pytester"]

LONG = """selftest/ makemore/test_reproduce why/test_conventions learn/ why/test_diagnosis
why/test_suspects checking/ makemore/ network/""".split()
"""The files that take longest; one that came last would leave the other worker idle."""


def pytest_configure(config):
    """Let JAX, here and in child processes, look up what it compiled before: half of all time.

    An entry that another process is just writing cannot be read; JAX warns, and compiles.
    """
    if not hasattr(config, "cache"):  # -p no:cacheprovider
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(config.cache.mkdir("jax"))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_collection_modifyitems(items):
    """Begin with the long files."""

    def place(item):
        own = (i for i, name in enumerate(LONG) if item.nodeid.startswith(f"tests/{name}"))
        return next(own, len(LONG))

    items.sort(key=place)


@pytest.fixture(autouse=True, scope="module")
def compiled_programs_are_given_back():
    """Keep a worker's memory bounded: what a module compiled goes with it."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
