"""`parity check TARGET`: every pair found there, one line each, details for those that fail.

Words in, a report out; what the words mean is decided in `finding.py` and `checking.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.checking import check
from parity.errors import UsageError
from parity.finding import find
from parity.progress import progress
from parity.report import CHECK_SCHEMA, COLOURS, Report, check_writable, write_atomically

WIDEST = 40
"""Columns for a pair's name."""


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    target: str
    keyword: str = ""
    seeds: Sequence[int] = (0,)
    dtypes: Sequence[str] = ("float32", "float64")
    strict: bool = False
    json: Path | None = None
    verbose: bool = False


def run(request: Request, console: Any) -> int:
    """Check every pair of the target; return the exit code: the worst of all pairs."""
    from rich.text import Text

    if request.json is not None:
        check_writable(request.json)
    pairs = find(request.target, request.keyword)
    width = min(WIDEST, max(len(pair.name) for pair in pairs)) + 2
    reports: list[Report] = []
    broken: list[tuple[str, UsageError]] = []

    def warn(what: str) -> None:
        print(f"parity: {what}", file=sys.stderr, flush=True)

    with progress(f"checking {len(pairs)} pairs", len(pairs) * len(request.seeds)) as advance:
        for pair in pairs:
            try:
                report = check(
                    pair, seeds=request.seeds, dtypes=request.dtypes, done=advance, told=warn
                )
            except UsageError as error:
                broken.append((pair.name, error))
                console.print(Text(f"{pair.name:{width}}{'error':16}{error}", style="red"))
                continue
            reports.append(report)
            line = f"{pair.name:{width}}{report.verdict:16}{report.told()}"
            console.print(Text(line, style=COLOURS[report.verdict]))
    failed = [report for report in reports if report.exit_code(request.strict)]
    for report in reports if request.verbose else failed:
        console.print()
        report.show(console, request.verbose)
        if report in failed:
            console.print(Text(f"replay: {replay(request, report)}", style="dim"))
    console.print(Text(_tally(reports, failed, broken)))
    if request.json is not None:
        found = {
            "schema": CHECK_SCHEMA,
            "target": request.target,
            "pairs": [report.as_dict() for report in reports],
            "errors": {name: str(error) for name, error in broken},
        }
        write_atomically(request.json, json.dumps(found, indent=1, allow_nan=False) + "\n")
    return 2 if broken else int(bool(failed))


def replay(request: Request, report: Report) -> str:
    """Return the command that shows this failure again: one pair, the seed of its first bad row."""
    seed = next((row.batch for row in report.rows if not row.verdict.passes), request.seeds[0])
    return f"parity check {request.target} -k '{report.options.pair}' --seed {seed}"


def _tally(
    reports: list[Report], failed: list[Report], broken: list[tuple[str, UsageError]]
) -> str:
    counts: dict[str, int] = {}
    for report in reports:
        counts[str(report.verdict)] = counts.get(str(report.verdict), 0) + 1
    if broken:
        counts["error"] = len(broken)
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{len(reports) + len(broken)} pairs, {len(failed) + len(broken)} failed: {said}"
