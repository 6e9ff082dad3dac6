"""Arrays in nested dictionaries, lists, tuples, dataclasses and pytrees: names, and back again.

For what the user hands in, and what a function returns. Asks JAX of the containers that were
registered there, if JAX has been imported; imports no framework itself.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple


class Constant:
    """An input without a gradient: a mask, running statistics, a learning rate.

    ``value`` is whatever an input may be, a shape too where one may stand. Floating arrays are
    given in the dtype under test, as every input is; neither framework is asked for a gradient.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Constant({self.value!r})"


class Node(NamedTuple):
    """A container, opened: [(name, child)], and how to make another of other children."""

    children: list[tuple[str, Any]]
    build: Callable[[Sequence[Any]], Any]


def node(tree: Any) -> Node | None:
    """Return a container opened, None of a leaf; None itself holds nothing."""
    if tree is None:
        return Node([], lambda children: None)
    if isinstance(tree, Constant):
        return Node([("", tree.value)], lambda children: children[0])
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        named = [(f".{name}", getattr(tree, name)) for name in tree._fields]
        return Node(named, lambda children: type(tree)(*children))
    if type(tree) in (list, tuple):
        return Node([(f"[{i}]", child) for i, child in enumerate(tree)], type(tree))
    if type(tree) is not dict and (registered := _registered(tree)):
        return registered
    if isinstance(tree, dict):
        named = [(f"[{key!r}]", child) for key, child in tree.items()]
        return Node(named, lambda children: dict(zip(tree, children, strict=True)))
    if isinstance(tree, list | tuple):
        return Node([(f"[{i}]", child) for i, child in enumerate(tree)], type(tree))
    if is_dataclass(tree) and not isinstance(tree, type):
        names = [field.name for field in fields(tree)]
        return Node([(f".{n}", getattr(tree, n)) for n in names], lambda new: _copied(tree, new))
    return None


def _registered(tree: Any) -> Node | None:
    """Return one level of what is registered with JAX, an equinox module or a struct.

    Its functions, words, switches and whole numbers are no arrays, and stay what they are.
    """
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    paths, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: x is not tree)
    if len(paths) == 1 and not paths[0][0]:
        return None
    places = [i for i, (_, child) in enumerate(paths) if not _is_fixed(child)]
    children = [child for _, child in paths]

    def build(new: Sequence[Any]) -> Any:
        put = [*children]
        for place, child in zip(places, new, strict=True):
            put[place] = child
        return structure.unflatten(put)

    return Node([(jax.tree_util.keystr(paths[i][0]), children[i]) for i in places], build)


def _is_fixed(child: Any) -> bool:
    if isinstance(child, bool | int | str | bytes):
        return True
    return callable(child) and node(child) is None


def _copied(tree: Any, children: Sequence[Any]) -> Any:
    """Return a dataclass with other values; however it is made, it is not made again."""
    new = copy.copy(tree)
    for field, child in zip(fields(tree), children, strict=True):
        object.__setattr__(new, field.name, child)
    return new


def flatten(tree: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return [(name, leaf)] in the order in which `rebuild` takes the leaves."""
    opened = node(tree)
    if opened is None:
        return [(name, tree)]
    return [leaf for step, child in opened.children for leaf in flatten(child, name + step)]


def positions(tree: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return what `flatten` does, with every tuple's entries by number, named ones too."""
    opened = node(tree)
    if opened is None:
        return [(name, tree)]
    found = opened.children
    if isinstance(tree, tuple):
        found = [(f"[{i}]", child) for i, (_, child) in enumerate(found)]
    return [leaf for step, child in found for leaf in positions(child, name + step)]


def rebuild(tree: Any, leaves: Iterator[Any]) -> Any:
    """Return a tree like ``tree`` with the next of ``leaves`` in place of each leaf."""
    opened = node(tree)
    if opened is None:
        return next(leaves)
    return opened.build([rebuild(child, leaves) for _, child in opened.children])


def constants(tree: Any, name: str = "", within: bool = False) -> list[str]:
    """Return the names of the leaves that stand in a `Constant`."""
    within = within or isinstance(tree, Constant)
    opened = node(tree)
    if opened is None:
        return [name] if within else []
    return [
        leaf for step, child in opened.children for leaf in constants(child, name + step, within)
    ]


def replaced(tree: Any, new: Callable[[Any], Any]) -> Any:
    """Return a tree with ``new`` of every part for which it returns anything but the part itself.

    Asked of containers before what is in them.
    """
    other = new(tree)
    opened = node(tree) if other is tree else None
    if opened is None:
        return other
    inner = [replaced(child, new) for _, child in opened.children]
    if isinstance(tree, Constant):
        return Constant(inner[0])
    return opened.build(inner)
