"""A JAX function as it runs in one dtype, where it may compute in several. `torch_mixed.py` too.

It is traced in that dtype, widened, and disturbed: each operation by as much as the float rounds in
which it was written. So an upcast is seen. Judges nothing; refuses what cannot be widened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from parity.frameworks.jax_wide import wide
from parity.frameworks.jaxpr_noise import Trace
from parity.frameworks.jaxpr_rounding import ACCUMULATING, Noise, is_plain
from parity.frameworks.jaxprs import CALLS, held_by, is_backward, is_float, ran_in, user_line
from parity.frameworks.narrowing import HALVES, Conversion, Made, Place, made, roundoff_of

ADDING = ACCUMULATING | {"reduce_prod", "cumprod"}
"""What makes one number of many."""

TRACED = True
"""Recorded without any numbers: the same for all."""


class Mixed:
    """A function of arrays as it runs in ``dtype``; build it outside of 64 bits, use it inside."""

    def __init__(self, function: Callable[..., Any], dtype: str, inputs: Sequence[Any]) -> None:
        self.dtype = dtype
        with jax.enable_x64(dtype == "float64"):
            self.closed, shape = jax.make_jaxpr(function, return_shape=True)(*inputs)
        self.shape = jax.tree.structure(shape)
        self.conversions = [*_conversions(self.closed.jaxpr)]
        self.floats = {*_floats(self.closed.jaxpr)}
        """The dtypes in which it computes."""
        self._trace: Trace | None = None

    @property
    def trace(self) -> Trace:
        """The function with every float widened, made when it is first asked for."""
        if self._trace is None:
            like = [_wide_like(v.aval) for v in self.closed.jaxpr.invars]
            with jax.enable_x64(True):
                self._trace = Trace(lambda *xs: wide(self.closed, xs), like)
        return self._trace

    def noise(
        self, values: Sequence[Any], seeds: int, only: Collection[Place] | None = None
    ) -> Any:
        """Return each output's rms error in roundoffs of the dtype, by what ``only`` names."""
        with jax.enable_x64(True):
            leaves = self._leaves(values)
            noises = (self._noise(seed, only) for seed in range(seeds))
            return jax.tree.unflatten(self.shape, self.trace.measured(leaves, noises)[1])

    def made(self, values: Sequence[Any]) -> list[Made]:
        """Return what every operation that may round made, loops left out."""
        noise = self._noise(0, [])
        with jax.enable_x64(True), np.errstate(all="ignore"):
            self.trace.run(self._leaves(values), noise)
        return noise.seen

    def _noise(self, seed: int, only: Collection[Place] | None) -> _Mixture:
        row = self.trace.noise(seed)
        chosen = None if only is None else frozenset(only)
        return _Mixture(row.row, row.size, None, self.dtype, chosen)

    def _leaves(self, values: Sequence[Any]) -> list[np.ndarray]:
        like = (_wide_like(v.aval) for v in self.closed.jaxpr.invars)
        return [np.asarray(x, one.dtype) for x, one in zip(values, like, strict=True)]


class _Mixture(Noise):
    """Noise of the float in which each operation was written, relative to ``dtype``'s."""

    def __init__(
        self, row: Any, size: int, turn: Any, dtype: str, only: frozenset[Place] | None
    ) -> None:
        super().__init__(row, size, turn)
        self.dtype, self.only, self.kind = dtype, only, (dtype, only)
        self.scale, self.float = 1.0, dtype
        self.seen: list[Made] = []

    def toward(self, equation: Any) -> None:
        name, self.rounds = ran_in(equation)
        self.float = name or self.dtype
        self.scale = roundoff_of(self.float) / roundoff_of(self.dtype)
        if self.only is not None and self.place(equation) not in self.only:
            self.scale = 0.0

    def draw(self, shape: tuple[int, ...]) -> Any:
        return super().draw(shape) * self.scale

    def number(self, value: float) -> Any:
        return super().number(value) * self.scale

    def anew(self, row: Any, turn: Any = None) -> Noise:
        return _Mixture(row, self.size, turn, self.dtype, self.only)

    def is_data(self, const: Any) -> bool:
        return True

    def is_plain(self, x: Any) -> bool:
        if self.float not in HALVES:
            return is_plain(x)
        if not is_float(x) or jnp.iscomplexobj(x):
            return True
        held = jnp.dtype(self.float).type(x)  # 0.10009765625 is 0.1, rounded
        return float(str(held)) == float(x)

    def is_whole(self, y: Any) -> Any:
        if y.dtype.kind == "c":
            return False
        return super().is_whole(y) & (abs(y) <= 1 / roundoff_of(self.float))

    def made(self, equation: Any, outputs: Sequence[Any]) -> None:
        for y in outputs[:1]:
            if isinstance(y, np.ndarray) and y.dtype.kind == "f" and y.size:
                adds = equation.primitive.name in ADDING
                self.seen.append(made(self.place(equation), y, adds))

    def place(self, equation: Any) -> Place:
        """Return where an equation stands that is next."""
        name = equation.primitive.name
        name = "convert_element_type" if name == "copy" else name  # as jax_wide writes it
        return Place(name, user_line(equation), self.float)


def _wide_like(aval: Any) -> Any:
    wanted = np.float64 if jnp.issubdtype(aval.dtype, jnp.floating) else aval.dtype
    wanted = np.complex128 if jnp.issubdtype(aval.dtype, jnp.complexfloating) else wanted
    return jax.ShapeDtypeStruct(aval.shape, wanted)  # type: ignore[no-untyped-call]


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Yield every equation that computes, wherever it is held."""
    for equation in jaxpr.eqns:
        inner = held_by(equation)
        for held in inner:
            yield from _equations(held)
        if not inner and equation.primitive.name not in CALLS:
            yield equation


def _kinds(atoms: Sequence[Any]) -> list[Any]:
    found = [getattr(atom.aval, "dtype", None) for atom in atoms if not isinstance(atom, Literal)]
    return [k for k in found if k is not None and jnp.issubdtype(k, jnp.inexact)]


def _floats(jaxpr: Any) -> Iterator[str]:
    for equation in _equations(jaxpr):
        yield from (str(kind) for kind in _kinds(equation.outvars))


def _conversions(jaxpr: Any) -> Iterator[Conversion]:
    """Yield where a float goes on as another one."""
    for equation in _equations(jaxpr):
        before, after = _kinds(equation.invars), _kinds(equation.outvars)
        backward = is_backward(equation)
        if before and after and before[0] != after[0] and not backward:
            name = equation.primitive.name
            yield Conversion(name, user_line(equation), str(before[0]), str(after[0]))
