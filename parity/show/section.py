"""One function's judged tensors, as values and as what JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.frameworks.narrowing import Converted
from parity.judge.verdict import Row, Status, Verdict

if TYPE_CHECKING:
    from parity.models.modules import Part
    from parity.where.alignment import Place
    from parity.where.named_walk import Step


@dataclass(frozen=True)
class Section:
    """One function's forward tensors and gradients, one row a tensor and dtype."""

    title: str
    forward: tuple[Row, ...]
    gradients: tuple[Row, ...]
    exercise: int | None = None
    """Its number, where it is one of the notebook's."""
    losses: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By dtype and corner, of the first batch."""
    walk: tuple[Step, ...] = ()
    """Where a difference starts, if the functions name what is inside them."""
    places: tuple[Place, ...] = ()
    """Where the functions part, if they do not; aligned by value."""

    converted: tuple[Converted, ...] = ()
    """Where each side of a pair goes on in another float."""
    modules: tuple[Part, ...] = ()
    """Of two whole models: torch's modules, the whole first."""
    steps: int = 0
    """In which two optimizers trained two models; the rows are then parameters on the way."""

    @property
    def paths(self) -> dict[str, str]:
        """Where each of torch's weights is in the JAX model."""
        return {weight.name: weight.path for part in self.modules for weight in part.weights}

    @property
    def start(self) -> Step | None:
        """The first step that introduces a difference, forwards first."""
        return next((step for step in self.walk if step.place == Status.INTRODUCED), None)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row, forwards first."""
        return (*self.forward, *self.gradients)

    def follows(self, row: Row) -> bool:
        """Return whether a row fails only because another does.

        It inherits its difference; or it is the gradient of two functions that differ, each right
        for its own.
        """
        if row.place == Status.INHERITED:
            return True
        differ = any(output.verdict is Verdict.CONVENTION for output in self.forward)
        gradient = any(row is own for own in self.gradients)
        return differ and gradient and row.verdict is Verdict.CONVENTION

    def as_dict(self) -> dict[str, Any]:
        """Return the section as plain values, in the schema that docs/json.md describes."""
        own: dict[str, Any] = {"exercise": self.exercise}
        if self.exercise is None:
            own = {"converted": [_converted(one) for one in self.converted]}
        if self.modules:
            own["modules"] = [_part(part) for part in self.modules]
        if self.steps:
            own["steps"] = self.steps
        return own | {
            "title": self.title,
            "losses": {
                dtype: {corner: plain(loss) for corner, loss in losses.items()}
                for dtype, losses in self.losses.items()
            },
            "walk": [_step(step) for step in self.walk],
            "places": [_place(place) for place in self.places],
            "forward": [_row(row) for row in self.forward],
            "gradients": [_row(row) for row in self.gradients],
        }


def _converted(one: Converted) -> dict[str, Any]:
    place = one.place
    return {
        "dtype": one.dtype,
        "side": one.side,
        "operation": place.operation,
        "line": place.line,
        "from": place.source,
        "to": place.to,
        "both": one.both,
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "module": part.name,
        "class": part.kind,
        "status": part.status,
        "sigmas": plain(part.sigmas),
        "weights": [vars(weight) for weight in part.weights],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "tensor": step.name,
        "gradient": step.gradient,
        "place": step.place,
        "into": step.into,
        "sigmas": plain(step.apart.sigmas),
        "alone": plain(step.alone.sigmas),
    }


def _place(place: Place) -> dict[str, Any]:
    keys = ("side", "operation", "inside", "line", "after")
    rows = [dict(zip(keys, row, strict=True)) for row in place.rows()]
    return {"sentence": place.sentence, "operations": rows}


CAUSE = ("kind", "key", "sentence", "hint", "evidence", "tensor")
"""What of a cause is written."""


def _row(row: Row) -> dict[str, Any]:
    return {
        "tensor": row.name,
        "dtype": row.dtype,
        "verdict": str(row.verdict),
        "reason": row.reason,
        "odd": list(row.odd),
        "causes": [{key: str(getattr(cause, key)) for key in CAUSE} for cause in row.causes],
        "place": row.place,
        "power": plain(row.power),
        "power_here": plain(row.power_here),
        "vacuous": row.vacuous,
        "zero": row.zero,
        "batch": row.batch,
        "sigmas": {
            corner: {"sigmas": plain(d.sigmas), "worst": list(d.worst)}
            for corner, d in row.distances.items()
        },
        "pairs": [
            {key: plain(value) for key, value in pair._asdict().items()} for pair in row.pairs
        ],
    }


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: infinities and NaN as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
