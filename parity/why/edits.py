"""Single edits of a line of array code: the mistakes that a slip of hand or thought makes.

Works on the syntax tree alone: it imports no framework, runs nothing and judges nothing. One edit
at a time, at every place where it fits; `edit_rules.py` says what an edit can be.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from parity.why.edit_rules import RULES, Rule
from parity.why.edit_syntax import Kinds, kind, with_fields


class Edit(NamedTuple):
    """One change of one statement."""

    rule: str
    before: str
    """The expression that was edited, as source; if a name or a number, what it stands in."""
    after: str
    statement: ast.stmt
    """The whole statement, edited."""


@dataclass(frozen=True)
class Mutant:
    """One change of one function."""

    index: int
    """Which statement of the body, the docstring not counted."""
    targets: tuple[str, ...]
    """The names that this statement assigns; none for a return."""
    edit: Edit

    def __str__(self) -> str:
        return f"{', '.join(self.targets) or 'return'}: {self.edit.before} -> {self.edit.after}"

    def applied(self, body: Sequence[ast.stmt]) -> tuple[ast.stmt, ...]:
        """Return ``body`` with this change."""
        return (*body[: self.index], self.edit.statement, *body[self.index + 1 :])


def mutants(source: str, values: Mapping[str, Any] | None = None) -> Iterator[Mutant]:
    """Yield every single edit of every statement of the function in ``source``.

    ``values`` holds what its names stand for in some run: a name is only exchanged for a name that
    is bound before it and has a value of the same kind.
    """
    values = values or {}
    function = parse(source)
    bound = [node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)]
    for index, statement in enumerate(statements(function)):
        known = {name: kind(values[name]) if name in values else name for name in bound}
        assigned = targets(statement)
        for edit in edits(statement, known):
            yield Mutant(index, assigned, edit)
        bound += [name for name in assigned if name not in bound]


def edits(statement: ast.stmt, kinds: Kinds, rules: Sequence[Rule] | None = None) -> Iterator[Edit]:
    """Yield every single edit of ``statement``, each resulting text once; `RULES` by default."""
    seen = {ast.unparse(statement)}
    for rule, before, after, changed in _below(statement, kinds, rules or RULES):
        text = ast.unparse(changed)
        if text not in seen and "--" not in text:  # two signs are none
            seen.add(text)
            try:
                (parsed,) = ast.parse(text).body
            except SyntaxError:  # what is assigned to is no expression
                continue
            yield Edit(rule, before, after, parsed)


def parse(source: str) -> ast.FunctionDef:
    """Return the syntax tree of the one function in ``source``."""
    (function,) = ast.parse(source).body
    if not isinstance(function, ast.FunctionDef):
        raise TypeError(f"expected a function definition, got {type(function).__name__}")
    return function


def statements(function: ast.FunctionDef) -> tuple[ast.stmt, ...]:
    """Return a function's body without its docstring."""
    return tuple(function.body[ast.get_docstring(function) is not None :])


@cache
def targets(statement: ast.stmt) -> tuple[str, ...]:
    """Return the names that an assignment assigns, in order."""
    places = statement.targets if isinstance(statement, ast.Assign) else ()
    return tuple(n.id for place in places for n in ast.walk(place) if isinstance(n, ast.Name))


@cache
def reads(statement: ast.stmt) -> frozenset[str]:
    """Return the names that a statement reads."""
    nodes = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return frozenset(node.id for node in nodes if isinstance(node.ctx, ast.Load))


def needed(code: Sequence[ast.stmt], index: int, given: Iterable[str]) -> list[int]:
    """Return the statements that make what statement ``index`` reads and is not given, and it."""
    wanted, found = reads(code[index]), [index]
    for i in reversed(range(index)):
        if wanted.intersection(targets(code[i])).difference(given):
            wanted |= reads(code[i])
            found.insert(0, i)
    return found


def _below(
    node: ast.AST, kinds: Kinds, rules: Sequence[Rule], *, own: bool = True
) -> Iterator[tuple[str, str, str, ast.AST]]:
    """Yield (rule, before, after, copy of ``node``) for every edit of it and of what it holds."""
    if own:
        for rule in rules:
            for new in rule(node, kinds):
                yield rule.__name__.lstrip("_"), ast.unparse(node), ast.unparse(new), new
    for field, value in ast.iter_fields(node):
        places = value if isinstance(value, list) else [value]
        for i, child in enumerate(places):
            if isinstance(child, ast.AST):
                assigned = isinstance(getattr(child, "ctx", None), ast.Store)
                for rule_name, before, after, new in _below(
                    child, kinds, rules, own=field != "func" and not assigned
                ):
                    inside = new if places is not value else [*value[:i], new, *value[i + 1 :]]
                    changed = with_fields(node, **{field: inside})
                    if isinstance(child, ast.Name | ast.Constant):  # says too little by itself
                        before, after = ast.unparse(node), ast.unparse(changed)
                    yield rule_name, before, after, changed
