"""docs/derivations.md is run: what its code prints and the numbers in its prose must be true.

`python -m tests.test_derivations` prints the page with fresh outputs.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "derivations.md"
BLOCK = re.compile(r"^```(\w+) ?(.*)\n((?:(?!```).*\n)*)```$", re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?:e-?\d+)?")


def fresh(page: str) -> str:
    """Return the page with every text block replaced by what the Python block before it prints.

    A text block that names an environment variable shows that Python block in a process of its
    own, after the page's first. A Python block that names a file quotes it, and is not run.
    """
    first: str = ""
    last: str = ""
    printed: str = ""
    namespace: dict[str, object] = {"__name__": "derivations"}

    def replace(block: re.Match[str]) -> str:
        nonlocal first, last, printed
        kind, remark, body = block.groups()
        if kind == "python" and not remark:
            first, last = first or body, body
            printed = _printed(body, namespace)
        if kind != "text":
            return block[0]
        return f"```text {remark}".rstrip() + f"\n{_elsewhere(remark, first, last) or printed}```"

    return BLOCK.sub(replace, page)


def _printed(code: str, namespace: dict[str, object]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, str(PAGE), "exec"), namespace)
    return out.getvalue()


def _elsewhere(variable: str, first: str, last: str) -> str:
    if not variable:
        return ""
    name, value = variable.split("=")
    program = f"import contextlib\nwith contextlib.redirect_stdout(None): exec({first!r})\n{last}"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {name: value},
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    ).stdout


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rerun() -> str:
    """The page with fresh outputs, from a process of its own: it sets torch's thread count."""
    command = [sys.executable, "-m", "tests.test_derivations"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_own_kernels(page: str) -> str:
    """The page less the blocks that ask for one of torch's x86 kernels by name."""
    return re.sub(r"^```text \w+=.*\n(?:(?!```).*\n)*```$", "", page, flags=re.MULTILINE)


def prose(page: str) -> str:
    """The page less its code, its math and its links."""
    page = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`|\$[^$]*\$|\]\([^)]*\)", "", page)


def test_the_outputs_are_what_the_code_prints(page: str, rerun: str) -> None:
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        page, rerun = without_own_kernels(page), without_own_kernels(rerun)
    assert rerun == page


def test_the_numbers_in_the_prose_were_printed(page: str) -> None:
    outputs = "".join(block[3] for block in BLOCK.finditer(page) if block[1] == "text")
    numbers = NUMBER.findall(prose(page))
    assert numbers
    assert set(numbers) <= set(NUMBER.findall(outputs))


def test_the_quoted_lines_are_in_the_code(page: str) -> None:
    quotes = [(block[2], block[3]) for block in BLOCK.finditer(page) if block[1:3] != ("python", "")]
    quotes = [(name, body) for name, body in quotes if name.endswith(".py")]
    assert len(quotes) == 2
    for name, body in quotes:
        assert " ".join(body.split()) in " ".join((ROOT / name).read_text("utf-8").split())


def test_jax_measures_the_same_paths(page: str) -> None: ...


def test_a_wrong_number_is_noticed() -> None: ...


if __name__ == "__main__":
    sys.stdout.write(fresh(PAGE.read_text(encoding="utf-8")))
