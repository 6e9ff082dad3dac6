"""Parts of a report's page: a tensor with its histogram, where two sides part, a tree of modules.

Values in, markup out; judges nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from parity.judge.cause import Cause
from parity.judge.compare import BINS, FIRST, Spread
from parity.judge.noise import BOUND
from parity.judge.verdict import Row, Verdict
from parity.show.markup import Markup, joined, table, tag
from parity.show.source import Piece, pieces

if TYPE_CHECKING:
    from parity.models.modules import Part, Weight
    from parity.where.alignment import Place

CLASSES = {
    Verdict.IDENTICAL: "ok",
    Verdict.ROUNDING: "ok",
    Verdict.KINK: "warn",
    Verdict.LESS_ACCURATE: "warn",
    Verdict.CONVENTION: "odd",
    Verdict.NOT_COMPARABLE: "bad",
    Verdict.DIFFERENT: "bad",
}
STATUSES = {"right": "ok", "introduced": "bad", "inherited": "dim", "apart": "bad"}
STEP, HEIGHT = 10, 50
"""Of a bar, in the units of the drawing."""


def chip(words: str, kind: str) -> Markup:
    """Return a word in a coloured frame."""
    return tag("span", words, class_=f"chip {kind}")


def verdict(found: Verdict) -> Markup:
    """Return a verdict in its colour."""
    return chip(str(found), CLASSES[found])


def short(value: float) -> str:
    """Return a number of sigmas in a few characters."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "∞"
    return f"{value:.2g}" if value < 1e4 else f"{value:.1e}"


def histogram(dtype: str, corner: str, spread: Spread) -> Markup:
    """Return how many elements lie how far from the reference, on two logarithmic scales."""
    tallest = max(math.log2(count + 1) for count in spread.counts)
    allowed = int(math.log2(BOUND)) - FIRST + 1
    bars = [
        tag(
            "rect",
            x=place * STEP,
            y=round(HEIGHT * (1 - math.log2(count + 1) / tallest), 1),
            width=STEP - 1,
            height=round(HEIGHT * math.log2(count + 1) / tallest, 1),
            class_="bad" if place >= allowed else None,
        )
        for place, count in enumerate(spread.counts)
        if count
    ]
    bound = allowed * STEP - 0.5
    marks = [
        tag("line", x1=0, y1=HEIGHT, x2=BINS * STEP, y2=HEIGHT, class_="axis"),
        tag("line", x1=bound, y1=0, x2=bound, y2=HEIGHT + 2),
        tag("text", f"{BOUND:.0f} σ", x=bound + 2, y=9),
        tag("text", f"≤ 2^{FIRST}", x=0, y=HEIGHT + 10),
        tag("text", "1", x=(1 - FIRST) * STEP - 3, y=HEIGHT + 10),
        tag("text", f"≥ 2^{FIRST + BINS - 2}", x=BINS * STEP, y=HEIGHT + 10, text_anchor="end"),
    ]
    beyond = sum(spread.counts[allowed:])
    said = f"{corner} in {dtype}: {sum(spread.counts)} elements, {beyond} beyond {BOUND:.0f} sigma"
    box = f"0 0 {BINS * STEP} {HEIGHT + 12}"
    drawn = tag("svg", *bars, *marks, viewBox=box, role="img", aria_label=said)
    return tag("figure", drawn, tag("figcaption", said))


def tensor(name: str, rows: Sequence[Row], path: str = "", open_: bool = False) -> Markup:
    """Return a tensor in one line, and opened its histograms, worst entries and reasons."""
    worst = max((row.verdict for row in rows), key=lambda v: v.severity)
    far = max((row.sigmas for row in rows if row.distances), default=math.nan)
    line = tag(
        "summary",
        tag("code", name),
        tag("span", f" in JAX {path}", class_="dim") if path else None,
        f" {short(far)} σ " if not math.isnan(far) else " ",
        verdict(worst),
    )
    reasons = dict.fromkeys(row.reason for row in rows if row.reason)
    charts = [
        histogram(row.dtype, corner, spread)
        for row in rows
        for corner, spread in row.spreads.items()
        if sum(spread.counts)
    ]
    entries: list[list[object]] = [
        [row.dtype, corner, str([*e.at]), e.value, e.reference, short(e.sigmas)]
        for row in rows
        for corner, spread in row.spreads.items()
        for e in spread.worst
    ]
    headers = ["dtype", "corner", "at", "value", "reference", "sigma"]
    return tag(
        "details",
        line,
        *(tag("p", reason) for reason in reasons),
        tag("div", *charts, class_="charts") if charts else None,
        table(headers, entries, f"worst entries of {name}") if entries else None,
        open="" if open_ else None,
    )


def causes(rows: Sequence[Row]) -> Markup | None:
    """Return causes with what they are of and their evidence, each once; None without any."""
    found: dict[Cause, dict[str, None]] = {}
    for row in rows:
        for cause in row.causes:
            found.setdefault(cause, {})[row.name] = None
    items = [
        tag(
            "li",
            f"{', '.join(names)}: {cause.sentence}",
            tag("span", f" ({cause.evidence})", class_="dim") if cause.evidence else None,
        )
        for cause, names in found.items()
    ]
    return joined(tag("h3", "Why"), tag("ul", *items)) if items else None


def where(places: Sequence[Place]) -> Markup | None:
    """Return where two sides part, the source of both side by side."""
    if not places:
        return None
    drawn = []
    for place in places:
        columns = []
        for side, part in zip(place.sides, place.parts, strict=True):
            lines = [o.line for o in (*part.operations, *part.readers[:1]) if o.line]
            shown = [_source(piece) for piece in pieces(lines)]
            columns.append(tag("div", tag("h4", side), *shown))
        drawn.append(joined(tag("p", place.sentence), tag("div", *columns, class_="sides")))
    return joined(tag("h3", "Where they part"), *drawn)


def _source(piece: Piece) -> Markup:
    lines = []
    for number, text, marked in piece.lines:
        line = f"{number:>4} {text}"
        lines.append(joined(tag("mark", line) if marked else line, "\n"))
    return joined(tag("p", tag("code", piece.file)), tag("pre", *lines, tabindex=0))


def tree(modules: Sequence[Part], rows: Mapping[str, Sequence[Row]]) -> Markup:
    """Return a model's modules one in another, its weights' gradients in each."""
    inside: dict[str, list[Part]] = {}
    for part in modules[1:]:
        inside.setdefault(part.name.rpartition(".")[0], []).append(part)

    def drawn(part: Part) -> Markup:
        below = [drawn(child) for child in inside.get(part.name, ())]
        known = STATUSES.get(part.status, "dim")
        name = part.name.rpartition(".")[2] or "(the whole)"
        line = tag(
            "summary",
            tag("code", name),
            f" {part.kind} {short(part.sigmas)} σ ",
            chip(part.status, known) if part.status else None,
        )
        own = [
            tensor(f"gradient of {weight.name}", rows[weight.name], weight.path)
            for weight in part.weights
            if weight.name in rows
        ]
        wrong = part.status in ("introduced", "apart") or not part.name
        return tag("details", line, *own, *below, open="" if wrong else None)

    return joined(tag("h3", "Modules"), drawn(modules[0]))


def weights(modules: Sequence[Part]) -> Markup:
    """Return which weight is which leaf, and what decided it."""

    def row(weight: Weight) -> list[object]:
        return [weight.name, weight.path, weight.layout, weight.decided]

    rows = [row(weight) for part in modules for weight in part.weights]
    named = tag("summary", f"Weights: {len(rows)}")
    return tag("details", named, table(["torch", "in JAX", "there", "decided by"], rows, "weights"))
