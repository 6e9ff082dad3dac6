"""A wrong function set right: the one edit of its own source after which its answer is right.

Knows no framework and no mathematics: edits are made, run, and judged by the caller.
"""

from __future__ import annotations

import ast
import inspect
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import redirect_stdout
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from parity.why.edit_rules import BORROWING, MENDING
from parity.why.edit_syntax import kind
from parity.why.edits import Edit, edits, reads, targets
from parity.why.statements import SIMPLE, bound_at, definition_of, editable, leading_to, places_of

MOST_SECONDS = 15.0
"""Of the processor, for a search in one function; what is found by then is said."""

MOST_MADE = 40
"""Expressions of another function that are put in."""

Judge = Callable[[Any], tuple[str, ...]]
"""What a function returned -> the names of what is right in it."""


Run = Callable[[Callable[..., Any], tuple[Any, ...]], Any]
"""Runs a function on arguments."""


def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


class Made(NamedTuple):
    """What another function makes on its way, and how."""

    value: Any
    source: str


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
    again: Callable[[tuple[Any, ...], Mapping[str, Made]], Any]
    """Runs the edited function on other arguments, with what else it then reads."""
    function: Callable[..., Any]
    """The edited function, which may change what it is given."""
    borrows: tuple[str, ...] = ()
    """What it reads of what it was not given."""

    @property
    def line(self) -> str:
        """The statement as it should be."""
        return ast.unparse(self.edit.statement)


def mends(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    right: Judge,
    made: Mapping[str, Made] | None = None,
    run: Run = _called,
    leave: Collection[int] = (),
    first: Collection[str] = (),
) -> Iterator[Mend]:
    """Yield every edit of ``function`` after which ``right(function(*arguments))`` is not empty.

    With ``made``, only such as read something of it instead of, or times, what they read now.
    Nothing where its source cannot be had. Every run is given copies. Where there is a loop only
    its body is edited, and nothing where it is a while loop: an edit must not keep it from ending.
    ``run`` is how a function is run; ``leave`` are the places of what it returns that is right:
    a line that leads to it is let be. The lines ``first``, as file:line, come first: where one of
    them can be edited no other is.
    """
    definition = definition_of(function)
    if definition is None:
        return
    names = dict(function.__globals__) | dict(inspect.getclosurevars(function).nonlocals)
    names |= _defaults(function)
    kinds = _kinds(definition, names, arguments, run)
    kinds |= {name: kind(item.value) for name, item in (made or {}).items()}
    rules = MENDING if made is None else BORROWING
    left = leading_to(definition, [*leave])
    ends = time.process_time() + MOST_SECONDS
    file = Path(function.__code__.co_filename).name
    likely = [s for s in editable(definition) if not places_of(file, s).isdisjoint(first)]
    others = [s for s in editable(definition) if s not in likely]
    mended = False
    for statement in (*likely, None, *others):
        if statement is None and mended:
            return
        if statement is None or statement in left:
            continue
        known = bound_at(definition, statement, kinds)
        for edit in edits(statement, known, rules):
            if time.process_time() > ends:
                return
            borrows = tuple(reads(edit.statement).intersection(made or ()))
            if made is not None and not borrows:
                continue
            edited = _edited(definition, statement, edit)
            space = names | {name: made[name].value for name in borrows} if made else names
            changed = _compiled(edited, space)
            makes = _made(changed, arguments, right, run)
            if makes:
                longer = len(ast.unparse(edit.statement)) - len(ast.unparse(statement))
                place, mended = f"{file}:{statement.lineno}", True
                again = partial(_again, edited, names)
                yield Mend(edit, place, makes, longer, again, changed, borrows)


def _again(
    definition: ast.FunctionDef,
    names: dict[str, Any],
    arguments: tuple[Any, ...],
    made: Mapping[str, Made],
) -> Any:
    space = names | {name: item.value for name, item in made.items()}
    return _run(definition, space, deepcopy(arguments))


def made_by(function: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Made]:
    """Return the arrays that a function makes on its way: {a name that it has not: how}.

    Every expression of its lines, as far as its names hold to the end what they held there.
    """
    definition = definition_of(function)
    if definition is None:
        return {}
    names = dict(function.__globals__) | dict(inspect.getclosurevars(function).nonlocals)
    names |= _defaults(function)
    local = _locals(definition, names, arguments)
    found: dict[str, Made] = {}
    sources = [
        ast.unparse(node)
        for statement in definition.body
        if isinstance(statement, SIMPLE)
        for node in ast.walk(statement)
        if isinstance(node, ast.BinOp | ast.Call | ast.UnaryOp | ast.Subscript)
    ]
    for source in [*dict.fromkeys(sources)][:MOST_MADE]:
        try:
            value = eval(source, names | (local or {}))
        except Exception:  # a name that is bound only inside the expression
            continue
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            found[f"made_{len(found)}_"] = Made(value, source)
    return found


def _defaults(function: Any) -> dict[str, Any]:
    return {
        p.name: p.default
        for p in inspect.signature(function).parameters.values()
        if p.default is not p.empty
    }


def _kinds(
    definition: ast.FunctionDef, names: dict[str, Any], arguments: tuple[Any, ...], run: Run
) -> dict[str, Any]:
    """Return {local name: kind}, from a run that returns its locals at the end."""
    found: dict[str, Any] = {}

    def looking(*given: Any) -> int:
        local = _locals(definition, names, given)
        found.update({name: kind(value) for name, value in (local or {}).items()})
        return 0

    run(looking, arguments)
    if not found:
        bound = [arg.arg for arg in definition.args.args]
        bound += [name for node in ast.walk(definition) if isinstance(node, ast.Assign)
                  for name in targets(node)]  # fmt: skip
        return {name: name for name in bound}
    return found


def _locals(
    definition: ast.FunctionDef, names: dict[str, Any], arguments: tuple[Any, ...]
) -> dict[str, Any] | None:
    """Return what every local name holds at the end of a run, None where that cannot be had."""
    telling = deepcopy(definition)
    last = telling.body[-1]
    if isinstance(last, ast.Return):
        last.value = ast.parse("locals()", mode="eval").body
    try:
        with redirect_stdout(StringIO()):
            found = _run(telling, names, deepcopy(arguments))
    except Exception:
        return None
    return found if isinstance(found, dict) else None


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
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    right: Judge,
    run: Run,
) -> tuple[str, ...]:
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")  # a wrong line may well warn
            return right(run(function, deepcopy(arguments)))
    except Exception:  # an edit may break anything
        return ()


def _run(definition: ast.FunctionDef, names: dict[str, Any], arguments: tuple[Any, ...]) -> Any:
    return _compiled(definition, names)(*arguments)


def _compiled(definition: ast.FunctionDef, names: dict[str, Any]) -> Callable[..., Any]:
    module = ast.fix_missing_locations(ast.Module([definition], []))
    space = dict(names)
    exec(compile(module, "<edited>", "exec"), space)
    function: Callable[..., Any] = space[definition.name]
    return function
