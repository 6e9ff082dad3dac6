"""`parity.name(x, "h")`: a name for an intermediate, in either framework, that changes nothing.

Where a pair differs, the named intermediates are walked (`named_walk.py`): the first that differs
is where the difference starts. Imports neither framework: x brings its own.
"""

from __future__ import annotations

import sys
from typing import Any


def name(x: Any, label: str) -> Any:
    """Return ``x``, an array, under the name ``label``, seen through jit, remat and scan.

    In JAX this is `jax.ad_checkpoint.checkpoint_name`, which does as well. A name that is given
    more than once, or inside a scan, stands for all of its values, stacked in the order of time.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        from parity.frameworks.torch_taps import named

        return named(x, label)
    if "jax" in sys.modules:
        from jax.ad_checkpoint import checkpoint_name

        return checkpoint_name(x, label)  # type: ignore[no-untyped-call]
    return x
