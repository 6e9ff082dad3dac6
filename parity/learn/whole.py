"""One function of the whole network judged: each gradient that it gives, red where it goes wrong.

Of new parameters, the gradient that was subtracted is judged: (p - new p) / lr.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from parity.judge.cause import Cause, Kind, enumerated
from parity.judge.compare import FLOAT64
from parity.judge.verdict import Status
from parity.learn.course import Step
from parity.learn.outcome import Judged
from parity.learn.submission import FailureError, Submission, Way
from parity.learn.telling import why
from parity.makemore import network_walk
from parity.makemore.data import Split, load
from parity.makemore.exercises import ROWS
from parity.makemore.recipe import NAMES, minibatch
from parity.makemore.seeds import Generator
from parity.makemore.training import Config, initial
from parity.why.answers import cast

Arrays = Mapping[str, np.ndarray]
Call = Callable[..., dict[str, np.ndarray]]
"""The learner's function, of values by name; `way` says how it is run."""

RATE = 64.0
"""The learning rate: a power of 2, and so large that rounding p hides nothing of its gradient."""

STEPS, SIZE = 100, 32
"""How far a right step is tried."""

STATUS = {Status.RIGHT: "right", Status.INTRODUCED: "wrong", Status.INHERITED: "follows"}


class _MisbehavesError(Exception):
    """What is wrong with a function whatever it computes."""

    def __init__(self, kind: Kind, key: str, sentence: str, hint: str) -> None:
        super().__init__(sentence)
        self.cause = Cause(kind, key, sentence, hint)


def whole(step: Step, submission: Submission, name: str) -> list[Judged]:
    """Judge one function that gives many tensors by name."""

    batch, right = network_walk.diagnosis_batch(1), network_walk.right_of_diagnosis(1)
    printed = ""
    call = partial(_call, step, submission, name)
    try:
        try:
            untraced = _first(call, submission, given(batch))
        finally:
            printed = submission.printed
        call = partial(call, way="eager" if untraced else "traced")
        _behaves(step, call, batch, untraced)
        lines = network_walk.walk_pass(partial(_gradients, step, call), batch, right)
    except FailureError as failure:
        status = "unwritten" if failure.unwritten else "wrong"
        return [Judged(step, status, (failure.sentence,), printed=printed)]
    except _MisbehavesError as error:
        cause = error.cause
        said = f"{cause.sentence[:1].upper()}{cause.sentence[1:]}."
        return [Judged(step, "wrong", (said, f"  {cause.hint}"), (cause,), printed=printed)]
    found = [
        Judged(step, STATUS[line.status], tuple(why(line)), line.causes, line.tensor)
        for line in lines
    ]
    found[0] = found[0]._replace(printed=printed)
    if step.gives == "parameters" and all(one.status == "right" for one in found):
        found[-1] = found[-1]._replace(said=(_descent(partial(call, way="compiled")),))
    return found


def _first(call: Call, submission: Submission, values: Arrays) -> FailureError | None:
    """Call a function for the first time; return why it cannot be traced, where it runs untraced.

    From a trace its fifty operations need not be compiled one by one, which takes JAX seconds. What
    prints is run one operation after the other: values are asked for, not shapes.
    """
    untraced = None
    try:
        call(values, way="traced")
        if not submission.printed:
            return None
    except FailureError as failure:
        if not failure.traced:
            raise
        untraced = failure
    call(values, way="eager")
    return untraced


def _descent(call: Call) -> str:
    """Take some steps with a function that gives new parameters; return how the loss falls."""
    dataset = load()
    params, generator = initial(Config(n_hidden=64), dataset)
    first = batch = params | _batch(generator, dataset.train)
    for _ in range(STEPS):
        moved = call(given(batch, 0.1))
        batch = moved | _batch(generator, dataset.train)
    before, after = _loss(first), _loss({**first, **{n: batch[n] for n in NAMES}})
    return (
        f"{STEPS} steps with it, on {SIZE} letters each: the loss of the first {SIZE} letters "
        f"falls from {before:.2f} to {after:.2f}"
    )


def _batch(generator: Generator, split: Split) -> dict[str, np.ndarray]:
    return dict(zip(("Xb", "Yb"), minibatch(generator, split, SIZE), strict=True))


def _loss(inputs: Arrays) -> float:
    return float(network_walk.network().forward(cast(inputs, FLOAT64))["loss"])


def given(batch: Arrays, rate: float = RATE) -> dict[str, np.ndarray]:
    """Return what such a function may ask for beside sizes."""
    return {name: batch[name] for name in (*NAMES, "Xb", "Yb")} | {
        "lr": np.array(rate, batch["C"].dtype)
    }


def _gives(step: Step) -> tuple[str, ...]:
    return tuple(f"d{name}" for name in ROWS) if step.gives == "gradients" else NAMES


def _call(
    step: Step, submission: Submission, name: str, values: Arrays, way: Way
) -> dict[str, np.ndarray]:
    found, changed = submission.call(
        name, values, network_walk.sizes(values), way, gives=_gives(step)
    )
    if changed:
        raise _MisbehavesError(
            Kind.IMPURE,
            "input",
            f"changes what it was given: {', '.join(changed)} differs after the call",
            "A step makes new values. Which line writes into an old one?",
        )
    wanted = [n if step.gives == "parameters" else f"d{n}" for n in NAMES]
    if missing := [n for n in wanted if n not in found]:
        raise FailureError(f"{name} returns no {enumerated(missing)}; it has to be there by name")
    return found


def _gradients(step: Step, call: Call, inputs: Arrays) -> dict[str, np.ndarray]:
    """Return the gradients that a function gives, or those that its parameters were moved by."""
    values = given(inputs)
    found = call(values)
    if step.gives == "gradients":
        return {tensor.removeprefix("d"): x for tensor, x in found.items()}
    return {tensor: (values[tensor] - new) / RATE for tensor, new in found.items()}


def _behaves(step: Step, call: Call, batch: Arrays, untraced: FailureError | None) -> None:
    """Raise what is wrong with a function whatever it computes; nothing where nothing is."""
    values = given(batch)
    first, again = (call(values) for _ in range(2))
    if not _same(first, again):
        raise _MisbehavesError(
            Kind.IMPURE,
            "again",
            "gives another answer when it is called again with the same values",
            "What does it remember from the first call, or draw at random?",
        )
    if step.gives == "parameters":
        slow = call(given(batch, RATE / 2))
        if _same(first, slow):
            raise _MisbehavesError(
                Kind.CONSTANT,
                "lr",
                "gives the same parameters whatever lr is",
                "How far is one step down? Where does lr come in?",
            )
    if untraced is not None:
        raise _MisbehavesError(
            Kind.NOT_TRACEABLE,
            "compiled",
            f"runs, but not compiled: {untraced.sentence}",
            "Shapes must be known before values. Which line asks for a value too early?",
        )


def _same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(x, other[name], equal_nan=True) for name, x in one.items()
    )
