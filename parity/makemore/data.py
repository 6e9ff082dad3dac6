"""A list of names as the notebook's three splits of (context, next letter) examples.

It reads the packaged names or any UTF-8 file of one name a line, and refuses to repair one: what
cannot be used is a ``UsageError`` that says what, where and what to do. It never touches the
global random state, and its arrays are read-only.
"""

from __future__ import annotations

import codecs
import random
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parity.errors import UsageError
from parity.makemore import names

END = "."  # ends every name and fills the context before its first letter; index 0
SHUFFLE_SEED = 42
FEWEST_NAMES = 6  # below, int(0.8 n) and int(0.9 n) leave a split empty


class Split(NamedTuple):
    """One example a letter of each name, and one for its end."""

    X: NDArray[np.int64]  # (examples, block_size): the letters before, nearest last
    Y: NDArray[np.int64]  # (examples,)


@dataclass(frozen=True, eq=False)
class Dataset:
    """The names, their letters, and the notebook's splits: 80%, 10%, 10% of the shuffled names."""

    words: tuple[str, ...]  # in the file's order
    itos: tuple[str, ...]  # the letter of each index
    block_size: int
    train: Split
    val: Split
    test: Split

    @property
    def vocab_size(self) -> int:
        """How many letters there are, the end mark included."""
        return len(self.itos)

    def decode(self, indices: Iterable[int]) -> str:
        """The letters of ``indices``, end marks included."""
        return "".join(self.itos[index] for index in indices)


def load(path: Path | None = None, block_size: int = 3) -> Dataset:
    """The names at ``path``, by default the notebook's 32,033, in contexts of ``block_size``."""
    if block_size < 1:
        raise UsageError(f"block_size is {block_size}; give a number of letters, at least 1.")
    if path is None:
        names.verify()  # an edited list would change every published figure in silence
    path = names.PACKAGED if path is None else path
    words = _parse(_read(path), path)
    if len(words) < FEWEST_NAMES:
        need = f"of the {FEWEST_NAMES} names that three splits need"
        raise UsageError(f"{path} holds only {len(words)} {need}; add more.")
    itos = (END, *sorted(set("".join(words))))
    shuffled = list(words)
    random.Random(SHUFFLE_SEED).shuffle(shuffled)
    marks = (0, int(0.8 * len(words)), int(0.9 * len(words)), len(words))
    train, val, test = (
        _examples(shuffled[start:stop], itos, block_size) for start, stop in pairwise(marks)
    )
    return Dataset(words, itos, block_size, train, val, test)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; give a file of one name a line.") from None
    except OSError as error:
        reason = "it is a directory" if path.is_dir() else error.strerror
        raise UsageError(f"{path} cannot be read ({reason}); give a readable file.") from error


def _parse(content: bytes, path: Path) -> tuple[str, ...]:
    """The names of a UTF-8 file; a byte order mark and any line ends are accepted."""
    content = content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8."
        ) from error
    if not text.strip():
        raise UsageError(f"{path} holds no names; write one a line.")
    words = tuple(text.removesuffix("\n").split("\n"))
    for number, word in enumerate(words, 1):
        if word != word.strip() or not word:
            fault = "spaces around the name" if word.strip() else "the line is blank"
        elif END in word:
            fault = f"{word!r} holds {END!r}, which marks the end of a name"
        elif any(unicodedata.category(letter) == "Cc" for letter in word):
            fault = f"{word!r} holds a control character"
        else:
            continue
        raise UsageError(f"{path}, line {number}: {fault}; remove it.")
    return words


def _examples(words: Sequence[str], itos: Sequence[str], block_size: int) -> Split:
    """Every letter and end mark of ``words`` with the ``block_size`` before it in its own name."""
    index = np.zeros(ord(max(itos)) + 1, np.int64)
    index[[ord(letter) for letter in itos]] = np.arange(len(itos))
    stream = "".join(word + END for word in words)
    Y = index[np.frombuffer(stream.encode("utf-32-le"), "<u4")]
    X = np.zeros((len(Y), block_size), np.int64)
    lengths = np.array([len(word) + 1 for word in words])
    place = np.arange(len(Y)) - np.repeat(lengths.cumsum() - lengths, lengths)  # within its name
    for back in range(1, min(block_size, lengths.max() - 1) + 1):
        (late,) = np.nonzero(place >= back)
        X[late, -back] = Y[late - back]
    X.setflags(write=False)
    Y.setflags(write=False)
    return Split(X, Y)
