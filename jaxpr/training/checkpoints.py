"""States of a training run on disk, through orbax: written whole or not at all, the last two kept."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import InputError, check_count, first_line

__all__ = ["StoredState", "Checkpoints"]

_KEPT = 2


class StoredState(NamedTuple):
    """What one holds.

    Attributes:
        step: number of finished steps.
        state: tree of arrays.
        history: what the steps so far measured, (steps, ...) by name.
    """

    step: int
    state: Any
    history: dict[str, np.ndarray]


class Checkpoints(NamedTuple):
    """Where a run stores its state, and how often.

    Attributes:
        folder: of this run alone; made if it does not exist.
        every: steps between two checkpoints.
    """

    folder: Path
    every: int = 1000

    def until_next(self, step: int) -> int:
        """Steps from `step` until a state is due."""
        check_count("every", self.every)
        return self.every - step % self.every

    def save(self, step: int, state: Any, history: dict[str, np.ndarray]) -> None:
        """Store a state; older ones but one are removed after it is complete.

        Raises:
            OSError: the folder cannot be written.
        """
        import orbax.checkpoint as ocp

        root = Path(self.folder).absolute()
        with ocp.StandardCheckpointer() as writer:
            writer.save(root / str(step), _tree(state, history), force=True)
        for old in self._stored()[:-_KEPT]:
            shutil.rmtree(root / str(old))

    def last_step(self) -> int:
        """Steps done by the newest state; 0 if there is none. Nothing but names is read."""
        return max(self._stored(), default=0)

    def latest(self, like: Any) -> StoredState | None:
        """The newest state, with the structure and shardings of `like`; None if there is none.

        Raises:
            InputError: its arrays have another number, other shapes or types than those of `like`, or cannot be read.
        """
        import orbax.checkpoint as ocp

        stored = self._stored()
        if not stored:
            return None
        path = Path(self.folder).absolute() / str(stored[-1])
        try:
            with ocp.StandardCheckpointer() as reader:
                there = reader.metadata(path).item_metadata
                if there is None:
                    raise ValueError("unreadable")
                history = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in there.tree["history"].items()}
                wanted = _tree(like, history)
                _check_leaves(there.tree["state"], wanted["state"])
                found = reader.restore(path, wanted)
        except Exception as error:
            raise InputError(
                f"checkpoints: found {path} that does not hold this run's state ({first_line(error)}), "
                "expected one of the same networks and optimisers; remove the folder to start anew"
            ) from error
        leaves = found["state"]
        state = jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in sorted(leaves)])
        return StoredState(stored[-1], state, {name: np.asarray(values) for name, values in found["history"].items()})

    def _stored(self) -> list[int]:
        """Finished steps of the complete checkpoints, ascending; orbax writes under other names before."""
        root = Path(self.folder)
        if not root.exists():
            return []
        if not root.is_dir():
            raise InputError(f"checkpoints: found a file at {root}, expected a folder")
        return sorted(int(path.name) for path in root.iterdir() if path.name.isdecimal())


def _tree(state: Any, history: dict[str, np.ndarray]) -> dict[str, Any]:
    """Leaves under their numbers: what a state is made of (named tuples of optimisers) is no matter of the file."""
    return {"state": {f"{i:05d}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}, "history": history}


def _check_leaves(there: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise unless number, shapes and types agree: orbax would cast other types, and says too much of other shapes."""
    if len(there) != len(wanted):
        raise ValueError(f"{len(there)} arrays for {len(wanted)}")
    for name, leaf in wanted.items():
        own, stored = jnp.asarray(leaf), there[name]
        if jnp.issubdtype(own.dtype, jax.dtypes.prng_key):
            continue  # stored as the integers behind them
        if (own.shape, own.dtype) != (tuple(stored.shape), stored.dtype):
            raise ValueError(f"an array {stored.dtype}{list(stored.shape)} for one {own.dtype}{list(own.shape)}")
