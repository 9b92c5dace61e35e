"""Whether an attack is strong enough to be believed, and how the worst case compares with what happens by itself.

On the probes: half the steps, twice the steps from another start; random directions of the same size, one step of
that size, and what attacks another restorer (an attack whose gradient is masked loses to them); and changes of the same
Euclidean norm that nobody chose: Gaussian noise, rounding, JPEG, and a shift by one pixel.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks import ifgsm, output_shift, shift_ratio
from jaxpr.attacks.apgd import SETTLED
from jaxpr.core import Array, Estimator, Key, Objective
from jaxpr.degradations import jpeg_surrogate
from jaxpr.evaluation.ascents import APGD, IFGSM, Attack, L2Adam
from jaxpr.numerics.balls import example_norms
from jaxpr.records.results import Metric

__all__ = ["CHECKS", "attack_checks", "doubt"]

_ATTACK = ("attack_growth", "attack_half_growth", "attack_ratio")
_MASKED = {
    "random_ratio": "random directions reach",
    "step_ratio": "one step of its size reaches",
    "transfer_ratio": "what attacks another restorer reaches",
}
_BY_ITSELF = {
    "noise_ratio": "noise of equal norm reaches",
    "rounding_ratio": "rounding, brought to equal norm, reaches",
    "jpeg_ratio": "JPEG, brought to equal norm, reaches",
    "moved_ratio": "a shift of equal norm reaches",
}
CHECKS = (*_ATTACK, *_MASKED, *_BY_ITSELF)
"""Metrics of the checks."""

_DRAWS = 4  # of noise
_VIDEO = 219  # steps from black to white in the 8 bits of video, which go from 16 to 235
_JPEG_QUALITY = 95
_COLOURS = (1, 3)  # channels that JPEG knows


def attack_checks(
    keys: Key,
    estimator: Estimator,
    y: Array,
    *,
    attack: Attack,
    bounds: tuple[float, float] | None,
    transferred: Array | None = None,
) -> dict[str, Array]:
    """Ratios of the change of the output to that of y, by metric, (N,); of JPEG only where y has one or three channels.

    Args:
        keys: one for each example.
        estimator: maps y to x̂, on batches.
        y: measurements (N, h, w, C).
        attack: whose ratio is checked.
        bounds: valid range of measurements, or None.
        transferred: y as it attacks another restorer; None if there is none.
    """
    first, other, random, noise = (jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys) for i in range(4))
    objective, steps = output_shift(estimator, y), attack.steps
    starts = {"attack": (first, steps), "shorter": (first, max(steps // 2, 1)), "longer": (other, 2 * steps)}
    attacked = _ascended(attack, starts, objective, y, bounds)
    size = example_norms(attacked["attack"] - y)
    changes = {
        "random_ratio": [_random(random, y, attack, number) for number in range(steps)],
        "noise_ratio": [_scaled(_normal(noise, y, number), size) for number in range(_DRAWS)],
    } | {name: [_scaled(change, size) for change in kinds] for name, kinds in _unchosen(y).items()}
    near = {name: [point] for name, point in attacked.items()}
    near |= {} if transferred is None else {"transfer_ratio": [transferred]}
    near |= {name: [_inside(y + change, bounds) for change in kinds] for name, kinds in changes.items()}
    before = estimator(y)  # once for all
    everywhere = jnp.stack([point for kind in near.values() for point in kind])
    ratios = jax.lax.map(lambda point: shift_ratio(before, estimator(point), y, point), everywhere)
    ends = np.cumsum([len(kind) for kind in near.values()])
    parts = dict(zip(near, jnp.split(ratios, ends[:-1]), strict=True))
    reached, half, again = (parts[name][0] for name in starts)
    values = jnp.maximum(again / reached - 1, 0), reached / half - 1, reached
    masked = {name: jnp.max(parts[name], axis=0) for name in _MASKED if name in parts}
    # A constant image, moved, does not change: the mean is over the ratios that are defined.
    ours = dict(zip(_ATTACK, values, strict=True)) | masked
    return ours | {name: jnp.nanmean(parts[name], axis=0) for name in _BY_ITSELF if name in parts}


def doubt(checks: dict[str, Metric], reached: Metric) -> str:
    """What the checks say against a K̄, in words; "" for nothing.

    Args:
        checks: by metric.
        reached: K̄, for checks that do not say what the attack reaches on the probes.
    """
    masked, masked_words = _largest(checks, _MASKED)
    by_itself, words = _largest(checks, _BY_ITSELF)
    growth = checks["attack_growth"].value if "attack_growth" in checks else math.nan
    clearly = (1 + SETTLED) * checks.get("attack_ratio", reached).value
    # What twice the steps reach as well was only not reached yet.
    if masked > clearly * (1 + (growth if growth > 0 else 0)):
        return f"the gradient is masked: {masked_words} {masked:.3g}, more than the attack"
    if growth > SETTLED:
        more = "attack=apgd with a larger attack_effort goes on until it settles"
        return f"not converged: twice the steps from another start reach {growth:.0%} more on the probes; {more}"
    if by_itself > clearly:
        return f"an underestimate: {words} {by_itself:.3g} on the probes"
    return ""


def _largest(checks: dict[str, Metric], words: dict[str, str]) -> tuple[float, str]:
    """The largest of some checks, with the words for it; NaN without any."""
    known = {name: checks[name].value for name in words if name in checks and not math.isnan(checks[name].value)}
    most = max(known, key=lambda name: known[name], default="")
    return known.get(most, math.nan), words.get(most, "")


def _random(keys: Key, y: Array, attack: Attack, number: int) -> Array:
    """A change as large as the attack may make, in a random direction."""
    drawn = _normal(keys, y, number)
    if isinstance(attack, L2Adam):
        return _scaled(drawn, jnp.full(y.shape[0], attack.epsilon, y.dtype))
    return attack.alpha * jnp.sign(drawn)


def _ascended(
    attack: Attack,
    starts: dict[str, tuple[Key, int]],
    objective: Objective,
    y: Array,
    bounds: tuple[float, float] | None,
) -> dict[str, Array]:
    """Attacked measurements from these keys with so many steps, by name; `step_ratio` is one step of the whole size.

    Those of I-FGSM, of which a single step has that size, come from one program: compiling is what takes longest.
    """
    first, _ = starts["attack"]
    if not isinstance(attack, IFGSM):
        found = {
            name: dataclasses.replace(attack, steps=steps).ascend(key, objective, y, bounds=bounds)
            for name, (key, steps) in starts.items()
        }
        return found | {"step_ratio": _one_step(first, objective, y, attack, bounds)}
    starts = starts | {"step_ratio": (first, 1)}

    def ascend(start: tuple[Key, Array]) -> Array:
        return ifgsm(start[0], objective, y, alpha=attack.alpha, steps=start[1], bounds=bounds)

    keys, counts = zip(*starts.values(), strict=True)
    points = jax.lax.map(ascend, (jnp.stack(keys), jnp.asarray(counts, jnp.int32)))
    return dict(zip(starts, points, strict=True))


def _one_step(
    keys: Key, objective: Objective, y: Array, attack: APGD | L2Adam, bounds: tuple[float, float] | None
) -> Array:
    """A step as large as the attack may go, along the gradient at its start."""
    if isinstance(attack, APGD):
        return ifgsm(keys, objective, y, alpha=attack.alpha, steps=1, bounds=bounds)
    step = ifgsm(keys, objective, y, alpha=1 / 255, steps=1, bounds=None) - y
    return _inside(y + _scaled(step, jnp.full(y.shape[0], attack.epsilon, y.dtype)), bounds)


def _unchosen(y: Array) -> dict[str, list[Array]]:
    """What happens to images by itself, by metric, of any size.

    y has 8 bits already, usually, so it is rounded to those of video, to whose range files are converted: the error is
    at most half a grey level or so, and the same for equal values, while that of independent roundings is noise.
    """
    found = {"rounding_ratio": [jnp.round(y * _VIDEO) / _VIDEO - y]}
    if y.shape[-1] in _COLOURS:
        shown = jnp.clip(y, 0, 1)
        found["jpeg_ratio"] = [jpeg_surrogate(shown, quality=_JPEG_QUALITY) - shown]
    found["moved_ratio"] = [jnp.roll(y, shift, axis) - y for shift, axis in ((1, 1), (-1, 1), (1, 2), (-1, 2))]
    return found


def _normal(keys: Key, y: Array, number: int) -> Array:
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, number), y.shape[1:], y.dtype))(keys)


def _scaled(change: Array, size: Array) -> Array:
    """A change (N, ...) of the given norms (N,); none stays none."""
    norms = example_norms(change)
    factor = jnp.where(norms > 0, size / jnp.where(norms > 0, norms, 1), 0)
    return factor.reshape(-1, *(1,) * (change.ndim - 1)) * change


def _inside(y: Array, bounds: tuple[float, float] | None) -> Array:
    return y if bounds is None else jnp.clip(y, *bounds)
