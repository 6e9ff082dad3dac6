"""The base of every mode that watches torch's operations."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

DISABLED = "_torchdynamo_disable"
"""What torch puts on a function that its compiler leaves alone."""


class Mode(TorchDispatchMode):
    """A mode that torch.compile leaves alone, and that does not load it where nobody did.

    torch itself wraps every mode so; that loads its compiler, which takes as long as a small check.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        own: Any = type(self)
        if "torch._dynamo" in sys.modules and not hasattr(own.__torch_dispatch__, DISABLED):
            disable: Any = torch.compiler.disable
            own.__torch_dispatch__ = disable(own.__torch_dispatch__)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
