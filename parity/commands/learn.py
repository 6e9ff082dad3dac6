"""`parity learn`: exercises to write the backward pass oneself, checked as one goes."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import typer

from parity.commands.options import Framework, readers_may_leave

if TYPE_CHECKING:
    from parity.learn.course import Exercise
    from parity.learn.outcome import Judged
    from parity.learn.submission import Started
    from parity.learn.workspace import Workspace

app = typer.Typer(
    help="Write the backward pass yourself, and be told what is wrong.", no_args_is_help=True
)

NameArgument = Annotated[
    str | None,
    typer.Argument(
        help="An exercise by name or number, by default the next; for `check` also FILE.py."
    ),
]
FolderOption = Annotated[Path, typer.Option("--in", help="The folder with the exercises.")]

HERE = Path()

SHOWN = {
    "right": "right",
    "wrong": "wrong",
    "unwritten": "to write",
    "follows": "follows from what is wrong above",
}


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A folder for the exercises; made if need be.")],
    framework: Annotated[Framework, typer.Option(help="In what to write.")] = Framework.torch,
) -> int:
    """Write the exercises into a folder; those that are there stay as they are."""
    from parity.learn.course import course
    from parity.learn.workspace import create

    held = create(folder, framework.value)
    print(f"{len(course())} exercises for {held.framework} in {folder}")
    print(f"cd {folder}; complete {held.file(course()[0]).name}, then `parity learn check`")
    return 0


@app.command()
def check(
    name: NameArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="Every exercise.")] = False,
    folder: FolderOption = HERE,
) -> int:
    """Check an exercise, the next or the named one, or all; or a FILE.py or notebook of your own.

    Exit 1 while anything fails.
    """
    from parity.learn import workspace
    from parity.learn.course import course

    if name and (file := _own_file(name)):
        from parity.learn.notebook import check_file

        fine = False
        with readers_may_leave():
            fine = check_file(file)
        return int(not fine)
    held = workspace.opened(folder)
    if everything:
        wrong = 0
        with readers_may_leave():
            for exercise in course():
                held, fine = _checked(held, exercise, brief=True)
                wrong += not fine
            _how_far(held)
        return int(wrong > 0)
    chosen = workspace.named(name) if name else held.next()
    if chosen is None:
        _finished()
        return 0
    with readers_may_leave():
        held, fine = _checked(held, chosen)
        if fine:
            _how_far(held)
    return int(not fine)


@app.command()
def watch(name: NameArgument = None, folder: FolderOption = HERE) -> int:
    """Check an exercise each time its file is saved, until it is right; Ctrl-C ends it."""
    from parity.learn import workspace
    from parity.learn.submission import Started

    held = workspace.opened(folder)
    chosen = workspace.named(name) if name else held.next()
    if chosen is None:
        _finished()
        return 0
    seen, spare = -1.0, Started(held.framework)
    try:
        while chosen is not None:
            file = held.file(chosen)
            changed = file.stat().st_mtime if file.exists() else 0.0
            if changed == seen:
                time.sleep(0.2)
                continue
            seen = changed
            held, fine = _checked(held, chosen, started=spare)
            if fine:
                _how_far(held)
                chosen, seen = (None if name else held.next()), -1.0
            if chosen is not None:  # the next answer waits for no framework
                spare = Started(held.framework)
                Thread(target=import_module, args=("torch",), daemon=True).start()
                print(f"\nwaiting for {held.file(chosen).name} to be saved\n", flush=True)
    finally:
        spare.end()
    return 0


@app.command("list")
def list_(folder: FolderOption = HERE) -> int:
    """List the exercises and which are solved."""
    from parity.learn import workspace
    from parity.learn.course import course

    held = workspace.opened(folder)
    upcoming = held.next()
    with readers_may_leave():
        for exercise in course():
            mark = (
                "done" if exercise.name in held.solved else "next" if exercise is upcoming else ""
            )
            print(f"{mark:5} {exercise.name:20} {exercise.title}")
        _how_far(held)
    return 0


@app.command("next")
def next_(folder: FolderOption = HERE) -> int:
    """Show the next exercise: its text and its file."""
    from parity.learn import workspace

    held = workspace.opened(folder)
    chosen = held.next()
    if chosen is None:
        _finished()
        return 0
    print(f"{chosen.title}\n\n{chosen.about.strip()}\n")
    print("\n".join(f"    {line}" for line in chosen.forward[held.framework]))
    print(f"\n{held.file(chosen)}")
    return 0


@app.command()
def hint(name: NameArgument = None, folder: FolderOption = HERE) -> int:
    """Give the next of four hints: where, which rule, a small numeric case, the line."""
    from parity.learn import workspace
    from parity.learn.hints import hints, single

    held = workspace.opened(folder)
    chosen = workspace.named(name) if name else held.next()
    if chosen is None:
        _finished()
        return 0
    judged = _judged(held, chosen)
    first = next((one for one in judged if one.status != "right"), None)
    if first is None:
        print(f"{chosen.name} is right; nothing is left to be hinted at")
        return 0
    key = f"{chosen.name}/{first.name or first.step.gradient}"
    ladder = hints(*single(chosen, first.step, first.name), held.framework)
    given = min(held.hints.get(key, 0), len(ladder) - 1)
    print(f"{first.label}, hint {given + 1} of {len(ladder)}: {ladder[given]}")
    held._replace(hints={**held.hints, key: given + 1}).save()
    return 0


@app.command()
def reset(
    name: Annotated[str, typer.Argument(help="An exercise by name or number.")],
    folder: FolderOption = HERE,
) -> int:
    """Write an exercise's file anew; what was written stays beside it, as FILE.old."""
    from parity.files import write_atomically
    from parity.learn import workspace

    held = workspace.opened(folder)
    chosen = workspace.named(name)
    file = held.file(chosen)
    if file.exists():
        file.replace(file.with_suffix(".py.old"))
        print(f"what was there is in {file.with_suffix('.py.old').name}")
    write_atomically(file, chosen.text(held.framework))
    held._replace(solved=tuple(one for one in held.solved if one != chosen.name)).save()
    print(f"{file.name} is as it was at first")
    return 0


@app.command()
def solution(name: NameArgument = None, folder: FolderOption = HERE) -> int:
    """Show how an exercise that is solved may be written, and another way."""
    from parity.errors import UsageError
    from parity.learn import workspace

    held = workspace.opened(folder)
    last = held.solved[-1] if held.solved else None
    if not name and not last:
        raise UsageError("nothing is solved yet; a solution is shown once yours is right")
    chosen = workspace.named(name or str(last))
    if chosen.name not in held.solved:
        raise UsageError(
            f"{chosen.name} is not solved yet; a solution is shown once yours is right "
            "(`parity learn hint` helps)"
        )
    for step in chosen.steps:
        print(step.stub(held.framework, step.solution[held.framework]))
        if other := step.also.get(held.framework):
            print(f"# or\n{step.stub(held.framework, other)}")
    return 0


@app.command()
def wrong(
    mistake: Annotated[
        str | None, typer.Argument(help="Which, as listed without it: bndiff2 or bndiff2.1.")
    ] = None,
    steps: Annotated[int, typer.Option(min=40, help="How many steps to train.")] = 3000,
    out: Annotated[Path | None, typer.Option(help="The picture; by default MISTAKE.png.")] = None,
) -> int:
    """Train with a mistake in one gradient beside the right one: it trains anyway."""
    from parity.learn import anyway

    if mistake is None:
        with readers_may_leave():
            for name, one in anyway.mistakes().items():
                print(f"{name:18} {one.body.strip().splitlines()[-1]}")
        return 0
    from parity.files import check_writable, write_atomically
    from parity.learn.pictures import curves
    from parity.makemore.data import load

    made, dataset = anyway.chosen(mistake), load()
    path = out or Path(f"{made.name}.png")
    check_writable(path)
    print(
        f"d{made.step.gradient}, in place of the right line:\n    {made.body.strip()}\n", flush=True
    )
    runs = (made, None), (None, None), (None, anyway.OTHER)  # a step that fails, at once
    bad, right, other = (anyway.trained(one, dataset, steps, seed) for one, seed in runs)
    print("\n".join(anyway.summary(right, other, bad, made.name)))
    losses = {"right": right.losses, "right, another seed": other.losses, made.name: bad.losses}
    write_atomically(path, curves(losses, f"d{made.step.gradient} with a mistake, and right"))
    print(f"picture: {path}")
    return 0


@app.command()
def selfcheck(
    framework: Annotated[Framework | None, typer.Option(help="In one framework only.")] = None,
) -> int:
    """Check the course: stubs fail, solutions pass, known mistakes fail and are named."""
    from parity.learn.course import FRAMEWORKS
    from parity.learn.selfcheck import selfcheck as every

    mistakes = named = faults = 0
    for found in every([framework.value] if framework else FRAMEWORKS):
        print(
            f"{found.exercise:20} {found.framework:6} {found.cases} ways, "
            f"{found.mistakes} mistakes, {found.named} named",
            flush=True,
        )
        for fault in found.faults:
            print(f"    {fault}")
        mistakes, named = mistakes + found.mistakes, named + found.named
        faults += len(found.faults)
    print(f"{mistakes} mistakes, {named} named, {faults} judged otherwise than they should be")
    return int(faults > 0)


@app.command()
def grade(
    folders: Annotated[list[Path], typer.Argument(help="Folders with exercises, one a learner.")],
    json: Annotated[Path | None, typer.Option(help="Write points and diagnoses here.")] = None,
) -> int:
    """Grade submissions: a point for every gradient that is right; exit 1 unless all are."""
    from parity.files import check_writable, write_json
    from parity.learn.grading import graded

    if json is not None:
        check_writable(json)
    found = []
    with readers_may_leave():
        for folder in folders:
            found.append(graded(folder))
            print(f"{found[-1]['points']:3} of {found[-1]['of']}  {folder}", flush=True)
    if json is not None:
        write_json(json, found)
    return int(any(one["points"] < one["of"] for one in found))


def _own_file(name: str) -> Path | None:
    """Return a file of the learner's own that is no exercise; None where the name is one's."""
    path = Path(name)
    if path.suffix not in (".py", ".ipynb") or not path.is_file():
        return None
    from parity.errors import UsageError
    from parity.learn import workspace

    try:
        workspace.named(name)
        workspace.opened(path.parent)
    except UsageError:
        return path
    return None


def _judged(held: Workspace, exercise: Exercise, started: Started | None = None) -> list[Judged]:
    from parity.errors import UsageError
    from parity.learn.judging import judged

    file = held.file(exercise)
    if not file.is_file():
        raise UsageError(f"{file} is gone; `parity learn reset {exercise.name}` brings it back")
    return judged(exercise, file, held.framework, started=started)


def _checked(
    held: Workspace, exercise: Exercise, brief: bool = False, started: Started | None = None
) -> tuple[Workspace, bool]:
    """Check one exercise, print what came of it, and keep it if it is right."""
    judged = _judged(held, exercise, started)
    fine = all(one.status == "right" for one in judged)
    if brief:
        right = sum(one.status == "right" for one in judged)
        print(f"{'right' if fine else 'wrong':7}{exercise.name:20} {right} of {len(judged)}")
    else:
        print(f"{held.file(exercise).name}: {exercise.title}")
        _told(judged)
    if fine != (exercise.name in held.solved):
        others = tuple(one for one in held.solved if one != exercise.name)
        held = held._replace(solved=(*others, exercise.name) if fine else others)
        held.save()
    return held, fine


def _told(judged: list[Judged]) -> None:
    """Print a line a gradient, and of the first that is wrong why: one message at a time.

    What the learner's own code printed stands below the gradient, marked as theirs.
    """
    from parity.learn.telling import printed

    first = next((one for one in judged if one.status == "wrong"), None)
    for one in judged:
        print(f"  {one.label:17} {SHOWN[one.status]}")
        if one is first:
            for sentence in one.said:
                print(f"      {sentence}")
        elif one.status == "right" and one.said:
            print(f"      {one.said[0]}")
        for line in printed(one.printed):
            print(f"      {line}")


def _how_far(held: Workspace) -> None:
    from parity.learn.course import course

    done = sum(one.name in held.solved for one in course())
    print(f"{done} of {len(course())} exercises solved")
    if upcoming := held.next():
        print(f"next: {upcoming.title}, in {held.file(upcoming).name}")
    else:
        _finished()


def _finished() -> None:
    print("All exercises are solved: the whole backward pass is yours.")
