"""The NumPy generator against torch's own, value by value and word by word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parity.makemore.data import load
from parity.makemore.seeds import Generator

SEEDS = st.integers(-(2**63), 2**64 - 1) | st.integers(-3, 3) | st.just(2147483647)
HIGHS = st.integers(1, 2**28 - 1) | st.sampled_from([1, 2, 2**24, 2**24 + 1, 2**28 - 1])
SHAPES = st.lists(st.integers(0, 7), max_size=3).map(tuple)
SIZES = st.integers(0, 40) | st.integers(41, 700)
VECTORISED = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def torch_generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_same_normals(ours: np.ndarray, theirs: torch.Tensor) -> None:
    """Bit by bit, the sign of zero included, where torch runs the kernel that is written out."""
    assert ours.dtype == np.float32
    assert ours.shape == tuple(theirs.shape)
    if VECTORISED or ours.size < 16:
        np.testing.assert_array_equal(ours.view(np.int32), theirs.numpy().view(np.int32))
    else:
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=4e-6)


def next_word(generator: torch.Generator) -> int:
    """27 bits of torch's next word: where its stream stands."""
    return int(torch.randint(0, 2**27, (), generator=generator))


@given(SEEDS, HIGHS, SHAPES)
def test_randint_is_torchs(seed: int, high: int, shape: tuple[int, ...]) -> None:
    generator = Generator(seed)
    ours = generator.randint(high, shape)
    theirs = torch.randint(0, high, shape, generator=torch_generator(seed))
    np.testing.assert_array_equal(ours, theirs.numpy(), strict=True)
    assert generator.words_used == theirs.numel()


@given(SEEDS, SIZES)
def test_randn_is_torchs_at_any_size(seed: int, size: int) -> None:
    generator, reference = Generator(seed), torch_generator(seed)
    assert_same_normals(generator.randn(size), torch.randn(size, generator=reference))
    aligned = Generator(seed)
    aligned.skip(generator.words_used)
    assert aligned.randint(2**27, ()) == next_word(reference)


@given(SEEDS, SHAPES)
def test_randn_takes_its_shape_as_torch_does(seed: int, shape: tuple[int, ...]) -> None:
    assert_same_normals(
        Generator(seed).randn(*shape), torch.randn(shape, generator=torch_generator(seed))
    )


@given(SEEDS, st.lists(st.tuples(st.sampled_from(["randn", "randint"]), SIZES), max_size=12))
def test_draws_may_come_in_any_order(seed: int, draws: list[tuple[str, int]]) -> None:
    generator, reference = Generator(seed), torch_generator(seed)
    for kind, size in draws:
        if kind == "randn":
            assert_same_normals(generator.randn(size), torch.randn(size, generator=reference))
        else:
            theirs = torch.randint(0, 27, (size,), generator=reference)
            np.testing.assert_array_equal(generator.randint(27, size), theirs.numpy(), strict=True)
    aligned = Generator(seed)
    aligned.skip(generator.words_used)
    assert aligned.randint(2**27, ()) == next_word(reference)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([0], 0),
        ([16], 16),
        ([32], 32),
        ([17], 33),  # 16, then one that is thrown away, then 16 anew
        ([31], 47),
        ([700], 716),
        ([1], 4),
        ([2], 4),
        ([3], 8),
        ([15], 32),
        ([1, 1], 4),  # the second half of the pair
        ([3, 1], 8),
        ([3, 2], 12),
        ([3, 3], 12),
        ([1, 0, 1], 4),
        ([1, 16, 1], 20),  # a large draw neither uses nor drops it
        ([27, 5, 27, 1], 43 + 12 + 43),
    ],
)
def test_words_used_by_normals(sizes: list[int], words: int) -> None:
    generator = Generator(1)
    for size in sizes:
        generator.randn(size)
    assert generator.words_used == words


def test_the_kept_normal_survives_other_draws_and_skips() -> None:
    whole = Generator(5).randn(2)
    generator, reference = Generator(5), torch_generator(5)
    torch.randn(1, generator=reference)
    torch.randint(0, 9, (7,), generator=reference)
    torch.randn(40, generator=reference)
    assert generator.randn(1) == whole[0]
    generator.skip(7 + 40 + 16)
    assert generator.randn(1) == whole[1] == torch.randn((), generator=reference).numpy()
    assert generator.randint(2**27, ()) == next_word(reference)


def test_words_are_those_of_the_mersenne_twister() -> None:
    # The first outputs for seed 5489, the reference implementation's default, and its 10,000th.
    generator = Generator(5489)
    first = generator.words(3)
    assert first.dtype == np.uint32
    assert first.tolist() == [3499211612, 581869302, 3890346734]
    generator.skip(9_996)
    assert generator.words(1).tolist() == [4123659995]
    assert generator.words_used == 10_000


@given(SEEDS, st.integers(0, 3000), st.integers(0, 50))
def test_skipping_is_drawing_unseen(seed: int, skipped: int, drawn: int) -> None:
    generator, reference = Generator(seed), torch_generator(seed)
    generator.skip(skipped)
    torch.randint(0, 2, (skipped,), generator=reference)
    theirs = torch.randint(0, 2**27, (drawn,), generator=reference)
    np.testing.assert_array_equal(generator.randint(2**27, drawn), theirs.numpy())
    assert generator.words_used == skipped + drawn


def test_a_long_skip_lands_where_torch_does() -> None:
    generator, reference = Generator(9), torch_generator(9)
    generator.skip(3 * 2**20 + 5)
    torch.randint(0, 2, (3 * 2**20 + 5,), generator=reference)
    assert generator.randint(2**27, ()) == next_word(reference)


def test_a_million_normals_are_torchs() -> None:
    ours = Generator(11).randn(1001, 1000)
    assert_same_normals(ours, torch.randn(1001, 1000, generator=torch_generator(11)))


def test_a_radius_of_zero_gives_zeros_without_a_sign() -> None:
    ours = Generator(282286).randn(64)  # its 56th word ends in 24 zero bits
    assert ours[55].tobytes() == ours[63].tobytes() == bytes(4)
    assert_same_normals(ours, torch.randn(64, generator=torch_generator(282286)))


@pytest.mark.parametrize(("n_hidden", "words"), [(64, 4041), (200, 11_961)])
def test_the_notebooks_parameters_and_indices(n_hidden: int, words: int) -> None:
    generator, reference = Generator(2147483647), torch_generator(2147483647)
    for shape in ((27, 10), (30, n_hidden), (n_hidden,), (n_hidden, 27), (27,)):
        assert_same_normals(generator.randn(*shape), torch.randn(shape, generator=reference))
    assert generator.words_used == words
    examples = len(load().train.Y)
    ours = generator.randint(examples, (100, 32))
    for step in range(100):
        theirs = torch.randint(0, examples, (32,), generator=reference)
        np.testing.assert_array_equal(ours[step], theirs.numpy(), strict=True)


def test_the_notebooks_first_numbers() -> None:
    # Known by heart to many readers: the first row of C, and the first minibatch at n_hidden 200.
    generator = Generator(2147483647)
    assert generator.randn(27, 10)[0, :4].round(4).tolist() == pytest.approx(
        [1.5674, -0.2373, -0.0274, -1.1008]
    )
    generator.skip(11_961 - generator.words_used)
    assert generator.randint(182_625, 5).tolist() == [1680, 115963, 46562, 106512, 133208]


@pytest.mark.parametrize("seed", [-(2**63) - 1, 2**64])
def test_a_seed_torch_refuses_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="long"):
        torch_generator(seed)
    with pytest.raises(ValueError, match=rf"seed must lie in .* not {seed}$"):
        Generator(seed)


@pytest.mark.parametrize("high", [0, -5, 2**28, 2**40])
def test_a_high_beyond_one_word_is_refused(high: int) -> None:
    generator = Generator(0)
    with pytest.raises(ValueError, match=rf"high must lie in \[1, 2\*\*28\).* not {high}$"):
        generator.randint(high, (3,))
    assert generator.words_used == 0


def test_the_limit_of_one_word_is_torchs() -> None:
    reference = torch_generator(0)
    torch.randint(0, 2**28 - 1, (1,), generator=reference)
    second = torch_generator(0)
    torch.randint(0, 2**28, (1,), generator=second)
    assert [next_word(reference), next_word(second)] == [
        word % 2**27 for word in Generator(0).words(3)[1:].tolist()
    ]


def test_what_cannot_be_drawn_is_refused_before_the_stream_moves() -> None:
    generator = Generator(0)
    with pytest.raises(ValueError, match="cannot skip -1 words"):
        generator.skip(-1)
    with pytest.raises(ValueError, match="cannot draw -2 words"):
        generator.words(-2)
    with pytest.raises(ValueError, match=r"negative, as in shape \(-4, -8\)"):
        generator.randn(-4, -8)
    with pytest.raises(ValueError, match=r"negative, as in shape \(-1,\)"):
        generator.randint(5, -1)
    with pytest.raises(TypeError):
        generator.randint(2.5, 3)  # type: ignore[arg-type]
    assert generator.words_used == 0
