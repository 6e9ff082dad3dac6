"""The network's parameters as one immutable value, and the only door between NumPy and torch.

No initialisation here: random numbers are inputs, drawn once outside and given to both frameworks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

EPS = 1e-5
"""The notebook's batchnorm epsilon, added to the variance."""


class Params(NamedTuple):
    """The seven parameters under the notebook's names; holds their gradients too."""

    C: Float[Tensor, "vocab embd"]
    W1: Float[Tensor, "feat hidden"]
    b1: Float[Tensor, "hidden"]
    W2: Float[Tensor, "hidden vocab"]
    b2: Float[Tensor, "vocab"]
    bngain: Float[Tensor, "1 hidden"]
    bnbias: Float[Tensor, "1 hidden"]


def from_numpy(array: np.ndarray) -> Tensor:  # twin: torch never narrows
    """Return a copy of ``array`` in torch, dtype unchanged."""
    return torch.tensor(array)


def to_numpy(array: Tensor) -> np.ndarray:
    """Return ``array`` as a NumPy array, dtype unchanged."""
    return array.detach().cpu().numpy().copy()  # twin: shares memory unless copied
