"""The measures that cost many passes through a restorer and therefore run on a few examples, the probes only."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxpr.attacks import attack_sweep, explore_posterior, range_coverage, shift_ratio
from jaxpr.attacks.lipschitz import leading_direction
from jaxpr.core import Array, Estimator, InputError, Key, may_be_undefined
from jaxpr.evaluation.arrays import ProbeArrays
from jaxpr.evaluation.attack_checks import attack_checks
from jaxpr.evaluation.devices import spread
from jaxpr.evaluation.draws import Computation
from jaxpr.evaluation.measure import gradient_size
from jaxpr.evaluation.protocol import Protocol

__all__ = ["SPECTRAL", "SWEEP", "probe_program"]

# Where a backward rule cannot be differentiated again: TypeError from a rule that refuses, as that of PyTorch modules
# does, ValueError from a callback or a loop of unknown length, NotImplementedError from a primitive without a rule.
_NO_DERIVATIVE = (TypeError, ValueError, NotImplementedError)

SWEEP = ("input_psnr", "output_psnr", "ratio")
"""Columns of the curve over attack radii."""

SPECTRAL = ("local_lipschitz", "local_lipschitz_grey_level")
"""Metrics of the Jacobian's leading direction."""

_GREY_LEVEL = 1 / 255


def probe_program(computation: Computation, protocol: Protocol) -> Callable[..., ProbeArrays]:
    """Compiled `(params, keys, x, y) -> ProbeArrays` for all differentiable restorers that compute so.

    A fifth argument is y as it attacks another restorer, for a look whether that reaches more than the own attack.
    A stochastic restorer is probed at one seed per example. The spectral norm is NaN for a restorer whose backward
    rule (a `custom_vjp`) JAX cannot differentiate.
    """

    def measure(params: Any, keys: Key, x: Array, y: Array, transferred: Array | None = None) -> ProbeArrays:
        seeds, starts = jax.vmap(jax.random.split, out_axes=1)(keys)
        estimator = functools.partial(computation.draw, params, seeds)
        metrics: dict[str, Array] = {}
        curve: dict[str, Array] = {}
        once: Array | None = None
        if protocol.attack is not None and protocol.sweep:
            alphas = jnp.asarray(protocol.sweep, y.dtype)
            steps, bounds = protocol.attack.steps, protocol.bounds
            sweep = attack_sweep(starts, estimator, y, alphas=alphas, steps=steps, bounds=bounds)
            curve = {name: getattr(sweep, name).T for name in SWEEP}
        if protocol.attack is not None and protocol.probes.attack_checks:
            attack, bounds = protocol.attack, protocol.bounds
            metrics |= attack_checks(starts, estimator, y, attack=attack, bounds=bounds, transferred=transferred)
        if protocol.probes.lipschitz_iterations:
            iterations = protocol.probes.lipschitz_iterations
            found, once = _spectral_norm(starts, estimator, y, iterations=iterations, bounds=protocol.bounds)
            metrics |= found
        if protocol.probes.exploration.samples:
            metrics |= _exploration(starts, estimator, x, y, protocol)
        return ProbeArrays(gradient_size(starts, estimator, y), metrics, curve, once)

    return may_be_undefined(spread(measure, shared=1))


def _spectral_norm(
    keys: Key, estimator: Estimator, y: Array, *, iterations: int, bounds: tuple[float, float] | None
) -> tuple[dict[str, Array], Array | None]:
    """The norm, and the ratio of a change in its direction that 8 bits can hold; where there is none NaN, and ones."""
    try:
        direction, norm = leading_direction(keys, estimator, y, iterations=iterations)
    except InputError:
        raise
    except _NO_DERIVATIVE:
        undefined = jnp.full(y.shape[0], jnp.nan, jnp.float32)
        return dict.fromkeys(SPECTRAL, undefined), jnp.ones(y.shape[0])
    largest = jnp.max(jnp.abs(direction), axis=(1, 2, 3), keepdims=True)
    step = _GREY_LEVEL * direction / jnp.where(largest > 0, largest, 1)
    either_side = [y + step, y - step]
    nearby = jnp.stack(either_side if bounds is None else [jnp.clip(near, *bounds) for near in either_side])
    before = estimator(y)
    ratios = jax.lax.map(lambda near: shift_ratio(before, estimator(near), y, near), nearby)
    return dict(zip(SPECTRAL, (norm, jnp.max(ratios, axis=0)), strict=True)), None


def _exploration(keys: Key, estimator: Estimator, x: Array, y: Array, protocol: Protocol) -> dict[str, Array]:
    settings, bounds = protocol.probes.exploration, protocol.bounds
    samples, alpha, steps = settings.samples, settings.alpha, settings.steps
    found = explore_posterior(keys, estimator, y, samples=samples, alpha=alpha, steps=steps, bounds=bounds)
    width = (found.ranges.upper - found.ranges.lower).reshape(y.shape[0], -1)
    return {
        "exploration_coverage": range_coverage(found.outputs, x),
        "exploration_range": jnp.mean(width, axis=1),
        "exploration_input_psnr": jnp.min(found.input_psnr[1:], axis=0),
    }
