"""JAX models of several libraries as functions of their leaves.

A library is asked only where the user's own object is of it: none is imported here, each is known
by what has been imported already, or by what the object can do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from parity.errors import UsageError
from parity.frameworks.opened import Opened, parameters

Apply = Callable[[Any, Sequence[Any], Mapping[str, Any]], Any]
"""(a tree like the model's own, positional inputs, inputs by name) -> (outputs, the tree after)"""


def kind(model: Any) -> str:
    """Return which library's model this is: nnx, linen, equinox, haiku; empty if none's."""
    if isinstance(model, tuple) and len(model) in (2, 3):
        first, *variables = model
        if not all(isinstance(each, Mapping) for each in variables):
            return ""
        if _is(first, "flax.linen", "Module"):
            return "linen" if len(variables) == 1 else ""
        return "haiku" if all(callable(getattr(first, x, None)) for x in ("init", "apply")) else ""
    if _is(model, "flax.nnx", "Module"):
        return "nnx"
    return "equinox" if _is(model, "equinox", "Module") else ""


def _is(model: Any, library: str, name: str) -> bool:
    """Return whether something is an instance of a class of a library, if that was imported."""
    module = sys.modules.get(library)
    return module is not None and isinstance(model, getattr(module, name))


def opened(model: Any) -> Opened:
    """Return a model of a library taken apart; `kind` knows it."""
    return {"nnx": _nnx, "linen": _linen, "equinox": _equinox, "haiku": _haiku}[kind(model)](model)


def of_leaves(tree: Any, apply: Apply, function: Any, skipped: int = 0) -> Opened:
    """Return a model that is a tree of arrays and what applies it.

    ``function`` is asked for the names of its inputs, of which the first few are ``skipped``.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = [_path(path) for path, _ in paths]
    own = dict(zip(names, (x for _, x in paths), strict=True))
    tensors = {name: np.asarray(x) for name, x in own.items() if _is_floating(x)}

    def run(given: Mapping[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        half = next((x.dtype for x in given.values() if x.dtype.itemsize == 2), None)

        def leaf(name: str) -> Any:
            if name in given:
                return given[name]
            if name not in tensors and isinstance(own[name], jax.Array):
                return jax.lax.convert_element_type(own[name], own[name].dtype)  # weak no more
            return own[name].astype(half) if half and name in tensors else own[name]

        return apply(jax.tree.unflatten(structure, [leaf(name) for name in names]), args, kwargs)

    def call(*given: Any) -> Any:
        return run(*given)[0]

    def after(*given: Any) -> dict[str, Any]:
        left, _ = jax.tree_util.tree_flatten_with_path(run(*given)[1])
        return {name: x for path, x in left if (name := _path(path)) in tensors}

    def part(leaves: Mapping[str, Any]) -> Any:
        found = jax.tree.unflatten(structure, [leaves.get(name) for name in names])
        alone = isinstance(found, Mapping) and len(jax.tree.leaves(found.get("params"))) == len(
            leaves
        )
        return found["params"] if alone else found  # flax's optimizers see no other collection

    positional, keywords = parameters(function)
    return Opened(tensors, call, after, positional[skipped:], keywords, tree=part)


def _is_floating(x: Any) -> bool:
    dtype = getattr(x, "dtype", None)
    return dtype is not None and bool(jax.numpy.issubdtype(dtype, np.floating))


def _path(path: Sequence[Any]) -> str:
    """Return a leaf's path as words between slashes."""
    said = []
    for step in path:
        for attribute in ("key", "name", "idx"):
            if hasattr(step, attribute):
                said.append(str(getattr(step, attribute)))
                break
    return "/".join(said)


def _nnx(model: Any) -> Opened:
    nnx = sys.modules["flax.nnx"]
    graph, state = nnx.split(model)
    pure = nnx.to_pure_dict(state)

    def apply(tree: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        own = jax.tree.map(lambda x: x, state)
        nnx.replace_by_pure_dict(own, tree)
        run = nnx.merge(graph, own)
        return run(*args, **kwargs), nnx.to_pure_dict(nnx.state(run))

    return of_leaves(pure, apply, type(model).__call__, skipped=1)


def _linen(model: Any) -> Opened:
    module, variables = model
    written = [collection for collection in variables if collection != "params"]

    def apply(tree: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        out, left = module.apply(tree, *args, mutable=written, **kwargs)
        return out, {**tree, **left}

    return of_leaves(variables, apply, type(module).__call__, skipped=1)


def _equinox(model: Any) -> Opened:
    def apply(tree: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return tree(*args, **kwargs), tree

    return of_leaves(model, apply, type(model).__call__, skipped=1)


def of_function(function: Any, params: Any) -> Opened:
    """Return a function of parameters and inputs; an equinox State that it returns last is no
    output, but what is left of the one in ``params``.
    """

    def is_state(x: Any) -> bool:
        return _is(x, "equinox.nn", "State")

    def apply(tree: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        out = function(tree, *args, **kwargs)
        if not isinstance(out, tuple) or not out or not is_state(out[-1]):
            return out, tree
        left = jax.tree.map(lambda x: out[-1] if is_state(x) else x, tree, is_leaf=is_state)
        return out[0] if len(out) == 2 else out[:-1], left

    return of_leaves(params, apply, function, skipped=1)


def _haiku(model: Any) -> Opened:
    transformed, *variables = model
    names, _ = parameters(transformed.apply)
    has_state = "state" in names[1:2]
    if has_state != (len(variables) == 2):
        wanted = "(transformed, params, state)" if has_state else "(transformed, params)"
        raise UsageError(f"jax= is haiku's, of which apply takes {names[:2]}; give {wanted}")
    takes_a_key = "rng" in names[1:3]
    key = (None,) if takes_a_key else ()

    def apply(tree: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if not has_state:
            return transformed.apply(tree, *key, *args, **kwargs), tree
        out, left = transformed.apply(tree["params"], tree["state"], *key, *args, **kwargs)
        return out, {**tree, "state": left}

    own = dict(zip(("params", "state"), variables, strict=True)) if has_state else variables[0]
    return of_leaves(own, apply, transformed.apply, skipped=len(variables) + takes_a_key)
