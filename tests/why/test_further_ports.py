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
from tests.shared import (
    further_losses,
    further_ports,
    later_losses,
    later_ports,
    later_rules,
    later_steps,
)
from tests.shared.further_ports import CAUSES, MISTAKES, RIGHT
from tests.shared.port_mistakes import marked
from tests.shared.sampled import few
from tests.why.test_inside import said

IN_OTHER_WORDS = {
    "rms_norm_of_the_sum": r"jax adds x .* before .*, torch adds x .* after",
    "contrast_in_torch": r"jax takes log_softmax over axis 1 .*torch over axis 0",
    "schedule_off_by_one": r"torch side has x for x - y",
    "rotary_back": r"jax adds .*, torch subtracts",
    "min_gru_keeps_by_the_gate": r"multiplied by -1",
    "ams_maximum_of_the_corrected": r"jax reads what add makes .* torch reads what maximum makes",
    "factored_by_the_columns": r"jax takes the mean of .*, torch the mean of",
    "distilled_mean_of_all": r"divisor = 6",
    "codes_committed_both_ways": r"torch detaches a value at later_rules\.py:",
    "values_of_a_moving_target": r"jax stops a gradient at later_rules\.py:",
    "swish_beta_of_one_x": r"return \(?dx, jnp\.sum\(g \* x \* slope \* x\)\)",
}
"""What is so as well, and was not the words that had been written down."""
ELSEWHERE = {
    "conv_transposed_kernel",
    "conv_padded_at_the_end",
    "kl_the_other_way",
    "weights_forgotten",
    "schedule_off_by_one",
    "instance_norm_of_one_less",
    "group_norm_of_as_many_channels",
    "groups_twice_as_wide",
    "min_gru_keeps_by_the_gate",
    "backwards_from_the_padding",
    "resized_by_the_corners",
    "pooled_with_the_padding",
    "output_padded_before",
    "distilled_mean_of_all",
    "tversky_weights_exchanged",
}
"""Numbers, options, inputs: the search of whole programs names them."""
SILENT = {"linear_sum_of_all_keys", "kutta_third_of_the_first"}
UNPLACED = {"schedule_off_by_one"}
WHERE_IT_IS_MADE = {"buckets_of_the_other_side"}
"""What is whole numbers is placed where these are made."""
FILES = (further_ports, further_losses, later_ports, later_losses, later_steps)
QUICK = (
    "alibi_inside_the_scale",
    "peephole_of_the_old_state",
    "weights_mean_of_examples",
    "contrast_one_way_twice",
    "clip_after_the_decay",
    "gated_after_the_norm",
    "gated_state_not_squared",
    "factored_by_the_columns",
    "experts_share_of_all",
    "lion_of_the_new_moment",
)


@pytest.mark.parametrize("name", few(MISTAKES, *QUICK))
def test_the_cause_of_a_mistake_is_named_in_its_region(name):
    sentence = said(MISTAKES[name])
    if name in ELSEWHERE | SILENT:
        assert not sentence
        return
    assert re.search(IN_OTHER_WORDS.get(name, CAUSES[name]), sentence), sentence
    assert re.search(r"(further|later)_(ports|losses|steps)\.py:", sentence)


@pytest.mark.parametrize(
    "name", few(MISTAKES, "velocity_noise_exchanged", "gated_state_not_squared")
)
def test_the_place_of_a_mistake_is_its_line(name):
    pair = MISTAKES[name]
    arguments = pair.arguments(np.random.default_rng(0))
    found = places(Legs(pair, arguments), arguments.leaves, seconds=60.0)
    lines = set().union(*(marked(name, module.__file__) for module in FILES))
    if name in UNPLACED:
        assert not found
        return
    if name in WHERE_IT_IS_MADE:
        assert found
        return
    assert lines & {line for place in found for line in place.lines}, found


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_what_is_no_step_of_a_region_is_named_by_the_search(name):
    report = check(MISTAKES[name], dtypes=["float64"])
    causes = [cause.sentence for row in report.rows for cause in row.causes]
    pattern = IN_OTHER_WORDS.get(name, CAUSES[name])
    assert any(re.search(pattern, sentence) for sentence in causes), report.text()


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(later_rules.WRONG))
def test_what_is_wrong_on_the_way_back_is_named(name):
    report = check(later_rules.WRONG[name], dtypes=["float64"])
    causes = [cause.sentence for row in report.rows for cause in row.causes]
    pattern = IN_OTHER_WORDS.get(name, later_rules.SAYS[name])
    assert report.verdict == "different"
    assert any(re.search(pattern, sentence) for sentence in causes), report.text()


@pytest.mark.parametrize("name", few(later_rules.BOTH, "bias_and_max"))
def test_of_two_mistakes_both_are_named(name):
    sentence = said(later_rules.BOTH[name])
    if name == "before_and_max":  # one region, in which two steps are done otherwise
        assert not sentence
        return
    assert all(re.search(words, sentence) for words in later_rules.TWO[name]), sentence
    assert sentence.count(";") == 2


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
