"""docs/lessons: their lines are the files' own, and as notebooks they print what they show."""

import contextlib
import importlib.util
import io
import json
import re
from pathlib import Path

import pytest

from parity.learn.course import course
from tests.shared.sampled import few

ROOT = Path(__file__).parents[2]
LESSONS = {path.stem: path for path in sorted((ROOT / "docs" / "lessons").glob("*.md"))}
TWINS = re.compile(r"`((?:torch_ref|jax_impl)/\w+\.py)`\n\n```py\n(.*?)```", re.DOTALL)
RUN = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def lines(text):
    return [line.split("  # twin:")[0].strip() for line in text.split("\n")]


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_lines_side_by_side_are_those_of_the_files(lesson):
    text = LESSONS[lesson].read_text(encoding="utf-8")
    blocks = TWINS.findall(text)
    assert len(blocks) == text.count("```py\n") >= 4
    names = [name for name, _ in blocks]
    assert names == [x for a in names[::2] for x in (a, a.replace("torch_ref", "jax_impl"))]
    for name, block in blocks:
        own = lines((ROOT / name).read_text(encoding="utf-8"))
        assert [line for line in lines(block) if line not in own] == []


def test_every_exercise_has_its_lesson_and_every_picture_is_there():
    text = "".join(path.read_text(encoding="utf-8") for path in LESSONS.values())
    named = re.findall(r"`parity learn check (\d+)`(?: (?:to|and) `(\d+)`)?", text)
    covered = [n for a, b in named for n in range(int(a), int(b or a) + 1)]
    assert covered == [*range(1, len(course()) + 1)]
    folder = ROOT / "docs" / "lessons"
    assert {*re.findall(r"\]\((\S+\.png)\)", text)} == {p.name for p in folder.glob("*.png")}


@pytest.mark.parametrize("lesson", few(LESSONS, "4-batchnorm"))
def test_as_a_notebook_a_lesson_prints_what_it_shows(lesson, tmp_path):
    path = ROOT / "docs" / "lessons" / "make.py"
    make = importlib.util.module_from_spec(importlib.util.spec_from_file_location("make", path))
    make.__spec__.loader.exec_module(make)
    make.write_notebooks(tmp_path)
    held = json.loads((tmp_path / f"{lesson}.ipynb").read_text(encoding="utf-8"))
    code = ["".join(c["source"]) for c in held["cells"] if c["cell_type"] == "code"]
    shown = [text for _, text in RUN.findall(LESSONS[lesson].read_text(encoding="utf-8"))]
    assert all(cell["outputs"] == [] for cell in held["cells"] if cell["cell_type"] == "code")
    namespace = {}
    for source, wanted in zip(code, shown, strict=True):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(source, namespace)
        assert printed.getvalue() == wanted
