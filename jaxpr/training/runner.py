"""Run a pure step many times: compiled loops, a progress bar, checkpoints, and an end at the first NaN.

Nothing here knows what is trained. A step draws its randomness from keys folded with its number, so a run that was cut
anywhere and goes on from a checkpoint gives exactly what the whole run gives.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from jaxpr.core import Array, ArrayLike, InputError, check_count, lenient_promotion
from jaxpr.training.checkpoints import Checkpoints

__all__ = ["DivergenceError", "Finished", "Step", "Watch", "count_examples", "multi_step", "run_steps"]

State = TypeVar("State")
Data: TypeAlias = Any
Step: TypeAlias = Callable[[Array, State, Data], tuple[State, dict[str, Array]]]
"""Maps (number of the step, state, data) to the next state and what the step measured, arrays of any shape."""
Watch: TypeAlias = Callable[[int, Any, dict[str, np.ndarray]], None]
"""Sees (number of finished steps, state, history of all steps) on the host, to log or draw them."""


class DivergenceError(InputError):
    """Loss, gradient or parameters became NaN or infinite."""


class Finished(NamedTuple):
    """What `run_steps` ended with.

    Attributes:
        state: after the last step.
        history: what the steps measured, NumPy arrays (steps, ...) by name, from `first` on; with checkpoints also
            that of the steps before an interruption.
    """

    state: Any
    history: dict[str, np.ndarray]


def run_steps(
    step: Step[State],
    state: State,
    data: Data,
    *,
    steps: int,
    first: int = 0,
    chunk: int = 100,
    progress: bool = False,
    title: str = "training",
    shown: str | None = None,
    checkpoints: Checkpoints | None = None,
    watch: Watch | None = None,
) -> Finished:
    """Apply `step` for the numbers first..steps-1.

    Args:
        step: pure; see `Step`. Everything it measures must stay finite.
        state: tree of arrays before step `first`. Arrays that are sharded stay so.
        data: passed to every step, as arguments of the compiled program.
        steps: number after the last step; reached already, nothing is done.
        first: number of the first step.
        chunk: steps per call of the compiled loop, after which divergence is looked for; changes no numbers.
        progress: show a progress bar with the time left.
        title: in front of the bar.
        shown: name of the measured quantity whose mean the bar shows.
        checkpoints: where to store the state every so many steps, and to go on from; None for nowhere.
        watch: called after each checkpoint, and after the last step, if any was done.

    Raises:
        InputError: a count is wrong, nothing `shown` is measured, or a checkpoint holds another state.
        DivergenceError: a measured quantity is NaN or infinite; the message names it and the first such step. The
            checkpoints before it remain.
    """
    check_count("steps", steps, at_least=0)
    check_count("first", first, at_least=0)
    check_count("chunk", chunk)
    if shown is not None and not isinstance(shown, str):
        raise InputError(f"shown: found {shown!r}, expected a name or None")

    advance = _loop(step, room=min(chunk, max(steps - first, 1)))
    data = jax.tree.map(jnp.asarray, data)
    history: list[dict[str, np.ndarray]] = []
    if checkpoints is not None and (found := checkpoints.latest(state)) is not None:
        first, state, history = found.step, found.state, [found.history]
    with tqdm(
        initial=first, total=max(steps, first), desc=title, disable=not progress, unit="step", leave=False
    ) as bar:
        while first < steps:
            length = min(chunk, steps - first, checkpoints.until_next(first) if checkpoints else chunk)
            state, measured = advance(state, jnp.int32(first), jnp.int32(length), data)
            history.append({name: np.asarray(values)[:length] for name, values in measured.items()})
            _check_names(history, shown)
            _check_finite(first, history[-1])
            first += length
            if first >= steps or (checkpoints is not None and checkpoints.until_next(first) == checkpoints.every):
                history = [_joined(history)]
                if checkpoints is not None:
                    checkpoints.save(first, state, history[0])
                if watch is not None:
                    watch(first, state, history[0])
            if shown is not None:
                bar.set_postfix({shown: f"{history[-1][shown][-length:].mean():.3g}"}, refresh=False)
            bar.update(length)
    return Finished(state, _joined(history))


def _loop(step: Step, *, room: int) -> Callable[..., tuple[State, dict[str, Array]]]:
    """(state, first number, length, data) -> state and measurements, which fill the first rows of arrays with `room`.

    The length is an argument, not a constant, and there is room for two steps at least: XLA fuses across the end of a
    loop that it knows to run once, and into rows that it knows to be written whole, which rounds differently.
    """
    room = max(room, 2)

    @jax.jit
    def advance(state: State, begin: Array, length: Array, data: Data) -> tuple[State, dict[str, Array]]:
        _, measured = jax.eval_shape(step, begin, state, data)

        def body(index: Array, carry: tuple[State, dict[str, Array]]) -> tuple[State, dict[str, Array]]:
            state, measured = step(begin + index, carry[0], data)
            return state, {name: rows.at[index].set(measured[name]) for name, rows in carry[1].items()}

        rows = {name: jnp.zeros((room, *found.shape), found.dtype) for name, found in measured.items()}
        return jax.lax.fori_loop(jnp.int32(0), length, body, (state, rows))

    return advance


def multi_step(learning_rate: float, *, factor: float, at: list[int]) -> optax.Schedule:
    """A learning rate that is multiplied by `factor` when so many steps are done as `at` names, each time anew."""
    schedule = optax.piecewise_constant_schedule(learning_rate, dict.fromkeys(at, factor))

    def rate(count: ArrayLike) -> ArrayLike:
        with lenient_promotion():
            return schedule(count)

    return rate


def count_examples(data: Data) -> int:
    """Length of the leading axis that all leaves share.

    Raises:
        InputError: they differ, or there are no examples.
    """
    counts = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(data)}
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"data: found leading axes {sorted(counts)}, expected one number of examples, at least 1")
    return counts.pop()


def _joined(history: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    names = history[0] if history else {}
    return {name: np.concatenate([part[name] for part in history]) for name in names}


def _check_names(history: list[dict[str, np.ndarray]], shown: str | None) -> None:
    """Raise if the newest measurements are not of what the earlier ones are, or lack what is to be shown."""
    before, now = history[0], history[-1]
    if before.keys() != now.keys():
        raise InputError(f"checkpoints: found a history of {', '.join(before)}, expected one of {', '.join(now)}")
    if shown is not None and shown not in now:
        raise InputError(f"shown: found {shown!r}, expected one of {', '.join(now) or 'none'}")


def _check_finite(done: int, measured: dict[str, np.ndarray]) -> None:
    """Raise for the first step, and there for the first quantity, that is not finite."""
    bad = {}
    for name, values in measured.items():
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not finite.all():
            bad[name] = int(np.argmin(finite))
    if bad:
        name = min(bad, key=lambda name: bad[name])
        values = np.ravel(measured[name][bad[name]])
        found = values[~np.isfinite(values)][0]
        raise DivergenceError(
            f"{name}: found {found} at step {done + bad[name]}, expected finite values; try a smaller learning rate"
        )
