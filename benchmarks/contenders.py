"""The same training run in a dozen ways, each as its framework's own users would write it.

A contender takes the starting parameters and the training set as NumPy arrays, and returns
``train(ix, lr) -> losses``: from those parameters, one step for each row of ``ix``. Nothing is
measured here. Each imports its own framework, and so runs without the others'.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
Train = Callable[[np.ndarray, np.ndarray], np.ndarray]
RATE = 0.1
"""The learning rate of every step: Optax is given a number, as its examples do."""


class MissingError(Exception):
    """Why a contender cannot run here."""


def notebook(params: Arrays, X: np.ndarray, Y: np.ndarray) -> Train:
    """Exercise 4 as the notebook has it: batchnorm step by step, dC by a Python loop."""
    import torch
    from torch.nn import functional as F

    X, Y = torch.tensor(X), torch.tensor(Y)

    @torch.no_grad()
    def train(ix: np.ndarray, lr: np.ndarray) -> np.ndarray:
        C, W1, b1, W2, b2, bngain, bnbias = parameters = [torch.tensor(p) for p in params]
        losses = []
        for batch, rate in zip(torch.tensor(ix), lr.tolist(), strict=True):
            Xb, Yb = X[batch], Y[batch]
            n = len(Yb)
            emb = C[Xb]
            embcat = emb.view(n, -1)
            hprebn = embcat @ W1 + b1
            bnmean = hprebn.mean(0, keepdim=True)
            bnvar = hprebn.var(0, keepdim=True, unbiased=True)
            bnvar_inv = (bnvar + 1e-5) ** -0.5
            bnraw = (hprebn - bnmean) * bnvar_inv
            hpreact = bngain * bnraw + bnbias
            h = torch.tanh(hpreact)
            logits = h @ W2 + b2
            loss = F.cross_entropy(logits, Yb)

            dlogits = (F.softmax(logits, 1) - F.one_hot(Yb, logits.shape[1])) / n
            dh = dlogits @ W2.T
            dW2 = h.T @ dlogits
            db2 = dlogits.sum(0)
            dhpreact = (1.0 - h**2) * dh
            dbngain = (bnraw * dhpreact).sum(0, keepdim=True)
            dbnbias = dhpreact.sum(0, keepdim=True)
            dbnraw = bngain * dhpreact
            dbnvar_inv = ((hprebn - bnmean) * dbnraw).sum(0, keepdim=True)
            dbndiff = bnvar_inv * dbnraw
            dbnvar = -0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv
            dbndiff2 = 1.0 / (n - 1) * torch.ones_like((hprebn - bnmean) ** 2) * dbnvar
            dbndiff += 2 * (hprebn - bnmean) * dbndiff2
            dbnmean = -dbndiff.sum(0, keepdim=True)
            dhprebn = dbndiff.clone() + 1.0 / n * (torch.ones_like(hprebn) * dbnmean)
            dembcat = dhprebn @ W1.T
            dW1 = embcat.T @ dhprebn
            db1 = dhprebn.sum(0)
            demb = dembcat.view(emb.shape)
            dC = torch.zeros_like(C)
            for k in range(Xb.shape[0]):
                for j in range(Xb.shape[1]):
                    letter = Xb[k, j]
                    dC[letter] += demb[k, j]

            grads = [dC, dW1, db1, dW2, db2, dbngain, dbnbias]
            for p, grad in zip(parameters, grads, strict=True):
                p.data += -rate * grad
            losses.append(loss.item())
        return np.array(losses, np.float32)

    return train


def torch_by_hand(params: Arrays, X: np.ndarray, Y: np.ndarray) -> Train:
    """`torch_ref.train`: the fused backward pass, vectorised."""
    import torch

    from torch_ref.params import Params
    from torch_ref.train import train_steps

    X, Y = torch.tensor(X), torch.tensor(Y)

    def train(ix: np.ndarray, lr: np.ndarray) -> np.ndarray:
        start = Params(*map(torch.tensor, params))
        return train_steps(start, X, Y, torch.tensor(ix), torch.tensor(lr))[1].numpy()

    return train


def torch_autograd(params: Arrays, X: np.ndarray, Y: np.ndarray) -> Train:
    """The network in torch's own functions, `loss.backward()` and `torch.optim.SGD`."""
    import torch
    from torch.nn import functional as F

    X, Y = torch.tensor(X), torch.tensor(Y)

    def train(ix: np.ndarray, lr: np.ndarray) -> np.ndarray:
        leaves = [torch.tensor(p).requires_grad_() for p in params]
        C, W1, b1, W2, b2, bngain, bnbias = leaves
        optimizer = torch.optim.SGD(leaves, lr=RATE)
        losses = []
        for batch in torch.tensor(ix):
            hprebn = F.embedding(X[batch], C).flatten(1) @ W1 + b1
            bnvar, bnmean = torch.var_mean(hprebn, 0, keepdim=True)
            hpreact = bngain * (hprebn - bnmean) * torch.rsqrt(bnvar + 1e-5) + bnbias
            loss = F.cross_entropy(torch.tanh(hpreact) @ W2 + b2, Y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses).numpy()

    return train


def torch_compile(params: Arrays, X: np.ndarray, Y: np.ndarray) -> Train:
    """`torch.compile` of the whole vectorised step."""
    import torch

    from torch_ref.mlp import loss_and_grads
    from torch_ref.params import Params

    X, Y = torch.tensor(X), torch.tensor(Y)

    @torch.compile
    def step(params: Any, batch: Any) -> tuple[Any, Any]:
        loss, grads = loss_and_grads(params, X[batch], Y[batch])
        return loss, Params(*(p - RATE * dp for p, dp in zip(params, grads, strict=True)))

    @torch.no_grad()
    def train(ix: np.ndarray, lr: np.ndarray) -> np.ndarray:
        current, losses = Params(*map(torch.tensor, params)), []
        for batch in torch.tensor(ix):
            loss, current = step(current, batch)
            losses.append(loss)
        return torch.stack(losses).numpy()

    return train


def jax_step(params: Arrays, X: np.ndarray, Y: np.ndarray) -> Train:
    """`jax_impl.mlp` and the update in one jitted function, called once a step."""
    import jax
    import jax.numpy as jnp

    from jax_impl.mlp import loss_and_grads
    from jax_impl.params import Params

    X, Y = jnp.array(X), jnp.array(Y)

    @jax.jit
    def step(params: Any, batch: Any, rate: Any) -> tuple[Any, Any]:
        loss, grads = loss_and_grads(params, X[batch], Y[batch])
        return loss, Params(*(p - rate * dp for p, dp in zip(params, grads, strict=True)))

    def train(ix: np.ndarray, lr: np.ndarray) -> np.ndarray:
        current, losses = Params(*map(jnp.array, params)), []
        for batch, rate in zip(ix, lr, strict=True):
            loss, current = step(current, batch, rate)
            losses.append(loss)
        return np.array(losses)

    return train


def jax_scan(params: Arrays, X: np.ndarray, Y: np.ndarray) -> Train:
    """`jax_impl.mlp` and the update in a plain `lax.scan`."""
    import jax
    import jax.numpy as jnp

    from jax_impl.mlp import loss_and_grads
    from jax_impl.params import Params

    X, Y = jnp.array(X), jnp.array(Y)

    @jax.jit
    def scanned(params: Any, ix: Any, lr: Any) -> Any:
        def step(params: Any, chosen: Any) -> tuple[Any, Any]:
            batch, rate = chosen
            loss, grads = loss_and_grads(params, X[batch], Y[batch])
            return Params(*(p - rate * dp for p, dp in zip(params, grads, strict=True))), loss

        return jax.lax.scan(step, params, (ix, lr))[1]

    return lambda ix, lr: np.array(scanned(Params(*map(jnp.array, params)), ix, lr))


def flax_nnx(params: Arrays, X: np.ndarray, Y: np.ndarray) -> Train:
    """Flax NNX and Optax, one `nnx.jit` step a call; batchnorm with the notebook's variance."""
    try:
        import jax.numpy as jnp
        import optax
        from flax import nnx
    except ImportError as error:
        raise MissingError(f"{error.name} is not installed (extra bench)") from None

    C, W1, b1, W2, b2, bngain, bnbias = map(jnp.array, params)
    X, Y = jnp.array(X), jnp.array(Y)

    class Network(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.embedding = nnx.Embed(*C.shape, rngs=rngs)
            self.linear1 = nnx.Linear(*W1.shape, rngs=rngs)
            self.linear2 = nnx.Linear(*W2.shape, rngs=rngs)
            self.gain, self.bias = nnx.Param(bngain), nnx.Param(bnbias)
            self.embedding.embedding[...] = C
            self.linear1.kernel[...], self.linear1.bias[...] = W1, b1
            self.linear2.kernel[...], self.linear2.bias[...] = W2, b2

        def __call__(self, x: Any) -> Any:
            x = self.linear1(self.embedding(x).reshape(len(x), -1))
            x = (x - x.mean(0)) / jnp.sqrt(x.var(0, correction=1) + 1e-5)
            return self.linear2(nnx.tanh(self.gain * x + self.bias))

    def loss_of(model: Network, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

    @nnx.jit
    def step(model: Network, optimizer: nnx.Optimizer, batch: Any) -> Any:
        loss, grads = nnx.value_and_grad(loss_of)(model, X[batch], Y[batch])
        optimizer.update(model, grads)
        return loss

    def train(ix: np.ndarray, lr: np.ndarray) -> np.ndarray:
        model = Network(nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.sgd(RATE), wrt=nnx.Param)
        # what their guide advises where a model is so small that Python is most of the time
        cached = nnx.cached_partial(step, model, optimizer)
        return np.array([cached(batch) for batch in ix])

    return train


def equinox(params: Arrays, X: np.ndarray, Y: np.ndarray) -> Train:
    """Equinox and Optax, one `eqx.filter_jit` step a call; layers of one example under vmap."""
    try:
        import equinox as eqx
        import jax
        import jax.numpy as jnp
        import optax
    except ImportError as error:
        raise MissingError(f"{error.name} is not installed (extra bench)") from None

    C, W1, b1, W2, b2, bngain, bnbias = map(jnp.array, params)
    X, Y = jnp.array(X), jnp.array(Y)

    def linear(W: Any, b: Any) -> eqx.nn.Linear:
        layer = eqx.nn.Linear(*W.shape, key=jax.random.key(0))
        return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (W.T, b))

    class Network(eqx.Module):
        embedding: eqx.nn.Embedding
        linear1: eqx.nn.Linear
        gain: jax.Array
        bias: jax.Array
        linear2: eqx.nn.Linear

        def __call__(self, x: Any) -> Any:
            x = jax.vmap(jax.vmap(self.embedding))(x).reshape(len(x), -1)
            x = jax.vmap(self.linear1)(x)
            x = (x - x.mean(0)) / jnp.sqrt(x.var(0, correction=1) + 1e-5)
            return jax.vmap(self.linear2)(jnp.tanh(self.gain * x + self.bias))

    optimizer = optax.sgd(RATE)

    @eqx.filter_value_and_grad
    def loss_of(model: Network, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

    @eqx.filter_jit
    def step(model: Network, state: Any, batch: Any) -> tuple[Any, Any, Any]:
        loss, grads = loss_of(model, X[batch], Y[batch])
        updates, state = optimizer.update(grads, state, model)
        return loss, eqx.apply_updates(model, updates), state

    def train(ix: np.ndarray, lr: np.ndarray) -> np.ndarray:
        embedding = eqx.nn.Embedding(weight=C)
        model = Network(embedding, linear(W1, b1), bngain, bnbias, linear(W2, b2))
        state, losses = optimizer.init(eqx.filter(model, eqx.is_inexact_array)), []
        for batch in ix:
            loss, model, state = step(model, state, batch)
            losses.append(loss)
        return np.array(losses)

    return train


def ours(params: Arrays, X: np.ndarray, Y: np.ndarray) -> Train:
    """`jax_impl.train`."""
    import jax.numpy as jnp

    from jax_impl.params import Params
    from jax_impl.train import train_steps

    X, Y = jnp.array(X), jnp.array(Y)
    start = Params(*map(jnp.array, params))
    return lambda ix, lr: np.array(train_steps(start, X, Y, ix, lr)[1])


def floor(params: Arrays, X: np.ndarray, Y: np.ndarray) -> Train:
    """`floor.c`, compiled here and now."""
    library = compiled_floor()
    X, Y = X.astype(np.int32), Y.astype(np.int32)

    def train(ix: np.ndarray, lr: np.ndarray) -> np.ndarray:
        state = np.concatenate([p.ravel() for p in params])
        losses = np.empty(len(ix), np.float32)
        library.train(*_pointers((state, X, Y, ix, lr)), len(ix), *_pointers((losses,)))
        return losses

    return train


def peak() -> float:
    """Return the float32 operations a second that one core does here, fused multiply-adds alone."""
    library = compiled_floor()
    library.peak.restype = ctypes.c_double
    return max(library.peak(5_000_000) for _ in range(5))


def compiled_floor() -> ctypes.CDLL:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise MissingError("no C compiler was found")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "floor.so")
        command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", str(target)]
        command += [str(Path(__file__).with_name("floor.c")), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingError(f"{compiler} failed: {done.stderr.strip().splitlines()[0]}")
        return ctypes.CDLL(str(target))


def _pointers(arrays: Iterable[np.ndarray]) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(array.ctypes.data) for array in arrays]


CONTENDERS: dict[str, Callable[[Arrays, np.ndarray, np.ndarray], Train]] = {
    "notebook's loop as written": notebook,
    "torch, by hand, vectorised": torch_by_hand,
    "torch autograd and SGD": torch_autograd,
    "torch.compile": torch_compile,
    "Flax NNX and Optax": flax_nnx,
    "Equinox and Optax": equinox,
    "JAX, one jitted step a call": jax_step,
    "JAX, plain lax.scan": jax_scan,
    "ours": ours,
    "C floor": floor,
}
