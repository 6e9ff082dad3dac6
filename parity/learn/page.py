"""One HTML page of the whole network: the graph, and of each tensor all that is known. No network.

Every section is in the page and shown by its address, so links and keys work without a script;
arrow keys need the few lines at the end. Draws what it is given.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from importlib import resources

import numpy as np

from parity.learn.facts import Effect, Facts
from parity.learn.graph import graph
from parity.learn.pictures import heat
from parity.learn.sources import Tensor

TIMES = "\u00d7"

KEYS = """
const links = [...document.querySelectorAll("nav a")];
const here = () => Math.max(0, links.findIndex(a => a.getAttribute("href") === location.hash));
function mark() {
  links.forEach((a, i) => {
    a.classList.toggle("here", i === here());
    a.setAttribute("aria-current", i === here());
  });
}
addEventListener("hashchange", mark);
addEventListener("keydown", event => {
  const inGraph = document.activeElement.closest("nav");  // elsewhere up and down scroll
  const step = {ArrowRight: 1, ArrowLeft: -1, ...inGraph && {ArrowDown: 1, ArrowUp: -1}}[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const next = Math.min(links.length - 1, Math.max(0, here() + step));
  location.hash = links[next].getAttribute("href");
  links[next].focus({preventScroll: true});
});
mark();
"""


def page(tensors: Mapping[str, Tensor], facts: Mapping[str, Facts], order: Iterable[str]) -> str:
    """Return the page; ``order`` is that of the arrow keys, from the loss back."""
    order = [*order]
    css = resources.files("parity.learn").joinpath("page.css").read_text(encoding="utf-8")
    sections = [
        _section(tensors[name], facts[name], order, number) for number, name in enumerate(order)
    ]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The whole backward pass, tensor by tensor</title>
<link rel="icon" href="data:,">
<style>
{css}</style>
</head>
<body>
<header>
<h1>The whole backward pass, tensor by tensor</h1>
<p class="note">From the loss, at the top, back to the parameters. A tensor
with an <b class="two">orange edge</b> is read by two lines: its gradient is the sum of two. Click
one, or use the keys \u2190 and \u2192.</p>
</header>
<main>
<nav id="graph" aria-label="The network">
{graph(tensors, order)}
</nav>
<div>
{"".join(sections)}
</div>
</main>
<script>{KEYS}</script>
</body>
</html>
"""


def _section(tensor: Tensor, facts: Facts, order: list[str], number: int) -> str:
    name = tensor.name
    shape, paths = tensor.shape.replace(" ", f" {TIMES} "), ""
    if len(tensor.read_by) > 1:
        paths = (
            f'<p class="two">Read by {" and ".join(tensor.read_by)}: '
            f"{len(tensor.read_by)} gradients arrive, and are added.</p>"
        )
    forward = tensor.forward or dict.fromkeys(tensor.backward, "a parameter")
    turn = [
        f'<a href="#{order[at]}">{sign}d{order[at]}</a>'
        if 0 <= at < len(order)
        else "<span></span>"
        for at, sign in ((number - 1, "\u2191 "), (number + 1, "\u2193 "))
    ]
    return f"""<section id="{name}"{' class="first"' if number == 0 else ""}>
<h2><code>{name}</code> <span class="note">({shape})</span></h2>
{paths}<h3>Forward</h3>
{_twins(forward)}
<h3>Its gradient</h3>
<p class="formula">{escape(tensor.formula)}</p>
{_twins(tensor.backward)}
<h3>On the notebook's batch</h3>
<div class="twins">
{_figure(name, facts.value)}
{_figure(f"d{name}", facts.gradient)}
</div>
<h3>Rounding in float32</h3>
{_sigmas(facts.sigmas)}
<h3>Common mistakes, and what they do</h3>
{_effects(facts.effects)}
<div class="turn">{turn[0]}<a href="#graph">graph</a>{turn[1]}</div>
</section>
"""


def _twins(lines: Mapping[str, str]) -> str:
    shown = {"torch": "torch", "jax": "JAX"}
    held = "".join(
        f"<div><h4>{shown[f]}</h4><pre>{escape(line)}</pre></div>" for f, line in lines.items()
    )
    return f'<div class="twins">{held}</div>'


def _figure(name: str, values: np.ndarray) -> str:
    picture = base64.b64encode(heat(values)).decode()
    size = f" {TIMES} ".join(map(str, values.shape))
    said = f"{size}, from {values.min():.3g} to {values.max():.3g}"
    zeros = int(np.sum(values == 0))
    if zeros:
        said += f"; {zeros} of {values.size} are 0"
    return (
        f'<figure><img alt="{name} as a heat map: {said}" src="data:image/png;base64,{picture}">'
        f"<figcaption><code>{name}</code>: {said}; blue below 0, red above</figcaption></figure>"
    )


def _sigmas(sigmas: Mapping[str, float]) -> str:
    heads = "".join(f"<th>{escape(corner)}</th>" for corner in sigmas)
    cells = "".join(f"<td>{far:.2f}</td>" for far in sigmas.values())
    return (
        f"<table><tr>{heads}</tr><tr>{cells}</tr></table>"
        '<p class="note">The farthest entry from the float64 value, in sigmas: the rounding that '
        "the computation must have. Up to 32 is called right.</p>"
    )


def _effects(effects: Iterable[Effect]) -> str:
    rows = "".join(
        f"<tr><td><pre>{escape(e.body)}</pre></td><td>{escape(e.apart)}</td>"
        f"<td>{escape(e.said)}</td></tr>"
        for e in effects
    )
    if not rows:
        return '<p class="note">The course knows none of this line alone.</p>'
    return (
        "<table><tr><th>in place of the line</th><th>the gradient is</th><th>what the check says"
        f"</th></tr>{rows}</table>"
        '<p class="note">How far it is off is measured on the notebook\u2019s batch; what the '
        "check says, on one of 5 examples and 11 letters.</p>"
    )
