"""The compiled work on one batch: degrade, restore, attack, restore again, score. Nothing here touches files."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr._core import Array, Estimator, Key
from jaxpr.attacks import ifgsm, output_shift, shift_ratio
from jaxpr.degradations import Degradation
from jaxpr.evaluation.protocol import Protocol
from jaxpr.metrics import extract_patches, lpips, psnr, rmse, ssim
from jaxpr.models import feature_extractor, perceptual_network

__all__ = ["Attacked", "CompiledRestorer", "compile_restorer", "degrader", "patch_features", "scorer"]

_SSIM_WINDOW = 11
_LPIPS_SMALLEST = {"alexnet": 31, "vgg16": 16}


class Attacked(NamedTuple):
    """One batch through one restorer.

    Attributes:
        restored: x̂ = f(y), (N, H, W, C).
        y_adv: attacked measurements, (N, h, w, c).
        restored_adv: f(y_adv), (N, H, W, C).
    """

    restored: Array
    y_adv: Array
    restored_adv: Array


def degrader(degradation: Degradation, *, bits: int | None) -> Callable[[Key, Array], Array]:
    """`(keys, x) -> y`: the degradation, clipped to [0, 1] and rounded to `bits` as an image file holds it.

    Compiled, except for JPEG, which runs in libjpeg on the host.
    """

    def degrade(keys: Key, x: Array) -> Array:
        y = degradation(keys, x)
        if bits is None:
            return y
        levels = 2**bits - 1
        return jnp.round(jnp.clip(y, 0, 1) * levels) / levels

    return degrade if degradation.jpeg_quality is not None else jax.jit(degrade)


class CompiledRestorer(NamedTuple):
    """A restorer's two compiled programs; each batch shape compiles each of them once.

    Attributes:
        restore: y -> x̂.
        attack: `(keys, y) -> y_adv`, I-FGSM on the output shift.
    """

    restore: Estimator
    attack: Callable[[Key, Array], Array]

    def __call__(self, keys: Key, y: Array) -> Attacked:
        """Restore, attack, and restore again."""
        y_adv = self.attack(keys, y)
        return Attacked(self.restore(y), y_adv, self.restore(y_adv))


def compile_restorer(estimator: Estimator, protocol: Protocol) -> CompiledRestorer:
    """The programs for one restorer; compilation happens at the first batch of each shape."""
    bounds = None if protocol.measurement_bits is None else (0.0, 1.0)

    def attack(keys: Key, y: Array) -> Array:
        objective = output_shift(estimator, y)
        return ifgsm(keys, objective, y, alpha=protocol.alpha, steps=protocol.attack_steps, bounds=bounds)

    return CompiledRestorer(jax.jit(estimator), jax.jit(attack))


def scorer(degradation: Degradation, protocol: Protocol) -> Callable[[Array, Array, Attacked], dict[str, Array]]:
    """Compiled `(x, y, attacked) -> {metric: (N,)}`; metrics that the image size does not allow are left out."""
    network = perceptual_network(protocol.lpips_network)

    @jax.jit
    def score(x: Array, y: Array, attacked: Attacked) -> dict[str, Array]:
        restored, y_adv, restored_adv = attacked
        height, width, channels = x.shape[1:]
        again = degradation.operator((height, width, channels))(restored)
        unit = functools.partial(psnr, data_range=1.0)
        values = {
            "rmse": rmse(restored, x),
            "psnr": unit(restored, x),
            "lr_psnr": unit(again, y),
            "lipschitz_mean": shift_ratio(restored, restored_adv, y, y_adv),
            "adversarial_output_psnr": unit(restored_adv, restored),
            "adversarial_input_psnr": unit(y_adv, y),
        }
        if min(height, width) >= _SSIM_WINDOW:
            values["ssim"] = ssim(restored, x, data_range=1.0)
        if min(height, width) >= _LPIPS_SMALLEST[protocol.lpips_network]:
            values[f"lpips_{protocol.lpips_network}"] = lpips(_rgb(restored), _rgb(x), network=network)
        return values

    return score


def patch_features(name: str) -> Callable[..., Array]:
    """Compiled `(images, *, size, stride) -> (N, P, d)`: features of all patches of each image.

    One image at a time, so that memory does not grow with the batch.
    """
    extract = feature_extractor(name).apply

    @functools.partial(jax.jit, static_argnames=("size", "stride"))
    def features(images: Array, *, size: int, stride: int) -> Array:
        return jax.lax.map(lambda image: extract(extract_patches(image[None], size=size, stride=stride)), images)

    return features


def _rgb(images: Array) -> Array:
    return jnp.broadcast_to(images, (*images.shape[:3], 3))
