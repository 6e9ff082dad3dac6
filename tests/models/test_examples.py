"""The examples of models: every weight matched, each passes, and mistakes in them are named.

Mistakes are looked for with the forward passes alone; what else a check does is tested elsewhere.
"""

import numpy as np
import pytest

import parity
from parity.models.conversion import wrongly_converted
from parity.models.modules import parts, statuses
from parity.models.sides import whole
from parity.models.stopped import marked
from parity.pairs.legs import Legs
from parity.trial.trial import Trial
from parity.why.detached import detached
from tests.models.mistakes import MISTAKES, loaded, source, wrong
from tests.shared.sampled import few

FILES = ("gpt2", "lstm", "resnet", "vit")
NEED = {"gpt2": "equinox", "resnet": "flax", "vit": "flax"}
BY_NAME = {f"{m.file}, {m.name}": m for m in MISTAKES}
RUN = {*[*BY_NAME][:14], "lstm, no tanh of the cell", "resnet, standard deviation for variance"}
"""The others were measured (docs/models.md): each takes a whole check."""
CONVERTED = [name for name in BY_NAME if name in RUN and BY_NAME[name].said]
WRITTEN = [name for name in BY_NAME if name in RUN and BY_NAME[name].module]


@pytest.mark.parametrize("file", few(FILES))
def test_an_example_passes_and_every_weight_of_it_is_matched(file, tmp_path):
    pytest.importorskip(NEED.get(file, "jax"))
    pair = loaded(file, source(file), tmp_path)
    found = whole(pair)
    assert not found.weights.unfed
    assert not found.weights.unread
    report = parity.check(pair, dtypes=["float64"])
    assert report, report.text()
    paths = report.sections[0].paths
    assert {*found.torch.tensors} == {*paths}
    assert all(paths.values())
    assert {part.status for part in report.sections[0].modules} == {"right"}


def set_up(mistake, folder):
    pytest.importorskip(NEED.get(mistake.file, "jax"))
    found = whole(wrong(mistake, folder))
    arguments = found.pair.arguments(np.random.default_rng(0))
    legs = Legs(found.pair, arguments)
    legs.check_structure(arguments.leaves)
    return found, legs, arguments.leaves


@pytest.mark.parametrize("name", few(CONVERTED, "lstm, gates in another order"))
def test_weights_that_are_converted_wrongly_are_named(name, tmp_path):
    mistake = BY_NAME[name]
    cause = wrongly_converted(*set_up(mistake, tmp_path))
    assert cause is not None
    for words in mistake.said:
        assert words in cause.sentence


def deepest(status):
    """The modules where a difference is introduced, and in no module within."""
    introduced = [name for name in status if status[name] == "introduced"]
    return [a for a in introduced if not any(b.startswith(f"{a}." if a else "") and b != a
                                             for b in introduced)]  # fmt: skip


@pytest.mark.parametrize("name", few(WRITTEN, "lstm, forget gate's bias added"))
def test_what_is_written_otherwise_is_found_in_its_module_and_not_in_the_weights(name, tmp_path):
    mistake = BY_NAME[name]
    found, legs, leaves = set_up(mistake, tmp_path)
    status = statuses(found, legs, leaves)
    assert mistake.module in deepest(status)
    assert wrongly_converted(found, legs, leaves, seconds=1) is None


STOPPED = [name for name in BY_NAME if "stop_gradient" in name]
MERGED = "gpt2, heads merged wrongly"


@pytest.mark.parametrize("name", few(STOPPED, "lstm, stop_gradient left in"))
def test_gradients_that_are_stopped_have_a_module(name, tmp_path):
    """ResNet's is in both layers, the second of which lets none through to its shortcut's norm."""
    mistake = BY_NAME[name]
    found, legs, _ = set_up(mistake, tmp_path)
    trial = Trial(found.pair, 0, ("float64",), legs)
    problem = trial.solved[0]
    tree = parts(found, legs, [*trial.forward(), *trial.gradients()], problem.values)
    cause = detached(legs, [problem])
    assert cause is not None
    status = {part.name: part.status for part in marked(tree, legs, problem.values, cause.sentence)}
    more = ["layer2.downsample.1"] if mistake.file == "resnet" else []
    assert deepest(status) == [mistake.module.replace("(the whole)", ""), *more]


@pytest.mark.full
def test_heads_that_are_merged_wrongly_are_not_placed_in_what_reads_them(tmp_path):
    status = statuses(*set_up(BY_NAME[MERGED], tmp_path))
    assert deepest(status) == [BY_NAME[MERGED].module]
    assert status["h.0.attn.c_proj"] == ""
