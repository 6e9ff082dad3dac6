"""Every path by which an input reaches the outputs of a torch function, and what each sends back.

`jaxpr_paths.py` answers to the same names. The function is recorded as torch dispatches it, opened
as for the yardstick; each operation is differentiated alone, by autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from parity.frameworks.programs import UNCHANGED, Operation, Program
from parity.frameworks.tape import Pull, Step, Terms, Value, send_back
from parity.frameworks.torch_program import record

Function = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Tensors by name from inputs by name."""


def compiled(function: Function) -> Callable[..., dict[str, dict[str, Any]]]:
    """Return ``(inputs, cotangents) -> paths``; torch runs eagerly here."""
    return partial(paths, function)


def paths(
    function: Function, inputs: Mapping[str, Tensor], cotangents: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """Return {input: {path: term}} for every float input; the terms add up to its gradient.

    A path is called after the operations at which it parts, and the output that it leads to.
    """
    names: list[str] = []

    def flat(*leaves: Tensor) -> Mapping[str, Tensor]:
        found = function(dict(zip(inputs, leaves, strict=True)))
        names[:] = found
        return found

    program = record(flat, [*inputs.values()])[1]
    values, tape = _run(program, inputs)
    for name, slot in zip(names, program.outputs, strict=True):
        values[slot].name = values[slot].name or name

    def held(value: Value) -> Terms:
        own = {(value.name,): cotangents[value.name]} if value.name in cotangents else {}
        return value.terms | own

    send_back(tape, held)
    return {
        name: {" > ".join(label): term for label, term in values[slot].terms.items()}
        for name, slot in zip(inputs, program.inputs, strict=True)
        if values[slot].differentiable
    }


def _value(value: Any, name: str = "") -> Value:
    smooth = isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())
    return Value(value, smooth, name)


def _run(program: Program, inputs: Mapping[str, Tensor]) -> tuple[dict[int, Value], list[Step]]:
    """Run a program and return every slot's value, and the steps."""
    values = {c.slot: _value(c.value) for c in program.constants}
    values |= {slot: _value(x) for slot, x in program.captured.items()}
    values |= {
        s: _value(x, name) for s, (name, x) in zip(program.inputs, inputs.items(), strict=True)
    }
    tape = []
    for operation in program.operations:
        read = [values[slot] for slot in operation.inputs]
        with torch.no_grad():
            found = operation.apply([_copied(x.value) for x in read], UNCHANGED)
        written = [_value(x) for x in found]
        values |= dict(zip(operation.outputs, written, strict=True))
        pull = _pull(operation, read)
        tape.append(Step(operation.kind, operation.where, read, written, pull))
    return values, tape


def _pull(operation: Operation, inputs: list[Value]) -> Pull:
    """Return the operation's derivative, by autograd."""
    places = [i for i, x in enumerate(inputs) if x.differentiable]

    def pull(place: int, term: Tensor) -> Iterator[tuple[int, Any]]:
        with torch.enable_grad():
            leaves = {i: inputs[i].value.detach().clone().requires_grad_() for i in places}
            # a copy, since an operation in place must not meet a leaf
            given = [leaves[i].clone() if i in leaves else x.value for i, x in enumerate(inputs)]
            output = operation.apply(given, UNCHANGED)[place]
        if output.requires_grad:
            sent = torch.autograd.grad(output, [*leaves.values()], term, allow_unused=True)
            yield from ((i, x) for i, x in zip(leaves, sent, strict=True) if x is not None)

    return pull


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
