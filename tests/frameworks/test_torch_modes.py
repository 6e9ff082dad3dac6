"""What watches torch's operations and torch.compile leave one another alone."""

import subprocess
import sys

import pytest

CODE = """
import sys

import jax.numpy as jnp
import torch

import parity

def checked(function):
    pair = parity.Pair(jax=lambda x: jnp.tanh(x) * 2, torch=function, inputs={"x": (3,)})
    return parity.check(pair).verdict.name

def function(x):
    return torch.tanh(x) * 2

print(checked(function), "torch._dynamo" in sys.modules)
compiled = torch.compile(function, backend="eager")
print(checked(compiled), torch._dynamo.utils.counters["frames"]["ok"])
"""


@pytest.mark.full
def test_the_compiler_is_not_loaded_and_compiles_nothing_that_watches():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ROUNDING", "False", "ROUNDING", "0"]
    assert done.stderr == ""
