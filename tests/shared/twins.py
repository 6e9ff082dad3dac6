"""The rule of the twins: two packages, one text, the words of the two frameworks aside.

`complaints` reads sources and returns sentences; an empty list means that the twins agree. Imports
are left out, and docstrings need only stand in the same places. A comment `# twin: reason` in both
files excuses a statement that differs; on the header of a function or loop it excuses the body.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("jax_impl", "torch_ref")
WORDS = (
    {"jnp": "FRAMEWORK", "Array": "ARRAY", "jax_impl": "PACKAGE"},
    {"torch": "FRAMEWORK", "Tensor": "ARRAY", "torch_ref": "PACKAGE"},
)
"""What each package's own words stand for; the other's words stay strange to it."""

BY_STATEMENT = frozenset({"params.py", "chunked.py", "ops.py", "mlp.py"})
"""Compared statement by statement; every other file by its public names and signatures."""

TAG = re.compile(r"# twin:(.*)")

Sources = Mapping[str, str]
"""File name to source."""


def read(package: Path) -> dict[str, str]:
    """Return the sources of a package by their path inside it, Python and otherwise."""
    files = (path for path in package.rglob("*") if path.is_file())
    return {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(files)
        if "__pycache__" not in path.parts
    }


def complaints(jax_impl: Sources, torch_ref: Sources) -> list[str]:
    """Return what breaks the rule of the twins, one sentence each."""
    found = []
    for ours, theirs, package, other in (
        (jax_impl, torch_ref, *PACKAGES),
        (torch_ref, jax_impl, *reversed(PACKAGES)),
    ):
        found += [
            f"{package} holds {name}, {other} does not" for name in sorted({*ours} - {*theirs})
        ]
    for name in sorted({*jax_impl} & {*torch_ref}):
        if name.endswith(".py"):
            pair = [
                _File(f"{package}/{name}", sources[name], words)
                for package, sources, words in zip(
                    PACKAGES, (jax_impl, torch_ref), WORDS, strict=True
                )
            ]
            compare = _compare_statements if name in BY_STATEMENT else _compare_signatures
            found += compare(*pair)
    return found


class _File:
    """A source with its framework's words replaced, and the lines on which its tags stand."""

    def __init__(self, path: str, source: str, words: Mapping[str, str]) -> None:
        self.path = path
        self.body = _Neutral(words).visit(ast.parse(source)).body
        self.tags = {
            token.start[0]: match[1].strip()
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT and (match := TAG.search(token.string))
        }

    def at(self, node: ast.stmt) -> str:
        return f"{self.path}:{node.lineno} `{_shown(node)}`"

    def take_tags(self, node: ast.stmt) -> list[str]:
        """Return the reasons on the statement's lines; each excuses once, so they are used up."""
        return [self.tags.pop(line) for line in _lines(node) if line in self.tags]


class _Neutral(ast.NodeTransformer):
    """Replaces the framework's words, empties docstrings and drops imports."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self.words = words

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.words.get(node.id, node.id)
        return node

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        return None

    visit_ImportFrom = visit_Import  # noqa: N815

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = "docstring"
        return self.generic_visit(node)


def _lines(node: ast.stmt) -> range:
    """Return the statement's lines; of a statement that holds others, only its header's."""
    body = getattr(node, "body", None)
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(d.lineno for d in decorators)])
    last = (node.end_lineno or node.lineno) if not body else body[0].lineno - 1
    return range(first, max(last, first) + 1)


def _shown(node: ast.stmt) -> str:
    """Return the statement's first line, decorators aside."""
    return next(line for line in ast.unparse(node).splitlines() if not line.startswith("@"))


class _Header(NamedTuple):
    """A statement without the statements that it holds, and those in their own lists."""

    text: str
    held: tuple[Sequence[ast.stmt], ...]


def _header(node: ast.stmt) -> _Header:
    fields, held = [type(node).__name__], []
    for name, value in ast.iter_fields(node):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            held.append(value)
        elif isinstance(value, list):
            fields.append(f"{name}={[ast.dump(v) if isinstance(v, ast.AST) else v for v in value]}")
        else:
            fields.append(f"{name}={ast.dump(value) if isinstance(value, ast.AST) else value!r}")
    return _Header(" ".join(fields), tuple(held))


def _key(node: ast.stmt) -> str:
    """Return what makes two statements each other's counterpart: the name, or all of it."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return f"{type(node).__name__} {node.name}"
    return _header(node).text


def _compare_statements(left: _File, right: _File) -> list[str]:
    found = list(_compare_bodies(left, right, left.body, right.body))
    for file in (left, right):
        found += [
            f"{file.path}:{line} is tagged `# twin:{reason and ' ' + reason}`, but no statement "
            "there differs; remove the tag"
            for line, reason in file.tags.items()
        ]
    return found


def _compare_bodies(
    left: _File, right: _File, ours: Sequence[ast.stmt], theirs: Sequence[ast.stmt]
) -> Iterator[str]:
    matcher = SequenceMatcher(None, [*map(_key, ours)], [*map(_key, theirs)], autojunk=False)
    for _, i1, i2, j1, j2 in matcher.get_opcodes():
        for mine, other in zip_longest(ours[i1:i2], theirs[j1:j2]):
            if mine is None or other is None:
                file, node, twin = (right, other, left) if mine is None else (left, mine, right)
                yield f"{file.at(node)} has no counterpart at its place in {twin.path}"
            else:
                yield from _compare_pair(left, right, mine, other)


def _compare_pair(left: _File, right: _File, mine: ast.stmt, other: ast.stmt) -> Iterator[str]:
    if ast.dump(mine) == ast.dump(other):
        return
    functions = isinstance(mine, ast.FunctionDef) and isinstance(other, ast.FunctionDef)
    if functions and _signature(mine) != _signature(other):  # which no tag excuses
        yield f"{left.at(mine)} and {right.at(other)} have different signatures"
    reasons, reasons_there = left.take_tags(mine), right.take_tags(other)
    if reasons and reasons_there:
        if "" in (*reasons, *reasons_there):
            yield f"{left.at(mine)} and {right.at(other)}: a tag says why, in both files"
        return
    one, two = _header(mine), _header(other)
    if reasons or reasons_there:
        bare = right if reasons else left
        yield (
            f"{left.at(mine)} differs from {right.at(other)}, but {bare.path} does not say "
            "`# twin: reason`"
        )
    elif one.text != two.text or len(one.held) != len(two.held):
        yield (
            f"{left.at(mine)} differs from {right.at(other)}; make them alike, or say why in both "
            "by `# twin: reason`"
        )
    for inner, outer in zip(one.held, two.held, strict=False):
        yield from _compare_bodies(left, right, inner, outer)


def _signature(node: ast.FunctionDef) -> str:
    return f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns) if node.returns else None}"


def _public(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield every public name of a module or class with its signature, in order."""
    for node in body:
        found: list[tuple[str, str]] = []
        if isinstance(node, ast.FunctionDef):
            found = [(node.name, _signature(node))]
        elif isinstance(node, ast.ClassDef):
            bases = ", ".join(map(ast.unparse, node.bases))
            fields = "; ".join(" ".join(item) for item in _public(node.body))
            found = [(node.name, f"({bases}): {fields}")]
        elif isinstance(node, ast.AnnAssign):
            target = ast.unparse(node.target)
            found = [(target, ast.unparse(node).removeprefix(target))]
        elif isinstance(node, ast.Assign):
            found = [(ast.unparse(target), "") for target in node.targets]
        yield from (item for item in found if not item[0].startswith("_"))


def _compare_signatures(left: _File, right: _File) -> list[str]:
    ours, theirs = dict(_public(left.body)), dict(_public(right.body))
    found = []
    for file, names, twin, others in (
        (left, ours, right, theirs),
        (right, theirs, left, ours),
    ):
        found += [
            f"{file.path} defines {n}, {twin.path} does not" for n in names if n not in others
        ]
    shared = [name for name in ours if name in theirs]
    if shared != [name for name in theirs if name in ours]:
        found.append(f"{left.path} and {right.path} define the same names in another order")
    found += [
        f"{name} is {name}{ours[name]} in {left.path}, {name}{theirs[name]} in {right.path}"
        for name in shared
        if ours[name] != theirs[name]
    ]
    return found
