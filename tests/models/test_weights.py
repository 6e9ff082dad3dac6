"""Weights are matched by value: right, or said to be a guess; never wrong in silence.

What each of the written cases should come to stood here before any of them was run.
"""

import numpy as np
import pytest

from parity.errors import UsageError
from parity.models.layout import told
from parity.models.match import Decided
from parity.models.weights import matched


def drawn(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def ones(*shape):
    return np.ones(shape, np.float32)


def zeros(*shape):
    return np.zeros(shape, np.float32)


def numbered(tensors):
    """The same tensors, every element another number."""
    start = np.cumsum([0, *(x.size for x in tensors.values())])
    return {
        name: np.arange(a, a + x.size).reshape(x.shape)
        for a, (name, x) in zip(start, tensors.items(), strict=False)
    }


def how(weights, leaf):
    match = weights.matches[leaf]
    return told(match.layout, weights.shapes), match.layout.sources(), match.decided


def one(tensor, leaf, name="fc.weight"):
    return how(matched({name: tensor}, {"fc/kernel": leaf}), "fc/kernel")


RNG = np.random.default_rng(3)
SQUARE, CONV, HEADS = drawn(RNG, 6, 6), drawn(RNG, 8, 4, 3, 3), drawn(RNG, 12, 8)
HWIO = CONV.transpose(2, 3, 1, 0)
LAYOUTS = {
    "a square, as it is": (SQUARE, SQUARE, "as it is"),
    "a square, transposed": (SQUARE, SQUARE.T, "transposed"),
    "a kernel": (CONV, HWIO, "axes [2, 3, 1, 0]"),
    "a kernel, turned": (
        CONV,
        HWIO[::-1, ::-1],
        "axes [2, 3, 1, 0], flipped along axes [0, 1]",
    ),
    "heads": (HEADS, HEADS.T.reshape(8, 3, 4), "transposed, reshaped [8, 3, 4]"),
    "a flattened image": (CONV, HWIO.reshape(36, 8), "axes [2, 3, 1, 0], reshaped [36, 8]"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_found_by_value_and_said(name):
    tensor, leaf, said = LAYOUTS[name]
    assert one(tensor, leaf) == (said, ("fc.weight",), Decided.VALUE)


def test_q_k_and_v_are_split_and_their_equal_biases_go_with_them():
    rng = np.random.default_rng(0)
    fused = drawn(rng, 12, 4)
    torch = {"attn.in_proj_weight": fused, "attn.in_proj_bias": zeros(12), "ln.bias": zeros(4)}
    jax = {"ln/bias": zeros(4)}
    for i, part in enumerate(("query", "key", "value")):
        jax[f"attn/{part}/kernel"] = fused[4 * i : 4 * i + 4].T.reshape(4, 2, 2)
        jax[f"attn/{part}/bias"] = zeros(2, 2)
    found = matched(torch, jax)
    assert how(found, "attn/key/kernel")[:2] == (
        "[4:8], transposed, reshaped [4, 2, 2]",
        ("attn.in_proj_weight",),
    )
    expected = "[4:8], reshaped [2, 2]", ("attn.in_proj_bias",), Decided.STRUCTURE
    assert how(found, "attn/key/bias") == expected
    assert how(found, "ln/bias")[1] == ("ln.bias",)
    assert not found.unfed
    assert not found.unread
    given = {"attn.in_proj_bias": [f"attn/{part}/bias" for part in ("query", "key", "value")]}
    again = matched(torch, jax, given)
    assert how(again, "attn/key/bias") == (*expected[:2], Decided.GIVEN)


def test_gates_are_joined_and_so_are_their_biases():
    rng = np.random.default_rng(0)
    gates = {f"cell.{g}.weight": drawn(rng, 4, 3) for g in "rzn"}
    biases = {f"cell.{g}.bias": zeros(4) for g in "rzn"}
    kernel = np.concatenate([x.T for x in gates.values()], 1)
    found = matched(gates | biases, {"cell/kernel": kernel, "cell/bias": zeros(12)})
    assert how(found, "cell/kernel")[0].startswith("transposed; joined along axis 1")
    assert how(found, "cell/bias")[1:] == (tuple(biases), Decided.STRUCTURE)


def test_a_cell_with_one_bias_has_the_sum_of_torchs_two_gate_by_gate():
    rng = np.random.default_rng(0)
    ih, hh = drawn(rng, 8), drawn(rng, 8)
    torch = {"rnn.bias_ih_l0": ih, "rnn.bias_hh_l0": hh, "other.bias": drawn(rng, 8)}
    jax = {"cell/bias": ih + hh, "split/hf/bias": (ih + hh)[2:4]}
    found = matched(torch, jax)
    both = "rnn.bias_ih_l0", "rnn.bias_hh_l0"
    said = f"as it is; added up: {both[0]} and {both[1]}"
    assert how(found, "cell/bias") == (said, both, Decided.VALUE)
    assert how(found, "split/hf/bias")[0].startswith("[2:4]; added up")
    assert [*found.unread] == ["other.bias"]


def test_equal_layers_are_told_apart_by_their_place():
    rng = np.random.default_rng(0)
    same, heads = drawn(rng, 4, 4), [drawn(rng, 2, 4) for _ in range(3)]
    torch, jax = {}, {}
    for i in range(3):  # as torch.nn.TransformerEncoder copies one layer
        torch |= {f"layers.{i}.fc.weight": same, f"layers.{i}.head.weight": heads[i]}
        jax |= {f"blocks/{i}/dense/kernel": same.T, f"blocks/{i}/head/kernel": heads[i].T}
    found = matched(torch, jax)
    for i in range(3):
        said = "transposed", (f"layers.{i}.fc.weight",), Decided.STRUCTURE
        assert how(found, f"blocks/{i}/dense/kernel") == said


def test_norms_whose_numbers_and_places_do_not_tell_are_guessed_and_said_to_be():
    torch = {"a.weight": ones(4), "b.weight": ones(4)}
    found = matched(
        torch, {"params/LayerNorm_0/scale": ones(4), "params/LayerNorm_1/scale": ones(4)}
    )
    assert [m.layout.sources()[0] for m in found.matches.values()] == ["a.weight", "b.weight"]
    assert all(m.decided.guess for m in found.matches.values())


def test_a_symmetric_matrix_is_not_said_to_be_decided_by_value():
    rng = np.random.default_rng(0)
    half = drawn(rng, 5, 5)
    assert one(half + half.T, half + half.T)[2].guess


def test_a_tied_copy_is_matched_with_the_same_tensor():
    wte = drawn(np.random.default_rng(0), 7, 4)
    found = matched({"wte.weight": wte}, {"embed/embedding": wte, "head/kernel": wte.T})
    assert {m.layout.sources() for m in found.matches.values()} == {("wte.weight",)}
    assert not found.unread


def test_a_weight_without_a_counterpart_has_a_sentence_with_the_nearest():
    rng = np.random.default_rng(0)
    w, b = drawn(rng, 3, 4), drawn(rng, 3)
    found = matched({"fc.weight": w, "fc.bias": b}, {"fc/kernel": w.T, "fc/bias": b + 0.5})
    assert found.unfed == {
        "fc/bias": "fc/bias [3] is in no tensor of the torch module; nearest fc.bias [3], whose "
        "numbers, sorted, differ by up to 0.5"
    }
    assert [*found.unread] == ["fc.bias"]
    shuffled = matched({"fc.bias": b}, {"fc/bias": b[[1, 2, 0]]})
    assert "fc.bias [3] has the same numbers in another order" in shuffled.unfed["fc/bias"]


def test_a_factor_that_was_put_into_a_weight_is_found_and_its_bias_goes_with_it():
    rng = np.random.default_rng(0)
    fused, third = drawn(rng, 12, 4), drawn(rng, 5, 3)
    torch = {"attn.in.weight": fused, "attn.in.bias": zeros(12), "out.bias": zeros(4)}
    jax = {f"attn/{n}/kernel": part.T for n, part in zip("qkv", np.split(fused, 3), strict=True)}
    jax |= {f"attn/{n}/bias": zeros(4) for n in "qkv"}
    jax |= {"attn/q/kernel": jax["attn/q/kernel"] / np.float32(3) ** 0.5, "out/bias": zeros(4)}
    found = matched(torch, jax)
    assert how(found, "attn/q/kernel") == (
        "[0:4], transposed, times 0.57735",
        ("attn.in.weight",),
        Decided.VALUE,
    )
    assert how(found, "attn/q/bias")[:2] == ("[0:4]", ("attn.in.bias",))
    assert found.matches["attn/q/kernel"].layout.factor == (1 / 3) ** 0.5
    assert one(third, -third.T)[0] == "transposed, times -1"
    assert not matched({"fc.weight": third}, {"fc/kernel": drawn(rng, 3, 5)}).matches


def test_what_is_half_read_is_said():
    w = drawn(np.random.default_rng(0), 6, 4)
    found = matched({"fc.weight": w}, {"fc/kernel": w[:4].T})
    assert found.unread == {"fc.weight": "8 of 24 elements of fc.weight are in no leaf"}


def test_narrow_leaves_are_found_in_wider_tensors():
    ml = pytest.importorskip("ml_dtypes")
    w = drawn(np.random.default_rng(0), 5, 4)
    assert one(w, w.T.astype(ml.bfloat16))[:2] == ("transposed", ("fc.weight",))


def test_a_given_mapping_wins_and_a_wrong_one_is_refused():
    rng = np.random.default_rng(0)
    torch = {"a.weight": drawn(rng, 3, 4), "b.weight": drawn(rng, 3, 4)}
    jax = {"x/kernel": torch["a.weight"].T, "y/kernel": torch["b.weight"].T}
    found = matched(torch, jax, {"b.weight": ["x/kernel"], "a.weight": ["y/kernel"]})
    assert how(found, "x/kernel") == ("transposed", ("b.weight",), Decided.GIVEN)
    with pytest.raises(UsageError, match=r"names c\.weight, which the torch module does not have"):
        matched(torch, jax, {"c.weight": ["x/kernel"]})


def test_models_initialised_apart_are_matched_by_shape_and_name():
    rng = np.random.default_rng(0)
    torch, jax = {}, {}
    for name in ("encoder.0", "encoder.1", "head"):
        path = name.replace(".", "/")
        torch |= {f"{name}.weight": drawn(rng, 4, 4), f"{name}.bias": drawn(rng, 4)}
        jax |= {f"params/{path}/kernel": drawn(rng, 4, 4), f"params/{path}/bias": drawn(rng, 4)}
    assert not matched(torch, jax).matches
    found = matched(torch, jax, by_value=False)
    for leaf, match in found.matches.items():
        name = leaf.removeprefix("params/").replace("/", ".").replace("kernel", "weight")
        assert match.layout.sources() == (name,)
    assert how(found, "params/head/kernel")[0] == "transposed"


def factors(rng, n):
    found = []
    while n > 1:
        found.append(int(rng.choice([k for k in range(2, n + 1) if n % k == 0])))
        n //= found[-1]
    return found or [1]


def rearranged(rng, count):
    """Leaves made of tensors at random, and the same of where their elements come from."""
    torch = {}
    for i in range(count):
        shape = tuple(int(n) for n in rng.choice([1, 2, 3, 4, 6, 8], rng.integers(1, 4)))
        x = rng.choice([0, 1, 2, 3, 4], p=[0.15, 0.15, 0.1, 0.1, 0.5])
        values = [zeros(*shape), ones(*shape), drawn(rng, *shape).round(1), None, None][x]
        torch[f"m{i}.{'weight' if len(shape) > 1 else 'bias'}"] = (
            drawn(rng, *shape) if values is None else values
        )
    pairs = [(torch, {}), (numbered(torch), {})]
    for i, name in enumerate(torch):
        shape, ways = torch[name].shape, []
        if rng.random() < 0.4 and shape[0] % 2 == 0:  # split
            half = shape[0] // 2
            ways = [slice(None, half), slice(half, None)]
        for k, way in enumerate(ways or [slice(None)]):
            part, varied = torch[name][way].shape, len(np.unique(torch[name])) > 1
            into = [f for n in part for f in factors(rng, n)] if varied else [*part]
            order = rng.permutation(len(into))
            turned = varied and rng.random() < 0.3  # nothing shows how ones were turned
            cut = int(rng.integers(1, len(into) + 1)) if varied else 1
            for tensors, leaves in pairs:
                x = tensors[name][way].reshape(into).transpose(order)
                x = np.flip(x, 0) if turned else x
                leaves[f"n{i}_{k}/kernel"] = x.reshape(-1, *x.shape[cut:])
    if len(pairs[0][1]) > 3 and rng.random() < 0.5:  # joined
        together = [name for name, x in pairs[0][1].items() if x.ndim == 2]
        for one in together:
            for other in together:
                a, b = (pairs[0][1].get(name) for name in (one, other))
                if one < other and a is not None and b is not None and a.shape[1] == b.shape[1]:
                    for _, leaves in pairs:
                        leaves[one] = np.concatenate([leaves[one], leaves.pop(other)])
                    return pairs
    return pairs


def test_fifty_random_models_are_matched_right_or_said_to_be_guessed():
    told_apart = 0
    for seed in range(50):
        (torch, jax), (places, truth) = rearranged(np.random.default_rng(seed), 6)
        found = matched(torch, jax)
        assert {*found.matches, *found.unfed} == {*jax}
        for leaf, match in found.matches.items():
            values = {name: x.astype(np.float64) for name, x in torch.items()}
            assert np.array_equal(match.layout.of(values), jax[leaf])
            if not match.decided.guess:
                told_apart += 1
                assert np.array_equal(match.layout.of(places), truth[leaf]), (seed, leaf)
    assert told_apart > 200
