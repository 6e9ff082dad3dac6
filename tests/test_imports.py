"""Who may import whom, and that importing does nothing else.

The rooms are held by import-linter; every probe is a fresh interpreter, which imports a list of
modules and says what that did.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
JAX, TORCH = ("jax", "jaxlib"), ("torch",)
FOREIGN = {
    "jax_impl": (*TORCH, "parity", "torch_ref"),
    "torch_ref": (*JAX, "parity", "jax_impl"),
}
"""What each package must never import."""

LIGHT = (
    "parity",
    *(
        f"parity.{name}"
        for name in """makemore.seeds makemore.data makemore.recipe judge.compare judge.verdict
        judge.noise errors why.diagnosis why.walk why.edits""".split()
    ),
)
"""The modules of the harness that know no framework."""

PROBE = """
import importlib, importlib.util, json, pkgutil, sys, warnings
from pathlib import Path

names, forbidden, blocked, watch = json.loads(sys.argv[1])


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)


sys.meta_path.insert(0, Blocker())


def everything(name):
    "The module, and all modules in it where it is a package named with a star."
    if not name.endswith("*"):
        return [name]
    name = name.rstrip("*")
    folder = importlib.util.find_spec(name).submodule_search_locations
    return [name, *(info.name for info in pkgutil.walk_packages(folder, name + "."))]


def state():
    "Every setting that a program makes once, at a value that no library would choose."
    import os, random
    import jax, numpy, torch

    return {
        "random": random.getstate(),
        "numpy.random": numpy.random.get_state(legacy=False),
        "numpy errors": numpy.geterr(),
        "numpy printing": numpy.get_printoptions(),
        "torch.initial_seed": torch.initial_seed(),
        "torch generator": torch.get_rng_state().tolist(),
        "torch dtype": torch.get_default_dtype(),
        "torch threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch grad": torch.is_grad_enabled(),
        "torch deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch matmul": torch.get_float32_matmul_precision(),
        "torch subnormals": (torch.tensor(1e-39) / 1).item() == 0,
        "environment": dict(os.environ),
    } | {f"jax {name}": value for name, value in jax.config.values.items()}


def disturb():
    import random
    import jax, numpy, torch

    random.seed(11), numpy.random.seed(12), torch.manual_seed(13)
    numpy.seterr(divide="raise")
    torch.set_default_dtype(torch.float64), torch.set_num_threads(3)
    torch.set_float32_matmul_precision("medium")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "bfloat16")


if watch:
    disturb()
    before = state()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    done = []
    for name in names:
        for module in everything(name):
            importlib.import_module(module)
            done.append(module)
found = {
    "imported": done,
    "forbidden": sorted({name.partition(".")[0] for name in sys.modules} & {*forbidden}),
    "warnings": [f"{w.category.__name__}: {w.message}" for w in caught],
    "changed": [],
}
if watch:
    after = state()
    found["changed"] = sorted(
        name
        for name in before.keys() | after.keys()
        if repr(before.get(name)) != repr(after.get(name))
    )
print(json.dumps(found))
"""


@cache
def probe(
    *names: str,
    forbidden: tuple[str, ...] = (),
    blocked: tuple[str, ...] = (),
    watch: bool = False,
    folder: Path = ROOT,
) -> dict[str, Any]:
    """Import modules in a fresh interpreter; `package*` stands for a package and all in it.

    ``blocked`` packages cannot be imported. With ``watch``, both frameworks are imported first, and
    the settings that the imports changed are returned.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps([names, forbidden, blocked, watch])],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def modules(package: str) -> set[str]:
    """The modules of a package, read off its files."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / package).rglob("*.py"))
    return {".".join(path.parts).removesuffix(".__init__") for path in paths}


def lint(folder: Path) -> str:
    """What import-linter says of the contracts in pyproject.toml, held against a folder's code."""
    config = str(ROOT / "pyproject.toml")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(
        [*command, "--config", config, "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == ("0 broken" in done.stdout), done.stdout + done.stderr
    return done.stdout


def test_the_contracts_hold() -> None:
    assert "4 kept, 0 broken" in lint(ROOT)


def test_an_import_that_a_contract_forbids_is_seen(tmp_path: Path) -> None:
    for package in ("jax_impl", "torch_ref", "parity"):
        shutil.copytree(ROOT / package, tmp_path / package)
    for name, line in (
        ("parity/judge/noise.py", "from parity.pairs.tree import rebuild"),
        ("parity/why/edits.py", "import torch"),
        ("jax_impl/ops.py", "from torch_ref import ops"),
        ("torch_ref/ops.py", "import jax"),
    ):
        with (tmp_path / name).open("a") as file:
            file.write(f"\ndef late():\n    {line}\n")
    assert "0 kept, 4 broken" in lint(tmp_path)


@pytest.mark.parametrize("package", FOREIGN)
def test_a_twin_works_where_the_other_framework_is_missing(package: str) -> None:
    assert {*probe(f"{package}*", blocked=FOREIGN[package])["imported"]} == modules(package)


def test_the_harness_looks_for_no_framework_before_it_needs_one() -> None:
    found = probe(*LIGHT, forbidden=(*JAX, *TORCH, "jax_impl", "torch_ref"))
    assert found["forbidden"] == []
    assert found["warnings"] == []
    assert probe(*LIGHT, blocked=(*JAX, *TORCH))["imported"] == [*LIGHT]


def test_importing_changes_no_setting_and_warns_of_nothing() -> None:
    found = probe("jax_impl*", "torch_ref*", *LIGHT, "parity*", watch=True)
    assert {*found["imported"]} == modules("jax_impl") | modules("torch_ref") | modules("parity")
    assert found["changed"] == []
    assert found["warnings"] == []


CULPRIT = """
import os, random, warnings
import jax, numpy, torch

random.seed(0)
numpy.random.seed(0)
torch.manual_seed(0)
torch.set_default_dtype(torch.float32)
torch.set_num_threads(1)
jax.config.update("jax_enable_x64", False)
jax.config.update("jax_debug_nans", True)
os.environ["XLA_FLAGS"] = "--xla_cpu_enable_fast_math=true"
warnings.warn("a word of warning", UserWarning)
"""


@pytest.mark.full
def test_the_probe_sees_what_it_looks_for(tmp_path: Path) -> None:
    package = tmp_path / "culprit"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inner" / "__init__.py").touch()
    (package / "inner" / "deep.py").write_text(CULPRIT)
    found = probe("culprit*", forbidden=(*JAX, *TORCH, "flax"), watch=True, folder=tmp_path)
    assert found == {
        "imported": ["culprit", "culprit.inner", "culprit.inner.deep"],
        "forbidden": ["jax", "jaxlib", "torch"],
        "warnings": ["UserWarning: a word of warning"],
        "changed": [
            "environment",
            "jax jax_debug_nans",
            "jax jax_enable_x64",
            "numpy.random",
            "random",
            "torch dtype",
            "torch generator",
            "torch threads",
            "torch.initial_seed",
        ],
    }
    with pytest.raises(AssertionError, match="torch is blocked"):
        probe("culprit*", blocked=("torch",), folder=tmp_path)
    assert probe("culprit", forbidden=TORCH, folder=tmp_path)["forbidden"] == []
