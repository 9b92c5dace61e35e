"""The compiled work on one batch: degrade, restore, attack, score. Nothing here touches files.

Every program runs spread over the devices of the process (`devices.spread`); each batch shape compiles it once.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks import expected_output_shift, gradient_status, output_shift
from jaxpr.attacks.lipschitz import shift_over_step
from jaxpr.core import Array, Estimator, Key, defined_where, may_be_undefined
from jaxpr.degradations import Degradation
from jaxpr.evaluation.devices import spread
from jaxpr.evaluation.draws import Computation
from jaxpr.evaluation.protocol import Protocol
from jaxpr.metrics import (
    KURTOSIS_DRAWS,
    NIQE_SMALLEST,
    crop_border,
    extract_patches,
    first_component_kurtosis,
    lpips,
    luma,
    pairwise_diversity,
    per_pixel_std,
    psnr,
    residual_noise,
    rmse,
    ssim,
)
from jaxpr.metrics.niqe import niqe_features
from jaxpr.numerics.balls import example_norms
from jaxpr.weights import feature_extractor, perceptual_network

__all__ = [
    "Programs",
    "Responses",
    "Seen",
    "attack_scorer",
    "degrader",
    "distortion_of",
    "diversity_of",
    "gradient_size",
    "natural_blocks",
    "patch_classes",
    "patch_features",
    "perceptual_distance",
    "programs",
    "scorer",
    "to_rgb",
]

_SSIM_WINDOW = 11
_WHITENESS_SMALLEST = 16
_LPIPS_SMALLEST = {"alexnet": 31, "vgg16": 16}


def degrader(
    degradation: Degradation, *, bits: int | None, compiled: Callable[..., Any] = spread
) -> Callable[[Key, Array], Array]:
    """`(keys, x) -> y`: the degradation, clipped to [0, 1] and rounded to `bits` as an image file holds it.

    Compiled by `compiled`, except for degradations that run on the host, such as libjpeg.
    """

    def degrade(keys: Key, x: Array) -> Array:
        y = degradation(keys, x)
        if bits is None:
            return y
        levels = 2**bits - 1
        return jnp.round(jnp.clip(y, 0, 1) * levels) / levels

    return compiled(degrade) if degradation.traceable else degrade


class Responses(NamedTuple):
    """How a restorer answers to the attacked measurements; one draw (D = 1) for a deterministic restorer.

    Attributes:
        shift: (N,), root mean square over draws of ‖G(y, z) − G(y_adv, z)‖₂ with the same seed z for both
            ([ohayon2023], eq. (6)).
        output_psnr: (N,), mean over draws of the PSNR between the two ([ohayon2023], eq. (9)).
        restored_adv: (N, H, W, C), the first draw of the attacked output.
    """

    shift: Array
    output_psnr: Array
    restored_adv: Array


class Programs(NamedTuple):
    """A restorer's compiled programs; `keys` holds one key per example.

    Attributes:
        restore: `(keys, y) -> x̂`, one draw.
        attack: `(keys, y) -> (y_adv, gradient)`; `gradient` (N,) is the size of the restorer's gradient at y: where it
            is zero or NaN the attack is blind.
        respond: `(keys, y, y_adv) -> Responses`; None where there is no attack.
        draws: `(keys, y) -> (N, samples, H, W, C)`, as many draws as the protocol says; None for a deterministic one.
        sets: whether `draws` draws them together, so that the first of them costs nothing more.
    """

    restore: Callable[..., Array]
    attack: Callable[..., tuple[Array, Array]]
    respond: Callable[..., Responses] | None
    draws: Callable[..., Array] | None
    sets: bool = False

    def of(self, params: Any) -> "Programs":
        """The programs of one restorer, out of those that `programs` makes for all that share a computation."""
        return Programs(
            functools.partial(self.restore, params),
            functools.partial(self.attack, params),
            self.respond and functools.partial(self.respond, params),
            self.draws and functools.partial(self.draws, params),
            self.sets,
        )


def programs(computation: Computation, protocol: Protocol) -> Programs:
    """The programs of all restorers that compute so, with parameters as another, first argument: see `Programs.of`.

    Compilation happens at the first batch of each shape.
    """
    draws = protocol.attack_draws if computation.stochastic else 1

    def attack(params: Any, keys: Key, y: Array) -> tuple[Array, Array]:
        k_start, k_seeds = _two_keys(keys)
        if computation.stochastic:
            objective = expected_output_shift(k_seeds, computation.sampler(params), y, draws=draws)
        else:
            objective = output_shift(functools.partial(computation.draw, params, keys), y)
        gradient = gradient_size(k_seeds, functools.partial(computation.draw, params, keys), y)
        if protocol.attack is None:
            return y, gradient
        y_adv = protocol.attack.ascend(k_start, objective, y, bounds=protocol.bounds)
        # An example whose gradient is not finite keeps its measurement; the record will say that nothing is known.
        seen = jnp.isfinite(gradient).reshape(-1, *(1,) * (y.ndim - 1))
        return jnp.where(seen, y_adv, y), gradient

    def respond(params: Any, keys: Key, y: Array, y_adv: Array) -> Responses:
        before, after = (computation.draws(params, keys, measured, count=draws) for measured in (y, y_adv))
        norms = jax.vmap(example_norms)(after - before)
        unit = functools.partial(psnr, data_range=1.0)
        return Responses(
            jnp.sqrt(jnp.mean(norms**2, axis=0)), jnp.mean(jax.vmap(unit)(after, before), axis=0), after[0]
        )

    def several(params: Any, keys: Key, y: Array) -> Array:
        return jnp.moveaxis(computation.draws(params, keys, y, count=protocol.samples), 0, 1)

    shared = functools.partial(spread, shared=1)
    all_draws: Any = shared(several) if computation.stochastic else None

    def first_of_all(params: Any, keys: Key, y: Array) -> Array:
        found: Array = all_draws(params, keys, y)[:, 0]
        return found

    return Programs(
        first_of_all if computation.together else shared(computation.first),
        may_be_undefined(shared(attack)),
        shared(respond) if protocol.attack is not None else None,
        all_draws,
        computation.apply_set is not None,
    )


def gradient_size(keys: Key, estimator: Estimator, y: Array) -> Array:
    """Size of the gradient along a random direction of the output, (N,); NaN where it is not finite."""
    status = gradient_status(keys, estimator, y)
    return defined_where(status.finite, status.norm)


def _two_keys(keys: Key) -> tuple[Key, Key]:
    pairs = jax.vmap(jax.random.split)(keys)
    return pairs[:, 0], pairs[:, 1]


def diversity_of(samples: Array, protocol: Protocol) -> dict[str, Array]:
    """How much the draws (S, N, H, W, C) for each measurement differ, by metric, (N,)."""
    found = {"per_pixel_std": per_pixel_std(samples)}
    if samples.shape[0] >= KURTOSIS_DRAWS:
        found["component_kurtosis"] = first_component_kurtosis(samples)
    if min(samples.shape[2:4]) >= _LPIPS_SMALLEST[protocol.distortion.lpips_network]:
        network = perceptual_network(protocol.distortion.lpips_network)

        def distance(a: Array, b: Array) -> Array:
            return lpips(to_rgb(a), to_rgb(jnp.clip(b, 0, 1)), network=network)

        found[f"pairwise_lpips_{protocol.distortion.lpips_network}"] = pairwise_diversity(samples, distance)
    features = jax.lax.map(feature_extractor(protocol.patches.features).apply, samples)
    found[f"pairwise_distance_{protocol.patches.features_name}"] = pairwise_diversity(
        features, lambda a, b: example_norms(a - b)
    )
    return found


def scorer(degradation: Degradation, protocol: Protocol) -> Callable[..., dict[str, Array]]:
    """Compiled `(x, y, restored) -> {metric: (N,)}`.

    Metrics that the image size or the degradation does not allow are left out.
    """

    def score(x: Array, y: Array, restored: Array) -> dict[str, Array]:
        height, width, channels = x.shape[1:]
        unit = functools.partial(psnr, data_range=1.0)
        values = distortion_of(*(_compared(images, protocol) for images in (restored, x)))
        values |= perceptual_distance(restored, x, network=protocol.distortion.lpips_network)
        if degradation.has_operator:
            operator = degradation.operator((height, width, channels))
            again = operator(restored)
            values |= {"lr_psnr": unit(again, y), "measurement_rmse": rmse(again, y)}
            values["lr_psnr_pinv"] = unit(*(jnp.clip(operator.pinv(seen), 0, 1) for seen in (again, y)))
        if degradation.only_noise and min(height, width) >= _WHITENESS_SMALLEST:
            residual = residual_noise(restored, y, std=degradation.noise_std)
            values |= {f"residual_{name}": value for name, value in residual._asdict().items()}
        return values

    return may_be_undefined(spread(score))


def distortion_of(restored: Array, x: Array) -> dict[str, Array]:
    """RMSE, PSNR, and SSIM where its window fits, of images (N, H, W, C) from their truths; (N,) each."""
    values = {"rmse": rmse(restored, x), "psnr": psnr(restored, x, data_range=1.0)}
    if min(x.shape[1:3]) >= _SSIM_WINDOW:
        values["ssim"] = ssim(restored, x, data_range=1.0)
    return values


def perceptual_distance(restored: Array, x: Array, *, network: str) -> dict[str, Array]:
    """LPIPS of a packaged network, (N,), by the metric's name; nothing where images are too small for it."""
    if min(x.shape[1:3]) < _LPIPS_SMALLEST[network]:
        return {}
    return {f"lpips_{network}": lpips(to_rgb(restored), to_rgb(x), network=perceptual_network(network))}


def attack_scorer() -> Callable[[Array, Array, Responses], dict[str, Array]]:
    """Compiled `(y, y_adv, responses) -> {metric: (N,)}`."""

    def score(y: Array, y_adv: Array, responses: Responses) -> dict[str, Array]:
        return {
            "lipschitz_mean": defined_where(*shift_over_step(responses.shift, y, y_adv)),
            "adversarial_output_psnr": responses.output_psnr,
            "adversarial_input_psnr": psnr(y_adv, y, data_range=1.0),
        }

    return may_be_undefined(spread(score))


def natural_blocks(images: Array) -> np.ndarray | None:
    """What NIQE sees of the blocks of each image (N, K, 36), on the host; None where the images are too small."""
    height, width, channels = images.shape[1:]
    if min(height, width) < NIQE_SMALLEST or channels not in (1, 3):
        return None
    # Restorations may overshoot by more than a metric of images accepts.
    return niqe_features(jnp.clip(images, 0, 1))


def _compared(images: Array, protocol: Protocol) -> Array:
    """What distortion is measured on: cropped, and luma if the protocol says so."""
    border = protocol.distortion.border
    shown = crop_border(images, border=border) if border else images
    return luma(shown) if protocol.distortion.channel == "y" and images.shape[-1] == 3 else shown


def patch_features(name: str, *, size: int, stride: int) -> Callable[[Array], Array]:
    """Compiled `images -> (N, P, d)`: features of all patches of each image.

    One image at a time, so that memory does not grow with the batch.
    """
    extract = feature_extractor(name).apply

    def features(images: Array) -> Array:
        return jax.lax.map(lambda image: extract(extract_patches(image[None], size=size, stride=stride)), images)

    return spread(features)


class Seen(NamedTuple):
    """What an extractor sees in the patches of images.

    Attributes:
        features: (N, P, d).
        classes: probabilities of classes, (N, P, c); None if it has none.
    """

    features: Array
    classes: Array | None


def patch_classes(name: str, *, size: int, stride: int) -> Callable[[Array], Seen]:
    """Compiled `images -> Seen` of all patches of each image; both come from one pass through the network."""
    extractor = feature_extractor(name)

    def found(images: Array) -> Seen:
        def one(image: Array) -> Seen:
            patches = extract_patches(image[None], size=size, stride=stride)
            return Seen(extractor.apply(patches), extractor.classes and extractor.classes(patches))

        return jax.lax.map(one, images)

    return spread(found)


def to_rgb(images: Array) -> Array:
    """A single channel repeated to three."""
    return jnp.broadcast_to(images, (*images.shape[:3], 3))
