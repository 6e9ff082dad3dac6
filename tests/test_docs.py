"""docs/your-own-pair.md does what it says: files are written, commands run; the map holds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from parity.__main__ import main
from tests.shared.sampled import few

PAGE = (Path(__file__).parents[1] / "docs" / "your-own-pair.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"```text\n\$ parity (.*?)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for name, source in FILES.items():
        (folder / name).write_text(source)
    return folder


def words(text):
    """The words of a text without its figures, which another machine may round otherwise."""
    return re.sub(r"[-+]?[\d.]+(e-?\d+)?|\s+", " ", text).split()


@pytest.mark.parametrize(("command", "shown"), few(COMMANDS, *COMMANDS[:2]))
def test_a_command_prints_what_is_shown(command, shown, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    code = main(command.split())
    printed = words(capsys.readouterr().out)
    assert code == (1 if "convention" in shown or "different" in shown else 0)
    for line in shown.splitlines():
        wanted = words(line)
        found = any(printed[i : i + len(wanted)] == wanted for i in range(len(printed)))
        assert found, line


def test_every_block_is_a_file_and_every_pair_in_it_is_as_told(folder, monkeypatch, capsys):
    assert PAGE.count("```python") == len(FILES) == 7
    assert len(COMMANDS) == 3
    monkeypatch.chdir(folder)
    assert main(["check", "more_inputs.py", "masked.py"]) == 0


@pytest.mark.full
def test_the_tests_in_it_pass(folder):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_layers.py", "test_plain.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_map_names_files_that_are_there():
    root = Path(__file__).parents[1]
    page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/{},*]*/[\w/{},*]*(?:\.py\b|/)", page))
    assert len(named) > 30
    for name in named:
        first, _, rest = name.partition("{")
        options, _, last = rest.partition("}")
        for option in options.split(","):
            pattern = f"{first}{option}{last}".rstrip("/")
            assert [*root.glob(pattern), *(root / "parity").glob(pattern)], name
    rooms = {path.parent.name for path in (root / "parity").glob("*/__init__.py")}
    assert {room for room in rooms if f"`parity/{room}/`" in page} == rooms
