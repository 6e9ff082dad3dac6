"""A report as a page: whole, well formed, and nothing of the user's is taken for HTML."""

from html.parser import HTMLParser

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import parity
from parity.judge.cause import Cause, Kind
from parity.judge.compare import BINS, FIRST, spread
from parity.judge.verdict import Row, Verdict
from parity.models.modules import Part, Weight
from parity.show.markup import VOID
from parity.show.page import page
from parity.show.report import Report
from parity.show.section import Section
from parity.show.source import pieces

HOSTILE = """</summary><script>alert("1")</script><img src=x onerror='a()'> & \u202e \x00 {{x}}"""


class Parsed(HTMLParser):
    """Elements, their attributes and the text, with every element closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def report_of(name):
    far = spread(np.array([1.0, 2.0]), np.array([1.0, 9.0]), np.ones(2))
    cause = Cause(Kind.CONVENTION, name, name, name, name)
    how = {"causes": (cause,), "spreads": {"jax": far}}
    rows = tuple(
        Row(x, "float64", Verdict.CONVENTION, x, **how) for x in (name, f"{name}.w", f"{name}.v")
    )
    weight = Weight(f"{name}.w", name, name, "value", "convention")
    parts = (
        Part("", name, "introduced", 3.0, ()),
        Part(name.replace(".", " "), name, name, float("nan"), (weight,)),
    )
    section = Section(name, rows[:1], rows[1:], modules=parts)
    return Report(type("Options", (), {"pair": name})(), (section,), (name,))


@pytest.mark.parametrize("name", [HOSTILE, "\ud800", "<", 'a" onclick="b', "-->", "]]>"])
def test_nothing_of_the_users_is_html_and_nothing_comes_from_elsewhere(name):
    found = Parsed(page(name, {name: report_of(name)}, {name: name}))
    plain = Parsed(page("x", {"x": report_of("x")}, {"x": "x"}))
    assert found.elements == plain.elements
    known = {(tag, attribute) for tag, attribute, _ in plain.attributes}
    assert {(tag, attribute) for tag, attribute, _ in found.attributes} <= known
    assert not {"script", "img", "link", "iframe"} & {*found.elements}
    assert not {a for _, a, _ in found.attributes if a.startswith("on") or a in ("src", "href")}
    assert "url(" not in found.text
    assert "@import" not in found.text
    readable = name.encode(errors="replace").decode().replace("\x00", "")
    assert readable in found.text.replace("\ufffd", "").replace("\x00", "")


def test_a_report_shows_itself_and_writes_a_page(tmp_path):
    def wrong(x):
        return torch.sin(x) + 1e-3

    report = parity.check(
        parity.Pair(jax=jnp.sin, torch=wrong, inputs={"x": (3,)}), dtypes=["float64"], budget=0
    )
    shown = report._repr_html_()
    assert report.summary() in Parsed(shown).text
    report.write_html(tmp_path / "page.html")
    found = Parsed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert found.elements.count("figure") == 4  # two sides of the output and of the gradient
    assert "jax in float64: 3 elements, 0 beyond 32 sigma" in found.text
    assert "torch in float64: 3 elements, 3 beyond 32 sigma" in found.text
    assert found.elements.count("rect") >= 4
    keys = [a for _, a, value in found.attributes if a == "tabindex" and value == "0"]
    assert len(keys) >= found.elements.count("table")  # what scrolls is reached by keys


def test_elements_are_counted_by_their_distance():
    off = np.array([0.0, 1.0, 1.5, 31.9, 32.0, 1e9, np.inf])
    found = spread(off, np.zeros(7), np.ones(7))
    bins = {place: count for place, count in enumerate(found.counts) if count}
    # below 2**-6; [1, 2); [16, 32); [32, 64); all above
    assert bins == {0: 1, 1 - FIRST: 2, 5 - FIRST: 1, 6 - FIRST: 1, BINS - 1: 2}
    assert [e.at for e in found.worst] == [(6,), (5,), (4,)]
    assert spread(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2))).worst == ()


def test_source_is_shown_where_one_file_has_the_name(tmp_path):
    import tests.show.test_page as here

    (piece,) = pieces([f"test_page.py:{13} (norm, LayerNorm)", "nowhere.py:3"])
    assert piece.file == "test_page.py"
    assert [number for number, _, marked in piece.lines if marked] == [13]
    assert here.__file__.endswith(piece.file)
    assert pieces(["__init__.py:1"]) == []
