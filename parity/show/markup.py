"""HTML made of values: whatever is no `Markup` is text, and escaped. Knows no report."""

from __future__ import annotations

from html import escape

VOID = frozenset({"br", "meta"})
"""Elements that have no end. An SVG's have one: a browser would put all that follows inside."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(element: str, *children: object, **attributes: object) -> Markup:
    """Return an element; None among its children, or as an attribute's value, is left out.

    An attribute's name may end in an underscore; others are hyphens.
    """
    given = [
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    ]
    head = f"<{element}{''.join(given)}>"
    return Markup(head if element in VOID else f"{head}{joined(*children)}</{element}>")


def joined(*children: object) -> Markup:
    """Return children one after another."""
    return Markup(
        "".join(x if isinstance(x, Markup) else escape(str(x)) for x in children if x is not None)
    )


def table(headers: list[str], rows: list[list[object]], caption: str = "") -> Markup:
    """Return a table that scrolls by itself where it is too wide."""
    head = tag("tr", *(tag("th", header, scope="col") for header in headers))
    body = (tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    named = tag("caption", caption) if caption else None
    inner = tag("table", named, tag("thead", head), tag("tbody", *body))
    return tag("div", inner, class_="wide", tabindex=0, role="region", aria_label=caption or None)
