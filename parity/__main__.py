"""The command `parity`: words in, exit codes out. Imports what a command needs when it runs.

Exit codes: 0 everything agrees; 1 it does not; 2 the user's mistake; 3 our own error; 130
interrupted.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
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


class Framework(StrEnum):
    """Who computes."""

    jax = "jax"
    torch = "torch"


class Frameworks(StrEnum):
    """Who computes, one or both."""

    jax = "jax"
    torch = "torch"
    both = "both"


class Exercise(StrEnum):
    """The notebook's exercises."""

    one = "1"
    two = "2"
    three = "3"
    four = "4"


FrameworkOption = Annotated[Framework, typer.Option(help="Who computes.")]
RunFrameworkOption = Annotated[
    Framework | None, typer.Option(help="Who computes; by default who trained.")
]
NamesOption = Annotated[Path | None, typer.Option(help="A file of names, one a line.")]
JSONOption = Annotated[Path | None, typer.Option(help="Write the whole result here.")]
RunArgument = Annotated[Path, typer.Argument(help="The folder of a training run.")]


class Judged(StrEnum):
    """The precisions in which a pair can be judged."""

    float32 = "float32"
    float64 = "float64"
    bfloat16 = "bfloat16"
    float16 = "float16"


@app.command()
def check(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="FILE.py, a folder, or package.module:NAME, one or more; none: the notebook's."
        ),
    ] = None,
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
    """Check every Pair of files, folders or modules; without one, the notebook's exercises."""
    from parity.commands.check import Request, run
    from parity.errors import UsageError

    dtypes = tuple(d.value for d in dict.fromkeys(dtype or (Judged.float32, Judged.float64)))
    if targets:
        numbers = range(seed, seed + seeds)
        code = 0
        with _readers_may_leave():
            code = run(Request(targets, k, numbers, dtypes, strict, json, verbose), _console())
        return code
    if k or seed or seeds > 1 or not {*dtypes} <= {*DType}:
        raise UsageError("-k, --seeds, --seed and half precision need a FILE.py to check")
    both = DType.both if len(dtypes) == 2 else DType(dtypes[0])
    return notebook(dtype=both, json=json, verbose=verbose, strict=strict)


@app.command()
def notebook(
    dtype: Annotated[DType, typer.Option(help="Precision to judge.")] = DType.both,
    exercise: Annotated[
        list[Exercise] | None, typer.Option(help="Only this one; may be repeated. [1 2 3]")
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps that exercise 4 trains.")] = 1000,
    n_hidden: Annotated[int, typer.Option(help="Width of the hidden layer.")] = 64,
    batch_size: Annotated[int, typer.Option(help="Examples a batch, 2 or more.")] = 32,
    batches: Annotated[int, typer.Option(help="Seeded batches; the worst row is kept.")] = 1,
    seed: Annotated[int, typer.Option(help="Parameters and batches.")] = 2147483647,
    global_seed: Annotated[int, typer.Option(help="bngain and bnbias.")] = 3847735602,
    global_skip: Annotated[int, typer.Option(help="32-bit words to pass over first there.")] = 0,
    names: NamesOption = None,
    json: JSONOption = None,
    verbose: Annotated[bool, typer.Option(help="Forward tensors and all pairs too.")] = False,
    strict: Annotated[bool, typer.Option(help="Fail on lost accuracy too.")] = False,
) -> int:
    """Run the notebook's exercises four ways and judge every gradient."""
    from parity.files import check_writable
    from parity.makemore.data import load
    from parity.makemore.notebook import Options, run, turns
    from parity.progress import progress

    options = Options(
        dtype=dtype.value,
        n_hidden=n_hidden,
        batch_size=batch_size,
        batches=batches,
        seed=seed,
        global_seed=global_seed,
        global_skip=global_skip,
        names=names,
        steps=steps,
        exercises=tuple(int(e) for e in dict.fromkeys(exercise or "123")),
    )
    dataset = load(names)  # what is wrong with a file is said before anything starts
    if json is not None:
        check_writable(json)
    with progress("compiling for both frameworks", turns(options)) as advance:
        report = run(options, dataset, advance)
    if json is not None:
        report.write_json(json)
    with _readers_may_leave():
        report.show(_console(), verbose)
    return report.exit_code(strict)


@app.command()
def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/train"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")] = False,
    framework: FrameworkOption = Framework.jax,
    steps: Annotated[int, typer.Option(help="Steps; may be raised on --resume.")] = 200_000,
    batch_size: Annotated[int, typer.Option(help="Examples a step, 2 or more.")] = 32,
    n_hidden: Annotated[int, typer.Option(help="Width of the hidden layer.")] = 200,
    n_embd: Annotated[int, typer.Option(help="Width of a letter's embedding.")] = 10,
    block_size: Annotated[int, typer.Option(help="Letters of context.")] = 3,
    lr: Annotated[
        str, typer.Option(help="Learning rate, and after a comma the next one @ its first step.")
    ] = "0.1,0.01@100000",
    seed: Annotated[int, typer.Option(help="Parameters and minibatches.")] = 2147483647,
    global_seed: Annotated[
        str, typer.Option(help="bngain and bnbias; 'same' draws them from --seed too.")
    ] = "3847735602",
    global_skip: Annotated[int, typer.Option(help="32-bit words to pass over first there.")] = 2288,
    names: NamesOption = None,
    chunk: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 5000,
) -> int:
    """Train with our own backward pass: the notebook's Exercise 4, or any other run."""
    from parity.commands.train import run
    from parity.errors import UsageError
    from parity.makemore.training import Config

    if global_seed != "same" and not global_seed.lstrip("-").isdecimal():
        raise UsageError(f"--global-seed is {global_seed!r}; give a number, or same")
    config = Config(
        framework=framework.value,
        steps=steps,
        batch_size=batch_size,
        n_hidden=n_hidden,
        n_embd=n_embd,
        block_size=block_size,
        lr=lr,
        seed=seed,
        global_seed=None if global_seed == "same" else int(global_seed),
        global_skip=global_skip,
    )
    _round_alike_everywhere()
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    for line in run(out, config, names, chunk, given if resume else None):
        with _readers_may_leave():
            print(line)
    return 0


@app.command("eval")
def evaluate(
    run: RunArgument,
    framework: RunFrameworkOption = None,
    names: NamesOption = None,
    json: JSONOption = None,
) -> int:
    """Print the train, val and test loss of a training run, after calibrating batchnorm."""
    from parity.commands.train import evaluated
    from parity.files import write_json
    from parity.makemore.checkpoint import Folder

    step, losses = evaluated(Folder(run), framework and framework.value, names)
    if json is not None:
        write_json(json, {"step": step} | losses)
    with _readers_may_leave():
        print(f"after {step:,} steps")
        for split, loss in losses.items():
            print(f"{split} {loss}")
    return 0


@app.command()
def sample(
    run: RunArgument,
    count: Annotated[int, typer.Option(help="How many names.")] = 20,
    sampler: Annotated[
        str, typer.Option(help="jax, or torch-2.5: the rule behind the notebook's list.")
    ] = "jax",
    seed: Annotated[int, typer.Option(help="The sampler's seed.")] = 2147483657,
    framework: RunFrameworkOption = None,
    names: NamesOption = None,
) -> int:
    """Print names drawn from a training run's network."""
    from parity.commands.train import sampled
    from parity.makemore.checkpoint import Folder

    drawn = sampled(Folder(run), framework and framework.value, names, sampler, seed, count)
    with _readers_may_leave():
        print("\n".join(drawn))
    return 0


@app.command()
def reproduce(
    framework: Annotated[
        Frameworks, typer.Option(help="Whose training is held to the figures.")
    ] = Frameworks.jax,
    run: Annotated[
        Path | None, typer.Option(help="Another published run (docs/reproduction.md).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the loss curves.")] = Path("runs"),
    json: JSONOption = None,
) -> int:
    """Reproduce published figures: the notebook's Exercises 1 to 4, its losses and its names."""
    from parity.commands.reproduce import run as reproduce_run

    _round_alike_everywhere()
    frameworks = ("jax", "torch") if framework is Frameworks.both else (framework.value,)
    report = reproduce_run(run, frameworks, out, json)
    with _readers_may_leave():
        report.show(_console())
    return report.exit_code


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


def _round_alike_everywhere() -> None:
    """Ask for the same kernels on every x86 machine, unless the environment already asks.

    XLA on one thread: a step is too small to be shared, two threads take 1.4 times as long
    (docs/performance.md) and move last bits of the statistics over the whole training set. torch's
    AVX2 kernels: its AVX-512 ones end one unit of float32 away from the published validation
    loss. Both are read when a framework computes for the first time.
    """
    os.environ.setdefault("PJRT_NPROC", "1")
    if platform.machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")


@contextmanager
def _readers_may_leave() -> Iterator[None]:
    """Print on; a reader of standard output who has seen enough (`| head`) is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code; the user never sees a traceback."""
    from parity.errors import DivergedError, ParityError, UsageError

    try:
        code: int = app(args=argv, standalone_mode=False) or 0
        return _say("interrupted", code) if code == 130 else code
    except UsageError as error:
        return _say(str(error), 2)
    except (ParityError, DivergedError) as error:
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
