"""What a function did, step by step, and what each path sends back: labels and sums, no arithmetic.

`frameworks/jaxpr_paths.py` and `torch_paths.py` write the tape and differentiate its steps. Where a
value is used more than once, every use sends back a term of its own under its own label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

MOST = 24
"""Terms of one value at most; beyond, they are added up and the finer paths are lost."""

Label = tuple[str, ...]
Terms = dict[Label, Any]

Pull = Callable[[int, Any], Iterator[tuple[int, Any]]]
"""(which output, its cotangent) -> (which input, what it is sent), for every float input."""


@dataclass(eq=False)
class Value:
    """One value of the run: what it is, what it is called, and the step of each of its uses."""

    value: Any
    differentiable: bool
    name: str = ""
    uses: list[Step] = field(default_factory=list)
    terms: Terms = field(default_factory=dict)


@dataclass(eq=False)
class Step:
    """One operation's application."""

    operation: str
    line: str
    """file:line; empty where it is not the user's."""
    inputs: list[Value]
    outputs: list[Value]
    pull: Pull


def send_back(tape: list[Step], held: Callable[[Value], Terms]) -> None:
    """Run a tape backwards: every step sends back what ``held`` says that its outputs hold."""
    for step in tape:
        for value in step.inputs:
            value.uses.append(step)
    for step in reversed(tape):
        for place, output in enumerate(step.outputs):
            for label, term in held(output).items() if output.differentiable else ():
                for i, sent in step.pull(place, term):
                    _add(step.inputs[i], _label(step, i, output, label), sent)


def _label(step: Step, place: int, output: Value, label: Label) -> Label:
    """Return a term's label one step earlier: longer only where the input is used elsewhere too."""
    value = step.inputs[place]
    if len(value.uses) < 2:
        return label
    here = _toward(output)
    if not here or sum(_toward(use.outputs[0]) == here for use in value.uses) > 1:
        same = (step.operation, step.line)
        alike = [*dict.fromkeys(u for u in value.uses if (u.operation, u.line) == same)]
        here = step.operation + (f" {1 + alike.index(step)}" if len(alike) > 1 else "")
        here += f" at {step.line}" if step.line else ""
        if step.inputs.count(value) > 1:  # x * x: both factors are uses
            here += f", factor {place + 1}"
    return label if label[:1] == (here,) else (here, *label)


def _toward(output: Value) -> str:
    """Return the name of the first named tensor after a value, if one way alone leads on."""
    while not output.name and len(output.uses) == 1:
        output = output.uses[0].outputs[0]
    return output.name


def _add(held: Value, label: Label, term: Any) -> None:
    held.terms[label] = held.terms[label] + term if label in held.terms else term
    if len(held.terms) > MOST:
        joined: Terms = {}
        for name, part in held.terms.items():
            joined[name[:1]] = joined[name[:1]] + part if name[:1] in joined else part
        held.terms = joined
