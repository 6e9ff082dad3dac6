"""A function as a list of operations that can be run again with something in it changed.

`frameworks/jax_program.py` and `frameworks/torch_program.py` record a function and answer to the
same names; what is recorded is run, and asked what each constant is for, here. Knows no framework,
and does not decide what is to be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Edit = Callable[[Mapping[int, Any], list[Any]], Any]
"""(values by slot, the operation's inputs) -> what it returns instead, as its first output."""

COMPARISONS = frozenset("eq ge gt le lt ne".split())
BOUNDS = frozenset("clamp clamp_max clamp_min maximum minimum".split())
ROOTS = frozenset("rsqrt sqrt".split())
MOVING = frozenset(
    """alias broadcast_in_dim clone convert_element_type copy expand expand_dims full full_like
    lift_fresh lift_fresh_copy new_full reshape scalar_tensor slice squeeze t transpose unsqueeze
    view""".split()
)
"""What changes where numbers stand, how often, or their dtype, and no number."""


ELEMENTWISE = MOVING | frozenset(
    """abs add custom_jvp_call custom_vjp_call div elu erf erfc exp exp2 expm1 gelu gt ge
    hardsigmoid hardswish hardtanh leaky_relu le log log1p log_sigmoid_forward logistic lt max
    maximum clamp clamp_max clamp_min minimum mish mul neg pow reciprocal relu relu6 rsqrt rsub
    select_n sigmoid sign silu softplus sqrt square stop_gradient sub tanh where""".split()
)
"""What makes each number of one number of each input, or moves numbers."""
FILLING = frozenset(
    """empty_like full_like new_empty new_full new_ones new_zeros ones_like zeros_like""".split()
)
"""What is as large as its input, and does not depend on it."""


@dataclass(frozen=True)
class Constant:
    """A number, switch or word that a function has in it; or where one could be put in.

    ``factor`` and ``shift`` of an operation are 1 and 0 and change nothing until they are given
    another value.
    """

    slot: int
    value: Any
    name: str
    """What the framework calls the argument; empty where it has no name of its own."""
    static: bool = False
    """Whether it is no operand: a program is recorded or compiled for one value."""
    inserted: str = ""
    """"factor" or "shift" where the function itself has no such constant."""


@dataclass(frozen=True)
class Window:
    """How an operation slides along its input, axis by axis; of a padding, windows of one number.

    Only axes along which it may slide are here; ``apply`` runs the operation with another window.
    """

    size: tuple[int, ...]
    """Of the input."""
    length: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    apply: Callable[[list[Any], Window], Any]
    mode: str = "zeros"
    """What stands in the padding: zeros, reflect, edge, wrap; nothing where it has to be so."""
    turned: bool = False
    """Whether a kernel is turned round along all these axes."""
    has_kernel: bool = False

    def places(self) -> tuple[int, ...]:
        """Return how often it stands along each axis."""
        axes = zip(self.size, self.length, self.strides, self.dilation, self.padding, strict=True)
        return tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, d, p in axes)


@dataclass(frozen=True)
class Operation:
    """One operation: reads slots, writes slots; may hold programs, a loop's body for one."""

    place: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    apply: Callable[[list[Any], Changes], list[Any]]
    where: str = ""
    factor: int = -1
    """The slots of what its first output may be multiplied by, and shifted by; -1: of neither."""
    shift: int = -1
    held: tuple[Program, ...] = ()
    axis: int | None = None
    """Along which it works, where it is one that may be asked."""
    groups: tuple[int, int] | None = None
    """Into how many groups it parts how many channels, likewise."""
    window: Window | None = None


@dataclass(frozen=True)
class Changes:
    """What is done otherwise: constants by slot, operations by place."""

    values: Mapping[int, Any] = field(default_factory=dict)
    edits: Mapping[int, Edit] = field(default_factory=dict)

    def touch(self, programs: Sequence[Program]) -> bool:
        """Return whether anything in these programs is changed."""
        return any(
            not p.slots.isdisjoint(self.values) or not p.places.isdisjoint(self.edits)
            for p in programs
        )


UNCHANGED = Changes()


def of_input(slot: int) -> int:
    """Return the place at which an input is edited: no operation has it."""
    return -1 - slot


@dataclass(frozen=True)
class Program:
    """What a function did, operation by operation, on inputs of one shape."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operations: tuple[Operation, ...]
    constants: tuple[Constant, ...]
    """Its own, then those of the programs that its operations hold."""
    captured: Mapping[int, Any] = field(default_factory=dict)
    """Arrays that it closes over."""

    @property
    def slots(self) -> frozenset[int]:
        """Return the slot of every constant, held ones too."""
        return frozenset(c.slot for c in self.constants)

    @property
    def static(self) -> frozenset[int]:
        """Return the slots whose value is no operand."""
        return frozenset(c.slot for c in self.constants if c.static)

    @property
    def inserted(self) -> frozenset[int]:
        """Return the slots of the factors and shifts that could be put in."""
        return frozenset(c.slot for c in self.constants if c.inserted)

    def operands(self, inserted: bool) -> dict[int, Any]:
        """Return {slot: value} of every constant that is an operand, or could be put in as one."""
        return {
            c.slot: c.value for c in self.constants if not c.static and (inserted or not c.inserted)
        }

    @property
    def places(self) -> frozenset[int]:
        """Return the place of every operation, held ones too."""
        return frozenset(o.place for _, o in self.walk())

    def walk(self) -> Iterator[tuple[Program, Operation]]:
        """Yield every operation with the program that it is in, held ones too."""
        for operation in self.operations:
            yield self, operation
            for inner in operation.held:
                yield from inner.walk()

    def run(self, inputs: Sequence[Any], changes: Changes = UNCHANGED) -> list[Any]:
        """Return the outputs for these inputs; where a slot has a new value, that is read."""
        values = self.values(inputs, changes)
        return [values[slot] for slot in self.outputs]

    def values(self, inputs: Sequence[Any], changes: Changes = UNCHANGED) -> dict[int, Any]:
        """Return what every slot holds for these inputs."""
        values = {c.slot: c.value for c in self.constants} | dict(self.captured)
        values |= changes.values
        for slot, x in zip(self.inputs, inputs, strict=True):
            edit = changes.edits.get(of_input(slot))
            values[slot] = edit(values, [x]) if edit else x
        for operation in self.operations:
            read = [values[slot] for slot in operation.inputs]
            edit = changes.edits.get(operation.place)
            written = [edit(values, read)] if edit else operation.apply(read, changes)
            if operation.factor in changes.values:
                written[0] = written[0] * changes.values[operation.factor]
            if operation.shift in changes.values:
                written[0] = written[0] + changes.values[operation.shift]
            values.update(zip(operation.outputs, written, strict=False))
        return values

    def inputs_read(self) -> frozenset[int]:
        """Return the inputs that the outputs depend on, for all that can be seen."""
        needed = set(self.outputs)
        for operation in reversed(self.operations):
            if not needed.isdisjoint(operation.outputs) and operation.kind not in FILLING:
                needed.update(operation.inputs)
        return frozenset(needed.intersection(self.inputs))

    def producer(self, slot: int) -> Operation | None:
        """Return the operation that writes a slot, None of an input or a constant."""
        return next((o for o in self.operations if slot in o.outputs), None)

    def consumers(self, slot: int) -> list[Operation]:
        """Return the operations that read a slot, moved and reshaped or not."""
        found = []
        for operation in self.operations:
            if slot in operation.inputs:
                moves = operation.kind in MOVING
                found += self.consumers(operation.outputs[0]) if moves else [operation]
        return found


def uses(program: Program) -> dict[int, tuple[Program, Operation]]:
    """Return {slot: where it is first used} of every constant."""
    found: dict[int, tuple[Program, Operation]] = {}
    slots = program.slots
    for within, operation in program.walk():
        for slot in (*operation.inputs, operation.factor, operation.shift):
            if slot in slots:
                found.setdefault(slot, (within, operation))
    return found


def read_by(constant: Constant, program: Program, operation: Operation) -> tuple[Operation, bool]:
    """Return the operation that first does something with a constant; whether it comes first."""
    slot = constant.slot
    while operation.kind in MOVING and not constant.inserted:
        onward = [o for o in program.operations if operation.outputs[0] in o.inputs]
        if not onward:
            break
        slot, operation = operation.outputs[0], onward[0]
    return operation, bool(operation.inputs) and operation.inputs[0] == slot


def role(constant: Constant, program: Program, operation: Operation) -> str:
    """Return what a constant is for, from where it stands; its own name where it has one."""
    if constant.inserted:
        return constant.inserted
    if constant.name:
        return constant.name
    operation, first = read_by(constant, program, operation)
    kind = operation.kind
    onward = program.consumers(operation.outputs[0])
    divided = any(o.kind == "div" for o in onward)
    if kind == "sub" and not first and constant.value in (0, 1) and divided:
        return "ddof"
    if kind in ("add", "sub"):
        small = isinstance(constant.value, float) and 0 < abs(constant.value) <= 1e-3
        rooted = any(o.kind in ROOTS for o in onward)
        return "epsilon" if small or (rooted and abs(constant.value) < 0.1) else "term"
    if kind == "div":
        return "numerator" if first else "divisor"
    if kind in COMPARISONS:
        return "threshold"
    if kind in BOUNDS:
        return "bound"
    return {"mul": "factor", "pow": "exponent"}.get(kind, "constant")
