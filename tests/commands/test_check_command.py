"""`parity check TARGET` as a user meets it: what is found, one line each, what fails and how."""

import json

import pytest

from parity.__main__ import main
from parity.errors import UsageError
from parity.pairs.finding import find, search

PAIRS = """
import jax.numpy as jnp
import torch

import parity

good = parity.Pair(jax=jnp.tanh, torch=torch.tanh, inputs={"x": (3,)})
bad = parity.Pair(jax=jnp.tanh, torch=lambda x: 2 * x.tanh(), inputs={"x": (3,)})
many = [good, parity.Pair(jax=jnp.sin, torch=torch.sin, inputs={"x": (3,)})]
named = {"one": parity.Pair(jax=jnp.cos, torch=torch.cos, inputs={"x": (3,)}, name="cosine")}
raises = parity.Pair(jax=jnp.tanh, torch=lambda x, y: x, inputs={"x": (3,)})
number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pairs.py"
    path.write_text(PAIRS)
    return path


def test_pairs_are_found_as_names_lists_and_dictionaries(file):
    names = [pair.name for pair in find(str(file))]
    assert names == ["good", "bad", "many[0]", "many[1]", "cosine", "raises"]
    assert [pair.name for pair in find(str(file), "many")] == ["many[0]", "many[1]"]


def test_a_module_and_a_name_in_it(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    file.rename(file.parent / "some_pairs.py")
    assert len(find("some_pairs")) == 6
    assert [pair.name for pair in find("some_pairs:many")] == ["many[0]", "many[1]"]
    for target, sentence in (
        ("some_pairs:nothing", r"has no nothing; it has good, bad"),
        ("some_pairs:number", r"is a int, not a Pair"),
        ("no.such_module", r"there is no module no.such_module"),
    ):
        with pytest.raises(UsageError, match=sentence):
            find(target)


ONE = """
import jax.numpy as jnp
import torch
from parity import Pair
{name} = Pair(jax=jnp.tanh, torch=lambda x: {factor} * x.tanh(), inputs={{"x": (3,)}})
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a pair, one deeper, files without a pair, and one that is broken."""
    (tmp_path / "deeper").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "good.py").write_text(ONE.format(name="layer", factor=1))
    (tmp_path / "deeper" / "bad one.py").write_text(ONE.format(name="layer", factor=2))
    (tmp_path / "script.py").write_text("raise SystemExit(3)")
    (tmp_path / "speaks.py").write_text("# a Pair is nowhere in here")
    (tmp_path / ".hidden" / "other.py").write_text(ONE.format(name="hidden", factor=1))
    return tmp_path


def test_a_folder_is_searched_and_broken_files_are_said(folder, capsys):
    found, broken = search([str(folder)])
    assert [(target, pair.name) for target, pair in found] == [
        (str(folder / "deeper" / "bad one.py"), "layer"),
        (str(folder / "good.py"), "layer"),
    ]
    assert broken == {}
    (folder / "broken.py").write_text("from parity import Pair\n\n1 / 0")
    found, broken = search([str(folder)], "lay")
    assert len(found) == 2
    assert "line 3 raises ZeroDivisionError" in str(broken[str(folder / "broken.py")])
    (folder / "broken.py").unlink()
    with pytest.raises(UsageError, match=r"^no pair in .* has 'zebra' in its name; there are lay"):
        search([str(folder)], "zebra")
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=r"^no Pair in .*empty; write "):
        search([str(folder / "empty")])


def test_several_targets_are_told_apart(folder, tmp_path, capsys):
    bad, good = folder / "deeper" / "bad one.py", folder / "good.py"
    path = tmp_path / "report.json"
    asked = ["check", str(bad), str(good), "--dtype", "float64", "--json", str(path)]
    assert main(asked) == 1
    said = capsys.readouterr().out
    assert f"{bad}:layer" in said.replace("\n", "")
    assert f"replay: parity check '{bad}' -k 'layer' --seed 0" in said
    assert "2 pairs, 1 failed" in said
    report = json.loads(path.read_text())
    assert [pair["target"] for pair in report["pairs"]] == [str(bad), str(good)]
    assert [pair["verdict"] for pair in report["pairs"]] == ["convention", "rounding"]
    assert report["errors"] == {}


def test_a_missing_file_among_several_is_said_and_the_others_run(folder, capsys):
    assert (
        main(["check", str(folder / "no.py"), str(folder / "good.py"), "--dtype", "float64"]) == 2
    )
    said = capsys.readouterr().out
    assert "no.py does not exist" in said.replace("\n", " ")
    assert "rounding" in said
    assert "2 pairs, 1 failed" not in said
    assert "1 pair, 0 failed" in said


def test_one_line_each_then_the_failures(file, capsys):
    assert main(["check", str(file), "-k", "a"]) == 2  # raises is the user's mistake
    lines = capsys.readouterr().out.splitlines()
    starts = [line.split()[:2] for line in lines]
    assert ["bad", "convention"] in starts
    assert ["many[0]", "rounding"] in starts or ["many[0]", "identical"] in starts
    assert ["raises", "error"] in starts
    assert f"replay: parity check {file} -k 'bad' --seed 0" in " ".join(lines)
    assert lines[-1].startswith("4 pairs, 2 failed: ")


@pytest.mark.parametrize(("keyword", "code"), [("good", 0), ("bad", 1), ("raises", 2)])
def test_exit_codes(file, keyword, code, capsys):
    assert main(["check", str(file), "-k", keyword, "--dtype", "float64"]) == code


def test_strict(tmp_path, capsys):
    path = tmp_path / "pairs.py"
    path.write_text(
        "import jax, torch, parity\n"
        "p = parity.Pair(jax=jax.nn.hard_sigmoid, torch=torch.nn.functional.hardsigmoid,"
        " inputs={'x': (3,)})\n"
    )
    assert main(["check", str(path)]) == 0
    assert main(["check", str(path), "--strict"]) == 1


def test_json(file, tmp_path, capsys):
    path = tmp_path / "report.json"
    assert main(["check", str(file), "-k", "bad", "--seeds", "2", "--seed", "5",
                 "--json", str(path)]) == 1  # fmt: skip
    report = json.loads(path.read_text())
    assert report["schema"] == "backprop-parity/check/1"
    (pair,) = report["pairs"]
    assert pair["options"] == {"pair": "bad", "seeds": [5, 6], "dtypes": ["float32", "float64"]}
    assert pair["verdict"] == "convention"
    assert pair["fault"].startswith("fault: neither side")
    (section,) = pair["sections"]
    assert [row["tensor"] for row in section["gradients"]] == ["x", "x"]
    assert "exercise" not in section


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (None, "does not exist"),
        ("", "no Pair in"),
        ("import nowhere_at_all", "line 1 raises ModuleNotFoundError: No module named"),
        ("x = 1\n\n1 / 0", "line 3 raises ZeroDivisionError: division by zero"),
        ("x = (", "line 1 raises SyntaxError"),
        (PAIRS, "has 'zebra' in its name; there are good, bad"),
    ],
)
def test_the_users_mistakes_exit_2_with_one_sentence(source, sentence, tmp_path, capsys):
    path = tmp_path / "file.py"
    if source is not None:
        path.write_text(source)
    assert main(["check", str(path), "-k", "zebra"]) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_without_a_target_there_is_nothing_to_select(capsys):
    assert main(["check", "-k", "x"]) == 2
    assert "need a FILE.py" in capsys.readouterr().err
