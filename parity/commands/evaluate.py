"""`parity eval`: the losses of a training run."""

from __future__ import annotations

from parity.commands.options import (
    JSONOption,
    NamesOption,
    RunArgument,
    RunFrameworkOption,
    readers_may_leave,
)


def evaluate(
    run: RunArgument,
    framework: RunFrameworkOption = None,
    names: NamesOption = None,
    json: JSONOption = None,
) -> int:
    """Print the train, val and test loss of a training run, after calibrating batchnorm."""
    from parity.files import write_json
    from parity.makemore.checkpoint import Folder
    from parity.makemore.run import evaluated

    step, losses = evaluated(Folder(run), framework and framework.value, names)
    if json is not None:
        write_json(json, {"step": step} | losses)
    with readers_may_leave():
        print(f"after {step:,} steps")
        for split, loss in losses.items():
            print(f"{split} {loss}")
    return 0
