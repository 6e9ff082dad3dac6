"""The benchmark compares like with like: what it times has trained to the notebook's losses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "training.py"
QUICK = ("torch, by hand, vectorised", "JAX, plain lax.scan", "ours", "C floor")


def rows(folder: Path, *names: str, **environment: str) -> dict[str, dict[str, object]]:
    written = folder / "measured.json"
    command = [sys.executable, str(SCRIPT), "--rounds", "1", "--json", str(written)]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])} | environment
    subprocess.run([*command, "--only", *names], env=environment, check=True, capture_output=True)
    return {row["contender"]: row for row in json.loads(written.read_text())["table"]}


@pytest.mark.full
def test_quick_contenders_reach_the_same_losses(tmp_path: Path) -> None:
    found = rows(tmp_path, "notebook's loop as written", *QUICK)
    assert {str(row["note"]).partition(", ")[0] for row in found.values()} == {"same loss"}
    assert all(row["median"] for row in found.values())


@pytest.mark.full
def test_without_a_compiler_the_row_says_so(tmp_path: Path) -> None:
    found = rows(tmp_path, "ours", "C floor", PATH=str(tmp_path))
    assert found["C floor"] == {"contender": "C floor", "note": "no C compiler was found"}
    assert found["ours"]["ratio"] == 1
