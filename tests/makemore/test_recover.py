"""The search for a seed: the same words, a known seed found, a wrong digit refused, and resumed."""

import json
import re

import jax.numpy as jnp
import numpy as np
import pytest

from parity.__main__ import main
from parity.frameworks import jax_states
from parity.frameworks.jax_devices import Devices
from parity.frameworks.jax_side import exactly
from parity.judge.compare import FLOAT32
from parity.makemore.data import load
from parity.makemore.published import NOTEBOOK, read
from parity.makemore.recover.run import with_seed
from parity.makemore.recover.states import MANY, Search
from parity.makemore.recover.target import EXACT, fits, of_exercise_1
from parity.makemore.seeds import Generator, spent
from parity.makemore.training import Config, train

SEEDS = (0, 1, 3847735602, 2**32 - 1)


@pytest.mark.parametrize(("first", "count"), [(0, 128), (500, 300)])
def test_words_are_those_of_the_generator(first, count):
    found = np.asarray(jax_states.words(jnp.array(SEEDS, jnp.uint32), first, count))
    for seed, words in zip(SEEDS, found.T, strict=True):
        generator = Generator(seed)
        generator.skip(first)
        assert np.array_equal(words, generator.words(count))


@pytest.mark.parametrize(
    ("size", "circle", "error"),
    [
        (16, jax_states.circle, 1e-6),
        (40, jax_states.circle, 1e-6),
        (40, jax_states.quick_circle, 3e-5),
    ],
)
def test_normals_are_nearly_those_of_the_generator(size, circle, error):
    assert jax_states.spent(size) == spent(size)
    words = jax_states.words(jnp.array(SEEDS, jnp.uint32), 0, spent(size))
    found = np.asarray(jax_states.normals(words, size, circle))
    for seed, normals in zip(SEEDS, found, strict=True):
        generator = Generator(seed)
        assert np.abs(normals - generator.randn(size)).max() < error
        assert generator.words_used == spent(size)


@pytest.mark.full
def test_an_estimate_errs_less_than_it_says():
    """On the generator's own draws, whose sines are quick; a search for few takes every loss."""
    target = of_exercise_1(read(NOTEBOOK), load())
    search = Search(target, Devices(), MANY)
    assert search.error < 2e-3  # a loss has a spread of 0.013
    assert Search(target, search.devices).error == np.inf
    seeds = np.arange(search.block, dtype=np.uint32)
    with exactly(FLOAT32):
        quick = np.asarray(search._estimates(seeds))
        losses = np.asarray(search._losses(seeds))
    assert search.error / 10 < np.abs(quick - losses).max() < search.error / 2


@pytest.mark.parametrize(
    ("published", "ours", "fit"),
    [
        ("3.3361", 3.33605, True),
        ("3.3361", 3.336049, False),
        ("3.3361", 3.3361501, True),  # its own error
        ("3.3361", 3.336153, False),
        (3.3360559940338135, 3.3360565, True),
        (3.3360559940338135, 3.3360575, False),
    ],
)
def test_a_loss_fits_a_published_one(published, ours, fit):
    assert fits(published, ours, EXACT) == fit


def lost(folder, **changed):
    """Write the notebook's run file without its seeds, and with only the first losses."""
    text = re.sub(r"(?m)^global_(seed|skip).*\n", "", NOTEBOOK.read_text(encoding="utf-8"))
    text = re.sub(r"(?ms)^30000 = .*?(?=^\[final)", "", text)
    for figure, other in changed.values():
        assert figure in text
        text = text.replace(figure, other)
    path = folder / "lost.toml"
    path.write_text(text, encoding="utf-8")
    return path


def around(reach):
    return f"{3847735602 - reach // 3}..{3847735602 + reach - reach // 3}"


@pytest.mark.full
def test_the_notebooks_seed_is_found_and_a_wrong_digit_is_refused(tmp_path, capsys):
    out = tmp_path / "found.toml"
    words = ["--out", str(out), "--seeds"]
    assert main(["recover", str(lost(tmp_path)), *words, "3839346994..3856124209"]) == 0  # 2**24
    said = capsys.readouterr().out
    # as many as without an estimate: 966 on an AMD; a processor may round a loss otherwise
    assert re.search(r"\b9\d\d of 16,777,216 print 3\.3360559940338135", said), said
    assert "29 of them print 3.8101 at step 0" in said
    assert "global seed 3847735602, training's draws from word 2288" in said
    assert not (tmp_path / "found.toml.search").exists()
    found, published = read(out), read(NOTEBOOK)
    assert found.training == published.training
    assert found.exercise_1 == published.exercise_1

    out.unlink()
    wrong = lost(tmp_path, first=("3.3360559940338135", "3.3361559940338135"))
    assert main(["recover", str(wrong), *words, around(2**20)]) == 1
    assert "none of these prints this" in capsys.readouterr().out
    assert not out.exists()


@pytest.mark.full
def test_a_run_without_exercise_1_is_found_by_its_losses(tmp_path, capsys):
    """An invented run of 24 units, whose stream had passed 40 words."""
    size = {"n_hidden": 24, "batch_size": 9, "steps": 31, "global_skip": 40}
    config = Config(**size, global_seed=5_000_123)
    *_, chunk = train(config, load())
    text = "[training]\n" + "".join(f"{key} = {value}\n" for key, value in size.items())
    text += f'[losses]\n0 = "{chunk.losses[0]:.4f}"\n30 = "{chunk.losses[30]:.4f}"\n'
    path, out = tmp_path / "lost.toml", tmp_path / "found.toml"
    path.write_text(text)
    words = ["recover", str(path), "--out", str(out)]
    assert main([*words, "--seeds", "5000000..5000500"]) == 0
    assert read(out).training == config
    assert main([*words, "--seeds", "5000200..5000500"]) == 1
    path.write_text('[training]\nsteps = 9\n[losses]\n3 = "2.0000"\n')
    assert main(words) == 2
    assert "it publishes no loss before training" in capsys.readouterr().err


@pytest.mark.full
def test_it_goes_on_where_it_was_and_refuses_another_search(tmp_path, capsys):
    """From a file that says all is searched but the seed's own place, the seed is found."""
    path, out = lost(tmp_path), tmp_path / "found.toml"
    path.write_text(re.sub(r"(?ms)^\[losses\].*?(?=^\[final)", "", path.read_text()))
    first, last = 3847735602 - 2**31, 3847735602 + 2
    kept = tmp_path / "found.toml.search"
    question = {"run": path.read_text(), "seeds": [first, last]}
    state = {"question": question, "next": last - 7, "survivors": [9]}
    kept.write_text(json.dumps(state))
    words = ["recover", str(path), "--out", str(out)]
    assert main([*words, "--seeds", f"{first}..{last}"]) == 1
    said = capsys.readouterr().out
    assert "2 of 2,147,483,651 print 3.3360559940338135" in said
    assert "states print all of this" in said  # nothing says after how many runs of the cell

    kept.write_text(json.dumps(state | {"question": question | {"seeds": [0, 1]}}))
    assert main([*words, "--seeds", f"{first}..{last}"]) == 2
    assert "is of another search; delete it" in capsys.readouterr().err


def test_what_cannot_be_searched_is_one_sentence(tmp_path, capsys):
    for words, sentence in (
        ([str(NOTEBOOK)], "has its global_seed; leave it out"),
        ([str(lost(tmp_path)), "--seeds", "5"], "write it as 0..4294967295"),
        ([str(lost(tmp_path)), "--seeds", "5..4294967296"], "are no states"),
    ):
        assert main(["recover", *words, "--out", str(tmp_path / "out.toml")]) == 2
        assert sentence in capsys.readouterr().err


def test_the_seed_is_written_where_it_belongs():
    text = 'title = "a"\n[exercise-1]\nloss = 3.0\n[losses]\n0 = "3.9"\n'
    assert with_seed(text, 5, 7) == (
        'title = "a"\n[exercise-1]\nglobal_seed = 5\nloss = 3.0\n[losses]\n0 = "3.9"\n\n'
        "[training]\nglobal_seed = 5\nglobal_skip = 7\n"
    )
