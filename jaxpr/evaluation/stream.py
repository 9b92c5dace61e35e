"""The stream of a run: examples to batches, batches through compiled programs, results to the stores."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxpr.core import Array, Key
from jaxpr.evaluation.arrays import metric_values, without_pictures
from jaxpr.evaluation.devices import barrier, local_devices, my_share, piece_size
from jaxpr.evaluation.examples import Examples, batch_indices
from jaxpr.evaluation.protocol import Protocol
from jaxpr.evaluation.state import BatchStore

__all__ = ["Compute", "Part", "Run", "computed", "prepare", "stream"]

Compute: TypeAlias = Callable[[list[int]], dict[str, np.ndarray]]
"""From the numbers of some examples, all of one shape, to arrays whose leading axis is theirs."""

_STRIPS = 3


class Run(NamedTuple):
    """What all restorers of a run share.

    Attributes:
        examples: crops or images.
        batch_size: most examples that are computed and stored together.
        degrade: `(keys, x) -> y`.
        degrade_keys: one key per example, for the degradation.
        attack_keys: one key per example, for the attack.
        draw_keys: one key per example, for stochastic restorers.
        protocol: the settings.
        strips: numbers of the examples whose images are kept for the report.
        probes: numbers of the examples on which the costly measures run.
        progress: show progress bars.
        together: examples in one call of a program, for programs that are small; None for as many as `piece_size` says.
    """

    examples: Examples
    batch_size: int
    degrade: Callable[[Key, Array], Array]
    degrade_keys: Array
    attack_keys: Array
    draw_keys: Array
    protocol: Protocol
    strips: tuple[int, ...]
    probes: tuple[int, ...]
    progress: bool
    together: int | None = None

    def inputs(self, numbers: list[int]) -> tuple[Array, Array]:
        """X and y of these examples."""
        x = jnp.asarray(np.stack([self.examples.image(number) for number in numbers]))
        if self.examples.low is not None:
            return x, jnp.asarray(np.stack([self.examples.measurement(number) for number in numbers]))
        return x, self.degrade(self.degrade_keys[np.array(numbers)], x)

    def first_piece(self) -> list[int]:
        """Examples to try a restorer on, as many as one call of a program takes."""
        shape = self.examples.shapes[0]
        same = [number for number, other in enumerate(self.examples.shapes) if other == shape]
        size = self.piece(shape)
        return (same * size)[:size]

    def piece(self, shape: tuple[int, int, int]) -> int:
        """Examples in one call of a program for images of this shape: a multiple of the number of devices."""
        devices = len(local_devices())
        needed = -(-self.examples.shapes.count(shape) // devices) * devices
        wanted = piece_size(self.batch_size) if self.together is None else -(-self.together // devices) * devices
        return min(wanted, needed)


class Part(NamedTuple):
    """A part of a run's work, whose results have a store of their own.

    Attributes:
        name: of the store, and for the progress bar.
        compute: the work.
        numbers: examples to treat; None for all.
    """

    name: str
    compute: Compute
    numbers: Sequence[int] | None = None


def prepare(key: Key, examples: Examples, degrade: Callable[[Key, Array], Array], *, protocol: Protocol) -> Run:
    """A run with one key per example and purpose; batch size and progress are the caller's to replace."""
    k_degrade, k_attack = jax.random.split(key)
    k_draw = jax.random.fold_in(key, 2)
    # Folded with the position in the data set, so that an example's noise is the same under any limit.
    fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    positions = jnp.asarray(examples.indices)
    count = len(examples)
    return Run(
        examples=examples,
        batch_size=1,
        degrade=degrade,
        degrade_keys=fold(k_degrade, positions),
        attack_keys=fold(k_attack, positions),
        draw_keys=fold(k_draw, positions),
        protocol=protocol,
        strips=tuple(sorted({int(i) for i in np.linspace(0, count - 1, _STRIPS + 2)[1:-1].round()})),
        probes=_spread_out(count, protocol.probes.count) if protocol.probing else (),
        progress=False,
    )


def _spread_out(count: int, wanted: int | None) -> tuple[int, ...]:
    """At most `wanted` of the numbers below `count`, evenly spread and away from the ends."""
    if wanted is None or wanted >= count:
        return tuple(range(count))
    return tuple(int((i + 0.5) * count / wanted) for i in range(wanted))


def computed(run: Run, state: Path, parts: Sequence[Part]) -> dict[str, BatchStore]:
    """Compute what is not stored yet, part by part, and wait for what other processes compute.

    Args:
        run: examples and settings.
        state: folder of the stores.
        parts: the work.

    Returns:
        The store of each part, by its name.
    """
    stores = {part.name: BatchStore(state, part.name) for part in parts}
    for part in parts:
        stream(run, stores[part.name], part.name, part.compute, numbers=part.numbers)
    barrier("all batches")
    for store in stores.values():
        store.refresh()
    return stores


def stream(run: Run, store: BatchStore, title: str, compute: Compute, *, numbers: Sequence[int] | None = None) -> None:
    """Compute and store every batch of this process's share that is not stored yet.

    Args:
        run: examples and settings.
        store: positions in `numbers` index it.
        title: for the progress bar.
        compute: the work.
        numbers: examples to treat; None for all.
    """
    wanted = list(range(len(run.examples))) if numbers is None else list(numbers)
    size = max(run.batch_size, len(local_devices()))
    batches = my_share(batch_indices([run.examples.shapes[number] for number in wanted], size))
    shown = _RunningPsnr()
    with tqdm(total=sum(map(len, batches)), desc=title, unit="image", disable=not run.progress) as bar:
        for batch in batches:
            if not store.done(batch):
                start = time.perf_counter()
                examples = [wanted[position] for position in batch]
                arrays = _by_piece(run, examples, compute, lambda found: shown.add(bar, found))
                if not set(examples) & set(run.strips):
                    arrays = without_pictures(arrays)
                seconds = np.full(len(batch), (time.perf_counter() - start) / len(batch))
                store.save(batch, {**arrays, "seconds": seconds})
            bar.update(len(batch))


class _RunningPsnr:
    """A first number beside the progress bar, long before there is a table; nothing where there is none."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, bar: Any, arrays: Mapping[str, np.ndarray]) -> None:
        """Show it with further examples; the first at once."""
        values = metric_values(arrays, "psnr")
        if len(values) == 0:
            return
        first, self._count = self._count == 0, self._count + len(values)
        self._sum += float(np.sum(values))
        bar.set_postfix_str(f"PSNR {self._sum / self._count:.2f} dB", refresh=first)


def _by_piece(
    run: Run, batch: list[int], compute: Compute, seen: Callable[[dict[str, np.ndarray]], None]
) -> dict[str, np.ndarray]:
    """Compute a batch piece by piece, the last piece filled up so that one program serves all of a shape.

    Args:
        run: examples and settings.
        batch: numbers of its examples.
        compute: the work.
        seen: called with what was found for each piece.
    """
    size = run.piece(run.examples.shapes[batch[0]])
    parts = []
    for start in range(0, len(batch), size):
        numbers = batch[start : start + size]
        arrays = compute(numbers + numbers[-1:] * (size - len(numbers)))
        parts.append({name: array[: len(numbers)] for name, array in arrays.items()})
        seen(parts[-1])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
