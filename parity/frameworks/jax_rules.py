"""The backward rules by hand in a JAX function: `custom_vjp`. Found, run alone, exchanged.

`torch_rules.py` answers to the same names. Nothing of the user's is changed: a function is traced,
and its calls are made anew with other rules. Judges nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun
from jax.extend.source_info_util import user_context

from parity.frameworks import jax_side
from parity.frameworks.jaxpr_recording import custom_calls
from parity.frameworks.jaxprs import INLINED, JAX, held_by
from parity.frameworks.rules import Call, Instead, drawn, first_of_each

CUSTOM = "custom_vjp_call"


def calls(
    forward: Callable[..., Any], values: Sequence[Any], still: Collection[int], seed: int
) -> list[Call]:
    """Return calls of every rule in ``forward`` on these values, with what each should answer.

    Upstream gradients are random numbers. What its function's own derivative cannot be had of is
    left out.
    """
    return first_of_each(
        (equation.params["bwd"].f, partial(_alone, equation, inputs, seed))
        for equation, inputs in custom_calls(forward, values)
    )


def gradients(
    forward: Callable[..., Any],
    values: Sequence[Any],
    douts: Mapping[str, Any],
    still: Collection[int],
    instead: Instead,
) -> tuple[Any, ...]:
    """Return the gradients of the float inputs with other rules; None: the function's own."""
    changed = exchanged(forward, lambda rule: instead.get(rule, rule))

    def run(given: tuple[Any, ...], above: dict[str, Any]) -> Any:
        return jax_side.vjp(changed, given, above, still)[1]

    return tuple(_quickly(run, tuple(values), dict(douts)))


def telling(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``forward`` so that what its rules do is known by their own lines.

    JAX gives all of it the line at which the rule's function was called.
    """
    return exchanged(forward, lambda rule: partial(_at_its_own_lines, rule))


def exchanged(
    forward: Callable[..., Any], change: Callable[[Any], Callable[..., Any] | None]
) -> Callable[..., Any]:
    """Return ``forward`` with ``change(rule)`` for every rule; None: no rule."""

    def run(*args: Any) -> Any:
        traced, shape = jax.make_jaxpr(lambda *xs: forward(*xs), return_shape=True)(*args)
        outputs = _evaluated(traced, jax.tree.leaves(args), change)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return run


class _Nowhere:
    """A place that says nothing, so that JAX looks for the place itself."""

    def __bool__(self) -> bool:
        return False

    def as_python_traceback(self) -> None:
        return None


def _at_its_own_lines(rule: Any, *args: Any) -> Any:
    nowhere: Any = _Nowhere()
    with user_context(nowhere):
        return rule(*args)


def _alone(equation: Any, inputs: Sequence[Any], seed: int) -> Call | None:
    """Return one call of a rule by itself; None where its function has no derivative."""
    places = [i for i, x in enumerate(inputs) if jax_side.is_float(x)]
    bwd, structure = equation.params["bwd"], []
    rng = np.random.default_rng(seed)
    douts = [drawn(rng, v.aval.shape) for v in equation.outvars]

    def pulled(run: Callable[..., Any], *given: Any) -> Any:
        """Return the gradients by a rule, or a function's own, and what the rule was given."""
        seen: list[tuple[Any, ...]] = []

        def keeping(*args: Any) -> Any:
            seen.append(args)
            return bwd.f(*args)

        def of_floats(*floats: Any) -> list[Any]:
            filled = dict(zip(places, floats, strict=True))
            return [*run(keeping, *(filled.get(i, x) for i, x in enumerate(given)))]

        out, pull = jax.vjp(of_floats, *(given[i] for i in places))
        grads = pull([_cotangent(x, dout) for x, dout in zip(out, douts, strict=True)])
        leaves, tree = jax.tree.flatten(seen[-1] if seen else ())
        structure.append(tree)
        return grads, leaves

    def by_rule(function: Any, *given: Any) -> list[Any]:
        return _bound(equation, given, _rebuilt(bwd, function))

    def by_itself(_: Any, *given: Any) -> list[Any]:
        return [*jaxpr_as_fun(equation.params["call_jaxpr"])(*given)]

    try:
        got, leaves = _quickly(partial(pulled, by_rule), *inputs)
        wanted, _ = _quickly(partial(pulled, by_itself), *inputs)
    except Exception:  # the user's function, differentiated as it never was
        return None
    arguments = jax.tree.unflatten(structure[0], leaves)
    if not arguments:
        return None

    def answer(found: Any) -> list[np.ndarray]:
        flat = _rebuilt(bwd, lambda *_: found).call_wrapped(*jax.tree.leaves(arguments[-2:]))
        return [
            np.zeros(np.shape(inputs[i])) if not hasattr(flat[i], "dtype") else np.asarray(flat[i])
            for i in places
        ]

    own = _users(bwd.f)
    name = getattr(own, "__name__", "a rule").replace("<lambda>", "a lambda")
    return Call(bwd.f, own, name, arguments, [*got], [*wanted], answer, run, places)


def run(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Return what ``function`` returns, in NumPy: nothing is compiled for a single run.

    Whole numbers are known while it is traced: shapes are made of them.
    """
    leaves, tree = jax.tree.flatten(tuple(arguments))
    arrays = [i for i, x in enumerate(leaves) if hasattr(x, "dtype") and jax_side.is_float(x)]

    def of_arrays(*given: Any) -> Any:
        filled = [*leaves]
        for i, x in zip(arrays, given, strict=True):
            filled[i] = x
        return function(*jax.tree.unflatten(tree, filled))

    return _quickly(of_arrays, *(leaves[i] for i in arrays))


def _quickly(function: Callable[..., Any], *inputs: Any) -> Any:
    return jax_side.to_numpy(jax_side.quickly(function)(*inputs))


def _users(rule: Any) -> Any:
    """Return the user's own function of a rule that JAX has made another of, for vmap."""
    code = getattr(rule, "__code__", None)
    if code is None or not code.co_filename.startswith(JAX):
        return rule
    held = inspect.getclosurevars(rule).nonlocals.values()
    return next((_users(x.f) for x in held if hasattr(x, "call_wrapped")), rule)


def _cotangent(x: Any, dout: np.ndarray) -> Any:
    if not jax_side.is_float(x):
        return np.zeros(x.shape, jax.dtypes.float0)
    return jnp.asarray(dout, x.dtype)


def _rebuilt(bwd: Any, function: Callable[..., Any]) -> Any:
    """Return a rule as JAX holds it, with another function in its middle."""
    new = type(bwd)(function, function, (), (), bwd.params, None, bwd.debug_info)
    for (transform, args), store in reversed([*zip(bwd.transforms, bwd.stores, strict=True)]):
        new = new.wrap(transform, args, store)
    return new


def _bound(equation: Any, inputs: Sequence[Any], bwd: Any = None) -> list[Any]:
    params = equation.params if bwd is None else {**equation.params, "bwd": bwd}
    bound = equation.primitive.get_bind_params(params)
    found = equation.primitive.bind(*inputs, **bound)
    return list(found) if equation.primitive.multiple_results else [found]


def _holds(jaxpr: Any) -> bool:
    return any(e.primitive.name == CUSTOM or any(map(_holds, held_by(e))) for e in jaxpr.eqns)


def _evaluated(closed: Any, inputs: Sequence[Any], change: Callable[[Any], Any]) -> list[Any]:
    """Evaluate a jaxpr with every rule in it changed; only what holds one is opened."""
    jaxpr = getattr(closed, "jaxpr", closed)
    consts = closed.consts if isinstance(closed, ClosedJaxpr) else ()
    values = dict(zip(jaxpr.constvars, consts, strict=True))
    values |= dict(zip(jaxpr.invars, inputs, strict=True))
    for equation in jaxpr.eqns:
        given = [x.val if isinstance(x, Literal) else values[x] for x in equation.invars]
        with user_context(equation.source_info.traceback):
            found = _step(equation, given, change)
        values |= dict(zip(equation.outvars, found, strict=True))
    return [x.val if isinstance(x, Literal) else values[x] for x in jaxpr.outvars]


def _step(equation: Any, inputs: list[Any], change: Callable[[Any], Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if name == CUSTOM:
        bwd = params["bwd"]
        rule = change(bwd.f)
        if rule is None:
            return [*jaxpr_as_fun(params["call_jaxpr"])(*inputs)]
        return _bound(equation, inputs, None if rule is bwd.f else _rebuilt(bwd, rule))
    if not any(map(_holds, held_by(equation))):
        return _bound(equation, inputs)
    if name in INLINED:
        return _evaluated(params.get("jaxpr", params.get("call_jaxpr")), inputs, change)
    if name == "scan":
        return _scan(params, inputs, change)
    if name == "cond":
        branches = [partial(_branch, branch, change) for branch in params["branches"]]
        return [*lax.switch(inputs[0], branches, *inputs[1:])]
    return _bound(equation, inputs)


def _branch(closed: Any, change: Callable[[Any], Any], *operands: Any) -> list[Any]:
    return _evaluated(closed, operands, change)


def _scan(params: Any, inputs: list[Any], change: Callable[[Any], Any]) -> list[Any]:
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts = inputs[:first]

    def body(carry: Any, elements: Any) -> Any:
        outputs = _evaluated(params["jaxpr"], [*consts, *carry, *elements], change)
        return outputs[: len(carry)], outputs[len(carry) :]

    carry, stacked = lax.scan(
        body, inputs[first:last], inputs[last:], length=params["length"], reverse=params["reverse"]
    )
    return [*carry, *stacked]
