"""Arrays in nested dictionaries, lists, tuples and dataclasses: their names, and back again.

For what the user hands in, before any framework is asked; what a framework returns is taken apart
by that framework, whose containers it may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any


def children(tree: Any) -> list[tuple[str, Any]] | None:
    """Return [(name, child)] of a container, None of a leaf; None itself holds nothing."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [(f"[{key!r}]", child) for key, child in tree.items()]
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return [(f".{name}", getattr(tree, name)) for name in tree._fields]
    if isinstance(tree, list | tuple):
        return [(f"[{i}]", child) for i, child in enumerate(tree)]
    if is_dataclass(tree) and not isinstance(tree, type):
        return [(f".{field.name}", getattr(tree, field.name)) for field in fields(tree)]
    return None


def flatten(tree: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return [(name, leaf)] in the order in which `rebuild` takes the leaves."""
    found = children(tree)
    if found is None:
        return [(name, tree)]
    return [leaf for step, child in found for leaf in flatten(child, name + step)]


def positions(tree: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return what `flatten` does, with every tuple's entries by number, named ones too."""
    found = children(tree)
    if found is None:
        return [(name, tree)]
    if isinstance(tree, tuple):
        found = [(f"[{i}]", child) for i, (_, child) in enumerate(found)]
    return [leaf for step, child in found for leaf in positions(child, name + step)]


def rebuild(tree: Any, leaves: Iterator[Any]) -> Any:
    """Return a tree like ``tree`` with the next of ``leaves`` in place of each leaf."""
    found = children(tree)
    if found is None:
        return next(leaves)
    inner = [rebuild(child, leaves) for _, child in found]
    if tree is None:
        return None
    if isinstance(tree, dict):
        return dict(zip(tree, inner, strict=True))
    if isinstance(tree, list | tuple) and not hasattr(tree, "_fields"):
        return type(tree)(inner)
    return type(tree)(*inner)
