"""A report's page in a browser: everything drawn is to be seen, by keys and on narrow screens."""

import jax.numpy as jnp
import pytest
import torch

import parity
from tests.shared.browser import NARROW, WIDE, opened

pytestmark = pytest.mark.full


class Torch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(6, 5, dtype=torch.float64)

    def forward(self, x):
        return torch.tanh(self.inner(x)) + 1e-3


def apply(params, x):
    return jnp.tanh(x @ params["kernel"] + params["bias"])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    module = Torch()
    params = {
        "kernel": module.inner.weight.detach().numpy().T.copy(),
        "bias": module.inner.bias.detach().numpy().copy(),
    }
    pair = parity.Pair(jax=parity.Model(apply, params), torch=module, inputs={"x": (4, 6)})
    report = parity.check(pair, dtypes=["float64"], budget=5)
    assert not report.verdict.passes
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.write_html(path)
    return path


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_bar_and_the_bound_are_drawn(page, size, scheme):
    with opened(page, size, color_scheme=scheme) as tab:
        for closed in tab.query_selector_all("details:not([open]) > summary"):
            closed.evaluate("e => e.parentElement.open = true")
        charts = tab.query_selector_all("svg")
        assert len(charts) >= 4
        for chart in charts:
            frame = chart.bounding_box()
            marks = chart.query_selector_all("rect, line.axis, text")
            assert len(marks) >= 5
            for mark in marks:
                box = mark.bounding_box()
                assert box, mark.evaluate("e => e.outerHTML")
                assert box["width"] > 0 or box["height"] > 0
                assert frame["x"] - 1 < box["x"] + box["width"] < frame["x"] + frame["width"] + 1
        beyond = tab.query_selector("rect.bad")
        bound = tab.query_selector("line:not(.axis)")
        assert beyond.bounding_box()["x"] > bound.bounding_box()["x"] - 1
        assert beyond.evaluate("e => getComputedStyle(e).fill") != bound.evaluate(
            "e => getComputedStyle(e.parentElement).color"
        )


def test_modules_and_tensors_are_opened_by_keys(page):
    with opened(page) as tab:
        closed = tab.query_selector("details:not([open]) > summary")
        closed.focus()
        tab.keyboard.press("Enter")
        assert closed.evaluate("e => e.parentElement.open")
        seen = set()
        for _ in range(40):
            tab.keyboard.press("Tab")
            seen.add(tab.evaluate("document.activeElement.tagName"))
        assert {"SUMMARY", "DIV"} <= seen  # what opens, and tables that scroll
