"""Arrays and plain values over a pipe, between the judge and the process that a learner's code has.

Nothing is pickled: what comes from a learner's process is numbers, and is never executed.
"""

from __future__ import annotations

import io
import json
import os
import select
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

HEAD = struct.Struct("<QQ")
LARGEST = 2**30
"""Bytes of a message, at most."""


def send(pipe: int, said: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write one message."""
    words, held = json.dumps(said).encode(), io.BytesIO()
    named: dict[str, Any] = {f"/{name}": x for name, x in arrays.items()}  # `file` is taken
    np.savez(held, **named)
    numbers = held.getvalue()
    whole = memoryview(HEAD.pack(len(words), len(numbers)) + words + numbers)
    while whole:
        whole = whole[os.write(pipe, whole) :]


def receive(pipe: int, seconds: float | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read one message; EOFError where the other end is gone, TimeoutError where it takes long."""
    end = None if seconds is None else time.monotonic() + seconds
    words, numbers = HEAD.unpack(_read(pipe, HEAD.size, end))
    if words + numbers > LARGEST:
        raise EOFError
    said = json.loads(_read(pipe, words, end))
    with np.load(io.BytesIO(_read(pipe, numbers, end)), allow_pickle=False) as held:
        return said, {name.removeprefix("/"): held[name] for name in held.files}


def _read(pipe: int, count: int, end: float | None) -> bytes:
    found = bytearray()
    while len(found) < count:
        if end is not None:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError
        part = os.read(pipe, min(count - len(found), 2**20))
        if not part:
            raise EOFError
        found += part
    return bytes(found)
