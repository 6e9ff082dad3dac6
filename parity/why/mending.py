"""A wrong function set right: the one edit of its own source after which its answer is right.

Knows no framework and no mathematics: edits are made, run, and judged by the caller.
"""

from __future__ import annotations

import ast
import inspect
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from copy import copy, deepcopy
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from parity.why.edits import MENDING, Edit, edits, kind, targets

MOST_SECONDS = 10.0
"""Of search in one function; what is found by then is said."""

SIMPLE = (ast.Assign, ast.AugAssign, ast.Return)


Judge = Callable[[Any], tuple[str, ...]]
"""What a function returned -> the names of what is right in it."""


@dataclass(frozen=True)
class Mend:
    """One edit that makes a function right."""

    edit: Edit
    place: str
    """file:line"""
    makes: tuple[str, ...]
    """What it makes right."""
    longer: int
    """By how much the line grows."""

    @property
    def line(self) -> str:
        """The statement as it should be."""
        return ast.unparse(self.edit.statement)


def mends(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    right: Judge,
) -> Iterator[Mend]:
    """Yield every edit of ``function`` after which ``right(function(*arguments))`` is not empty.

    Nothing where its source cannot be had. Every run is given copies. Where there is a loop only
    its body is edited, and nothing where it is a while loop: an edit must not keep it from ending.
    """
    definition = _definition(function)
    if definition is None:
        return
    names = dict(function.__globals__) | dict(inspect.getclosurevars(function).nonlocals)
    names |= _defaults(function)
    kinds = _kinds(definition, names, arguments)
    ends = time.monotonic() + MOST_SECONDS
    for statement in _editable(definition):
        for edit in edits(statement, kinds, MENDING):
            if time.monotonic() > ends:
                return
            made = _made(_edited(definition, statement, edit), names, arguments, right)
            if made:
                longer = len(ast.unparse(edit.statement)) - len(ast.unparse(statement))
                place = f"{Path(function.__code__.co_filename).name}:{statement.lineno}"
                yield Mend(edit, place, made, longer)


def _editable(definition: ast.FunctionDef) -> list[ast.stmt]:
    nodes = [*ast.walk(definition)]
    if any(isinstance(node, ast.While) for node in nodes):
        return []
    loops = [node for node in nodes if isinstance(node, ast.For)]
    within = {id(node) for loop in loops for part in loop.body for node in ast.walk(part)}
    simple = [node for node in nodes if isinstance(node, SIMPLE)]
    return [node for node in simple if not loops or id(node) in within]


def _definition(function: Any) -> ast.FunctionDef | None:
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


def _defaults(function: Any) -> dict[str, Any]:
    return {
        p.name: p.default
        for p in inspect.signature(function).parameters.values()
        if p.default is not p.empty
    }


def _kinds(
    definition: ast.FunctionDef, names: dict[str, Any], arguments: tuple[Any, ...]
) -> dict[str, Any]:
    """Return {local name: kind}, from a run that returns its locals at the end."""
    telling = deepcopy(definition)
    last = telling.body[-1]
    if isinstance(last, ast.Return):
        last.value = ast.parse("locals()", mode="eval").body
    try:
        with redirect_stdout(StringIO()):
            found = _run(telling, names, deepcopy(arguments))
    except Exception:
        found = None
    if not isinstance(found, dict):
        bound = [arg.arg for arg in definition.args.args]
        bound += [name for node in ast.walk(definition) if isinstance(node, ast.Assign)
                  for name in targets(node)]  # fmt: skip
        return {name: name for name in bound}
    return {name: kind(value) for name, value in found.items()}


def _edited(definition: ast.FunctionDef, statement: ast.stmt, edit: Edit) -> ast.FunctionDef:
    class Put(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            return edit.statement if node is statement else self.generic_visit(node)

    found: ast.FunctionDef = Put().visit(_shallow(definition))
    return found


def _shallow(node: Any) -> Any:
    """Return a copy of blocks of statements that shares the statements: they are put in place."""
    new = copy(node)
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            setattr(new, field, [s if isinstance(s, SIMPLE) else _shallow(s) for s in block])
    return new


def _made(
    definition: ast.FunctionDef,
    names: dict[str, Any],
    arguments: tuple[Any, ...],
    right: Judge,
) -> tuple[str, ...]:
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")  # a wrong line may well warn
            return right(_run(definition, names, deepcopy(arguments)))
    except Exception:  # an edit may break anything
        return ()


def _run(definition: ast.FunctionDef, names: dict[str, Any], arguments: tuple[Any, ...]) -> Any:
    module = ast.fix_missing_locations(ast.Module([definition], []))
    space = dict(names)
    exec(compile(module, "<edited>", "exec"), space)
    return space[definition.name](*arguments)
