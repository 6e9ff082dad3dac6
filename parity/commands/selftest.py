"""`parity selftest`: how often the harness errs."""

from __future__ import annotations

from typing import Annotated

import typer

from parity.commands.options import console


def selftest(
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each function.")] = 20,
) -> int:
    """Run the harness on functions known to be right or wrong; print how often it errs."""
    from parity.progress import progress
    from parity.selftest.rates import count, measure, show

    with progress("testing the harness itself", count()) as advance:
        rates = measure(seeds, advance)
    return show(rates, console())
