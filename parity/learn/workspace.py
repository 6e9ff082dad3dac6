"""A learner's folder: exercise files to complete, and how far one has come. Judges nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from parity.errors import UsageError
from parity.files import write_atomically, write_json
from parity.learn.course import FRAMEWORKS, Exercise, course

STATE = ".parity-learn.json"
"""What is known of a folder: the framework, what is solved, which hints were given."""


class Workspace(NamedTuple):
    """A folder with exercises."""

    folder: Path
    framework: str
    solved: tuple[str, ...] = ()
    """Exercises by name, in the order in which they were solved."""
    hints: dict[str, int] = {}  # noqa: RUF012
    """{exercise/gradient: hints that were given}."""

    def file(self, exercise: Exercise) -> Path:
        """Return where an exercise is written."""
        return self.folder / f"{exercise.name.replace('-', '_')}.py"

    def save(self) -> None:
        """Write what is known of the folder."""
        held = {"framework": self.framework, "solved": [*self.solved], "hints": self.hints}
        write_json(self.folder / STATE, held)

    def next(self) -> Exercise | None:
        """Return the first exercise that is not solved; None where all are."""
        return next((one for one in course() if one.name not in self.solved), None)


def create(folder: Path, framework: str) -> Workspace:
    """Write every exercise file that is not there; UsageError where the folder has another course.

    Files that are there stay as they are.
    """
    if (folder / STATE).exists():
        held = opened(folder)
        if held.framework != framework:
            raise UsageError(
                f"{folder} holds the course for {held.framework} already; give another folder"
            )
    else:
        held = Workspace(folder, framework)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make {folder}: {error.strerror}") from error
    for exercise in course():
        if not held.file(exercise).exists():
            write_atomically(held.file(exercise), exercise.text(framework))
    held.save()
    return held


def opened(folder: Path) -> Workspace:
    """Return the workspace in a folder, or in one above it; UsageError where there is none."""
    here = folder.resolve()
    for home in (here, *here.parents):
        if (home / STATE).is_file():
            return _read(home)
    raise UsageError(f"{folder} holds no exercises; make some with `parity learn init DIR`")


def _read(home: Path) -> Workspace:
    path = home / STATE
    try:
        held: Any = json.loads(path.read_text(encoding="utf-8"))
        solved = tuple(str(name) for name in held["solved"])
        hints = {str(name): int(count) for name, count in held["hints"].items()}
        framework = str(held["framework"])
        if framework not in FRAMEWORKS:
            raise ValueError(framework)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{path} cannot be read; delete it and run `parity learn init {home}` again: the "
            "exercise files stay as they are"
        ) from None
    return Workspace(home, framework, solved, hints)


def named(name: str) -> Exercise:
    """Return an exercise by its name, its number, or a part of either; UsageError if not one."""
    wanted = Path(name).stem.replace("_", "-")
    found = [one for one in course() if one.name == wanted]
    found = found or [one for one in course() if one.slug == wanted]
    found = found or [one for one in course() if wanted and wanted.lstrip("0") in _number(one)]
    found = found or [one for one in course() if wanted and wanted in one.name]
    if len(found) != 1:
        which = "no exercise is" if not found else "more than one exercise is"
        raise UsageError(f"{which} called {name}; there are {', '.join(o.name for o in course())}")
    return found[0]


def _number(exercise: Exercise) -> tuple[str, ...]:
    return (exercise.name.split("-")[0].lstrip("0"),)
