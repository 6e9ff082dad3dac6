"""What a cause is, and what may be known when one is looked for. Values only; finds nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from parity.why.variants import Formula

Arrays = Mapping[str, np.ndarray]


class Kind(StrEnum):
    """The kinds of causes: a closed set, in the order in which they are tried."""

    RAISES = "raises"
    NOT_TRACEABLE = "not traceable"
    IMPURE = "impure"
    NOT_LINEAR = "not linear"
    NOT_FINITE = "not finite"
    SHAPE = "shape"
    ZEROS = "zeros"
    CONJUGATED = "conjugated"
    FACTOR = "factor"
    PATHS = "paths"
    SAME = "another tensor"
    REDUCTION = "reduction"
    SELECTION = "selection"
    INDICES = "indices"
    ORDER = "order"
    PRODUCT = "product"
    POWER = "power"
    ELEMENTWISE = "elementwise"
    UPSTREAM = "upstream"
    SLICES = "slices"
    OFFSET = "offset"
    EDIT = "edit"
    CONSTANT = "constant"
    CONVENTION = "convention"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cause:
    """One explanation that restores parity, or, of kind unknown, what the difference looks like."""

    kind: Kind
    key: str
    """The finding without words, for programs: ``n``, ``variance 0``, ``(1, 0)``."""
    sentence: str
    """For an engineer: what was found."""
    hint: str
    """For a learner: a question."""
    evidence: str = ""
    """The numbers, and how closely they fit."""
    tensor: str = ""
    """Where it starts, if the caller said."""

    def __str__(self) -> str:
        place = f"{self.tensor}: " if self.tensor else ""
        return f"{place}{self.sentence}" + (f" ({self.evidence})" if self.evidence else "")


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
    formulas: tuple[Formula, ...] = ()
    """Right rules as source, whose edits are searched."""
    rule: Callable[[Arrays, Arrays], np.ndarray] | None = None
    """The rule that gave ``got``, as a function of ``tensors`` and ``gradients``."""
    upstream: tuple[str, ...] = ()
    """The gradients in which the rule must be linear."""
    right: Callable[[Arrays], np.ndarray] | None = None
    """The right rule, as a function of ``gradients``."""
    tensor: str = ""
    """What the compared tensor is called."""
