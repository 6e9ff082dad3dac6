"""What a single edit of a line of array code can be: rules, each from one node to what it may be.

A rule is (node, kinds) -> what may stand in the node's place. Looks at syntax alone.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from typing import Any

from parity.why.edit_syntax import (
    Kinds,
    is_number,
    is_numeric,
    is_path,
    is_read,
    is_value,
    is_vector,
    kind,
    receiver_of,
    with_fields,
)

ELEMENTWISE = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
ORDERED = (ast.Sub, ast.Div, ast.Pow, ast.MatMult)


def _operator(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a - b: a + b, a * b, a / b, a ** b, and b - a."""
    if isinstance(node, ast.BinOp):
        for other in ELEMENTWISE:
            if not isinstance(node.op, other):
                yield with_fields(node, op=other())
        if isinstance(node.op, ORDERED):
            yield with_fields(node, left=node.right, right=node.left)


def _sign(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """-a: a; and the reverse."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    elif is_number(node):
        yield from [ast.UnaryOp(ast.USub(), node)] if node.value else []
    elif isinstance(node, ast.BinOp | ast.Call) or is_value(node, kinds):
        yield ast.UnaryOp(ast.USub(), node)


def _number(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """2: 3, 0 and 1. An axis is a number too."""
    if is_number(node):
        half = node.value // 2 if node.value == node.value // 2 * 2 else node.value / 2
        for value in (node.value + 1, type(node.value)(0), half):
            yield ast.Constant(value)


def _flag(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """keepdims=True: keepdims=False."""
    flag = node.value if isinstance(node, ast.keyword) else None
    if isinstance(flag, ast.Constant) and flag.value in (True, False):
        yield with_fields(node, value=ast.Constant(not flag.value))


def _term(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a + b, a * b, a @ b: a, and b. a / b, a ** b: a."""
    if isinstance(node, ast.BinOp):
        yield node.left
        if not isinstance(node.op, ast.Div | ast.Pow):
            yield node.right


def _call(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """f(a), a.f(), a.T, a[i]: a."""
    if isinstance(node, ast.Call):
        receiver = receiver_of(node, kinds)
        if receiver is not None:
            yield receiver
        elif node.args and not isinstance(node.args[0], ast.Starred):
            yield node.args[0]
    elif isinstance(node, ast.Subscript) or (
        isinstance(node, ast.Attribute) and not is_path(node, kinds)
    ):
        yield node.value


def _argument(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a.sum(0, keepdims=True): a.sum(keepdims=True), a.sum(0)."""
    if isinstance(node, ast.Call):
        if receiver_of(node, kinds) is not None:
            for i in range(len(node.args)):
                yield with_fields(node, args=[*node.args[:i], *node.args[i + 1 :]])
        for i in range(len(node.keywords)):
            yield with_fields(node, keywords=[*node.keywords[:i], *node.keywords[i + 1 :]])


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
                yield with_fields(node, func=with_fields(node.func, **{field: other}))


def _name(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a: any other name of the same kind."""
    if is_read(node, kinds):
        for other in kinds:
            if other != node.id and kinds[other] == kinds[node.id]:
                yield with_fields(node, id=other)


def _order(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a, b = f(): b, a = f()."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
        names = node.targets[0].elts
        for i in range(len(names) - 1):
            swapped = [*names[:i], names[i + 1], names[i], *names[i + 2 :]]
            yield with_fields(node, targets=[with_fields(node.targets[0], elts=swapped)])


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
            yield with_fields(inner, left=with_fields(node, right=inner.left))
        if isinstance(node.left, ast.BinOp):
            inner = node.left
            yield with_fields(inner, right=with_fields(node, left=inner.right))


def _transpose(node: ast.AST, kinds: Kinds) -> Iterator[ast.AST]:
    """a.T: a.reshape(a.T.shape)."""
    if isinstance(node, ast.Attribute) and node.attr == "T" and not is_path(node, kinds):
        shape = ast.Attribute(node, "shape", ast.Load())
        yield ast.Call(ast.Attribute(node.value, "reshape", ast.Load()), [shape], [])


def _twice(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a: a * a."""
    if is_value(node, kinds):
        yield ast.BinOp(node, ast.Mult(), node)


SEARCHED: tuple[Rule, ...] = (*RULES, _grouping, _transpose, _twice)
"""What a search for the edit behind a wrong value tries."""


# Rules that put in what may have been left out: of use where a wrong line is to be set right.


def _left_out(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a: a**2, a**3, 2 * a, a / 2, a - 1, 1 - a, a.T, a.conj(), a.sum(0), a.sum(-1, ...)."""
    if is_value(node, kinds) or isinstance(node, ast.BinOp | ast.Call | ast.Subscript):
        a = ast.unparse(node)
        a = f"({a})" if isinstance(node, ast.BinOp) else a
        for new in (
            *(f"{a} ** 2", f"{a} ** 3", f"2 * {a}", f"{a} / 2", f"{a} - 1", f"{a} + 1", f"{a}.T"),
            f"1 - {a}",
            *(f"{a}.conj()", f"{a}.sum(0)", f"{a}.sum(0, keepdims=True)"),
            *(f"{a}.sum(-1, keepdims=True)", f"{a}.sum(1)"),
        ):
            yield ast.parse(new, mode="eval").body


def _factor(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a: a * b and a / b for any name b; of a whole number n also a * (n / (n - 1)) and back.

    Of a vector b also a * b[:, None] and a / b[:, None].
    """
    if is_value(node, kinds) or isinstance(node, ast.BinOp | ast.Call):
        for name in filter(partial(is_numeric, kinds), kinds):
            factors = [name]
            if kinds[name] == kind(1):
                factors += [f"({name} / ({name} - 1))"]
            if is_vector(kinds, name):
                factors += [f"{name}[:, None]"]
            for b in (ast.parse(text, mode="eval").body for text in factors):
                yield ast.BinOp(node, ast.Mult(), b)
                yield ast.BinOp(node, ast.Div(), b)


def _sum(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a: a + b and a - b for any name b."""
    if isinstance(node, ast.BinOp | ast.Call):
        for name in filter(partial(is_numeric, kinds), kinds):
            b = ast.Name(name, ast.Load())
            yield ast.BinOp(node, ast.Add(), b)
            yield ast.BinOp(node, ast.Sub(), b)


def _one_for_all(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a[0]: a[:, None], a[None]."""
    if isinstance(node, ast.Subscript) and is_number(node.slice):
        for new in ("[:, None]", "[None]"):
            yield ast.parse(f"{ast.unparse(node.value)}{new}", mode="eval").body


def _letters(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """einsum("ab,bc->ac"): two letters of one operand, or of the result, exchanged."""
    called = node.func if isinstance(node, ast.Call) else None
    name = getattr(called, "attr", getattr(called, "id", ""))
    text = node.args[0].value if name == "einsum" and isinstance(node.args[0], ast.Constant) else ""
    if not isinstance(text, str) or "->" not in text:
        return
    for a, b in combinations(range(len(text)), 2):
        one = text[a].isalpha() and text[b].isalpha() and text[a] != text[b]
        if one and not {",", ">"}.intersection(text[a:b]):
            new = text[:a] + text[b] + text[a + 1 : b] + text[a] + text[b + 1 :]
            yield with_fields(node, args=[ast.Constant(new), *node.args[1:]])


def _axes(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """a.mean(0), a.mean(1): a.mean((0, 1)); and one of these axes for both."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        for i, axes in enumerate(node.args):
            if isinstance(axes, ast.Tuple) and all(map(is_number, axes.elts)):
                chosen = [ast.unparse(axis) for axis in axes.elts]
            elif is_number(axes) and node.func.attr in ("sum", "mean"):
                chosen = ["(0, 1)", "(1, 2)", "(0, 2)", "(0, 1, 2)"]
            else:
                continue
            for text in chosen:
                new = ast.parse(text, mode="eval").body
                yield with_fields(node, args=[*node.args[:i], new, *node.args[i + 1 :]])


def _fft(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """fft(a): ifft(a), n * ifft(a) and ifft(a, norm="forward"), which is the same; and back."""
    called = node.func if isinstance(node, ast.Call) and node.args else None
    field = "attr" if isinstance(called, ast.Attribute) else "id"
    name = getattr(called, field, "")
    if name.removeprefix("i") in ("fft", "fft2", "fftn"):
        inverse = name[1:] if name[0] == "i" else f"i{name}"
        other = with_fields(node, func=with_fields(called, **{field: inverse}))
        yield other
        if len(node.args) == 1 and not node.keywords:
            n = ast.parse(f"({ast.unparse(node.args[0])}).shape[-1]", mode="eval").body
            back = name[0] == "i"
            yield ast.BinOp(other, ast.Div(), n) if back else ast.BinOp(n, ast.Mult(), other)
        norm = ast.keyword("norm", ast.Constant("forward"))
        yield with_fields(other, keywords=[*node.keywords, norm])


def _backwards(node: Any, kinds: Kinds) -> Iterator[ast.AST]:
    """cumsum(a, axis), a.cumsum(axis): the same from the other end; also of a product."""
    called = node.func if isinstance(node, ast.Call) else None
    if not isinstance(called, ast.Attribute) or called.attr not in ("cumsum", "cumprod"):
        return
    if receiver_of(node, kinds) is not None:  # torch's
        axes, text = node.args, f"({ast.unparse(called.value)}).flip(%s).{called.attr}(%s).flip(%s)"
    else:
        module, axes = ast.unparse(called.value), node.args[1:]
        a = ast.unparse(node.args[0]) if node.args else ""
        text = f"{module}.flip({module}.{called.attr}({module}.flip({a}, (%s,)), %s), (%s,))"
    axes = axes or [k.value for k in node.keywords if k.arg in ("axis", "dim")]
    if len(axes) == 1:
        yield ast.parse(text % ((ast.unparse(axes[0]),) * 3), mode="eval").body


LACKING = (_left_out, _one_for_all, _letters, _axes, _fft, _backwards, _factor, _sum)
MENDING: tuple[Rule, ...] = (*SEARCHED, *LACKING)
"""What a search for the edit that sets a wrong line right tries."""

BORROWING: tuple[Rule, ...] = (_name, _factor)
"""What is tried with arrays that a line could not read so far."""
