"""`parity check TARGET`: every pair found there, one line each, details for those that fail.

Words in, a report out; what the words mean is decided in `finding.py` and `checking.py`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.checking.check import check
from parity.errors import UsageError
from parity.files import check_writable, write_json
from parity.pairs.finding import find
from parity.pairs.pair import Pair
from parity.progress import progress
from parity.show.report import CHECK_SCHEMA, Report

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


@dataclass(frozen=True)
class Outcome:
    """What came of all pairs: a report each, or the reason why there is none."""

    reports: dict[str, Report]
    broken: dict[str, UsageError]

    def failed(self, strict: bool) -> dict[str, Report]:
        """Return the reports that fail."""
        return {name: r for name, r in self.reports.items() if r.exit_code(strict)}


def run(request: Request, console: Any) -> int:
    """Check every pair of the target; return the exit code: the worst of all pairs."""
    from rich.text import Text

    if request.json is not None:
        check_writable(request.json)
    outcome = _check_all(request, find(request.target, request.keyword), console)
    failed = outcome.failed(request.strict)
    for name, report in (outcome.reports if request.verbose else failed).items():
        console.print()
        report.show(console, request.verbose)
        if name in failed:
            said = Text(f"replay: {replay(request, report)}", style="dim")
            console.print(said, soft_wrap=True)  # to be copied: no line breaks of ours
    console.print(Text(_tally(outcome, len(failed))))
    if request.json is not None:
        write_json(request.json, _plain(request, outcome))
    return 2 if outcome.broken else int(bool(failed))


def _check_all(request: Request, pairs: list[Pair], console: Any) -> Outcome:
    """Check each pair and print its line when it is done."""
    from rich.text import Text

    from parity.show.drawing import COLOURS

    outcome = Outcome({}, {})
    width = min(WIDEST, max(len(pair.name) for pair in pairs)) + 2
    what = f"checking {len(pairs)} pair{'s' * (len(pairs) > 1)}"
    with progress(what, len(pairs) * len(request.seeds)) as advance:
        for pair in pairs:
            try:
                report = check(
                    pair, seeds=request.seeds, dtypes=request.dtypes, done=advance, told=_warn
                )
            except UsageError as error:
                outcome.broken[pair.name] = error
                console.print(Text(f"{pair.name:{width}}{'error':16}{error}", style="red"))
                continue
            outcome.reports[pair.name] = report
            line = f"{pair.name:{width}}{report.verdict:16}{report.told()}"
            console.print(Text(line, style=COLOURS[report.verdict]))
    return outcome


def _warn(what: str) -> None:
    print(f"parity: {what}", file=sys.stderr, flush=True)


def replay(request: Request, report: Report) -> str:
    """Return the command that shows this failure again: one pair, the seed of its first bad row."""
    seed = next((row.batch for row in report.rows if not row.verdict.passes), request.seeds[0])
    return f"parity check {request.target} -k '{report.options.pair}' --seed {seed}"


def _tally(outcome: Outcome, failed: int) -> str:
    """Return the last line: how many pairs, how many failed, how many of each verdict."""
    counts = Counter(str(report.verdict) for report in outcome.reports.values())
    counts["error"] += len(outcome.broken)
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    pairs = len(outcome.reports) + len(outcome.broken)
    return f"{pairs} pair{'s' * (pairs > 1)}, {failed + len(outcome.broken)} failed: {said}"


def _plain(request: Request, outcome: Outcome) -> dict[str, Any]:
    return {
        "schema": CHECK_SCHEMA,
        "target": request.target,
        "pairs": [report.as_dict() for report in outcome.reports.values()],
        "errors": {name: str(error) for name, error in outcome.broken.items()},
    }
