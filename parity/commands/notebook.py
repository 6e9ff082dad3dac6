"""`parity notebook`: the exercises four ways."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from parity.commands.options import (
    DType,
    HTMLOption,
    JSONOption,
    NamesOption,
    console,
    readers_may_leave,
)


class Exercise(StrEnum):
    """The notebook's exercises."""

    one = "1"
    two = "2"
    three = "3"
    four = "4"


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
    html: HTMLOption = None,
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
    for path in filter(None, (json, html)):
        check_writable(path)
    with progress("compiling for both frameworks", turns(options)) as advance:
        report = run(options, dataset, advance)
    if json is not None:
        report.write_json(json)
    if html is not None:
        report.write_html(html)
    with readers_may_leave():
        report.show(console(), verbose)
    return report.exit_code(strict)
