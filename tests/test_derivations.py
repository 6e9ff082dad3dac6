"""docs/derivations.md is run: what its code prints and the numbers in its prose must be true.

`python tests/test_derivations.py` prints the page with fresh outputs.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import torch

from jax_impl import chunked
from jax_impl.params import EPS, Params
from parity.makemore.data import load
from parity.makemore.notebook import Options, batches

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "derivations.md"
BLOCK = re.compile(r"^```(\w+) ?(.*)\n((?:(?!```).*\n)*)```$", re.MULTILINE)
ELSEWHERE = re.compile(r"^```text \w+=.*\n(?:(?!```).*\n)*```$", re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)+(?:e-?\d+)?")


def fresh(page: str) -> str:
    """Return the page with every text block replaced by what the Python block before it prints.

    A text block that names an environment variable shows that Python block in a process of its
    own, after the page's first. A Python block that names a file quotes it, and is not run.
    """
    first = last = printed = ""
    namespace: dict[str, Any] = {"__name__": "derivations"}

    def replace(block: re.Match[str]) -> str:
        nonlocal first, last, printed
        kind, remark, body = block.groups()
        if kind == "python" and not remark:
            first, last = first or body, body
            printed = _printed(body, namespace)
        if kind != "text":
            return block[0]
        if not remark:
            return f"```text\n{printed}```"
        return f"```text {remark}\n{_printed_elsewhere(remark, first, last)}```"

    return BLOCK.sub(replace, page)


def _printed(code: str, namespace: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, str(PAGE), "exec"), namespace)
    return out.getvalue()


def _printed_elsewhere(setting: str, first: str, last: str) -> str:
    name, value = setting.split("=")
    quiet = f"import contextlib\nwith contextlib.redirect_stdout(None):\n    exec({first!r})\n"
    return _run(["-c", quiet + last], {name: value, "PYTHONPATH": str(ROOT)})


def _run(arguments: list[str], settings: dict[str, str]) -> str:
    command, env = [sys.executable, *arguments], os.environ | settings
    done = subprocess.run(command, env=env, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rerun() -> str:
    """The page with fresh outputs, from a process of its own: it sets torch's thread count."""
    return _run([__file__], {"PYTHONPATH": str(ROOT)})


@pytest.mark.full
def test_the_outputs_are_what_the_code_prints(page: str, rerun: str) -> None:
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        page, rerun = ELSEWHERE.sub("", page), ELSEWHERE.sub("", rerun)
    assert rerun == page


def unprinted(page: str) -> set[str]:
    """The decimal numbers of the prose, code and math left out, that no text block holds."""
    outputs = "".join(block[3] for block in BLOCK.finditer(page) if block[1] == "text")
    prose = re.sub(r"`[^`]*`|\$[^$]*\$|\]\([^)]*\)", "", BLOCK.sub("", page))
    return set(NUMBER.findall(prose)) - set(NUMBER.findall(outputs))


def test_the_numbers_in_the_prose_were_printed(page: str) -> None:
    assert unprinted(page) == {"2.0.1"}  # the torch that the notebook names


def test_the_quoted_lines_are_in_both_twins(page: str) -> None:
    quotes = [
        block[3] for block in BLOCK.finditer(page) if block.group(1, 2) == ("python", "ops.py")
    ]
    assert len(quotes) == 2
    for quote in quotes:
        for twin in ("jax_impl", "torch_ref"):
            code = (ROOT / twin / "ops.py").read_text(encoding="utf-8").replace("jnp.", "torch.")
            assert " ".join(quote.split()) in " ".join(code.split())


def test_inline_math_survives_markdown(page: str) -> None:
    """GitHub reads a backslash before punctuation as markdown's, outside of math blocks."""
    inline = re.findall(r"\$[^$]*\$", BLOCK.sub("", page))
    assert len(inline) > 20
    assert not [math for math in inline if re.search(r"\\[^A-Za-z]", math)]


@pytest.mark.full
def test_jax_measures_the_same_paths(page: str) -> None:
    batch = next(batches(Options(), load()))
    with jax.enable_x64(True):
        params = Params(*(jnp.array(batch[name], jnp.float64) for name in Params._fields))
        Xb, Yb = jnp.array(batch["Xb"]), jnp.array(batch["Yb"])
        _, activations = jax.jit(chunked.forward)(params, Xb, Yb)
        _, grads = jax.jit(chunked.backward)(params, activations, Xb, Yb)

        def bn(itself: Any, in_mean: Any, in_variance: Any, in_variances_mean: Any) -> Any:
            diff2 = (in_variance - in_variances_mean.mean(0)) ** 2
            scale = params.bngain * (diff2.sum(0) / (len(Yb) - 1) + EPS) ** -0.5
            return (itself - in_mean.mean(0)) * scale + params.bnbias

        paths = jax.jit(lambda x, dout: jax.vjp(bn, x, x, x, x)[1](dout))(
            activations.hprebn, grads.hpreact
        )
        norm = jnp.linalg.norm
        sizes = [float(norm(path) / norm(grads.hprebn)) for path in paths]
        assert float(norm(sum(paths) - grads.hprebn) / norm(grads.hprebn)) < 1e-14
    measured = re.findall(r"^dhprebn +(\w+) +(\S+|< 1e-14)$", page, re.MULTILINE)
    names = ["direct", "mean", "variance", "mean_in_variance"]
    shown = [f"{size:.4f}" if size > 1e-14 else "< 1e-14" for size in sizes]
    assert measured == list(zip(names, shown, strict=True))


def test_an_output_is_replaced_whatever_the_page_says() -> None:
    page = "```python\nx = 1.5\nprint(x)\n```\n\nIt is {0}:\n\n```text\n{0}\n```\n"
    assert fresh(page.format(2.5)).endswith("```text\n1.5\n```\n")
    assert unprinted(fresh(page.format(2.5))) == {"2.5"}
    assert fresh(page.format(1.5)) == page.format(1.5)
    assert unprinted(page.format(1.5)) == set()


def test_a_block_that_names_a_file_is_quoted_and_not_run() -> None:
    page = "```python ops.py\n1 / 0\n```\n"
    assert fresh(page) == page


if __name__ == "__main__":
    sys.stdout.write(fresh(PAGE.read_text(encoding="utf-8")))
