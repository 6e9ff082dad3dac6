"""The network's graph as SVG: a column from the loss down, parameters beside, arcs for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from parity.learn.sources import Tensor

ROW, WIDTH, HEIGHT = 34, 124, 24
LEFT, RIGHT = 50, 206
"""Where the column of tensors begins, and that of parameters."""


def graph(tensors: Mapping[str, Tensor], order: Sequence[str]) -> str:
    """Return the graph; a link a tensor, in ``order``, which is that of the tab key as well."""
    at = places(tensors, order)
    edges = [
        _edge(name, reader, at, len(tensor.read_by) > 1)
        for name, tensor in tensors.items()
        for reader in tensor.read_by
    ]
    nodes = [_node(tensors[name], at[name]) for name in order]
    height = max(y for _, y in at.values()) + ROW
    return (
        f'<svg viewBox="0 0 {RIGHT + WIDTH + 4} {height}" role="group" aria-label="Graph of the '
        f'tensors">\n{"".join(edges)}\n{_loss(at["loss"])}{"".join(nodes)}</svg>'
    )


def places(tensors: Mapping[str, Tensor], order: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return where each tensor stands: computed ones below their readers, parameters beside."""
    column = ["loss", *(name for name in order if tensors[name].forward)]
    found = {name: (LEFT, 8 + ROW * row) for row, name in enumerate(column)}
    for name, tensor in tensors.items():
        if not tensor.forward:
            _, y = found[tensor.read_by[0]]
            taken = {place for place in found.values() if place[0] == RIGHT}
            while (RIGHT, y) in taken:
                y += ROW
            found[name] = RIGHT, y
    return found


def _edge(name: str, reader: str, places: Mapping[str, tuple[int, int]], two: bool) -> str:
    (x, y), (to_x, to_y) = places[name], places[reader]
    middle, end = y + HEIGHT // 2, to_y + HEIGHT // 2
    mark = ' class="two"' if two else ""
    if x == RIGHT:  # a parameter, beside what reads it or below
        return f'<path d="M{x} {middle} L{to_x + WIDTH} {end}"/>'
    if y - to_y == ROW:
        return f'<path{mark} d="M{x + WIDTH // 2} {y} V{to_y + HEIGHT}"/>'
    bow = min(LEFT - 6, 14 + 5 * ((y - to_y) // ROW))
    return f'<path{mark} d="M{x} {middle} C{x - bow} {middle} {x - bow} {end} {x} {end}"/>'


def _node(tensor: Tensor, place: tuple[int, int]) -> str:
    x, y = place
    two = ' class="two"' if len(tensor.read_by) > 1 else ""
    return (
        f'<a href="#{tensor.name}"{two}><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" '
        f'rx="4"/><text x="{x + 8}" y="{y + 16}">{tensor.name}</text></a>\n'
    )


def _loss(place: tuple[int, int]) -> str:
    x, y = place
    return f'<text x="{x + 8}" y="{y + 16}">loss</text>\n'
