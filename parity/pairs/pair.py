"""What is to be checked: two callables, or rules, over the same inputs. Runs nothing.

The user writes a `Pair`; a seed turns its inputs into `Arguments`, arrays with names.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from parity.errors import UsageError
from parity.pairs import tree

if TYPE_CHECKING:
    import numpy as np

SPREAD = 3
"""Random numbers lie between -3 and 3."""


@dataclass(frozen=True)
class Rule:
    """A function with its backward pass by hand.

    ``forward(*inputs) -> (out, residual)``; ``backward(residual, dout) -> tuple``, one entry an
    input, shaped like it, None for integers.
    """

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], Sequence[Any]]


@dataclass(frozen=True)
class Model:
    """A JAX model that is a function of its parameters: ``apply(params, *inputs)``.

    ``params`` is any tree of arrays: a dictionary, a dataclass, an equinox module.
    """

    apply: Callable[..., Any]
    params: Any


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two functions that should be one, in JAX and in torch, and what to feed to both.

    ``jax``, ``torch``: a callable, or a `Rule`, which is compared with its forward's autodiff too.
    One may be left out if the other is a rule.

    ``inputs``: a tuple of arguments, or a dictionary ``{name: argument}`` in the order in which the
    functions take them. An argument is an array, or arrays in nested containers; in the dictionary
    also a shape, such as ``(7, 5)``, nested too, for random numbers with short decimals, none equal
    to another and none zero. Or a callable that returns either from a ``numpy.random.Generator``.
    Floating arrays are given to both frameworks in each dtype under test; integers and booleans as
    they are. What stands in a `Constant` is given, and no gradient of it is asked for.

    Whole models: ``torch`` an nn.Module, ``jax`` a flax NNX module, (linen module, variables), an
    equinox module, haiku's (transformed, params) or (transformed, params, state), or a `Model`.
    Their weights become inputs, under torch's names (docs/models.md). An input is given by its name
    where the model has a parameter of that name.

    Raises UsageError where there is nothing to compare.
    """

    jax: Callable[..., Any] | Rule | Model | tuple[Any, ...] | None = None
    torch: Callable[..., Any] | Rule | None = None
    inputs: Any = ()
    forward_only: bool = False
    """Compare no gradients."""
    name: str = ""
    pick: Any = None
    """Of models: which of their outputs is compared, a key or a function; all unless given."""
    weights: Any = "values"
    """Of models: how their weights are matched: "values"; "structure", for models initialised
    apart, which takes torch's; or what goes where, {torch's name: JAX's path}, or a file of it."""
    loss: Any = None
    """Of models: (JAX's, torch's) function of what the model returns, and of ``targets`` by name;
    random cotangents unless given."""
    targets: Any = None
    """Of models: {name: array or shape}, which the loss takes beside the output."""
    optimizer: Any = None
    """Of models: (an optax transformation, torch's: a function of a module that returns an
    optimizer). Both sides are trained, if all gradients agree."""
    steps: int = 5
    """In which the two optimizers train."""

    def __post_init__(self) -> None:
        for side, function in self.sides.items():
            if not callable(function) and not isinstance(function, Rule | Model | tuple):
                raise UsageError(
                    f"{side}={function!r} cannot be called; give a function, or a parity.Rule"
                )
        given = list(self.sides.values())
        if len(given) < 2 and not any(isinstance(f, Rule) for f in given):
            raise UsageError(
                "a Pair needs two functions to compare; give jax= and torch=, or one parity.Rule"
            )

    @property
    def sides(self) -> dict[str, Any]:
        """The functions that were given, by framework."""
        both = {"jax": self.jax, "torch": self.torch}
        return {side: function for side, function in both.items() if function is not None}

    def named(self, name: str) -> Pair:
        """Return this pair under ``name``, unless it has one of its own."""
        return self if self.name else replace(self, name=name)

    def arguments(self, rng: np.random.Generator) -> Arguments:
        """Return the inputs for one seed as NumPy arrays; UsageError if they are no arrays."""
        given = self.inputs(rng) if callable(self.inputs) else self.inputs
        if isinstance(given, dict):
            names, values = [str(name) for name in given], list(given.values())
            values = [_drawn(rng, v) for v in values]
        else:
            values = list(given) if type(given) in (tuple, list) else [given]
            names = self._names(len(values))
        leaves = [leaf for n, v in zip(names, values, strict=True) for leaf in tree.flatten(v, n)]
        if not leaves:
            raise UsageError(f"pair {self.name or '(unnamed)'} has no inputs; give inputs=")
        return Arguments(
            tuple(name for name, _ in leaves),
            tuple(_array(name, leaf) for name, leaf in leaves),
            tuple(names),
            tuple(values),
            {leaf for n, v in zip(names, values, strict=True) for leaf in tree.constants(v, n)},
        )

    def _names(self, count: int) -> list[str]:
        """Return what the first function that can be asked calls its parameters."""
        called = [f.forward if isinstance(f, Rule) else f for f in self.sides.values()]
        signatures = [_parameters(function) for function in called]
        for names, rest in signatures:
            if len(names) >= count and not rest:
                return names[:count]
        for names, rest in signatures:
            if len(names) >= count or rest:
                more = (f"{rest}[{i}]" for i in range(count))
                return [*names, *more][:count]
        return [f"argument {i + 1}" for i in range(count)]


def _parameters(function: Callable[..., Any]) -> tuple[list[str], str]:
    """Return the names of a function's positional parameters, and of what takes the rest."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # builtins need not have a signature
        return [], ""
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names, next((p.name for p in parameters if p.kind == p.VAR_POSITIONAL), "")


@dataclass(frozen=True)
class Arguments:
    """One seed's inputs: the leaves with their names, and how to make arguments of them again."""

    names: tuple[str, ...]
    leaves: tuple[np.ndarray, ...]
    arguments: tuple[str, ...]
    structure: tuple[Any, ...]
    held: set[str] = field(default_factory=set)
    """Names of the leaves whose gradient is not asked for: constants, and those that a framework
    turns out to have no gradient of."""

    def build(self, leaves: Sequence[Any]) -> list[Any]:
        """Return the positional arguments, with these leaves in place."""
        remaining = iter(leaves)
        return [tree.rebuild(value, remaining) for value in self.structure]

    @property
    def floats(self) -> tuple[str, ...]:
        """Names of the leaves that are floating point numbers."""
        return tuple(
            n for n, x in zip(self.names, self.leaves, strict=True) if x.dtype.kind in "fc"
        )

    @property
    def floating(self) -> tuple[str, ...]:
        """Names of the leaves that have a gradient."""
        return tuple(name for name in self.floats if name not in self.held)

    @property
    def still(self) -> frozenset[int]:
        """The places of the leaves whose gradient is not asked for."""
        return frozenset(i for i, name in enumerate(self.names) if name in self.held)


def short_decimals(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Return distinct non-zero random numbers in (-3, 3), of two decimals or as few as may be."""
    import numpy as np

    size = math.prod(shape)
    steps = SPREAD * 10 ** max(2, math.ceil(math.log10(max(size, 1) / SPREAD)))
    drawn = rng.choice(2 * steps - 2, size, replace=False) - (steps - 1)
    drawn = np.where(drawn >= 0, drawn + 1, drawn)
    return (drawn * SPREAD / steps).reshape(shape)


def is_shape(value: Any) -> bool:
    """Return whether an input is given as a shape, for random numbers."""
    return type(value) is tuple and all(type(size) is int and size >= 0 for size in value)


def _drawn(rng: np.random.Generator, value: Any) -> Any:
    """Return an input with random numbers in place of every shape in it."""
    return tree.replaced(value, lambda x: short_decimals(rng, x) if is_shape(x) else x)


def _array(name: str, leaf: Any) -> np.ndarray:
    """Return a leaf as NumPy holds it: floats as float64, complex as complex128."""
    import numpy as np

    try:
        array = np.asarray(leaf)
    except Exception as error:
        raise UsageError(f"input {name} is no array ({type(leaf).__name__}): {error}") from error
    if array.dtype.kind in "iub":
        return array
    if array.dtype.kind == "c":
        return array.astype(np.complex128)
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        return array.astype(np.float64)
    raise UsageError(
        f"input {name} is {type(leaf).__name__} {array.dtype}, not numbers; bind whatever is no "
        "array with functools.partial or a lambda"
    )
