"""What may be known when a cause is looked for. Values only; finds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from parity.why.variants import Formula

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Context:
    """What is known besides the two tensors. All of it is optional, and more of it names more.

    The names only word the sentences: no rule reads them.
    """

    noise: np.ndarray | None = None
    """The reference's rounding noise in units of the roundoff, as the yardsticks measure it."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """What the dimensions are called; without it they are called by their axis."""
    tensors: Arrays = field(default_factory=dict)
    """Inputs and intermediates of the forward pass; integers are taken for indices."""
    gradients: Arrays = field(default_factory=dict)
    """Right gradients of other tensors, under the names of those tensors."""
    paths: Arrays = field(default_factory=dict)
    """Terms that add up to the reference, one for each use of the tensor."""
    formulas: Iterable[Formula] = ()
    """Right rules as source, whose edits are searched."""
    rule: Callable[[Arrays, Arrays], np.ndarray] | None = None
    """The rule that gave ``got``, as a function of ``tensors`` and ``gradients``."""
    upstream: tuple[str, ...] = ()
    """The gradients in which the rule must be linear."""
    right: Callable[[Arrays], np.ndarray] | None = None
    """The right rule, as a function of ``gradients``."""
    tensor: str = ""
    """What the compared tensor is called."""
