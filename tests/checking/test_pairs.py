"""The example pairs: where torch and JAX differ by convention, each comes out as it was measured.

At one shape and seed by default; the long proof takes three shapes and two seeds, and hides every
function behind a lambda, since no verdict may depend on a name.
"""

from pathlib import Path

import pytest

import parity.checking.reasons
from parity import Pair, check
from parity.pairs.finding import find
from parity.why.conventions.search import Explanation

FOLDER = Path(__file__).parents[2] / "examples" / "pairs"

EQUAL = {"identical", "rounding"}
CONVENTION, KINK, LESS_ACCURATE = {"convention"}, {"kink"}, {"less accurate"}

EXPECTED = {
    "activations": {
        "gelu_defaults": CONVENTION,
        "gelu_exact": EQUAL,
        "gelu_tanh": EQUAL,
        "silu": EQUAL,
        "elu": EQUAL,
        "selu": EQUAL,
        "celu": EQUAL,
        "mish": EQUAL,
        "softsign": EQUAL,
        "hardswish": EQUAL,
        "hardsigmoid": LESS_ACCURATE,
        "softplus": CONVENTION,
    },
    "kinks": {
        "leaky_relu": KINK,
        "absolute": KINK,
        "clamp": KINK,
        "maximum": KINK,
        "median": CONVENTION,
    },
    "norms": {
        "layer_norm_defaults": CONVENTION,
        "layer_norm_small": CONVENTION,
        "layer_norm_same_eps": EQUAL,
        "layer_norm_far": LESS_ACCURATE,
        "layer_norm_far_slow": EQUAL,
        "rms_norm_defaults": CONVENTION,
        "group_norm_defaults": CONVENTION,
        "group_norm_same_eps": EQUAL,
        "batch_norm_output": EQUAL,
        "batch_norm_running_var": CONVENTION,
        "variance": CONVENTION,
        "deviation": CONVENTION,
    },
    "losses": {
        "cross_entropy": EQUAL,
        "ignore_index": CONVENTION,
        "label_smoothing": EQUAL,
        "kl_mean": CONVENTION,
        "kl_batchmean": EQUAL,
        "l2_loss": CONVENTION,
        "squared_error": EQUAL,
        "huber": EQUAL,
        "smooth_l1": CONVENTION,
        "ctc": EQUAL,
        "ctc_mean": CONVENTION,
        "triplet": CONVENTION,
        "binary_cross_entropy": CONVENTION,
    },
    "modules": {"linear": EQUAL, "layer_norm": EQUAL},
}
NEEDS = {"norms": "flax", "losses": "optax", "modules": "equinox"}
CASES = [(file, name) for file, names in EXPECTED.items() for name in names]

# torch says so of reduction="mean", which is the point of that pair
pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")


@pytest.fixture(autouse=True)
def verdicts_alone(monkeypatch):
    """Causes are test_conventions.py's, and take their time; they change no verdict."""
    monkeypatch.setattr(parity.checking.reasons, "explain", lambda *_: Explanation((), ""))


def shapes(file: str, name: str) -> list[Pair]:
    """The pairs that a user's `parity check FILE.py` finds under one name."""
    if file in NEEDS:
        pytest.importorskip(NEEDS[file], reason='needs pip install "backprop-parity[examples]"')
    found = [p for p in find(str(FOLDER / f"{file}.py")) if p.name.startswith(f"{name}[")]
    assert len(found) == 3
    return found


def hidden(pair: Pair) -> Pair:
    """The same pair, its functions without a name."""
    return Pair(
        jax=lambda *inputs: pair.jax(*inputs),
        torch=lambda *inputs: pair.torch(*inputs),
        inputs=pair.inputs,
        forward_only=pair.forward_only,
    )


def verdicts(pair: Pair, seeds: int = 1) -> dict[str, str]:
    """{dtype: its most severe verdict}."""
    rows = check(pair, seeds=seeds, budget=0).rows  # causes are in why/test_conventions.py
    return {
        dtype: str(max((r.verdict for r in rows if r.dtype == dtype), key=lambda v: v.severity))
        for dtype in ("float32", "float64")
    }


ONE_OF_EACH = {tuple(sorted(EXPECTED[file][name])): (file, name) for file, name in CASES}
"""By verdict; the long proof has the others."""


@pytest.mark.parametrize(
    ("file", "name"), [*ONE_OF_EACH.values(), ("norms", "batch_norm_running_var")]
)
def test_a_pair_has_its_verdict(file, name):
    first = shapes(file, name)[0]
    found = verdicts(first)
    assert {*found.values()} <= EXPECTED[file][name], found


@pytest.mark.full
@pytest.mark.parametrize(("file", "name"), CASES)
def test_a_pair_has_its_verdict_at_every_shape_and_seed_and_without_a_name(file, name):
    for pair in shapes(file, name):
        found = verdicts(hidden(pair), seeds=2)
        assert {*found.values()} <= EXPECTED[file][name], (pair.name, found)


def test_every_pair_of_the_examples_is_expected():
    for file in FOLDER.glob("*.py"):
        if file.stem in NEEDS:
            pytest.importorskip(NEEDS[file.stem])
        assert {p.name.split("[")[0] for p in find(str(file))} == {*EXPECTED[file.stem]}
    assert {file.stem for file in FOLDER.glob("*.py")} == {*EXPECTED}
