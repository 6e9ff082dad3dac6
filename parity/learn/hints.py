"""A ladder of four hints for one gradient: where, which rule, a small numeric case, the line."""

from __future__ import annotations

import numpy as np

from parity.learn.course import Exercise, Step, course
from parity.learn.judging import right_values


def hints(exercise: Exercise, step: Step, framework: str) -> list[str]:
    """Return the hints for one step, the last of which is the line itself."""
    where, rule = step.hints
    line = step.solution[framework].strip()
    shown = line if "\n" not in line else "\n" + line
    case = [] if step.gives else [numeric_case(exercise, step)]
    return [where, rule, *case, f"the line: {shown.removeprefix('return ')}"]


def single(exercise: Exercise, step: Step, tensor: str) -> tuple[Exercise, Step]:
    """Return the exercise that is about one tensor's gradient alone; else the one given."""
    for other in course():
        for one in other.steps:
            if other.network and not other.fused and one.gradient == tensor and not one.gives:
                return other, one
    return exercise, step


def numeric_case(exercise: Exercise, step: Step) -> str:
    """Return one entry of the right gradient, worked out from one set of numbers."""
    values, right = right_values(exercise, step)
    at = np.unravel_index(int(np.abs(right).argmax()), right.shape)
    place = f"[{', '.join(str(int(i)) for i in at)}]"
    given = []
    for name in step.reads:
        x = values.get(name)
        if x is not None and x.shape == right.shape and x.dtype.kind == "f":
            given.append(f"{name}{place} = {x[at]:.4g}")
        elif x is not None:
            given.append(f"{name} has shape {x.shape}")
    said = f"of shape {right.shape}, d{step.gradient}{place} is {right[at]:.4g}"
    return f"{said}, where {', '.join(given)}" if given else said
