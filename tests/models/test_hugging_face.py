"""Hugging Face's torch and Flax twins, as they are."""

import runpy

import pytest

import parity
from tests.models.mistakes import FOLDER

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def example():
    pytest.importorskip("transformers", reason="install the extra hugging-face")
    return runpy.run_path(str(FOLDER / "hugging_face.py"))


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "vit"])
def test_twins_agree_and_every_weight_is_matched(name, example):
    report = parity.check(example[name], dtypes=["float64"], budget=0)
    assert report.verdict.passes, report.text()
    matched = {name for name, path in report.sections[0].paths.items() if path}
    assert len(matched) >= 20
    assert {name for name, _ in example[name].torch.named_parameters()} <= matched
