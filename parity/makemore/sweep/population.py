"""Published runs of the notebook's recipe, each with its own unseeded bngain and bnbias.

Mean and standard deviation over 51 runs of the loss printed every 10,000 steps, and over 42 of them
of the final losses. All have the same minibatches, so they differ in bngain and bnbias alone.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A figure of a population of runs."""

    mean: float
    sd: float
    runs: int


_PRINTED = """
3.7918 .0310  2.1764 .0193  2.3889 .0216  2.4589 .0290  1.9948 .0292  2.3730 .0418  2.3903 .0353
2.0554 .0364  2.3480 .0353  2.1358 .0444  1.9597 .0367  2.3238 .0538  2.0021 .0411  2.4468 .0551
2.3146 .0378  2.1643 .0374  1.9607 .0490  1.8470 .0356  2.0059 .0451  1.8977 .0391
""".split()

EVERY = 10_000
"""Steps between two printed losses."""

PRINTED = {
    EVERY * i: Published(float(mean), float(sd), 51)
    for i, (mean, sd) in enumerate(zip(_PRINTED[::2], _PRINTED[1::2], strict=True))
}
"""By step."""

FINAL = {"train": Published(2.07117, 0.00123, 42), "val": Published(2.10980, 0.00166, 42)}
"""By split."""
