"""The command `parity`: words in, exit codes out. Imports what a command needs when it runs.

Exit codes: 0 everything agrees; 1 it does not; 2 the user's mistake; 3 our own error; 130
interrupted.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Hand-written gradients in JAX and torch, checked against jax.grad and autograd.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class DType(StrEnum):
    """The precisions to judge."""

    float32 = "float32"
    float64 = "float64"
    both = "both"


class Exercise(StrEnum):
    """The notebook's exercises that compare gradients."""

    one = "1"
    two = "2"
    three = "3"


class Judged(StrEnum):
    """The precisions in which a pair can be judged."""

    float32 = "float32"
    float64 = "float64"
    bfloat16 = "bfloat16"
    float16 = "float16"


@app.command()
def check(
    target: Annotated[
        str, typer.Argument(help="FILE.py or package.module:NAME; without it, the notebook's.")
    ] = "",
    k: Annotated[str, typer.Option("-k", help="Only pairs with this in their name.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    dtype: Annotated[
        list[Judged] | None, typer.Option(help="Precision; may be repeated. [float32, float64]")
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="Fail on lost accuracy and on untested gradients, too.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the whole report here.")] = None,
    verbose: Annotated[bool, typer.Option(help="Details of pairs that agree, too.")] = False,
) -> int:
    """Check every Pair of a file or module; without one, the notebook's exercises."""
    from parity.check_command import Request, run
    from parity.errors import UsageError

    dtypes = tuple(d.value for d in dict.fromkeys(dtype or (Judged.float32, Judged.float64)))
    if target:
        numbers = range(seed, seed + seeds)
        return run(Request(target, k, numbers, dtypes, strict, json, verbose), _console())
    if k or seed or seeds > 1 or not {*dtypes} <= {*DType}:
        raise UsageError("-k, --seeds, --seed and half precision need a FILE.py to check")
    both = DType.both if len(dtypes) == 2 else DType(dtypes[0])
    return notebook(dtype=both, json=json, verbose=verbose, strict=strict)


@app.command()
def notebook(
    dtype: Annotated[DType, typer.Option(help="Precision to judge.")] = DType.both,
    exercise: Annotated[
        list[Exercise] | None, typer.Option(help="Only this exercise; may be repeated.")
    ] = None,
    n_hidden: Annotated[int, typer.Option(help="Width of the hidden layer.")] = 64,
    batch_size: Annotated[int, typer.Option(help="Examples a batch, 2 or more.")] = 32,
    batches: Annotated[int, typer.Option(help="Seeded batches; the worst row is kept.")] = 1,
    seed: Annotated[int, typer.Option(help="Parameters and batches.")] = 2147483647,
    global_seed: Annotated[int, typer.Option(help="bngain and bnbias.")] = 3847735602,
    global_skip: Annotated[int, typer.Option(help="32-bit words to pass over first there.")] = 0,
    names: Annotated[Path | None, typer.Option(help="A file of names, one a line.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the whole report here.")] = None,
    verbose: Annotated[bool, typer.Option(help="Forward tensors and all pairs too.")] = False,
    strict: Annotated[bool, typer.Option(help="Fail on lost accuracy too.")] = False,
) -> int:
    """Run the notebook's exercises four ways and judge every gradient."""
    from parity.data import load
    from parity.notebook import Options, run
    from parity.progress import progress
    from parity.report import check_writable

    options = Options(
        dtype=dtype.value,
        n_hidden=n_hidden,
        batch_size=batch_size,
        batches=batches,
        seed=seed,
        global_seed=global_seed,
        global_skip=global_skip,
        names=names,
        exercises=tuple(int(e) for e in dict.fromkeys(exercise or Exercise)),
    )
    dataset = load(names)  # what is wrong with a file is said before anything starts
    if json is not None:
        check_writable(json)
    steps = options.batches * len(options.exercises)
    with progress("compiling for both frameworks", steps) as advance:
        report = run(options, dataset, advance)
    if json is not None:
        report.write_json(json)
    _show(report, verbose)
    return report.exit_code(strict)


@app.command()
def reproduce() -> int:
    """Reproduce the notebook's published figures: Exercises 1 to 3; training follows."""
    from rich.text import Text

    from parity.notebook import Options, run
    from parity.progress import progress
    from parity.reproduce import exercise_1_loss

    console = _console()
    with progress("compiling for both frameworks", 3) as advance:
        report = run(Options(), done=advance)
    _show(report, verbose=False)
    figures = exercise_1_loss()
    for figure in figures:
        verdict = "holds" if figure.holds else "DOES NOT HOLD"
        console.print(
            Text(
                f"{figure.name} ({figure.framework}): published {figure.published!r}, "
                f"ours {figure.ours!r}, {figure.ulp} ulp: {verdict}"
            )
        )
    console.print(
        f"{sum(f.holds for f in figures)} of {len(figures)} published figures reproduced; "
        "training and its figures follow in a later release"
    )
    return report.exit_code() or int(not all(figure.holds for figure in figures))


@app.command()
def selftest(
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each function.")] = 20,
) -> int:
    """Run the harness on functions known to be right or wrong; print how often it errs."""
    from parity.progress import progress
    from parity.selftest.rates import count, measure, show

    with progress("testing the harness itself", count()) as advance:
        rates = measure(seeds, advance)
    return show(rates, _console())


def _show(report: Any, verbose: bool) -> None:
    """Print the report; a reader who has seen enough (`| head`) is no error."""
    try:
        report.show(_console(), verbose)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code; the user never sees a traceback."""
    from parity.errors import ParityError, UsageError

    try:
        code: int = app(args=argv, standalone_mode=False) or 0
        return _say("interrupted", code) if code == 130 else code
    except UsageError as error:
        return _say(str(error), 2)
    except ParityError as error:
        return _say(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", 130)
    except Exception as error:
        if hasattr(error, "format_message"):  # the command line itself was wrong
            return _say(f"{error.format_message()} Try 'parity --help'.", 2)
        with tempfile.NamedTemporaryFile(
            "w", prefix="parity-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            traceback.print_exc(file=file)
        return _say(f"internal error, {type(error).__name__}: {error} (details: {file.name})", 3)


def _say(message: str, code: int) -> int:
    print(f"parity: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
