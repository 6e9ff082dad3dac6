"""docs/models.md does what it says: files are written, commands run."""

import re
from pathlib import Path

import pytest

from parity.__main__ import main
from tests.shared.sampled import few

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"```text\n\$ parity (.*?)\n(.*?)```", PAGE, re.DOTALL)
EXITS = {"check trained.py": 1, "check wrong.py": 1}


def words(text):
    """The words of a text without its figures, which another machine may round otherwise."""
    return re.sub(r"[-+]?[\d.]+(e-?\d+)?|\s+", " ", text).split()


def test_every_block_is_a_file_or_a_command():
    assert PAGE.count("```python") == len(FILES) == 3
    assert len(COMMANDS) == 4


@pytest.mark.parametrize(("command", "shown"), few(COMMANDS, COMMANDS[0]))
def test_a_command_prints_what_is_shown(command, shown, tmp_path, monkeypatch, capsys):
    pytest.importorskip("flax")
    for name, source in FILES.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == EXITS.get(command, 0)
    printed = words(capsys.readouterr().out)
    for line in shown.splitlines():
        wanted = words(line)
        found = any(printed[i : i + len(wanted)] == wanted for i in range(len(printed)))
        assert found, line


def test_what_is_written_is_read_back(tmp_path, monkeypatch, capsys):
    pytest.importorskip("flax")
    for name, source in FILES.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for suffix in ("toml", "json"):
        file = f"weights.{suffix}"
        assert main(["match", "mlp.py:mlp", "--write", file]) == 0
        given = FILES["mlp.py"].replace('{"x": (5, 6)}', f'{{"x": (5, 6)}}, weights="{file}"')
        (tmp_path / f"{suffix}.py").write_text(given, encoding="utf-8")
        capsys.readouterr()
        assert main(["match", f"{suffix}.py"]) == 0
        assert "6 leaves matched: 6 by given" in " ".join(capsys.readouterr().out.split())
    assert main(["match", "mlp.py", "--write", "weights.yaml"]) == 2
    assert main(["match", "mlp.py:other"]) == 2
    assert "no pair of models is called other in mlp.py" in capsys.readouterr().err
