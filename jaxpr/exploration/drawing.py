"""Many answers to one measurement: drawn by a restorer, or read from a folder."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxpr.core import Array, InputError, Key, check_count, check_key, printable, users_code
from jaxpr.data.folder import folder_source
from jaxpr.data.outputs import output_folder
from jaxpr.evaluation.draws import computation_of
from jaxpr.restorers import Restorer, StoredRestorer

__all__ = ["draw_answers", "draw_together", "read_draws"]


def draw_answers(
    key: Key, restorer: Restorer, y: Array, *, count: int, batch_size: int = 8, name: str = "", progress: bool = False
) -> np.ndarray:
    """Answers of a stochastic restorer to one measurement, (count, H, W, C).

    Answer i depends on the key and i alone, not on `count` or `batch_size`.

    Args:
        key: one key.
        restorer: a stochastic one.
        y: (1, h, w, c).
        count: answers.
        batch_size: answers that are drawn at once.
        name: of the restorer, for messages and the progress bar.
        progress: show a progress bar.

    Raises:
        InputError: a deterministic restorer, one that fails, or more than one measurement.
    """
    check_key(key, single=True)
    check_count("count", count)
    check_count("batch_size", batch_size)
    if len(y) != 1:
        raise InputError(f"y: found {len(y)} measurements, expected one")
    name = name or restorer.label
    check_stochastic(name, restorer)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(count))
    found: list[np.ndarray] = []
    with users_code(f"restorer {name}"), tqdm(total=count, desc=name, unit="answer", disable=not progress) as bar:
        draw = _drawer(restorer, y)
        for first in range(0, count, batch_size):
            # Always whole batches, so that nothing is compiled twice.
            some = keys[jnp.minimum(jnp.arange(first, first + batch_size), count - 1)]
            kept = min(batch_size, count - first)
            found.append(draw(some)[:kept])
            bar.update(kept)
    return np.concatenate(found)


def draw_together(key: Key, restorer: Restorer, y: Array, *, count: int, name: str = "") -> np.ndarray:
    """One set of answers that know of each other, as diversity guidance draws them ([cohen2024md]), (count, H, W, C).

    Args:
        key: one key.
        restorer: one that draws sets only.
        y: (1, h, w, c).
        count: answers in the set.
        name: of the restorer, for messages.

    Raises:
        InputError: it cannot draw sets, or fails.
    """
    if not restorer.together:
        raise InputError(f"restorer {name}: found one that draws single answers, expected one that draws sets")
    with users_code(f"restorer {name}"):
        found = np.asarray(jax.jit(functools.partial(restorer.draws, count=count))(key, y), np.float32)
    return found.reshape(count, *found.shape[-3:])


def read_draws(restorer: StoredRestorer, image: str, *, channels: int, name: str = "") -> np.ndarray:
    """The answers to one measurement that some program wrote into a folder, (draws, H, W, C).

    Args:
        restorer: `outputs:FOLDER`.
        image: the image's name; files are called after it as `evaluate` expects it. Where none is, files that differ in
            a number at the end of their names alone are taken for the answers.
        channels: of the image.
        name: of the restorer, for messages.

    Raises:
        InputError: files that cannot be told apart, or of different sizes.
    """
    argument = f"restorer {name}"
    try:
        sources = output_folder(argument, restorer.folder, [image], channels=channels).draws
        images = [draw[0] for draw in sources]
    except InputError:
        source = folder_source(argument, restorer.folder, channels=channels)
        parts = [re.fullmatch(r"(.*?)(\d+)", Path(file).stem) for file in source.names]
        if len({part and part[1] for part in parts}) > 1 or None in parts or not _in_one_folder(source.names):
            raise
        numbers = {int(part[2]): i for i, part in enumerate(parts) if part}
        images = [source[numbers[number]] for number in sorted(numbers)]
    if len(shapes := {found.shape for found in images}) > 1:
        sizes = " and ".join(sorted(f"{h}×{w}" for h, w, _ in shapes)[:2])
        raise InputError(
            f"{argument}: found answers of {sizes} pixels in {printable(restorer.folder)}, expected one size"
        )
    return np.stack(images)


def check_stochastic(name: str, restorer: Restorer) -> None:
    """Raise unless a restorer has more than one answer to a measurement."""
    if not restorer.stochastic and not isinstance(restorer, StoredRestorer):
        raise InputError(
            f"restorers: found {name}, which has one answer to each measurement, expected ones that draw answers, such "
            "as ddnm:FILE, or outputs:FOLDER with several draws"
        )


def _in_one_folder(names: tuple[str, ...]) -> bool:
    return len({Path(name).parent for name in names}) == 1


def _drawer(restorer: Restorer, y: Array) -> Callable[[Key], np.ndarray]:
    """`keys (B,) -> (B, H, W, C)`; where JAX cannot trace the restorer, one after another on the host."""
    computation = computation_of(restorer)
    if restorer.host or (restorer.host is None and not _traceable(restorer, y)):
        return functools.partial(_on_host, restorer, np.asarray(y))

    def draw(params: Any, keys: Key, y: Array) -> Array:
        return computation.draw(params, keys, jnp.broadcast_to(y, (keys.shape[0], *y.shape[1:])))

    compiled = jax.jit(draw)
    return lambda keys: np.asarray(compiled(restorer.params, keys, y))


def _on_host(restorer: Restorer, y: Any, keys: Key) -> np.ndarray:
    return np.concatenate([np.asarray(restorer.apply(restorer.params, key, y), np.float32) for key in keys])


def _traceable(restorer: Restorer, y: Array) -> bool:
    try:
        jax.eval_shape(restorer.apply, restorer.params, jax.random.key(0), y)
    except InputError:
        return True  # it was traced so far that it refuses something
    except (Exception, SystemExit):
        return False
    return True
