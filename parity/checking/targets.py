"""`parity check TARGET...`: every pair found there, one line each, details for those that fail.

Words in, a report out; what the words mean is decided in `finding.py` and `checking.py`.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.checking.check import check
from parity.errors import UsageError
from parity.files import check_writable, write_atomically, write_json
from parity.pairs.finding import Found, search
from parity.progress import progress
from parity.show.page import page
from parity.show.report import CHECK_SCHEMA, Report
from parity.why.budget import SECONDS

WIDEST = 40
"""Columns for a pair's name."""


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    targets: Sequence[str]
    keyword: str = ""
    seeds: Sequence[int] = (0,)
    dtypes: Sequence[str] = ("float32", "float64")
    strict: bool = False
    json: Path | None = None
    html: Path | None = None
    verbose: bool = False
    budget: float = SECONDS
    """Seconds in which reasons are looked for, a pair."""


@dataclass(frozen=True)
class Outcome:
    """What came of all pairs: a report each, or the reason why there is none."""

    reports: dict[str, Report]
    broken: dict[str, UsageError]
    unread: dict[str, UsageError]
    """By file: those that cannot be imported."""
    targets: dict[str, str]
    """Where each pair is."""

    def failed(self, strict: bool) -> dict[str, Report]:
        """Return the reports that fail."""
        return {name: r for name, r in self.reports.items() if r.exit_code(strict)}


def run(request: Request, console: Any) -> int:
    """Check every pair of the targets; return the exit code: the worst of all pairs."""
    from rich.text import Text

    for path in filter(None, (request.json, request.html)):
        check_writable(path)
    found, unread = search(request.targets, request.keyword)
    outcome = Outcome({}, {}, unread, {})
    for where, error in unread.items():
        console.print(Text(f"{where}  error  {error}", style="red"))
    _check_all(request, found, outcome, console)
    failed = outcome.failed(request.strict)
    for name, report in (outcome.reports if request.verbose else failed).items():
        console.print()
        report.show(console, request.verbose)
        if name in failed:
            said = Text(f"replay: {replay(request, outcome.targets[name], report)}", style="dim")
            console.print(said, soft_wrap=True)  # to be copied: no line breaks of ours
    console.print(Text(_tally(outcome, len(failed))))
    if request.json is not None:
        write_json(request.json, _plain(request, outcome))
    if request.html is not None:
        title = f"parity check {' '.join(request.targets)}"
        write_atomically(request.html, page(title, outcome.reports, _errors(outcome)))
    return 2 if outcome.broken or outcome.unread else int(bool(failed))


def _labelled(found: Sequence[Found]) -> dict[str, Found]:
    """Return every pair by its name; by file and name, where there are several files."""
    several = len({target for target, _ in found}) > 1
    labelled: dict[str, Found] = {}
    for one in found:
        label = f"{one.target}:{one.pair.name}" if several else one.pair.name
        twin = sum(known.split(" #")[0] == label for known in labelled)
        labelled[f"{label} #{twin + 1}" if twin else label] = one
    return labelled


def _check_all(request: Request, found: Sequence[Found], outcome: Outcome, console: Any) -> None:
    """Check each pair and print its line when it is done."""
    from rich.text import Text

    from parity.show.drawing import COLOURS

    labelled = _labelled(found)
    width = min(WIDEST, max(map(len, labelled), default=0)) + 2
    what = f"checking {len(found)} pair{'s' * (len(found) > 1)}"
    with progress(what, len(found) * len(request.seeds)) as advance:
        for label, (target, pair) in labelled.items():
            try:
                report = check(
                    pair,
                    seeds=request.seeds,
                    dtypes=request.dtypes,
                    budget=request.budget,
                    done=advance,
                    told=_warn,
                )
            except UsageError as error:
                outcome.broken[label] = error
                console.print(Text(f"{label:{width}}{'error':16}{error}", style="red"))
                continue
            outcome.reports[label], outcome.targets[label] = report, target
            line = f"{label:{width}}{report.verdict:16}{report.told()}"
            console.print(Text(line, style=COLOURS[report.verdict]))


def _warn(what: str) -> None:
    print(f"parity: {what}", file=sys.stderr, flush=True)


def replay(request: Request, target: str, report: Report) -> str:
    """Return the command that shows this failure again: one pair, the seed of its first bad row."""
    seed = next((row.batch for row in report.rows if not row.verdict.passes), request.seeds[0])
    return f"parity check {shlex.quote(target)} -k '{report.options.pair}' --seed {seed}"


def _tally(outcome: Outcome, failed: int) -> str:
    """Return the last line: how many pairs, how many failed, how many of each verdict."""
    counts = Counter(str(report.verdict) for report in outcome.reports.values())
    counts["error"] += len(outcome.broken)
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    pairs = len(outcome.reports) + len(outcome.broken)
    tally = f"{pairs} pair{'s' * (pairs != 1)}, {failed + len(outcome.broken)} failed"
    files = len(outcome.unread)
    unread = f"; {files} file{'s' * (files > 1)} cannot be imported" if files else ""
    return f"{tally}{': ' * bool(said)}{said}{unread}"


def _plain(request: Request, outcome: Outcome) -> dict[str, Any]:
    return {
        "schema": CHECK_SCHEMA,
        "target": " ".join(request.targets),
        "pairs": [
            {"target": outcome.targets[name]} | report.as_dict()
            for name, report in outcome.reports.items()
        ],
        "errors": _errors(outcome),
    }


def _errors(outcome: Outcome) -> dict[str, str]:
    return {name: str(error) for name, error in (outcome.unread | outcome.broken).items()}
