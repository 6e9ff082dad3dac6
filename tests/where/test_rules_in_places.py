"""Wrong rules where rules stand: under an alias, jit, vmap, scan and checkpoint, of trees.

Written after the search, before it was run on them; under vmap a function of JAX's was named first.
"""

import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as F
from jax import lax
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from parity import Pair
from tests.shared.port_mistakes import marked
from tests.shared.sampled import few
from tests.where.test_backward import Found


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        return dout * x  # <- alias


square = Square.apply


class Two(Function):
    @staticmethod
    def forward(ctx, x, y, flag):
        ctx.flag = flag
        ctx.save_for_backward(x, y)
        return x * y, x.sin() + y

    @staticmethod
    def backward(ctx, da, db):
        x, y = ctx.saved_tensors
        dx = da * y - db * torch.cos(x)  # <- two_outputs
        dy = da * x + db
        return dx, dy, None


def two(x, y):
    a, b = Two.apply(x, y, True)
    return torch.tanh(a), b


@jax.custom_vjp
def dense(p, x):
    return jnp.tanh(x @ p["w"] + p["b"])


def dense_fwd(p, x):
    y = dense(p, x)
    return y, (p, x, y)


def dense_bwd(kept, dy):
    p, x, y = kept
    dz = dy * (1 - y * y)
    return {"w": x.T @ dz, "b": dz.mean(0)}, dz @ p["w"].T  # <- a_tree


dense.defvjp(dense_fwd, dense_bwd)


@jax.custom_vjp
def softplus(x):
    return jnp.log1p(jnp.exp(x))


softplus.defvjp(
    lambda x: (softplus(x), x),
    lambda x, d: (d * jax.nn.sigmoid(-x),),  # <- jitted mapped
)


@jax.jit
def jitted(x, w):
    return softplus(x @ w) * 2


def softplus_torch(x, w):
    return torch.cos(F.softplus(torch.tanh(x) @ w) * 2)


@jax.custom_vjp
def cell(h, a):
    return jnp.tanh(h + a)


def cell_fwd(h, a):
    y = cell(h, a)
    return y, y


def cell_bwd(y, d):
    da = d * (1 - y**2)
    return da * 2, da  # <- scanned


cell.defvjp(cell_fwd, cell_bwd)


@jax.jit
def scanned(x, h, w):
    def step(h, x):
        h = cell(h @ w, x)
        return h, jnp.sum(h)

    return lax.scan(jax.checkpoint(step), h, x)


def turned(x, h, w):
    sums = []
    for t in range(x.shape[0]):
        h = torch.tanh(h @ w + x[t])
        sums.append(h.sum())
    return h, torch.stack(sums)


XW = {"x": (3, 4), "w": (4, 5)}
PLACES = {
    "alias": Pair(
        jax=lambda x, w: jnp.sin((x @ w / 4) ** 2) @ w.T,
        torch=lambda x, w: torch.sin(square(x @ w / 4)) @ w.T,
        inputs=XW,
    ),
    "two_outputs": Pair(
        jax=lambda x, y: (jnp.tanh(x * y), jnp.sin(x) + y),
        torch=two,
        inputs={"x": (3, 4), "y": (3, 4)},
    ),
    "a_tree": Pair(
        jax=lambda w, b, x: dense({"w": w, "b": b}, jnp.sin(x)) ** 2,
        torch=lambda w, b, x: torch.tanh(torch.sin(x) @ w + b) ** 2,
        inputs={"w": (4, 3), "b": (3,), "x": (5, 4)},
    ),
    "jitted": Pair(
        jax=lambda x, w: jnp.cos(jitted(jnp.tanh(x), w)), torch=softplus_torch, inputs=XW
    ),
    "mapped": Pair(
        jax=lambda x, w: jnp.cos(jax.vmap(jitted, (0, None))(jnp.tanh(x), w)),
        torch=softplus_torch,
        inputs=XW,
    ),
    "scanned": Pair(jax=scanned, torch=turned, inputs={"x": (3, 2, 4), "h": (2, 4), "w": (4, 4)}),
}
MENDED = {
    "alias": "return 2 * dout * x",
    "two_outputs": "dx = da * y + db * torch.cos(x)",
    "a_tree": "return ({'w': x.T @ dz, 'b': dz.sum(0)}, dz @ p['w'].T)",
    "jitted": "return (d * jax.nn.sigmoid(x),)",
    "mapped": "return (d * jax.nn.sigmoid(x),)",
    "scanned": "return (da, da)",
}


@pytest.mark.parametrize("name", few(PLACES, "two_outputs"))
def test_a_rule_is_found_where_it_stands(name):
    found = Found("torch" if name in ("alias", "two_outputs") else "jax", PLACES[name])
    (line,) = marked(name, __file__)
    (place,) = found.places
    assert line in place.lines, place.sentence
    assert [cause.sentence for cause in found.mends] == [f"right if {line} reads `{MENDED[name]}`"]
