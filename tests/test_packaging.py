"""What a user installs: the wheel holds the three packages, whole, and nothing else.

Also what a reader of the repository meets: no word of the machine on which it was written.
"""

from __future__ import annotations

import email
import hashlib
import os
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("jax_impl", "torch_ref", "parity")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The root of the built wheel."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.iterdir()
    return zipfile.Path(path)


def names(wheel: zipfile.Path) -> set[str]:
    return {name for name in wheel.root.namelist() if not name.endswith("/")}


def about(wheel: zipfile.Path, name: str) -> str:
    """A file of the wheel's .dist-info."""
    (path,) = (n for n in names(wheel) if n.endswith(f".dist-info/{name}"))
    return (wheel / path).read_text(encoding="utf-8")


def metadata(wheel: zipfile.Path) -> Message:
    return email.message_from_string(about(wheel, "METADATA"))


def test_it_holds_every_file_of_the_packages_and_no_other(wheel: zipfile.Path) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {n for n in names(wheel) if ".dist-info/" not in n} == files
    assert {f"{package}/py.typed" for package in PACKAGES} <= files
    assert len([name for name in files if name.endswith(".py")]) > 20


def test_it_holds_the_published_names(wheel: zipfile.Path) -> None:
    assert hashlib.sha256((wheel / "parity/makemore/names.txt").read_bytes()).hexdigest() == (
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"
    )


def test_it_says_what_it_is(wheel: zipfile.Path) -> None:
    headers = metadata(wheel)
    assert headers["Name"] == "backprop-parity"
    assert headers["Version"] == PROJECT["version"]
    assert headers["License-Expression"] == "MIT"
    assert headers["Requires-Python"] == PROJECT["requires-python"]
    required = {line.split(";")[0].strip() for line in headers.get_all("Requires-Dist", [])}
    assert {*PROJECT["dependencies"]} <= required
    assert (ROOT / "README.md").read_text(encoding="utf-8").strip() in headers.get_payload()
    assert about(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Permission is hereby granted, free of charge" in about(wheel, "licenses/LICENSE")


def test_it_gives_one_command(wheel: zipfile.Path) -> None:
    entries = ConfigParser()
    entries.read_string(about(wheel, "entry_points.txt"))
    assert dict(entries["console_scripts"]) == {"parity": "parity.__main__:main"}


def test_it_runs_away_from_the_repository(wheel: zipfile.Path, tmp_path: Path) -> None:
    wheel.root.extractall(tmp_path)
    script = """
import importlib, pathlib, sys
for name in sys.argv[1:]:
    path = pathlib.Path(importlib.import_module(name).__file__)
    assert path.parents[1] == pathlib.Path.cwd(), path
from parity.__main__ import main
from parity.makemore.data import load
print(main, len(load().words))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *PACKAGES],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" 32033\n")


def words() -> tuple[str, ...]:
    """Words of a machine, not of a project; in pieces, since this file is read as well."""
    return (
        *(f"/{folder}/" for folder in ("work", "tmp")),
        *(f"{host}.org" for host in ("pypi", "pythonhosted", "npmjs")),
        " ".join(("issue", "#")),
    )


def mentions(files: dict[str, bytes]) -> list[str]:
    """Say where a word stands that has no place in the project."""
    return [
        f"{name}:{number} mentions {word}"
        for name, content in files.items()
        if b"\0" not in content
        for number, line in enumerate(content.decode().splitlines(), 1)
        for word in words()
        if word in line.lower()
    ]


def test_no_file_mentions_where_it_was_written() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing says which files belong to the project")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    files = [ROOT / name for name in listed.split("\0") if name]
    contents = {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in files if p.is_file()}
    assert len(contents) > 40
    assert mentions(contents) == []


def test_a_mention_is_found() -> None:
    line = "see ISSUE" + " #12, in /" + "tmp/x"
    assert mentions({"a.md": f"one\n{line}\n".encode(), "b.png": f"\0{line}".encode()}) == [
        f"a.md:2 mentions {word}" for word in words() if word in line.lower()
    ]
    assert len(mentions({"a.md": line.encode()})) == 2
