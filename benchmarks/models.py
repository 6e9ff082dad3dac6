"""What a check of two whole models costs, beside one float32 forward and backward of each side.

`python benchmarks/models.py [EXAMPLE ...] [--sizes] [--large]`: time, the processor's time and the
most memory, each example in a process of its own. `--sizes` makes GPT-2 wider and deeper; `--large`
makes it what it was published as, 124 million parameters, and feeds it 64 tokens.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

EXAMPLES = Path(__file__).parents[1] / "examples" / "models"
FILES = ("lstm", "gpt2", "vit", "resnet")
SIZES = ((12, 1), (12, 2), (24, 2), (48, 2), (48, 4))
"""Width and layers of GPT-2."""
PUBLISHED = "50257, 1024, 768, 12, 12"
OWN = "VOCABULARY, CONTEXT, WIDTH, HEADS, LAYERS = 23, 8, 12, 3, 2"


def loaded(file: str, size: tuple[int, int] | str | None) -> Any:
    text = (EXAMPLES / f"{file}.py").read_text(encoding="utf-8")
    if size is not None:
        assert OWN in text
        sizes = size if isinstance(size, str) else f"23, 8, {size[0]}, 3, {size[1]}"
        text = text.replace(OWN, f"{OWN.split('=')[0]}= {sizes}")
        if size == PUBLISHED:
            text = text.replace("VOCABULARY, (2, 7)", "VOCABULARY, (1, 64)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{file}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(file, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[file] = module
        spec.loader.exec_module(module)
    return getattr(module, file)


def once(pair: Any) -> float:
    """Seconds of a float32 forward and backward of both sides, warm."""
    from parity.models.sides import whole
    from parity.pairs.digits import cast
    from parity.pairs.legs import Legs

    functions = whole(pair).pair
    arguments = functions.arguments(np.random.default_rng(0))
    legs = Legs(functions, arguments)
    legs.check_structure(arguments.leaves)
    dtype = np.dtype(np.float32)
    douts = [np.ones(x.shape) for x in legs.cotangents().values()]
    values = tuple(cast(x, dtype) for x in (*arguments.leaves, *douts))
    taken = 0.0
    for corner in legs.corners.values():
        legs.run("compiled", corner, dtype, values)
        start = time.perf_counter()
        legs.run("compiled", corner, dtype, values)
        taken += time.perf_counter() - start
    return taken


def measured(file: str, size: tuple[int, int] | str | None, queue: Any) -> None:
    import parity
    from parity.memory import peak_mb

    pair = loaded(file, size)
    imported = peak_mb()
    start, cpu = time.perf_counter(), time.process_time()
    report = parity.check(pair)
    seconds, own = time.perf_counter() - start, time.process_time() - cpu
    parameters = sum(p.numel() for p in pair.torch.parameters())
    queue.put((parameters, seconds, own, imported, report.peak_mb, once(pair), bool(report)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", nargs="*", default=FILES)
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--large", action="store_true")
    asked = parser.parse_args()
    jobs: list[tuple[str, Any]] = [("gpt2", size) for size in SIZES] if asked.sizes else []
    jobs += [("gpt2", PUBLISHED)] if asked.large else []
    jobs = jobs or [(file, None) for file in asked.examples]
    context = multiprocessing.get_context("spawn")
    print("model            parameters  seconds  cpu s  MB before  MB most  fwd+bwd ms  agrees")
    for file, size in jobs:
        queue = context.Queue()
        process = context.Process(target=measured, args=(file, size, queue))
        process.start()
        parameters, seconds, cpu, before, most, one, agrees = queue.get()
        process.join()
        wide = "" if size is None else "large" if size == PUBLISHED else f"{size[0]}x{size[1]}"
        name = f"{file} {wide}".rstrip()
        print(
            f"{name:16} {parameters:10} {seconds:8.1f} {cpu:6.1f} {before:10} {most:8} "
            f"{one * 1000:11.1f}  {agrees}",
            flush=True,
        )


if __name__ == "__main__":
    main()
