"""Where the work runs: over all devices of this process, and over processes that share a run's folder.

Each device runs the program of a single device on its own examples (`shard_map`), so numbers do not depend on how many
devices there are. Processes take batches in turn and meet through the files of the run.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxpr.core import InputError
from jaxpr.core.versions import on_main_process, wait_for_processes

__all__ = ["barrier", "local_devices", "main_first", "my_share", "piece_size", "replicated", "spread"]

T = TypeVar("T")

_AXIS = "examples"


def local_devices() -> list[jax.Device]:
    """The devices that this process uses: all of its own."""
    return jax.local_devices()


def spread(fn: Callable[..., Any], *, shared: int = 0) -> Callable[..., Any]:
    """Compile `fn`, whose inputs and outputs all have the examples as leading axis, for this process's devices.

    With several devices the number of examples must be a multiple of theirs; every device gets a part of it.

    Args:
        fn: the program of one device.
        shared: so many leading inputs, pytrees such as the parameters of a network, are whole on every device.
    """
    devices = local_devices()
    if len(devices) == 1:
        return jax.jit(fn)
    mesh = _mesh(devices)
    examples = PartitionSpec(_AXIS)

    def on_all(*inputs: Any) -> Any:
        specs = (PartitionSpec(),) * shared + (examples,) * (len(inputs) - shared)
        # Restorers are arbitrary programs: there is no use in checking which of their values differ between devices.
        return jax.shard_map(fn, mesh=mesh, in_specs=specs, out_specs=examples, check_vma=False)(*inputs)

    return jax.jit(on_all)


def replicated(tree: Any) -> Any:
    """A pytree whose arrays lie on every device of this process, so that no call of a program moves them again."""
    devices = local_devices()
    place = None if len(devices) == 1 else NamedSharding(_mesh(devices), PartitionSpec())

    def placed(leaf: Any) -> Any:
        # Python's numbers stay: as arrays they would have a type of their own.
        return jax.device_put(leaf, place) if isinstance(leaf, np.ndarray | jax.Array) else leaf

    return jax.tree.map(placed, tree)


def _mesh(devices: Sequence[jax.Device]) -> Mesh:
    return Mesh(np.array(devices), (_AXIS,))


def piece_size(batch_size: int) -> int:
    """Most examples in one call of a compiled program.

    On CPUs one for each device, however many cores: one example keeps them busy, and compiled for another number of
    examples a program rounds differently in the last digit, which the sign in an attack's step can turn into a
    difference of 1e-4 in K̄. So numbers there are the same for every batch size. On accelerators a whole batch.
    """
    count = len(local_devices())
    return count if jax.default_backend() == "cpu" else -(-batch_size // count) * count


def my_share(batches: Sequence[T]) -> list[T]:
    """The batches that this process computes: every n-th of them if there are n processes."""
    return list(batches[jax.process_index() :: jax.process_count()])


def main_first(action: Callable[[], T]) -> T | None:
    """Run `action` in the main process, and nowhere else; return its result there and None elsewhere.

    Raises:
        InputError: `action` failed: in the main process its own error, in the others that it failed there. So no
            process waits for one that has stopped.
    """
    if jax.process_count() == 1:
        return action()
    result, error = None, None
    if jax.process_index() == 0:
        try:
            result = action()
        except Exception as caught:
            error = caught
    succeeded = on_main_process(error is None)
    if error is not None:
        raise error
    if not succeeded:
        raise InputError("process 0: stopped with an error, expected success; its own message says why")
    return result


def barrier(name: str) -> None:
    """Wait until all processes are here; nothing if there is only one."""
    if jax.process_count() > 1:
        wait_for_processes(name)
