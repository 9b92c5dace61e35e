"""Auto-PGD: ascent in an ∞-norm ball with momentum and a step that halves itself, tried harder until it settles."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks.boundary import ascent_values, check_attack
from jaxpr.core import Array, Key, Objective, check_count, check_positive, example_keys
from jaxpr.numerics.balls import sample_linf
from jaxpr.numerics.guards import widened

__all__ = ["SETTLED", "apgd"]

SETTLED = 0.02
"""Growth of a norm, relative, below which an attack counts as having found what there is."""

_WORTH = (1 + SETTLED) ** 2 - 1  # the same of its square
_START = 0.01
_MOMENTUM = 0.75
# Percent of the steps: the first stretch between checkpoints, by how much the next is shorter, and the shortest.
_STRETCH, _SHORTER, _SHORTEST = 22, 3, 6


class _State(NamedTuple):
    """Of an ascent. Perturbations δ and gradients are (N, ...), all else is (N,).

    Attributes:
        point: where the ascent is.
        last: where it was one step before.
        value: of the objective at the point last seen.
        best: the perturbation with the largest value so far.
        best_value: that value.
        best_slope: the gradient there.
        step: length of a step.
        rises: how many steps have risen since the last checkpoint.
        level: `best_value` at the last checkpoint.
        halved: whether the step was halved there.
    """

    point: Array
    last: Array
    value: Array
    best: Array
    best_value: Array
    best_slope: Array
    step: Array
    rises: Array
    level: Array
    halved: Array


def apgd(
    key: Key,
    objective: Objective,
    y: Array,
    *,
    alpha: float | Array,
    steps: int,
    bounds: tuple[float, float] | None,
    rounds: int = 1,
) -> Array:
    r"""Perturb each measurement by at most α per entry so that the objective grows: Auto-PGD.

    The ∞-norm ascent of Croce and Hein 2020, Algorithm 1: steps along the signs of the gradient, first of length 2α,
    with momentum 0.75. At checkpoints, which come ever closer, an example's step is halved, and its ascent goes back to
    its best point, if fewer than three quarters of the steps since the last checkpoint rose, or if neither the step nor
    the best value has changed since. The best point of all is returned.

    With several `rounds`, each has twice the steps of the one before and another start. An example is done once a
    round raises its value by less than 4 %, which is 2 % of a norm if the objective is a squared one, and keeps the
    best of its rounds; the loop ends when all are done, or after so many rounds.

    Note:
        It starts as `ifgsm` does, uniform in [-α/100, α/100], because the shift of the output has gradient zero at y.
        After a return to the best point there is no momentum from where the ascent was. As in `ifgsm` δ itself stays
        in the ball only, and the bounds cut y + δ.

    Args:
        key: one key, or one per example; the starts of example i use only its own (see `example_keys`).
        objective: maps (N, ...) to (N,), each value depending on its own example only; differentiable.
        y: measurements, floating, inside `bounds`: images (N, H, W, C), points (N, d) or numbers (N,).
        alpha: radius of the ball in intensity units. Traced.
        steps: ascent steps, of the first round; the paper takes 100. Static.
        bounds: valid (low, high) range of measurements, or None for no limit.
        rounds: at most so many; n of them have at most (2ⁿ - 1) · `steps` steps. Static.

    Returns:
        The perturbed measurements y_adv, shape and dtype of y (in half precision the steps are taken in float32);
        |y_adv - y| <= α up to the rounding of the sum, and the value is not below that of the start. An example whose
        value becomes NaN is returned there, and is NaN where its gradient was.

    Raises:
        InputError: y is not floating, not finite or has values outside the bounds, bounds are reversed, alpha < 0,
            steps < 1, rounds < 1, or the objective does not return (N,).
    """
    check_attack(objective, y, steps=steps, bounds=bounds)
    check_positive("alpha", alpha, or_zero=True, scalar=True)
    check_count("rounds", rounds)
    low, high = bounds if bounds is not None else (-jnp.inf, jnp.inf)
    start_at, keys, seen = widened(y), example_keys(key, y.shape[0]), ascent_values(objective)
    stretches = jnp.asarray(_stretches(steps, rounds))

    def perturbed(delta: Array) -> Array:
        return jnp.clip(start_at + delta, low, high).astype(y.dtype)

    def climbed(starts: Key, number: int | Array, count: int | Array) -> tuple[Array, Array]:
        start = sample_linf(starts, start_at, radius=alpha * _START).astype(start_at.dtype)
        return _climbed(lambda delta: seen(perturbed(delta)), start, stretches[number], alpha=alpha, steps=count)

    def one_round(number: Array) -> tuple[Array, Array]:
        starts = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)
        return climbed(starts, number, jnp.int32(steps) << number)

    best, _ = climbed(keys, 0, steps) if rounds == 1 else _best_of(one_round, start_at, rounds=rounds)
    return perturbed(best)


def _climbed(
    seen: Callable[[Array], tuple[Array, Array]],
    start: Array,
    stretches: Array,
    *,
    alpha: float | Array,
    steps: int | Array,
) -> tuple[Array, Array]:
    """The best perturbation of an ascent, and its value.

    Args:
        seen: maps perturbations (N, ...) to the values of their points, (N,), and the gradients there.
        start: where to begin.
        stretches: see `_stretches`; of this ascent.
        alpha: radius.
        steps: how many.
    """

    def climb(position: Array, state: _State) -> _State:
        state, slope = _noted(state, *seen(state.point))
        state, slope = _checked(state, slope, stretches[position])
        return _moved(state, slope, alpha, momentum=jnp.where(position == 0, 1, _MOMENTUM))

    state = jax.lax.fori_loop(0, steps, climb, _started(start, alpha))
    state, _ = _noted(state, *seen(state.point))
    return state.best, state.best_value


def _best_of(one_round: Callable[[Array], tuple[Array, Array]], like: Array, *, rounds: int) -> tuple[Array, Array]:
    """The best of rounds until they settle, for each example by itself, and its value."""

    def another(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        number, best, value, active = carry
        found, reached = one_round(number)
        better = active & ~(reached <= value)  # NaN, too
        risen = ((number == 0) | (reached - value > _WORTH * jnp.abs(value))) & ~jnp.isnan(reached)
        best, value = jnp.where(_over(better, best), found, best), jnp.where(better, reached, value)
        return number + 1, best, value, active & risen

    lowest, everyone = jnp.full(like.shape[0], -jnp.inf, like.dtype), jnp.ones(like.shape[0], bool)
    begun = (jnp.int32(0), jnp.zeros_like(like), lowest, everyone)
    _, best, value, _ = jax.lax.while_loop(lambda carry: (carry[0] < rounds) & jnp.any(carry[3]), another, begun)
    return best, value


def _stretches(steps: int, rounds: int) -> np.ndarray:
    """For each round and step: at a checkpoint the number of steps since the last one, elsewhere 0."""
    table = np.zeros((rounds, steps * 2 ** (rounds - 1)), np.int32)
    for number in range(rounds):
        count, last, percent, stretch = steps * 2**number, 0, _STRETCH, _STRETCH
        while (position := -(-percent * count // 100)) < count:
            if position > last:
                table[number, position], last = position - last, position
            stretch = max(stretch - _SHORTER, _SHORTEST)
            percent += stretch
    return table


def _started(start: Array, alpha: float | Array) -> _State:
    """Before anything is known of the objective."""
    n, dtype = start.shape[0], start.dtype
    lowest, step = jnp.full(n, -jnp.inf, dtype), jnp.full(n, 2 * alpha, dtype)
    none, never = jnp.zeros(n, jnp.int32), jnp.zeros(n, bool)
    return _State(start, start, -lowest, start, lowest, jnp.zeros_like(start), step, none, lowest, never)


def _noted(state: _State, value: Array, slope: Array) -> tuple[_State, Array]:
    """With the value at the point where the ascent is, and the gradient there; NaN beats all and stays."""
    value, slope = value.astype(state.value.dtype), widened(slope)
    better = ~(value <= state.best_value) & ~jnp.isnan(state.best_value)
    there = _over(better, slope)
    noted = state._replace(
        value=value,
        best=jnp.where(there, state.point, state.best),
        best_value=jnp.where(better, value, state.best_value),
        best_slope=jnp.where(there, slope, state.best_slope),
        rises=jnp.where(value > state.value, state.rises + 1, state.rises),
    )
    return noted, slope


def _checked(state: _State, slope: Array, stretch: Array) -> tuple[_State, Array]:
    """After a checkpoint, if there is one (`stretch` > 0), and the gradient where the ascent then is."""
    due = stretch > 0
    few, stuck = 4 * state.rises < 3 * stretch, ~state.halved & (state.best_value == state.level)
    halve = due & (few | stuck)
    back = _over(halve, slope)
    checked = state._replace(
        point=jnp.where(back, state.best, state.point),
        last=jnp.where(back, state.best, state.last),
        value=jnp.where(halve, state.best_value, state.value),
        step=jnp.where(halve, state.step / 2, state.step),
        rises=jnp.where(due, 0, state.rises),
        level=jnp.where(due, state.best_value, state.level),
        halved=jnp.where(due, halve, state.halved),
    )
    return checked, jnp.where(back, state.best_slope, slope)


def _moved(state: _State, slope: Array, alpha: float | Array, *, momentum: Array) -> _State:
    """One step on."""
    point, ahead = state.point, state.point + _over(state.step, slope) * jnp.sign(slope)
    ahead = jnp.clip(ahead, -alpha, alpha)
    moved = point + momentum * (ahead - point) + (1 - momentum) * (point - state.last)
    return state._replace(point=jnp.clip(moved, -alpha, alpha).astype(point.dtype), last=point)


def _over(values: Array, like: Array) -> Array:
    """(N,) values beside the entries of each example."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
