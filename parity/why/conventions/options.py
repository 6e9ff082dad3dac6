"""Options of an operation that are no number: how a window is padded, dilated, turned round.

Proposed from how the operation slides along its input, with as many places as it has now;
`search.py` tries them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from parity.frameworks.programs import UNCHANGED, Edit, Operation, Program, Window
from parity.why.conventions.alternatives import Alternative

Padding = tuple[tuple[int, int], ...]
MODES = ("zeros", "reflect", "edge", "wrap")
SAID = {"wrap": "circular", "edge": "replicated"}
DILATIONS = (1, 2, 3)
RESIZING = re.compile(
    r"_?upsample_(?P<rule>nearest(_exact)?|linear|bilinear|bicubic|trilinear)[123]d(?P<filtered>_aa)?$"
)
RULES = (
    *(("bilinear", False), ("bilinear", True), ("bicubic", False), ("bicubic", True)),
    *(("nearest", False), ("nearest-exact", False), ("area", False)),
)
"""Each with whether it is filtered first, against aliasing."""
COEFFICIENTS = {
    ("bicubic", True): ", and with it the cubic's coefficient -0.5 for -0.75",
    ("bicubic", False): ", and with it the cubic's coefficient -0.75 for -0.5",
}
"""torch has one for each."""


def options(program: Program, m: Any) -> Iterator[Alternative]:
    """Yield every operation that slides along its input with another window."""
    for _, operation in program.walk():
        if operation.window is not None:
            for words, window in _windows(operation.window):
                yield Alternative(words, operation, _with(window))
    yield from _resized(program, m)
    yield from _grouped(program, m)


def _grouped(program: Program, m: Any) -> Iterator[Alternative]:
    """Yield every norm in groups in another number of them, of a framework that has one for it."""
    for _, operation in program.walk():
        old, channels = operation.groups or (1, 1)
        for count in range(1, channels + 1):
            if channels % count == 0 and count != old:
                words = f"num_groups={count} for num_groups={old}"
                yield Alternative(words, operation, partial(_in_groups, m, count))


def _in_groups(m: Any, count: int, values: Mapping[int, Any], x: list[Any]) -> Any:
    return m.grouped(x, count)


def _resized(program: Program, m: Any) -> Iterator[Alternative]:
    """Yield every resizing by another rule, of a framework that has one operation for it."""
    for _, operation in program.walk():
        found = RESIZING.match(operation.kind)
        if found is None:
            continue
        old = found["rule"].replace("_", "-"), bool(found["filtered"])
        for new in RULES:
            if new != old:
                words = f"mode={new[0]} for mode={old[0]}"
                if new[0] == old[0]:
                    words = f"antialias={new[1]} for antialias={old[1]}{COEFFICIENTS.get(new, '')}"
                yield Alternative(words, operation, _resizing(operation, m, *new))


def _resizing(operation: Operation, m: Any, rule: str, filtered: bool) -> Edit:
    def edit(values: Mapping[int, Any], x: list[Any]) -> Any:
        same = operation.apply(x, UNCHANGED)[0]
        shape = same.shape
        if (
            rule == "bilinear"
            and filtered
            and all(new >= old for new, old in zip(shape[2:], x[0].shape[2:], strict=True))
        ):
            return same  # what grows has nothing to filter: the rule alone would differ
        return m.resized(x[0], shape[2:], rule, filtered)

    return edit


def _with(window: Window) -> Edit:
    return lambda values, x: window.apply(x, window)


def _windows(old: Window) -> Iterator[tuple[str, Window]]:
    seen = {old.padding}
    for padding in _paddings(old, old.dilation):
        if padding not in seen:
            seen.add(padding)
            yield f"{_said(padding)} for {_said(old.padding)}", replace(old, padding=padding)
    if old.mode and any(map(any, old.padding)):
        for mode in MODES:
            if mode != old.mode:
                words = f"padding with {_mode(mode)} for padding with {_mode(old.mode)}"
                yield words, replace(old, mode=mode)
    if old.has_kernel and max(old.length) > 1:
        yield (
            "a convolution (the kernel turned round) for a correlation",
            replace(old, turned=True),
        )
    yield from _dilated(old)


def _dilated(old: Window) -> Iterator[tuple[str, Window]]:
    if max(old.length) == 1:
        return
    for by in DILATIONS:
        dilation = tuple(by if k > 1 else d for k, d in zip(old.length, old.dilation, strict=True))
        if dilation == old.dilation:
            continue
        for padding in _paddings(old, dilation):
            words = f"dilation {by} for {max(old.dilation)}"
            if padding != old.padding:
                words += f", and {_said(padding)} for {_said(old.padding)}"
            yield words, replace(old, dilation=dilation, padding=padding)


def _paddings(old: Window, dilation: tuple[int, ...]) -> Iterator[Padding]:
    """Yield paddings that keep the number of places: even ones, then more or all at one end."""
    found: dict[Padding, None] = {}
    for more in (0, 1):
        totals = _totals(old, dilation, more)
        if totals is not None:
            for split in _SPLITS:
                found[tuple(split(total) for total in totals)] = None
    for padding in sorted(found, key=lambda p: any(low != high for low, high in p)):
        if replace(old, dilation=dilation, padding=padding).places() == old.places():
            yield padding


_SPLITS = (
    lambda total: (total // 2, total - total // 2),
    lambda total: (total - total // 2, total // 2),
    lambda total: (total, 0),
    lambda total: (0, total),
)


def _totals(old: Window, dilation: tuple[int, ...], more: int) -> tuple[int, ...] | None:
    """Return the least that has to be padded in all along each axis, and ``more``."""
    axes = zip(old.size, old.length, old.strides, dilation, old.places(), strict=True)
    totals = [(count - 1) * s + d * (k - 1) + 1 - n for n, k, s, d, count in axes]
    moving = [k > 1 or any(p) for k, p in zip(old.length, old.padding, strict=True)]
    whole = [max(t, 0) + more if m else 0 for t, m in zip(totals, moving, strict=True)]
    return tuple(whole) if any(moving) else None


def _said(padding: Padding) -> str:
    """Return (before, after), once where all axes that are padded have the same."""
    own = [pair for pair in padding if any(pair)] or [(0, 0)]
    return f"padding {own[0] if len(set(own)) == 1 else padding}"


def _mode(mode: str) -> str:
    return mode if mode == "zeros" else f"{SAID.get(mode, 'reflected')} values"
