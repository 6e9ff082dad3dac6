"""Training with the hand-written backward pass: many steps as one compiled loop.

Draws nothing and decides nothing: minibatch indices and learning rates come in as arrays, so that
the same steps can be run again, in chunks of any size, and in either framework. The mathematics is
`mlp.py`'s; here it is only arranged for speed (docs/performance.md has the measurements).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.nn import log_softmax, one_hot
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Float, Int

from jax_impl.params import EPS, Params


def train_steps(
    params: Params,
    X: Int[Array, "examples block"],
    Y: Int[Array, "examples"],
    ix: Int[Array, "steps n"],
    lr: Float[Array, "steps"],
) -> tuple[Params, Float[Array, "steps"]]:
    """Return the parameters after ``steps`` steps of p - lr * dp, and each step's loss before it.

    Step i trains on the examples ``ix[i]`` at the rate ``lr[i]``. Compiles once for each size of
    network, batch and training set, whatever the number of steps, which therefore changes no bit.
    """
    run = _compiled(jax.default_backend())
    total, n = ix.shape
    room = max(1, 2**17 // n)  # steps in one call; to fill it up costs half a millisecond
    losses = [jnp.zeros(0, params.C.dtype)]
    for first in range(0, total, room):
        steps = min(room, total - first)
        filled = [np.zeros((room, *x.shape[1:]), x.dtype) for x in (ix, lr)]
        for target, x in zip(filled, (ix, lr), strict=True):
            target[:steps] = np.asarray(x)[first : first + steps]
        params, found = run(params, X, Y, *filled, steps)
        losses.append(found[:steps])
    return params, jnp.concatenate(losses)


def train_members(
    params: Params,
    X: Int[Array, "examples block"],
    Y: Int[Array, "examples"],
    ix: Int[Array, "members room n"],
    lr: Float[Array, "members room"],
    steps: int,
) -> tuple[Params, Float[Array, "members room"]]:
    """Train many members at once: what `train_steps` does for one, with an axis for them in front.

    Takes the first ``steps`` of the steps that ``ix`` and ``lr`` have room for. Where arrays are
    spread over a mesh of one axis, each device trains the members that it holds.
    """
    where = params.C.sharding
    mesh = getattr(where, "mesh", None) or Mesh([*params.C.devices()], ("members",))
    return _compiled_members(mesh, jax.default_backend())(params, X, Y, ix, lr, steps)


@cache
def _compiled_members(mesh: Mesh, backend: str) -> Callable[..., tuple[Params, Array]]:
    """Return `_run` for the members of every device, as one program.

    On a CPU a device takes its members one after another: each stays in the cache for all its
    steps, and is trained to the bit as if alone. Elsewhere they go side by side.
    """

    def run(params: Params, X: Array, Y: Array, ix: Array, lr: Array, steps: Array) -> Any:
        def one(member: tuple[Params, Array, Array]) -> tuple[Params, Array]:
            params, ix, lr = member
            return _run(backend == "cpu", params, X, Y, ix, lr, steps)

        members = params, ix, lr
        return lax.map(one, members) if backend == "cpu" else jax.vmap(one)(members)

    own, all_of_it = P(*mesh.axis_names), P()
    specs = own, all_of_it, all_of_it, own, own, all_of_it
    on_each = jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=own, check_vma=False)
    return jax.jit(on_each, compiler_options=_options(backend))


@cache
def _compiled(backend: str) -> Callable[..., tuple[Params, Array]]:
    """Return `_run` jitted."""
    return jax.jit(partial(_run, backend == "cpu"), compiler_options=_options(backend))


def _options(backend: str) -> dict[str, Any]:
    """Return compiler options: XLA's CPU backend uses half a 512-bit register unless it is told."""
    return _if_known({"xla_cpu_prefer_vector_width": "512"} if backend == "cpu" else {})


def _if_known(options: dict[str, Any]) -> dict[str, Any]:
    """Return compiler options, or none if this version of XLA does not know them."""
    try:
        jax.jit(jnp.negative, compiler_options=options).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


def _run(
    scatter: bool,
    params: Params,
    X: Array,
    Y: Array,
    ix: Array,
    lr: Array,
    steps: Int[Array, ""],
) -> tuple[Params, Array]:
    """Take the first ``steps`` of the steps that ``ix`` and ``lr`` have room for."""
    Xb, Yb = X[ix], Y[ix]  # for all steps together: cheaper than a few rows at a time

    def step(i: Array, state: tuple[Params, Array]) -> tuple[Params, Array]:
        params, losses = state
        loss, grads = _loss_and_grads(params, Xb[i], Yb[i], scatter)
        params = Params(*(p - lr[i] * dp for p, dp in zip(params, grads, strict=True)))
        return params, losses.at[i].set(loss)

    # The number of steps is a value, not a constant: XLA unrolls a loop that it knows to be short,
    # fuses its body differently, and the last bits change.
    start = _with_turned_w2(params), jnp.zeros(lr.shape, params.C.dtype)
    params, losses = lax.fori_loop(0, steps, step, start)
    return _with_turned_w2(params), losses


def _with_turned_w2(params: Params) -> Params:
    return params._replace(W2=params.W2.T)


def _loss_and_grads(
    params: Params,
    Xb: Int[Array, "n block"],
    Yb: Int[Array, "n"],
    scatter: bool = True,
) -> tuple[Float[Array, ""], Params]:
    """Return what `mlp.loss_and_grads` returns, but take W2 and give dW2 transposed.

    XLA's CPU backend multiplies a @ b fastest where the rows of b are long, is slower at a @ b.T
    and twice as slow at a.T @ b. So the hidden units are the columns of every matrix they are in,
    W2 included, and the logits lie as [vocab, n]; only small matrices have to be turned.
    """
    C, W1, _b1, W2T, b2, bngain, bnbias = params
    n, vocab = Xb.shape[0], C.shape[0]
    embcat = C[Xb].reshape(n, -1)
    hprebn = embcat @ W1  # b1 is left out: batchnorm would subtract it again with the mean
    bndiff = hprebn - _column_sums(hprebn) / n
    bnvar_inv = lax.rsqrt(_column_sums(bndiff**2) / (n - 1) + EPS)
    bnraw = bndiff * bnvar_inv
    h = jnp.tanh(bngain * bnraw + bnbias)
    logitsT = _rows_by_rows(W2T, h) + b2[:, None]
    logprobsT = log_softmax(logitsT, 0)
    loss = -logprobsT[Yb, jnp.arange(n)].mean()

    dlogitsT = (jnp.exp(logprobsT) - one_hot(Yb, vocab, axis=0, dtype=h.dtype)) / n
    dlogits = _turned(dlogitsT)
    dW2T, db2 = dlogitsT @ h, dlogits.sum(0)
    dhpreact = (1.0 - h**2) * (dlogits @ W2T)
    dbnbias, dbngain = _column_sums(dhpreact), _column_sums(dhpreact * bnraw)
    dhprebn = bngain * bnvar_inv * (dhpreact - dbnbias / n - bnraw * (dbngain / (n - 1)))
    dW1, db1 = _turned(embcat) @ dhprebn, dhprebn.sum(0)
    dembcat = _turned(_rows_by_rows(W1, dhprebn))
    add_rows = _added if scatter else _multiplied
    dC = add_rows(Xb.reshape(-1), dembcat.reshape(Xb.size, -1), vocab)
    return loss, Params(dC, dW1, db1, dW2T, db2, dbngain[None], dbnbias[None])


def _added(rows: Array, values: Array, count: int) -> Array:
    """Return ``count`` rows: to each, added, those of ``values`` whose place in ``rows`` it is."""
    return jnp.zeros((count, values.shape[1]), values.dtype).at[rows].add(values)


def _multiplied(rows: Array, values: Array, count: int) -> Array:
    """Return the same as a product: a GPU adds rows in an order that changes from run to run."""
    return one_hot(rows, count, axis=0, dtype=values.dtype) @ values


def _column_sums(x: Float[Array, "n columns"]) -> Float[Array, "columns"]:
    """Return x.sum(0) of an x that is not in memory yet, compiled together with what makes it.

    XLA's CPU backend gives every sum that it recognises to a library, and x goes through memory.
    """
    return lax.reduce(x, jnp.zeros((), x.dtype), lambda a, b: a - (-b), (0,))


def _rows_by_rows(a: Float[Array, "i k"], b: Float[Array, "j k"]) -> Float[Array, "i j"]:
    """Return a @ b.T without a transpose."""
    return lax.dot_general(a, b, (((1,), (1,)), ((), ())))


def _turned(x: Float[Array, "i j"]) -> Float[Array, "j i"]:
    """Return x.T as an array of its own: XLA would move the turning into the product beside it."""
    barrier: Callable[[Array], Array] = lax.optimization_barrier
    return barrier(barrier(x).T)
