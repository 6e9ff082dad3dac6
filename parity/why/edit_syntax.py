"""What a node of a line of array code is: a name read, a number, a module, a method's array.

Looks at syntax, and at what kind of thing each name stands for.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Mapping
from copy import copy
from typing import Any

Kinds = Mapping[str, Hashable]
"""The names that a line may read, each with its kind; names of equal kind are exchangeable."""


def kind(value: Any) -> Hashable:
    """Return what makes two values exchangeable: an array's shape and dtype, else the type."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return tuple(value.shape), str(value.dtype)
    return str(type(value))


def with_fields(node: Any, **fields: Any) -> Any:
    """Return a shallow copy of ``node`` with other ``fields``."""
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def is_read(node: ast.AST, kinds: Kinds) -> bool:
    """Return whether ``node`` reads a name whose kind is known."""
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in kinds


NUMBERS = frozenset(map(str, (int, float, complex, bool)))


def is_numeric(kinds: Kinds, name: str) -> bool:
    """Return whether a name is no tuple's, no context's or the like, with which nothing is done."""
    known = str(kinds.get(name, ""))
    return not known.startswith("<class") or known in NUMBERS


def is_vector(kinds: Kinds, name: str) -> bool:
    """Return whether a name is an array's of one axis."""
    known = kinds.get(name)
    return isinstance(known, tuple) and isinstance(known[0], tuple) and len(known[0]) == 1


def is_number(node: ast.AST) -> bool:
    """Return whether ``node`` is a number in the code."""
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def is_value(node: ast.AST, kinds: Kinds) -> bool:
    """Return whether ``node`` reads a name that stands for numbers."""
    return isinstance(node, ast.Name) and is_read(node, kinds) and is_numeric(kinds, node.id)


def is_path(node: ast.AST, kinds: Kinds) -> bool:
    """Whether ``node`` names a module, a class or a function rather than a value."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id not in kinds


def receiver_of(call: ast.Call, kinds: Kinds) -> ast.expr | None:
    """Return x of ``x.method(...)``, None for a plain function."""
    function = call.func
    if isinstance(function, ast.Attribute) and not is_path(function.value, kinds):
        return function.value
    return None
