"""What a sweep trains: every combination of the values on its axes, each a run as any other.

Refuses to know how they are trained. A member is a `Config`: `parity train` takes the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from parity.errors import UsageError, option, require_at_least
from parity.makemore import recipe
from parity.makemore.training import Config

WAVE = 1024
"""Members that are trained together at most; memory is linear in it."""

AXES = ("n_hidden", "lr", "seed", "global_seed", "batch_seed")
"""The outermost first: what changes the shapes of a program, and then what does not."""


@dataclass(frozen=True)
class Sweep:
    """The values on each axis, and what all members share; the defaults are the notebook's."""

    seed: tuple[int, ...] = (recipe.SEED,)
    global_seed: tuple[int | None, ...] = (recipe.GLOBAL_SEED,)
    batch_seed: tuple[int | None, ...] = (None,)
    lr: tuple[str, ...] = (Config.lr,)
    n_hidden: tuple[int, ...] = (Config.n_hidden,)
    steps: int = Config.steps
    batch_size: int = Config.batch_size
    n_embd: int = Config.n_embd
    block_size: int = Config.block_size
    global_skip: int = Config.global_skip
    matmul_precision: str = Config.matmul_precision

    @property
    def of_the_notebook(self) -> bool:
        """Whether the members are draws of the notebook, as far as they go."""
        free = ("global_seed", "global_skip", "steps", "matmul_precision")
        return Sweep(**{name: getattr(self, name) for name in free}) == self

    def members(self) -> list[Config]:
        """Return every combination, in order; UsageError for one that cannot be run."""
        for name in AXES:
            if len({*getattr(self, name)}) < len(getattr(self, name)):
                raise UsageError(f"{option(name)} names a value twice; give each once")
        shared = {k: v for k, v in asdict(self).items() if k not in AXES}
        axes = (getattr(self, name) for name in AXES)
        return [
            Config(**shared, **dict(zip(AXES, values, strict=True))) for values in product(*axes)
        ]

    def waves(self) -> list[range]:
        """Return the members of each wave: neighbours of one width."""
        of_one_width = len(self.members()) // len(self.n_hidden)
        starts = range(0, of_one_width, WAVE)
        return [
            range(first + start, first + min(start + WAVE, of_one_width))
            for first in range(0, of_one_width * len(self.n_hidden), of_one_width)
            for start in starts
        ]


def restored(values: dict[str, Any]) -> Sweep:
    """Return the sweep of `asdict`'s values, as JSON has kept them."""
    own: dict[str, Any] = {k: tuple(v) if k in AXES else v for k, v in values.items()}
    return Sweep(**own)


def numbers(name: str, text: str, word: str | None = None) -> tuple[Any, ...]:
    """Return the numbers of "1,5,10..20", the ends included; ``word`` stands for None."""
    found: list[Any] = []
    for part in text.split(","):
        first, dots, last = part.partition("..")
        try:
            if part == word:
                found.append(None)
            else:
                found += range(int(first), int(last) + 1) if dots else [int(first)]
        except ValueError:
            raise UsageError(
                f"{option(name)} is {text!r}: {part!r} is no number; write it as 1,5,10..20"
            ) from None
    require_at_least(1, **{name: len(found)})
    return tuple(found)
