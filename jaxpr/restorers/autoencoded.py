"""What an autoencoder alone makes of restorations, D(E(x̂)): what transport in its latents starts from.

Paper: [adrai2023], Section 5.
"""

from dataclasses import dataclass, replace
from typing import Any

from jaxpr.core import Array, Estimator, Sampler
from jaxpr.models.layers import pad_to_multiple
from jaxpr.restorers.around import each_draw
from jaxpr.restorers.latent_transport_encoders import PIXELS, Decode, Encode, LatentEncoder
from jaxpr.restorers.restorer import UNCHANGED, Apply, ApplySet, Remake, Restorer, as_restorer, joined_variant

__all__ = ["autoencoded", "autoencoder_of"]


def autoencoded(estimator: Estimator | Sampler, encoder: LatentEncoder) -> Restorer:
    """The restorer followed by encoding and decoding, by the mode of the latents; not clipped.

    Images of any size are taken; those whose sides are no multiples of the encoder's are extended by their edge, and
    cut again.

    Args:
        estimator: maps y, or a key and y (N, h, w, c), to x̂ (N, H, W, C); what a `Restorer` says of itself the result
            says too, as the variant "autoencoded".
        encoder: of `read_encoder` and the like.

    Raises:
        InputError: not such a callable.
    """
    return replace(_coded(as_restorer("estimator", estimator), encoder), autoencoder=autoencoder_of(encoder))


def autoencoder_of(encoder: LatentEncoder) -> Restorer | None:
    """The map from images to D(E(x)), which says under `weights` what it is; None for pixels, which lose nothing.

    Args:
        encoder: with a decoder.
    """
    return None if encoder.name == PIXELS else _coded(UNCHANGED, encoder)


def _coded(found: Restorer, encoder: LatentEncoder) -> Restorer:
    coder = _Coder(encoder.encode, encoder.decode, encoder.multiple)
    return replace(
        found,
        apply=_Coded(found.apply, coder),
        apply_set=found.apply_set and _CodedSet(found.apply_set, coder),
        with_steps=found.with_steps and _CodedRemade(found.with_steps, encoder),
        params={"restorer": found.params, "encoder": encoder.params},
        cost=found.cost + encoder.cost,
        variant=joined_variant(found.variant, "autoencoded"),
        weights={**(found.weights or {}), "autoencoder": encoder.record},
    )


@dataclass(frozen=True)
class _Coder:
    encode: Encode
    decode: Decode
    multiple: int

    def __call__(self, params: Any, x: Array) -> Array:
        height, width = x.shape[1:3]
        latents = self.encode(params, pad_to_multiple(x, self.multiple, mode="edge")).mean
        return self.decode(params, latents)[:, :height, :width].astype(x.dtype)


@dataclass(frozen=True)
class _Coded:
    apply: Apply
    coder: _Coder

    def __call__(self, params: Any, key: Any, y: Array) -> Array:
        return self.coder(params["encoder"], self.apply(params["restorer"], key, y))


@dataclass(frozen=True)
class _CodedSet:
    apply_set: ApplySet
    coder: _Coder

    def __call__(self, params: Any, keys: Any, y: Array, count: int) -> Array:
        drawn = self.apply_set(params["restorer"], keys, y, count)
        return each_draw(lambda x: self.coder(params["encoder"], x), drawn)


@dataclass(frozen=True)
class _CodedRemade:
    remake: Remake
    encoder: LatentEncoder

    def __call__(self, steps: int) -> Restorer:
        return autoencoded(self.remake(steps), self.encoder)
