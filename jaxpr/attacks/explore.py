"""Exploring the posterior with a deterministic restorer: farthest outputs from almost the same measurement."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.attacks.boundary import check_measurements, restorations
from jaxpr.attacks.budget import alpha_psnr
from jaxpr.attacks.ifgsm import ifgsm
from jaxpr.attacks.objectives import farthest_from
from jaxpr.core import (
    Array,
    Estimator,
    InputError,
    Key,
    check_count,
    check_floats,
    check_positive,
    example_keys,
    may_be_undefined,
    scan,
)
from jaxpr.numerics.convolution import canonical_convolutions
from jaxpr.numerics.errors import peak_ratio
from jaxpr.numerics.guards import widened

__all__ = ["PosteriorExploration", "RangeMaps", "explore_posterior", "range_coverage", "range_maps"]


class RangeMaps(NamedTuple):
    """The range of each output pixel over samples.

    Attributes:
        lower: the smallest value, (N, H, W, C).
        upper: the largest value, the same shape.
    """

    lower: Array
    upper: Array


class PosteriorExploration(NamedTuple):
    """Outputs found behind measurements that differ by at most α per entry.

    Attributes:
        outputs: (S, N, ...); `outputs[0]` is the restoration of y itself.
        inputs: the measurements that gave them, (S, N, ...); `inputs[0]` is y.
        input_psnr: of each input against y, (S, N), decibels; infinite for the first.
        psnr_bound: the least PSNR that α allows, -20 log10(α / range), scalar.
        ranges: smallest and largest value of every output pixel over the samples.
    """

    outputs: Array
    inputs: Array
    input_psnr: Array
    psnr_bound: Array
    ranges: RangeMaps


def explore_posterior(
    key: Key,
    estimator: Estimator,
    y: Array,
    *,
    samples: int,
    alpha: float | Array,
    steps: int,
    bounds: tuple[float, float] | None,
    data_range: float = 1.0,
) -> PosteriorExploration:
    r"""Farthest point sampling of the outputs in a small ball around y: Algorithm 1 of [ohayon2024] (Appendix G).

    The first sample is f(y). Each further one is $f(y_{adv})$ where I-FGSM, started near y, has ascended the mean
    squared distance to all samples so far. The paper takes 5 samples, α = 8/255 and 150 steps. If the joint
    perceptual quality of f is high, the outputs spread like samples of the posterior (Section 4.4).

    Note:
        The algorithm's loop, read literally, finds S outputs after the first; its text and Figure 6 count the first
        among the S, as here. I-FGSM starts at a random point close to y, without which the second sample's gradient
        would be zero (see `ifgsm`).

    Args:
        key: one key, or one per example.
        estimator: maps measurements (N, ...) to restorations (N, ...); deterministic, differentiable.
        y: measurements (N, ...), inside `bounds`.
        samples: S, with the first. Static.
        alpha: radius of the ∞-ball in intensity units. Traced.
        steps: ascent steps for each sample. Static.
        bounds: valid (low, high) range of measurements, or None for no limit.
        data_range: of the measurements, for the PSNR; 1 for images of this library.

    Returns:
        `PosteriorExploration`; the same program for any S > 1, S - 1 times.

    Raises:
        InputError: as `ifgsm`, or samples < 1.
    """
    check_count("samples", samples)
    check_count("steps", steps)
    check_measurements(y, bounds=bounds)
    check_positive("alpha", alpha, or_zero=True, scalar=True)
    check_positive("data_range", data_range, scalar=True)
    keys = example_keys(key, y.shape[0])
    restore = canonical_convolutions(lambda z: restorations(estimator, z))
    first = restore(y)

    def find(outputs: Array, s: Array) -> tuple[Array, Array]:
        found = (jnp.arange(samples) < s).astype(outputs.dtype)
        y_adv = ifgsm(
            jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, s),
            farthest_from(estimator, outputs, weights=found),
            y,
            alpha=alpha,
            steps=steps,
            bounds=bounds,
        )
        return outputs.at[s].set(restore(y_adv)), y_adv

    # Until it is found, a sample is a copy of the first: finite, and of weight zero.
    outputs = jnp.broadcast_to(first, (samples, *first.shape))
    outputs, attacked = scan(find, outputs, jnp.arange(1, samples))
    inputs = jnp.concatenate([jnp.asarray(y)[None], attacked])
    return PosteriorExploration(
        outputs=outputs,
        inputs=inputs,
        input_psnr=jax.vmap(lambda z: peak_ratio(y, z, data_range=data_range))(inputs),
        psnr_bound=alpha_psnr(alpha, data_range=data_range),
        ranges=_ranges(outputs),
    )


def range_maps(outputs: Array) -> RangeMaps:
    """Smallest and largest value of every pixel over samples (S, N, ...); NaN where a sample is NaN.

    Raises:
        InputError: outputs are not floating (S, N, ...) with S >= 1.
    """
    shape = check_floats("outputs", outputs, expected="samples (S, N, ...)")
    if len(shape) < 2 or shape[0] < 1:
        raise InputError(f"outputs: found shape {shape}, expected samples (S, N, ...) with S >= 1")
    return _ranges(outputs)


def _ranges(outputs: Array) -> RangeMaps:
    # XLA's minima and maxima lose a NaN on CPUs.
    undefined = jnp.any(jnp.isnan(outputs), axis=0)
    return RangeMaps(*(jnp.where(undefined, jnp.nan, found(outputs, axis=0)) for found in (jnp.min, jnp.max)))


@may_be_undefined
def range_coverage(outputs: Array, truth: Array) -> Array:
    """Share of pixels whose true value lies between the smallest and the largest sample, bounds included.

    S samples of the exact posterior and a continuous truth give (S - 1) / (S + 1) on average; exploration may cover
    more or less. [ohayon2024] leaves this measure open.

    Args:
        outputs: samples (S, N, ...), for example `PosteriorExploration.outputs`.
        truth: clean images (N, ...).

    Returns:
        (N,), in [0, 1]; NaN where a sample or the truth has NaN.

    Raises:
        InputError: the shapes do not belong together, or arrays are not floating.
    """
    lower, upper = range_maps(outputs)
    check_floats("truth", truth, expected="clean images (N, ...)")
    if truth.shape != lower.shape:
        raise InputError(f"truth: found shape {truth.shape}, expected {lower.shape} as one sample")
    inside = ((truth >= lower) & (truth <= upper)).astype(widened(outputs).dtype)
    defined = ~(jnp.isnan(lower) | jnp.isnan(truth))
    shares = jnp.mean(jnp.where(defined, inside, jnp.nan).reshape(truth.shape[0], -1), axis=1)
    return shares.astype(outputs.dtype)
