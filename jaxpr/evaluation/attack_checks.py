"""Whether an attack is strong enough to be believed, and how the worst case compares with what happens by itself.

On the probes: twice the steps from another start, random directions of the same size (a gradient that is masked loses
to them), and changes of the same Euclidean norm that nobody chose: Gaussian noise, and a shift by one pixel.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxpr.attacks import output_shift, shift_ratio
from jaxpr.core import Array, Estimator, Key
from jaxpr.evaluation.protocol import IFGSM, Attack
from jaxpr.numerics.balls import example_norms
from jaxpr.records.results import Metric

__all__ = ["CHECKS", "CONVERGED", "attack_checks", "doubt"]

CHECKS = ("attack_growth", "random_ratio", "noise_ratio", "moved_ratio")
"""Metrics of the checks."""
CONVERGED = 0.02
"""Growth up to which K̄ counts as found."""

_DRAWS = 4  # of noise, and directions of the shift


def attack_checks(
    keys: Key, estimator: Estimator, y: Array, *, attack: Attack, bounds: tuple[float, float] | None
) -> dict[str, Array]:
    """Ratios of the change of the output to that of y, by metric, (N,).

    Args:
        keys: one for each example.
        estimator: maps y to x̂, on batches.
        y: measurements (N, h, w, C).
        attack: whose ratio is checked.
        bounds: valid range of measurements, or None.
    """
    first, other, random, noise = (jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys) for i in range(4))
    objective, longer = output_shift(estimator, y), dataclasses.replace(attack, steps=2 * attack.steps)
    found = attack.ascend(first, objective, y, bounds=bounds)
    farther = longer.ascend(other, objective, y, bounds=bounds)
    before = estimator(y)  # once for all
    size = example_norms(found - y)
    moved = [jnp.roll(y, shift, axis) - y for shift, axis in ((1, 1), (-1, 1), (1, 2), (-1, 2))]
    changes = [
        *(_random(random, y, attack, number) for number in range(attack.steps)),
        *(_scaled(_normal(noise, y, number), size) for number in range(_DRAWS)),
        *(_scaled(step, size) for step in moved),
    ]
    nearby = jnp.stack([found, farther, *(_inside(y + change, bounds) for change in changes)])
    ratios = jax.lax.map(lambda near: shift_ratio(before, estimator(near), y, near), nearby)
    reached, again, *parts = jnp.split(ratios, [1, 2, 2 + attack.steps, 2 + attack.steps + _DRAWS])
    growth = jnp.maximum(again[0] / reached[0] - 1, 0)
    values = (growth, jnp.max(parts[0], axis=0), *(_mean(part) for part in parts[1:]))
    return dict(zip(CHECKS, values, strict=True))


def doubt(checks: dict[str, Metric], reached: Metric) -> str:
    """What the checks say against a K̄, in words; "" for nothing.

    Args:
        checks: by metric.
        reached: K̄ itself.
    """
    growth, random, noise, moved = (checks.get(name, Metric(math.nan, math.nan)).value for name in CHECKS)
    clearly = (1 + CONVERGED) * reached.value
    if random > clearly:
        return f"the gradient is masked: random directions reach {random:.3g}, more than the attack"
    if growth > CONVERGED:
        return f"not converged: twice the steps from another start reach {growth:.0%} more on the probes"
    if (by_itself := max(noise, moved)) > clearly:
        return f"an underestimate: noise or a shift of equal norm reach {by_itself:.3g} on the probes"
    return ""


def _random(keys: Key, y: Array, attack: Attack, number: int) -> Array:
    """A change as large as the attack may make, in a random direction."""
    drawn = _normal(keys, y, number)
    if isinstance(attack, IFGSM):
        return attack.alpha * jnp.sign(drawn)
    return _scaled(drawn, jnp.full(y.shape[0], attack.epsilon, y.dtype))


def _normal(keys: Key, y: Array, number: int) -> Array:
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, number), y.shape[1:], y.dtype))(keys)


def _scaled(change: Array, size: Array) -> Array:
    """A change (N, ...) of the given norms (N,); none stays none."""
    norms = example_norms(change)
    factor = jnp.where(norms > 0, size / jnp.where(norms > 0, norms, 1), 0)
    return factor.reshape(-1, *(1,) * (change.ndim - 1)) * change


def _inside(y: Array, bounds: tuple[float, float] | None) -> Array:
    return y if bounds is None else jnp.clip(y, *bounds)


def _mean(ratios: Array) -> Array:
    """Over those that are defined: a constant image, moved, does not change."""
    return jnp.nanmean(ratios, axis=0)
