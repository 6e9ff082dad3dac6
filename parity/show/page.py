"""A report as one page of HTML that needs nothing else: no network, no script, no font.

What is opened and closed is `details`, so keys work. Everything of the user's is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from parity.judge.verdict import Row, Verdict
from parity.show.markup import Markup, joined, tag
from parity.show.page_parts import causes, tensor, tree, verdict, weights, where
from parity.show.page_style import STYLE
from parity.show.section import Section


class Told(Protocol):
    """What a page asks of a report."""

    @property
    def sections(self) -> tuple[Section, ...]:
        """One function's rows each."""

    @property
    def verdict(self) -> Verdict:
        """The most severe."""

    def said(self) -> list[str]:
        """The lines that stand first."""

    def noted(self) -> tuple[str, ...]:
        """What was decided without being asked."""


def page(title: str, reports: Mapping[str, Told], errors: Mapping[str, str]) -> str:
    """Return a whole page: every report under its name, and what could not be checked."""
    broken = [
        joined(tag("h2", name), tag("p", said, class_="bad first")) for name, said in errors.items()
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        _style(),
    )
    drawn = [_report(report, name) for name, report in reports.items()]
    body = tag("body", tag("main", tag("h1", title), *broken, *drawn), class_="parity")
    whole = f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"
    return whole.encode(errors="replace").decode()  # a name may hold what no file can


def fragment(report: Told, name: str) -> str:
    """Return a report as a part of a page, with its style."""
    return tag("div", _style(), _report(report, name), class_="parity")


def _style() -> Markup:
    return tag("style", Markup(STYLE))


def _report(report: Told, name: str) -> Markup:
    first, *more = report.said()
    return tag(
        "section",
        tag("h2", name, " ", verdict(report.verdict)),
        tag("p", first, class_="first"),
        *(tag("p", line) for line in more),
        *(part for section in report.sections for part in _section(section, name)),
        *(tag("p", f"Note: {note}.", class_="dim") for note in report.noted()),
    )


def _section(section: Section, name: str) -> Iterator[Markup | None]:
    if section.title != name:
        yield tag("h3", section.title)
    yield causes(section.rows)
    yield where(section.places)
    grouped = _grouped(section.gradients)
    held = {weight.name for part in section.modules for weight in part.weights}
    for title, rows in _grouped(section.forward).items():
        yield tensor(title, rows, open_=not all(row.verdict.passes for row in rows))
    for title, rows in grouped.items():
        if title not in held:
            yield tensor(f"gradient of {title}", rows)
    if section.modules:
        yield tree(section.modules, grouped)
        yield weights(section.modules)


def _grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.name, []).append(row)
    return found
