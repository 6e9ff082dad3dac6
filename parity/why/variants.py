"""A right rule as source, and the wrong values that its one-edit variants would give.

Runs what it is given with the values it is given; knows no tensor and no framework. Values are
whatever the source computes with (torch tensors, JAX or NumPy arrays).
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from parity.why.edit_rules import SEARCHED
from parity.why.edit_syntax import kind
from parity.why.edits import Edit, edits, reads, targets


class Variant(NamedTuple):
    """One or two edits of a formula, and what it computes with them."""

    edits: tuple[Edit, ...]
    value: np.ndarray


@lru_cache(maxsize=256)
def _edits(statement: str, kinds: tuple[tuple[str, Hashable], ...]) -> tuple[Edit, ...]:
    return tuple(edits(ast.parse(statement).body[0], dict(kinds), SEARCHED))


@dataclass(frozen=True)
class Formula:
    """Statements that end in the right value, and what their names stand for before they run."""

    code: tuple[ast.stmt, ...]
    values: Mapping[str, Any]
    """The names that an edit may put in another's place, and their values."""
    namespace: Mapping[str, Any]
    """Everything else that the code reads: modules and functions."""

    @classmethod
    def of(cls, source: str, values: Mapping[str, Any], namespace: Mapping[str, Any]) -> Formula:
        """Return the formula in ``source``: assignments, the last of which assigns the value."""
        return cls(tuple(ast.parse(source).body), values, namespace)

    def run(self, code: Sequence[ast.stmt]) -> np.ndarray | None:
        """Return what ``code`` computes as float64, or None where it cannot run."""
        *before, last = code
        assert isinstance(last, ast.Assign)
        names = dict(self.namespace) | dict(self.values)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a wrong formula may well warn
                exec(compile(ast.Module(before, []), "<formula>", "exec"), names)
                value = eval(compile(ast.Expression(last.value), "<formula>", "eval"), names)
                return np.array(value, np.float64)
        except Exception:  # an edit may break anything
            return None

    def constants(self) -> Iterator[tuple[str, float, Callable[[float], np.ndarray | None]]]:
        """Yield (text, value, constant -> what the code computes with it) for every float name."""
        for name, value in self.values.items():
            if isinstance(value, float) and any(name in reads(s) for s in self.code):
                yield name, value, partial(self._run_with, name)

    def _run_with(self, name: str, value: Any) -> np.ndarray | None:
        return Formula(self.code, {**self.values, name: value}, self.namespace).run(self.code)

    def singles(self) -> Iterator[tuple[int, Edit]]:
        """Yield (which statement, edit) for every single edit."""
        known = {name: kind(value) for name, value in self.values.items()}
        for index, statement in enumerate(self.code):
            for edit in _edits(ast.unparse(statement), tuple(known.items())):
                yield index, edit
            known |= {name: name for name in targets(statement) if name not in known}

    def variants(self) -> Iterator[Variant]:
        """Yield every one-edit variant that runs."""
        for index, edit in self.singles():
            value = self.run((*self.code[:index], edit.statement, *self.code[index + 1 :]))
            if value is not None:
                yield Variant((edit,), value)

    def doubles(self, most: int) -> Iterator[Variant]:
        """Yield up to ``most`` variants of the last statement by the same kind of slip twice.

        The kinds with the fewest edits come first.
        """
        *before, last = self.code
        known = {name: kind(value) for name, value in self.values.items()}
        seen: set[str] = set()
        firsts = {rule: list(edits(last, known, (rule,))) for rule in SEARCHED}
        for rule in sorted(SEARCHED, key=lambda rule: len(firsts[rule])):
            for first in firsts[rule]:
                for second in edits(first.statement, known, (rule,)):
                    text = ast.unparse(second.statement)
                    if text not in seen and len(seen) < most:
                        seen.add(text)
                        value = self.run((*before, second.statement))
                        if value is not None:
                            yield Variant((first, second), value)
