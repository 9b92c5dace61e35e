"""One output moved: x̂₀, what the autoencoder alone makes of it, and 8-bit pixels of both mixed.

Paper: [adrai2023], Eq. (4). Images are (H, W, C) in [0, 1].
"""

from collections.abc import Callable

import jax
import numpy as np

from jaxpr.core import InputError, Key
from jaxpr.restorers import LatentTransport, autoencoded, latent_transport
from jaxpr.restorers.restorer import UNCHANGED

__all__ = ["autoencoder", "mixed_levels", "mover"]


def mover(key: Key, fitted: LatentTransport) -> Callable[[int, np.ndarray], np.ndarray]:
    """`(number, x) -> x̂₀`, compiled for each size of images and not clipped.

    Args:
        key: of the draws, where there are any; those of image `number` are its own.
        fitted: the transport.

    Returns:
        The function; it raises InputError where x̂₀ is not finite.
    """
    moved = latent_transport(UNCHANGED, fitted, any_size=True)
    run = jax.jit(moved.apply)

    def move(number: int, x: np.ndarray) -> np.ndarray:
        found = np.asarray(run(moved.params, jax.random.fold_in(key, number)[None], x[None]))[0]
        if not np.isfinite(found).all():
            raise InputError(f"restored[{number}]: found NaN or infinite values once transported, expected finite ones")
        return found

    return move


def autoencoder(fitted: LatentTransport) -> Callable[[np.ndarray], np.ndarray]:
    """`x -> D(E(x))` with the mode of the latents, compiled for each size of images: what the encoder itself loses."""
    again = autoencoded(UNCHANGED, fitted.encoder)
    run = jax.jit(again.apply)

    def reconstruct(x: np.ndarray) -> np.ndarray:
        return np.asarray(run(again.params, None, x[None]))[0]

    return reconstruct


def mixed_levels(moved: np.ndarray, restored: np.ndarray, alpha: float) -> np.ndarray:
    """(1 - alpha) x̂₀ + alpha x*, clipped and rounded to levels 0 to 255 as a file holds them; uint8."""
    mixed = (1 - alpha) * np.asarray(moved, np.float64) + alpha * np.asarray(restored, np.float64)
    return np.round(np.clip(mixed, 0, 1) * 255).astype(np.uint8)
