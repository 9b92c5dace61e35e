r"""A restorer whose outputs are transported towards natural images, in the latents of an autoencoder.

Encode, cut into overlapping patches, move each by the optimal map between two Gaussians, average where patches overlap,
decode: that is $\hat x_0$. Pixels are then mixed, $\hat x_\alpha = (1 - \alpha) \hat x_0 + \alpha x^*$.

Paper: [adrai2023], Section 4, Eq. (4), Appendix B.
"""

import hashlib
import math
import warnings
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxpr.core import Array, Estimator, InputError, Sampler, check_images, described, example_keys, is_number
from jaxpr.models.layers import pad_to_multiple
from jaxpr.records.along import moved_family
from jaxpr.restorers.around import each_draw
from jaxpr.restorers.autoencoded import autoencoder_of
from jaxpr.restorers.latent_transport_encoders import Decode, Encode, sampled
from jaxpr.restorers.latent_transport_files import pack_transport
from jaxpr.restorers.latent_transport_fit import LatentTransport, TransportWarning
from jaxpr.restorers.latent_transport_patches import PatchMap, move_latents
from jaxpr.restorers.restorer import Apply, ApplySet, Remake, Restorer, as_restorer, joined_variant

__all__ = ["latent_transport"]

_FOLDED = 0x7472616E  # any number that restorers do not fold


def latent_transport(
    estimator: Estimator | Sampler,
    fitted: LatentTransport,
    *,
    alpha: float = 0.0,
    encode: Literal["mode", "sample"] | None = None,
    deterministic: bool = False,
    any_size: bool = False,
) -> Restorer:
    r"""The restorer followed by latent transport; $\hat x_\alpha$ of [adrai2023], Eq. (4).

    Transported restorers with different maps and alphas share a compiled program; with alpha = 1 it is the restorer's
    own. What a stochastic one draws for a key is the same for all alphas. Outputs are not clipped. Images of any size
    are taken; those whose sides are no multiples of the encoder's are extended by their edge, and cut again.

    Args:
        estimator: maps y, or a key and y (N, h, w, c), to x̂ (N, H, W, C); what a `Restorer` says of itself the result
            says too, as the variant "transport" with alpha as its setting. For restored images: `lambda x: x`.
        fitted: of `fit_transport` or `load_transport`.
        alpha: 0 is the transported image and 1 the restorer's; any number, which extrapolates outside of [0, 1].
        encode: "sample" draws latents from the encoder's distribution, as [adrai2023] does; "mode"; None as the
            transport was fitted.
        deterministic: leave out the noise that the map needs where the restorer's patches fill fewer directions than
            natural ones; records say so. The law of the result is then not the natural one.
        any_size: do not warn about images whose sides differ by more than a factor of two from those that it was
            fitted on.

    Returns:
        Stochastic, with a key, if the estimator is, if latents are drawn, or if the map needs noise. Every patch of
        every image draws its own noise: with one key for each image, or one that is folded with their positions.

    Raises:
        InputError: not such a callable, or alpha is no finite number; when called: other channels.
    """
    if not (is_number(alpha) and math.isfinite(alpha)):
        raise InputError(f"alpha: found {described(alpha)}, expected one finite number")
    found, encoder = as_restorer("estimator", estimator), fitted.encoder
    encoded = fitted.encode if encode is None else encode
    if encoded not in ("mode", "sample"):
        raise InputError(f"encode: found {described(encoded)}, expected 'mode' or 'sample'")
    draw = encoded == "sample"
    noisy = fitted.stochastic and not deterministic
    sides = None if any_size else _sides(fitted)
    move = _Move(encoder.encode, encoder.decode, encoder.multiple, fitted.patch, draw, noisy, sides)
    moves = fitted.moves if noisy else PatchMap(fitted.moves.matrix, fitted.moves.offset)
    stochastic = found.stochastic or draw or noisy
    params = {"restorer": found.params, "encoder": encoder.params, "moves": moves, "alpha": float(alpha)}
    noise = "none is needed" if not fitted.stochastic else "for each patch" if noisy else "switched off"
    said = _said(found, fitted, {"encode": encoded, "alpha": float(alpha), "noise": noise})
    with_steps = found.with_steps and _Remade(found.with_steps, fitted, alpha, encode, deterministic, any_size)
    if alpha == 1:  # the restorer itself, to the last bit, without a way through the encoder
        return replace(found, with_steps=with_steps, **said)
    return replace(
        found,
        apply=_Moved(found.apply, found.stochastic, move),
        apply_set=found.apply_set and _MovedSet(found.apply_set, move),
        params=params,
        stochastic=stochastic,
        cost=found.cost + encoder.cost,
        with_steps=with_steps,
        **said,
    )


def _said(found: Restorer, fitted: LatentTransport, chosen: dict[str, Any]) -> dict[str, Any]:
    """What a transported restorer says of itself and keeps."""
    content = pack_transport(fitted)
    sha256 = hashlib.sha256(content).hexdigest()
    file = f"transport-{sha256[:12]}.safetensors"
    record = {"file": file, "sha256": sha256, **fitted.record, **chosen}
    # Alpha becomes the setting, so that a curve over it is a line; another setting moves into the family.
    family = found.family if found.setting is None else moved_family(found.family or found.label, found.setting)
    return {
        "family": family,
        "setting": chosen["alpha"],
        "variant": joined_variant(found.variant, "transport"),
        "weights": {**(found.weights or {}), "transport": record},
        "kept": {**(found.kept or {}), file: content},
        "autoencoder": autoencoder_of(fitted.encoder),
    }


def _sides(fitted: LatentTransport) -> tuple[int, int]:
    pairs = [fitted.restored.sides, fitted.natural.sides]
    return min(low for low, _ in pairs), max(high for _, high in pairs)


@dataclass(frozen=True)
class _Move:
    """From restored to transported images; equal, with equal hashes, for transports that differ in parameters only."""

    encode: Encode
    decode: Decode
    multiple: int
    patch: int
    draw: bool
    noisy: bool
    sides: tuple[int, int] | None = field(compare=False)  # decides a warning, no number

    @property
    def stochastic(self) -> bool:
        return self.draw or self.noisy

    def __call__(self, params: Any, key: Any, x: Array) -> Array:
        """`key`: one, or one for each of the images; None where nothing is drawn."""
        check_images("x", x, data_range=None)
        x = jnp.asarray(x)
        number, height, width, _ = x.shape
        self._warn_of_size(height, width)
        posterior = self.encode(params["encoder"], pad_to_multiple(x, self.multiple, mode="edge"))
        latents, k_noise = posterior.mean, None
        if self.stochastic:
            pairs = jax.vmap(jax.random.split)(example_keys(key, number))
            k_draw, k_noise = pairs[:, 0], pairs[:, 1] if self.noisy else None
        if self.draw:
            shape = latents.shape[1:]
            latents = sampled(posterior, jax.vmap(lambda k: jax.random.normal(k, shape, latents.dtype))(k_draw))
        moved = move_latents(k_noise, latents, params["moves"], patch=self.patch)
        natural = self.decode(params["encoder"], moved)[:, :height, :width]
        if natural.shape != x.shape:
            raise InputError(f"decode: found images of shape {natural.shape}, expected {x.shape}")
        alpha = jnp.asarray(params["alpha"], x.dtype)
        mixed: Array = (1 - alpha) * natural.astype(x.dtype) + alpha * x
        return mixed

    def _warn_of_size(self, height: int, width: int) -> None:
        if self.sides is not None and not self.sides[0] / 2 <= min(height, width) <= 2 * self.sides[1]:
            text = (
                f"transport: found images of {height}×{width} pixels, expected about the resolution that it was fitted "
                f"on, sides of {self.sides[0]} to {self.sides[1]}"
            )
            warnings.warn(text, TransportWarning, stacklevel=3)


@dataclass(frozen=True)
class _Moved:
    apply: Apply
    stochastic: bool
    move: _Move

    def __call__(self, params: Any, key: Any, y: Array) -> Array:
        x = self.apply(params["restorer"], key if self.stochastic else None, y)
        both = self.stochastic and self.move.stochastic
        return self.move(params, _of_transport(key) if both else key, x)


@dataclass(frozen=True)
class _MovedSet:
    apply_set: ApplySet
    move: _Move

    def __call__(self, params: Any, keys: Any, y: Array, count: int) -> Array:
        drawn = self.apply_set(params["restorer"], keys, y, count)
        folded = None
        if self.move.stochastic:
            numbers = jnp.arange(count)
            fold = jax.vmap(jax.vmap(jax.random.fold_in, in_axes=(0, None)), in_axes=(None, 0))
            folded = fold(_of_transport(keys), numbers).reshape(-1)
        return each_draw(lambda x: self.move(params, folded, x), drawn)


@dataclass(frozen=True)
class _Remade:
    remake: Remake
    fitted: LatentTransport
    alpha: float
    encode: Literal["mode", "sample"] | None
    deterministic: bool
    any_size: bool

    def __call__(self, steps: int) -> Restorer:
        return latent_transport(
            self.remake(steps),
            self.fitted,
            alpha=self.alpha,
            encode=self.encode,
            deterministic=self.deterministic,
            any_size=self.any_size,
        )


def _of_transport(key: Any) -> Any:
    """Another key, or others for several, far from those that a restorer derives by small numbers."""
    fold = jax.random.fold_in if key.ndim == 0 else jax.vmap(jax.random.fold_in, in_axes=(0, None))
    return fold(key, _FOLDED)
