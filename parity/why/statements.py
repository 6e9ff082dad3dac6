"""The statements of a function of the user's: its source, which may be edited, what each may read.

Looks at syntax alone; runs nothing.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from parity.why.edits import reads, targets

SIMPLE = (ast.Assign, ast.AugAssign, ast.Return)
"""What is edited."""


def places_of(file: str, statement: ast.stmt) -> set[str]:
    """Return file:line of every line of a statement."""
    end = statement.end_lineno or statement.lineno
    return {f"{file}:{line}" for line in range(statement.lineno, end + 1)}


def leading_to(definition: ast.FunctionDef, places: Sequence[int]) -> list[ast.stmt]:
    """Return the statements that what is returned at some places is made of, not its return.

    Nothing where what is done is no plain list of statements.
    """
    *body, last = definition.body
    plain = all(isinstance(s, ast.Assign | ast.Expr) for s in body)
    returned = last.value if isinstance(last, ast.Return) else None
    if not plain or not isinstance(returned, ast.Tuple):
        return []
    found: list[ast.stmt] = []
    kept = [ast.Expr(returned.elts[i]) for i in places if i < len(returned.elts)]
    wanted = {name for entry in kept for name in reads(entry)}
    for statement in reversed(body):
        if wanted.intersection(targets(statement)):
            found.append(statement)
            wanted |= reads(statement)
    return found


def bound_at(
    definition: ast.FunctionDef, statement: ast.stmt, kinds: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the names that hold something where a statement is run: given or assigned before."""
    nodes = [*ast.walk(definition)]
    if any(isinstance(node, ast.For) for node in nodes):
        return dict(kinds)
    later = {
        name
        for node in nodes
        if isinstance(node, ast.Assign) and node.lineno >= statement.lineno
        for name in targets(node)
    }
    earlier = {arg.arg for arg in ast.walk(definition.args) if isinstance(arg, ast.arg)}
    for node in nodes:
        if isinstance(node, ast.Assign) and node.lineno < statement.lineno:
            earlier.update(targets(node))
    return {name: known for name, known in kinds.items() if name in earlier or name not in later}


def editable(definition: ast.FunctionDef) -> list[ast.stmt]:
    """Return the statements that may be edited: an edit must not keep a loop from ending."""
    nodes = [*ast.walk(definition)]
    if any(isinstance(node, ast.While) for node in nodes):
        return []
    loops = [node for node in nodes if isinstance(node, ast.For)]
    within = {id(node) for loop in loops for part in loop.body for node in ast.walk(part)}
    simple = [node for node in nodes if isinstance(node, SIMPLE)]
    return [node for node in simple if not loops or id(node) in within]


def definition_of(function: Any) -> ast.FunctionDef | None:
    """Return the syntax tree of a function or a lambda, with the lines of its file."""
    try:
        lines, _ = inspect.findsource(function)
        tree = ast.parse("".join(lines))
    except (OSError, TypeError, SyntaxError):  # built in, or typed at a prompt
        return None
    found = [node for node in ast.walk(tree) if _is(function.__code__, node)]
    if len(found) != 1:
        return None
    (node,) = found
    if isinstance(node, ast.Lambda):
        body = ast.copy_location(ast.Return(node.body), node.body)
        return ast.FunctionDef("f", node.args, [body], [])
    assert isinstance(node, ast.FunctionDef)
    node.decorator_list = []
    return node


def _is(code: Any, node: ast.AST) -> bool:
    """Return whether a node of the source is what was compiled to ``code``."""
    if isinstance(node, ast.FunctionDef):
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        return (node.name, first) == (code.co_name, code.co_firstlineno)
    if not isinstance(node, ast.Lambda) or node.lineno != code.co_firstlineno:
        return False
    start = node.body.lineno, node.body.col_offset
    end = node.body.end_lineno, node.body.end_col_offset
    places = [p for p in code.co_positions() if None not in p and p[1:] != (p[0], 0, 0)]
    return all(start <= (p[0], p[2]) and (p[1], p[3]) <= end for p in places)
