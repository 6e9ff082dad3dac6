"""Activations of torch and JAX that share a name: `parity check examples/pairs/activations.py`.

Most are one function. gelu is not by default, softplus is not far to the right, and torch's
hardsigmoid has a constant in float32 in its float64 gradient.
"""

import jax
import torch.nn.functional as F

from parity import Pair

SHAPES = [(7, 5), (64,), (2, 3, 11)]


def pairs(jax, torch, inputs=None):
    """Return the pair at each shape."""
    return [
        Pair(jax=jax, torch=torch, inputs=inputs(shape) if inputs else {"x": shape})
        for shape in SHAPES
    ]


def wide(shape):
    """Inputs from -5 to 30, where softplus is a straight line."""
    return lambda rng: {"x": rng.uniform(-5, 30, shape)}


# torch's default is the exact gelu, JAX's the tanh approximation: convention
gelu_defaults = pairs(jax.nn.gelu, F.gelu)
gelu_exact = pairs(lambda x: jax.nn.gelu(x, approximate=False), F.gelu)
gelu_tanh = pairs(jax.nn.gelu, lambda x: F.gelu(x, approximate="tanh"))

silu = pairs(jax.nn.silu, F.silu)
elu = pairs(jax.nn.elu, F.elu)
selu = pairs(jax.nn.selu, F.selu)
celu = pairs(jax.nn.celu, F.celu)
mish = pairs(jax.nn.mish, F.mish)
softsign = pairs(jax.nn.soft_sign, F.softsign)
hardswish = pairs(jax.nn.hard_swish, F.hardswish)

# torch's float64 gradient is 1/6 rounded to float32: less accurate
hardsigmoid = pairs(jax.nn.hard_sigmoid, F.hardsigmoid)

# torch gives x itself above its threshold of 20: convention
softplus = pairs(jax.nn.softplus, F.softplus, wide)
