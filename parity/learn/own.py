"""A learner's own notebook: its variables read by their names in the lecture, its gradients judged.

Right gradients are computed from the notebook's own parameters and batch, in float64. Runs none of
the learner's code and changes nothing in it; words are in `telling.py`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from parity.errors import UsageError
from parity.judge.cause import enumerated
from parity.makemore.exercises import ROWS
from parity.makemore.network_walk import network
from parity.makemore.recipe import NAMES
from parity.why.answers import Answer, Line

INPUTS = (*NAMES, "Xb", "Yb")
"""What the right gradients are computed from."""

AXES = {"C": 2, "W1": 2, "b1": 1, "W2": 2, "b2": 1, "bngain": 2, "bnbias": 2, "Xb": 2, "Yb": 1}
"""How many axes each has in the lecture."""

STALE = 1e-2
"""How far, relative to its size, a tensor of the forward pass may be from what its inputs give:
coarse on purpose, for it tells another pass from this one, and never judges."""


class Found(NamedTuple):
    """What a notebook holds: what right gradients follow from, and its own gradients."""

    inputs: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    """By the tensor's name."""

    @property
    def exact(self) -> dict[str, np.ndarray]:
        """The inputs, floats in float64."""
        inputs = self.inputs.items()
        return {n: x.astype(np.float64) if x.dtype.kind == "f" else x for n, x in inputs}


def array(value: Any) -> np.ndarray | None:
    """Return an array of either framework as NumPy holds it; None of anything else."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().resolve_conj()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        return np.array(value.numpy())
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__jax_array__"):
        return np.array(value)
    if type(value).__module__.startswith("jax"):
        return np.array(value)
    return None


def tensor_of(name: str) -> str:
    """Return the tensor that a gradient belongs to: `dlogits` and `logits` both name logits.

    Raises UsageError where the lecture has no such tensor.
    """
    for tensor in (name.removeprefix("d"), name):
        if tensor in ROWS:
            return tensor
    raise UsageError(f"the lecture has no gradient of {name}; it has those of {', '.join(ROWS)}")


def found_in(namespace: Mapping[str, Any]) -> Found:
    """Return what a notebook's variables hold; UsageError where nothing right follows from them."""
    held = {name: array(namespace.get(name)) for name in INPUTS}
    missing = [name for name, value in held.items() if value is None]
    if missing:
        raise UsageError(
            f"{enumerated(missing)} {'are' if missing[1:] else 'is'} not among the variables; "
            f"right gradients are computed from {', '.join(INPUTS)}, named as in the lecture"
        )
    inputs = {name: value for name, value in held.items() if value is not None}
    for name, value in inputs.items():
        if value.ndim != AXES[name]:
            wanted = "(1, hidden)" if name.startswith("bn") else f"{AXES[name]} axes"
            raise UsageError(f"{name} has shape {value.shape}; in the lecture it has {wanted}")
        kind = "iu" if name in ("Xb", "Yb") else "f"
        if value.dtype.kind not in kind:
            raise UsageError(f"{name} holds {value.dtype}, and not what it holds in the lecture")
    gradients = {name: array(namespace.get(f"d{name}")) for name in ROWS}
    return Found(inputs, {name: x for name, x in gradients.items() if x is not None})


def judged(found: Found, only: Container[str] | None = None) -> list[Line]:
    """Judge a notebook's gradients, from the loss back; of ``only`` some if they are named."""
    frozen = tuple(_Frozen(n, x.shape, str(x.dtype), x.tobytes()) for n, x in found.exact.items())
    return network().by_arrays(found.gradients, found.exact, ROWS, only=only, whole=_whole(frozen))


def stale(namespace: Mapping[str, Any], found: Found) -> str:
    """Return the first tensor of the forward pass that its inputs do not give; else nothing."""
    forward = network().forward(found.exact)
    for name in reversed(ROWS):  # as they are computed
        own, right = array(namespace.get(name)), forward[name]
        if own is None:
            continue
        far = np.abs(own - right).max(initial=0.0) if own.shape == right.shape else np.inf
        if not far <= STALE * np.abs(right).max(initial=0.0):
            return name
    return ""


class _Frozen(NamedTuple):
    name: str
    shape: tuple[int, ...]
    dtype: str
    numbers: bytes


@lru_cache(maxsize=1)  # every cell of a notebook asks for the same
def _whole(frozen: tuple[_Frozen, ...]) -> dict[str, Answer]:
    inputs = {x.name: np.frombuffer(x.numbers, x.dtype).reshape(x.shape) for x in frozen}
    return network().whole(inputs)
