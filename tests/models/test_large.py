"""Large models: where they part and why is found as in small ones, by few runs of the whole."""

import re
import time
from dataclasses import replace

import pytest

import parity
from parity.judge import disputes
from parity.memory import HEAVY
from tests.models.mistakes import loaded, source

pytest.importorskip("equinox")

SIZES = "VOCABULARY, CONTEXT, WIDTH, HEADS, LAYERS ="
MADE = "module = GPT2().eval()\n"
EPSILON = "module.h[0].ln_2 = nn.LayerNorm(WIDTH, eps=1e-6)\n"
GELU = "module.h[5].mlp[1] = nn.GELU()\n"


def gpt2(change, folder, sizes=None):
    text = source("gpt2").replace(MADE, MADE + change)
    if sizes:
        text = re.sub(f"{SIZES} .*", f"{SIZES} {sizes}", text)
    return loaded("gpt2", text, folder)


def test_in_what_is_heavy_few_runs_are_made_and_one_number_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("parity.memory.HEAVY", 1000)
    asked = []
    slopes = disputes.Disputes._witness

    def counted(self, corner):
        witness = slopes(self, corner)

        def loss(x):
            asked.append(corner)
            return witness.loss(x)

        return replace(witness, loss=loss)

    monkeypatch.setattr(disputes.Disputes, "_witness", counted)
    report = parity.check(gpt2(EPSILON, tmp_path), dtypes=["float64"])
    said = report.summary()
    assert re.search(r"jax adds 1e-5 \(gpt2.py:\d+ \(LayerNorm at .*\)\), torch adds 1e-6", said)
    assert "h.0.ln_2, LayerNorm" in said
    assert len(asked) < 150
    assert {row.verdict for row in report.rows} <= {"convention", "rounding", "identical"}


@pytest.mark.full
def test_a_model_of_millions_of_numbers_has_a_line_a_module_and_a_cause(tmp_path):
    pair = gpt2(GELU, tmp_path, "65, 32, 192, 8, 11")
    assert sum(x.numel() for x in pair.torch.parameters()) > HEAVY
    start = time.process_time()
    report = parity.check(pair, dtypes=["float64"], budget=600)
    print(f"{time.process_time() - start:.0f} s of the processor")
    said = report.summary()
    assert re.search(r"jax has gelu \(approximate='tanh'\) .*, torch gelu \(gpt2.py:\d+", said)
    assert "h.5.mlp.1, GELU" in said
    status = {part.name: part.status for part in report.sections[0].modules}
    assert [status[f"h.{i}"] for i in (0, 4, 5, 6)] == ["right", "right", "introduced", "inherited"]
