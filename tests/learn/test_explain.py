"""`parity explain`: the lines are the files' own, the page is whole and needs no network."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from parity.__main__ import main
from parity.learn import anyway
from parity.learn.facts import CORNERS, Effect, Facts
from parity.learn.page import page
from parity.learn.sources import PACKAGES, source, tensors
from parity.makemore.exercises import ROWS
from tests.shared.browser import NARROW, WIDE, opened

VOID = {"meta", "link", "img"}


class Tags(HTMLParser):
    """Every tag's attributes; fails where a tag is not closed by its own."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag, attribute):
        return [held[attribute] for name, held in self.found if name == tag and attribute in held]


def test_lines_are_the_files_own_and_two_readers_are_two_paths():
    known = tensors()
    assert {*known} == {*ROWS}
    for framework in PACKAGES:
        lines = [line.strip().split("  # twin:")[0] for line in source(framework).split("\n")]
        for tensor in known.values():
            shown = [*tensor.backward[framework].split("\n"), tensor.forward.get(framework, "")]
            assert {*shown} <= {*lines, ""}
            assert f"d{tensor.name} = " in shown[-2]
    two = {name for name, tensor in known.items() if len(tensor.read_by) > 1}
    assert two == {"counts", "logits", "bndiff", "hprebn"}
    assert all(tensor.formula.startswith(f"δ{name}") for name, tensor in known.items())


def test_the_page_holds_every_tensor_and_asks_for_nothing_from_outside():
    value = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    effect = Effect("return a < b", "off by 3%", "exactly -1 times <the right value>")
    fact = Facts(value, -value, dict.fromkeys(CORNERS.values(), 1.0), (effect,))
    text = page(tensors(), dict.fromkeys(ROWS, fact), ROWS)
    tags = Tags(text)
    targets = {*tags.all("section", "id"), *tags.all("nav", "id")}
    assert targets == {*ROWS, "graph"}
    links = tags.all("a", "href")
    assert {link.removeprefix("#") for link in links} == targets
    assert links[: len(ROWS)] == [f"#{name}" for name in ROWS]  # the tab key's order
    assert all(x.startswith("data:") for x in tags.all("img", "src") + tags.all("link", "href"))
    assert not re.search(r"https?:|@import|url\(|fetch\(", text)
    assert "return a &lt; b" in text
    assert "&lt;the right value&gt;" in text
    assert text.count('class="two"><rect') == 4


@pytest.mark.full
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_page_is_walked_by_clicks_and_by_keys(tmp_path, size):
    value = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    effect = Effect("return dhpreact * " + "x * " * 40, "off by 3%", "exactly -1 times that")
    fact = Facts(value, -value, dict.fromkeys(CORNERS.values(), 1.0), (effect,))
    path = tmp_path / "network.html"
    path.write_text(page(tensors(), dict.fromkeys(ROWS, fact), ROWS), encoding="utf-8")

    def shown(tab):
        return tab.evaluate(
            "[...document.querySelectorAll('section')].filter(e => e.offsetHeight).map(e => e.id)"
        )

    with opened(path, size) as tab:
        first, second, *_ = ROWS
        assert shown(tab) == [first]
        for name in ROWS:
            tab.click(f"nav a[href='#{name}']")
            assert shown(tab) == [name]
            assert (
                tab.query_selector(f"nav a[href='#{name}']").get_attribute("class").split()[-1]
                == "here"
            )
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            assert tab.evaluate(
                "[...document.querySelectorAll('section img')].every(e => e.naturalWidth > 0)"
            )
        tab.go_back()
        assert shown(tab) == [ROWS[-2]]
        tab.click(f"nav a[href='#{first}']")
        for key, name in (("ArrowRight", second), ("ArrowDown", ROWS[2]), ("ArrowLeft", second)):
            tab.keyboard.press(key)
            assert shown(tab) == [name]


@pytest.mark.full
def test_the_page_is_computed_from_the_notebooks_batch(tmp_path, monkeypatch):
    chosen = {name: anyway.chosen(name) for name in ("bndiff2.1", "b1.1", "W2.1")}
    monkeypatch.setattr("parity.learn.facts.mistakes", lambda: chosen)
    out = tmp_path / "network.html"
    assert main(["explain", "--html", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert Tags(text).all("section", "id") == [*ROWS]
    assert "exactly (n-1)/n times the right value" in text
    assert "off by 3.1%" in text
    assert "not to be seen: the gradient is 0 at this loss" in text
    assert "of another shape" in text
    sigmas = [float(x) for x in re.findall(r"<td>(\d+\.\d\d)</td>", text)]
    assert len(sigmas) == len(ROWS) * len(CORNERS)
    assert 0.5 < max(sigmas) < 32
