"""How much two names, and two places in two trees of modules, look alike.

A guess, and said to be one, wherever it decides. Looks at no number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import cache

SEPARATORS = "./"
COLLECTIONS = frozenset({"params", "batch_stats"})
"""What flax puts in front of every path."""

WORDS = {
    "attention": "attn",
    "beta": "bias",
    "blk": "layer",
    "block": "layer",
    "blocks": "layer",
    "bn": "norm",
    "dense": "linear",
    "downsample": "shortcut",
    "emb": "embed",
    "fc": "linear",
    "gamma": "weight",
    "h": "layer",
    "k": "key",
    "layers": "layer",
    "ln": "norm",
    "o": "out",
    "proj": "out",
    "projection": "out",
    "q": "query",
    "v": "value",
    "variance": "var",
}
"""What two libraries call the same thing."""
ENDINGS = {
    "b": "bias",
    "embedding": "weight",
    "kernel": "weight",
    "offset": "bias",
    "scale": "weight",
    "w": "weight",
}
"""The same, of what stands last."""
FILLERS = frozenset({"running"})


@cache
def steps(name: str) -> tuple[str, ...]:
    """Return the modules in which a tensor stands, and its own name, as they are written."""
    found = re.split(f"[{SEPARATORS}]", name)
    return tuple(found[1:] if found[0] in COLLECTIONS else found)


@cache
def tokens(name: str) -> tuple[str, ...]:
    """Return the words of a name, spelled alike on both sides."""
    path = [re.sub(r"^([A-Z]\w*)_\d+$", r"\1", step) for step in steps(name)]  # flax counts
    words = [w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", " ".join(path))]
    words = [WORDS.get(word, word) for word in words if word not in FILLERS]
    if words:
        words[-1] = ENDINGS.get(words[-1], words[-1])
    return tuple(words)


@cache
def alike(one: str, other: str) -> float:
    """Return how alike two names are, from 0 to 1: words in common, in the same order."""
    a, b = tokens(one), tokens(other)
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    common = sum(block.size for block in matcher.get_matching_blocks())
    last = a[-1:] == b[-1:]
    return (2 * common + last) / (len(a) + len(b) + 1)


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return what sorts names with numbers as people do: layer 2 before layer 10."""
    return tuple(
        (0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part
    )


class Places:
    """Which modules of two trees hold the same tensors, by those that are matched already."""

    def __init__(self, matched: Iterable[tuple[str, str]]) -> None:
        self._both: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = Counter()
        self._one: Counter[tuple[str, ...]] = Counter()
        self._other: Counter[tuple[str, ...]] = Counter()
        for name, path in {*matched}:
            ones, others = _above(name), _above(path)
            self._one.update(ones)
            self._other.update(others)
            self._both.update((a, b) for a in ones for b in others)

    def near(self, name: str, path: str) -> float:
        """Return how deep two modules hold both tensors and, else, the same ones; 0 if nowhere."""
        found = [0.0]
        for a in _above(name):
            for b in _above(path):
                both = self._both[a, b]
                if both:
                    share = both / (self._one[a] + self._other[b] - both)
                    found.append(share * (len(a) + len(b)))
        return max(found)


def _above(name: str) -> list[tuple[str, ...]]:
    path = steps(name)[:-1]
    return [path[:n] for n in range(1, len(path) + 1)]
