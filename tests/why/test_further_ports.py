"""Further mistakes of ports: the cause is named in the region, or by the search of whole programs.

The mistakes and the words were written before any check was run on them (tests/shared/).
"""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from parity import Pair, check
from parity.pairs.legs import Legs
from parity.where.alignment import places
from tests.shared import further_losses, further_ports
from tests.shared.further_ports import CAUSES, MISTAKES, RIGHT
from tests.shared.port_mistakes import marked
from tests.shared.sampled import few
from tests.why.test_inside import said

IN_OTHER_WORDS = {
    "rms_norm_of_the_sum": r"jax adds x .* before .*, torch adds x .* after",
    "contrast_in_torch": r"jax takes log_softmax over axis 1 .*torch over axis 0",
    "schedule_off_by_one": r"torch side has x for x - y",
}
"""What is so as well, and was not the words that had been written down."""
ELSEWHERE = {
    "conv_transposed_kernel",
    "conv_padded_at_the_end",
    "kl_the_other_way",
    "weights_forgotten",
    "schedule_off_by_one",
}
"""Numbers, options, inputs: the search of whole programs names them."""
SILENT = {"group_norm_of_as_many_channels"}
UNPLACED = {"schedule_off_by_one"}
QUICK = (
    "alibi_inside_the_scale",
    "peephole_of_the_old_state",
    "weights_mean_of_examples",
    "contrast_one_way_twice",
    "clip_after_the_decay",
)


@pytest.mark.parametrize("name", few(MISTAKES, *QUICK))
def test_the_cause_of_a_mistake_is_named_in_its_region(name):
    sentence = said(MISTAKES[name])
    if name in ELSEWHERE | SILENT:
        assert not sentence
        return
    assert re.search(IN_OTHER_WORDS.get(name, CAUSES[name]), sentence), sentence
    assert re.search(r"further_(ports|losses)\.py:", sentence)


@pytest.mark.parametrize("name", few(MISTAKES, "velocity_noise_exchanged", "contrast_in_torch"))
def test_the_place_of_a_mistake_is_its_line(name):
    pair = MISTAKES[name]
    arguments = pair.arguments(np.random.default_rng(0))
    found = places(Legs(pair, arguments), arguments.leaves, seconds=60.0)
    lines = marked(name, further_ports.__file__) | marked(name, further_losses.__file__)
    if name in UNPLACED:
        assert not found
        return
    assert lines & {line for place in found for line in place.lines}, found


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_what_is_no_step_of_a_region_is_named_by_the_search(name):
    report = check(MISTAKES[name], dtypes=["float64"])
    causes = [cause.sentence for row in report.rows for cause in row.causes]
    pattern = IN_OTHER_WORDS.get(name, CAUSES[name])
    assert any(re.search(pattern, sentence) for sentence in causes), report.text()


@pytest.mark.parametrize("name", few(RIGHT, "contrast", "adamw"))
def test_of_right_ports_nothing_is_said(name):
    report = check(RIGHT[name], dtypes=["float64"])
    assert report, report.text()


@pytest.mark.parametrize("factor", [0.5, 0.25])
def test_what_both_sides_do_is_not_said_of_one_alone(factor):
    """With 0.5 another y would do as well; but both add it, and both divide."""
    pair = Pair(
        jax=lambda x, y: (x / factor + y) ** 3,
        torch=lambda x, y: ((x + y) / factor) ** 3,
        inputs={"x": (4, 3), "y": (4, 3)},
    )
    assert re.match(rf"jax divides by {factor} before the sum .*torch after", said(pair))


def test_a_kernel_that_checks_no_shapes_gets_no_other_ones():
    """With g of another shape torch writes past the end of an array, and the process ends."""
    seen = set()

    def normed(v, g):
        seen.add((tuple(v.shape), tuple(g.shape)))
        return torch._weight_norm(v, g, 0)

    pair = Pair(
        jax=lambda v, g: v * (g + 1),
        torch=normed,
        inputs=lambda rng: {"v": rng.normal(size=(3, 3)), "g": rng.normal(size=(3, 1))},
    )
    report = check(pair, dtypes=["float64"], budget=3)
    assert report.verdict == "convention", report.text()
    assert seen == {((3, 3), (3, 1))}


def test_a_line_of_a_library_stands_beside_the_line_that_calls_it():
    nnx = pytest.importorskip("flax.nnx")

    def normed(x):
        layer = nnx.LayerNorm(6, epsilon=1e-2, rngs=nnx.Rngs(0))
        return layer(x) ** 3  # <- layer_called

    pair = Pair(jax=normed, torch=lambda x: F.layer_norm(x, (6,)) ** 3, inputs={"x": (4, 6)})
    report = check(pair, dtypes=["float64"], budget=5)
    (line,) = marked("layer_called", __file__)
    causes = [cause.sentence for row in report.rows for cause in row.causes]
    assert any(f"{line} (LayerNorm at normalization.py:" in sentence for sentence in causes), causes
