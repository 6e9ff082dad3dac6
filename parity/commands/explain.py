"""`parity explain`: one page of the whole network, tensor by tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explain(
    html: Annotated[Path, typer.Option(help="The page to write.")] = Path("network.html"),
) -> int:
    """Write one HTML page of the whole network: each gradient's line, values, errors, mistakes.

    It needs no network to be read. Takes half a minute: everything on it is computed now.
    """
    from parity.files import check_writable, write_atomically
    from parity.learn.anyway import mistakes
    from parity.learn.facts import facts
    from parity.learn.page import page
    from parity.learn.sources import tensors
    from parity.makemore.exercises import ROWS
    from parity.progress import progress

    check_writable(html)
    with progress("the notebook's batch, in the four corners", len(mistakes())) as advance:
        known = facts(advance)
    write_atomically(html, page(tensors(), known, ROWS))
    print(f"{html}: open it in a browser")
    return 0
