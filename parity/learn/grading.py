"""Submissions graded: a point a function, and of each that is wrong what is to be said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parity.learn.course import Exercise, course
from parity.learn.judging import judged
from parity.learn.workspace import Workspace, opened


def graded(folder: Path) -> dict[str, Any]:
    """Return one learner's points and diagnoses as plain values; UsageError where nothing is.

    An exercise whose file is gone has no points, and says so.
    """
    held = opened(folder)
    exercises = [_exercise(held, exercise) for exercise in course()]
    return {
        "folder": str(folder),
        "framework": held.framework,
        "points": sum(one["points"] for one in exercises),
        "of": sum(one["of"] for one in exercises),
        "exercises": exercises,
    }


def _exercise(held: Workspace, exercise: Exercise) -> dict[str, Any]:
    file = held.file(exercise)
    own: dict[str, Any] = {"name": exercise.name, "of": len(exercise.steps)}
    if not file.is_file():
        return own | {"points": 0, "gradients": [], "said": f"{file.name} is not there"}
    found = judged(exercise, file, held.framework)
    gradients = [
        {"gradient": one.name or one.step.gradient, "status": one.status, "said": [*one.said]}
        for one in found
    ]
    wrong = {one.step.function for one in found if one.status != "right"}
    points = sum(step.function not in wrong for step in exercise.steps)
    return own | {"points": points, "gradients": gradients, "said": ""}
