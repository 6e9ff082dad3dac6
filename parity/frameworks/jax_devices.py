"""Every device of every process as one row: arrays spread over it, and brought back.

The engine is JAX's own (`jax.sharding`, `jax.distributed`). Knows nothing of what is computed.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from parity.errors import LostProcessError, UsageError

HEARTBEAT = 50
"""Seconds without a sign of life after which a process counts as gone, though it has not died."""

MEET = 60
"""Seconds within which all processes must have come."""


def use_cores(cores: int) -> None:
    """Make as many devices of the processor; to be called before JAX makes its first array."""
    if jax.config.values["jax_num_cpu_devices"] < 1:  # unless the user says how many
        with suppress(RuntimeError):  # too late, where something has computed here before
            jax.config.update("jax_num_cpu_devices", cores)


def join(coordinator: str, processes: int | None, this: int | None) -> None:
    """Meet the other processes, at "host:port" or, for "auto", as the cluster has arranged it.

    UsageError if they do not come. To be called before JAX makes its first array.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            None if coordinator == "auto" else coordinator,
            num_processes=processes,
            process_id=this,
            initialization_timeout=MEET,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=HEARTBEAT,
        )
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"the processes did not meet at {coordinator} ({_first_line(error)}); start "
            "--num-processes of them with one --coordinator, --process-id 0, 1, ..."
        ) from error


@contextmanager
def together() -> Iterator[None]:
    """Turn the failure of another process into a LostProcessError."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        raise LostProcessError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class Devices:
    """All devices in one row. A row of members is spread over it in equal parts."""

    def __init__(self) -> None:
        devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
        self.count, self.kind = len(devices), devices[0].platform
        self.first_process = jax.process_index() == 0
        self._local = [i for i, d in enumerate(devices) if d.process_index == jax.process_index()]
        self.mesh = mesh = Mesh(np.array(devices), ("members",))
        self._parts, self._whole = NamedSharding(mesh, P("members")), NamedSharding(mesh, P())

    def padded(self, members: int) -> int:
        """Return how many members fill all devices equally."""
        return -(-members // self.count) * self.count

    def mine(self, members: int) -> range:
        """Return those of a (padded) row of members that this process holds."""
        each = members // self.count
        return range(each * self._local[0], each * (self._local[-1] + 1))

    def spread(self, own: Any) -> Any:
        """Return arrays over all members, made of the parts that each process holds."""
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self._parts, np.asarray(x)), own
        )

    def everywhere(self, arrays: Any) -> Any:
        """Return the same arrays on every device."""
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self._whole, np.asarray(x)), arrays
        )

    def collected(self, arrays: Any) -> Any:
        """Return the arrays of all members in NumPy, on every process."""
        with together():
            if jax.process_count() == 1:
                return jax.tree.map(np.array, arrays)
            return multihost_utils.process_allgather(arrays, tiled=True)

    def agreed(self, make: Callable[[], Any]) -> Any:
        """Return what the first process makes, on every process."""
        if jax.process_count() == 1:
            return make()
        content = pickle.dumps(make()) if self.first_process else b""
        with together():
            length = multihost_utils.broadcast_one_to_all(np.int32(len(content)))
            letters = np.zeros(int(length), np.uint8)
            letters[: len(content)] = np.frombuffer(content, np.uint8)
            return pickle.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(letters))))
