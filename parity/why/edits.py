"""Single edits of a line of array code: the mistakes that a slip of hand or thought makes.

Works on the syntax tree alone: it imports no framework, runs nothing and judges nothing. One edit
at a time, at every place where it fits; `RULES` is the whole list of what an edit can be.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

Kinds = Mapping[str, Hashable]
"""The names that a line may read, each with its kind; names of equal kind are exchangeable."""


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
            yield Edit(rule, before, after, ast.parse(text).body[0])


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


def kind(value: Any) -> Hashable:
    """Return what makes two values exchangeable: an array's shape and dtype, else the type."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return tuple(value.shape), str(value.dtype)
    return str(type(value))


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
                for rule_name, before, after, new in _below(
                    child, kinds, rules, own=field != "func"
                ):
                    inside = new if places is not value else [*value[:i], new, *value[i + 1 :]]
                    changed = _with(node, **{field: inside})
                    if isinstance(child, ast.Name | ast.Constant):  # says too little by itself
                        before, after = ast.unparse(node), ast.unparse(changed)
                    yield rule_name, before, after, changed


def _with(node: Any, **fields: Any) -> Any:
    """Return a shallow copy of ``node`` with other ``fields``."""
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _is_read(node: ast.AST, kinds: Kinds) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in kinds


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _is_path(node: ast.AST, kinds: Kinds) -> bool:
    """Whether ``node`` names a module, a class or a function rather than a value."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id not in kinds


def _receiver(call: ast.Call, kinds: Kinds) -> ast.expr | None:
    """Return x of ``x.method(...)``, None for a plain function."""
    function = call.func
    if isinstance(function, ast.Attribute) and not _is_path(function.value, kinds):
        return function.value
    return None


# Every rule: (node, kinds) -> what may stand in the node's place.

ELEMENTWISE = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
ORDERED = (ast.Sub, ast.Div, ast.Pow, ast.MatMult)


def _operator(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a - b: a + b, a * b, a / b, a ** b, and b - a."""
    if isinstance(node, ast.BinOp):
        for other in ELEMENTWISE:
            if not isinstance(node.op, other):
                yield _with(node, op=other())
        if isinstance(node.op, ORDERED):
            yield _with(node, left=node.right, right=node.left)


def _sign(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """-a: a; and the reverse."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    elif _is_number(node):
        yield from [ast.UnaryOp(ast.USub(), node)] if node.value else []
    elif isinstance(node, ast.BinOp | ast.Call) or _is_read(node, kinds):
        yield ast.UnaryOp(ast.USub(), node)


def _number(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """2: 3, 0 and 1. An axis is a number too."""
    if _is_number(node):
        half = node.value // 2 if node.value == node.value // 2 * 2 else node.value / 2
        for value in (node.value + 1, type(node.value)(0), half):
            yield ast.Constant(value)


def _flag(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """keepdims=True: keepdims=False."""
    flag = node.value if isinstance(node, ast.keyword) else None
    if isinstance(flag, ast.Constant) and flag.value in (True, False):
        yield _with(node, value=ast.Constant(not flag.value))


def _term(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a + b, a * b, a @ b: a, and b. a / b, a ** b: a."""
    if isinstance(node, ast.BinOp):
        yield node.left
        if not isinstance(node.op, ast.Div | ast.Pow):
            yield node.right


def _call(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """f(a), a.f(), a.T, a[i]: a."""
    if isinstance(node, ast.Call):
        receiver = _receiver(node, kinds)
        if receiver is not None:
            yield receiver
        elif node.args and not isinstance(node.args[0], ast.Starred):
            yield node.args[0]
    elif isinstance(node, ast.Subscript) or (
        isinstance(node, ast.Attribute) and not _is_path(node, kinds)
    ):
        yield node.value


def _argument(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a.sum(0, keepdims=True): a.sum(keepdims=True), a.sum(0)."""
    if isinstance(node, ast.Call):
        if _receiver(node, kinds) is not None:
            for i in range(len(node.args)):
                yield _with(node, args=[*node.args[:i], *node.args[i + 1 :]])
        for i in range(len(node.keywords)):
            yield _with(node, keywords=[*node.keywords[:i], *node.keywords[i + 1 :]])


SIMILAR = (
    ("sum", "mean"),
    ("max", "min"),
    ("argmax", "argmin"),
    ("exp", "log"),
    ("zeros_like", "ones_like"),
    ("add", "set"),
    ("scatter_add", "scatter"),
)


def _function(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a.sum(): a.mean(); and so on through `SIMILAR`, both ways."""
    if isinstance(node, ast.Call):
        field = "attr" if isinstance(node.func, ast.Attribute) else "id"
        called = getattr(node.func, field, None)
        for pair in SIMILAR:
            if called in pair:
                other = pair[1 - pair.index(called)]
                yield _with(node, func=_with(node.func, **{field: other}))


def _name(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a: any other name of the same kind."""
    if _is_read(node, kinds):
        for other in kinds:
            if other != node.id and kinds[other] == kinds[node.id]:
                yield _with(node, id=other)


def _order(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a, b = f(): b, a = f()."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
        names = node.targets[0].elts
        for i in range(len(names) - 1):
            swapped = [*names[:i], names[i + 1], names[i], *names[i + 2 :]]
            yield _with(node, targets=[_with(node.targets[0], elts=swapped)])


Rule = Callable[[ast.AST, Kinds], Iterator[ast.AST]]
RULES: tuple[Rule, ...] = (
    _operator, _sign, _number, _flag, _term, _call, _argument, _function, _name, _order,
)  # fmt: skip
"""What can go wrong in one place."""


# Rules whose edits often change nothing: of use in a search, none in a proof.


def _grouping(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a - b ** c: (a - b) ** c; and the reverse."""
    if isinstance(node, ast.BinOp):
        if isinstance(node.right, ast.BinOp):
            inner = node.right
            yield _with(inner, left=_with(node, right=inner.left))
        if isinstance(node.left, ast.BinOp):
            inner = node.left
            yield _with(inner, right=_with(node, left=inner.right))


def _transpose(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a.T: a.reshape(a.T.shape)."""
    if isinstance(node, ast.Attribute) and node.attr == "T" and not _is_path(node, kinds):
        shape = ast.Attribute(node, "shape", ast.Load())
        yield ast.Call(ast.Attribute(node.value, "reshape", ast.Load()), [shape], [])


def _twice(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a: a * a."""
    if _is_read(node, kinds):
        yield ast.BinOp(node, ast.Mult(), node)


SEARCHED: tuple[Rule, ...] = (*RULES, _grouping, _transpose, _twice)
"""What a search for the edit behind a wrong value tries."""


# Rules that put in what may have been left out: of use where a wrong line is to be set right.


def _left_out(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a: a**2, a**3, 2 * a, a / 2, a - 1, a.T, a.conj(), a.sum(0), a.sum(0, keepdims=True)."""
    if _is_read(node, kinds) or isinstance(node, ast.BinOp | ast.Call | ast.Subscript):
        a = ast.unparse(node)
        a = f"({a})" if isinstance(node, ast.BinOp) else a
        for new in (
            *(f"{a} ** 2", f"{a} ** 3", f"2 * {a}", f"{a} / 2", f"{a} - 1", f"{a} + 1", f"{a}.T"),
            *(f"{a}.conj()", f"{a}.sum(0)", f"{a}.sum(0, keepdims=True)"),
            *(f"{a}.sum(-1, keepdims=True)", f"{a}.sum(1)"),
        ):
            yield ast.parse(new, mode="eval").body


def _factor(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a: a * b and a / b for any name b; of a whole number n also a * (n / (n - 1)) and back."""
    if _is_read(node, kinds) or isinstance(node, ast.BinOp | ast.Call):
        for name in kinds:
            factors = [name]
            if kinds[name] == kind(1):
                factors += [f"({name} / ({name} - 1))"]
            for b in (ast.parse(text, mode="eval").body for text in factors):
                yield ast.BinOp(node, ast.Mult(), b)
                yield ast.BinOp(node, ast.Div(), b)


def _sum(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a: a + b and a - b for any name b."""
    if isinstance(node, ast.BinOp | ast.Call):
        for name in kinds:
            b = ast.Name(name, ast.Load())
            yield ast.BinOp(node, ast.Add(), b)
            yield ast.BinOp(node, ast.Sub(), b)


MENDING: tuple[Rule, ...] = (*SEARCHED, _left_out, _factor, _sum)
"""What a search for the edit that sets a wrong line right tries."""
