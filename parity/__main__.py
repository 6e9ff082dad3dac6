"""The command `parity`: words in, exit codes out. Each command has a file in `commands/`.

Exit codes: 0 everything agrees; 1 it does not; 2 the user's mistake; 3 our own error; 130
interrupted.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from typing import Annotated

import typer

from parity.commands.check import check
from parity.commands.evaluate import evaluate
from parity.commands.explain import explain
from parity.commands.learn import app as learn
from parity.commands.match import match
from parity.commands.notebook import notebook
from parity.commands.recover import recover
from parity.commands.reproduce import reproduce
from parity.commands.sample import sample
from parity.commands.selftest import selftest
from parity.commands.sweep import sweep
from parity.commands.train import train

app = typer.Typer(
    help="Hand-written gradients in JAX and torch, checked against jax.grad and autograd.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
of_the_notebook = (notebook, train, sweep, evaluate, sample, reproduce, recover)
for command in (check, match, *of_the_notebook, selftest, explain):
    app.command("eval" if command is evaluate else None)(command)
app.add_typer(learn, name="learn")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"backprop-parity {version('backprop-parity')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


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
