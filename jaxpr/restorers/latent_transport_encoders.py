"""Encoders of latent transport: Stable Diffusion's autoencoder, any other one, and none (patches of pixels).

An encoder takes and returns images (N, H, W, C) in [0, 1]; one whose network lives on [-1, 1] converts here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import jax.numpy as jnp

from jaxpr.core import AnyArray, Array, InputError, check_count, printable
from jaxpr.models.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig, Posterior, autoencoder_kl
from jaxpr.models.layers import Compute
from jaxpr.weights.autoencoders import own_autoencoder
from jaxpr.weights.fetch import fetched_weights
from jaxpr.weights.networks import load_network
from jaxpr.weights.official import OFFICIAL_FILES
from jaxpr.weights.packaged import PACKAGED_AUTOENCODERS

__all__ = [
    "LatentEncoder",
    "LatentPosterior",
    "OFFICIAL_ENCODERS",
    "kl_encoder",
    "pixel_encoder",
    "plain_encoder",
    "read_encoder",
]

PIXELS = "pixels"
OFFICIAL_ENCODERS = tuple(name for name in OFFICIAL_FILES if name.startswith("sd-vae"))
"""Names in `weights.OFFICIAL_FILES` of autoencoders, which `jaxpr weights fetch` brings."""


class LatentPosterior(Protocol):
    """Independent normal distributions of latents (N, h, w, c), such as `models.Posterior`."""

    @property
    def mean(self) -> Array:
        """The mean, which is the mode."""

    @property
    def logvar(self) -> Array:
        """Logarithm of the variance."""


Encode: TypeAlias = Callable[[Any, Array], LatentPosterior]
Decode: TypeAlias = Callable[[Any, Array], Array]


@dataclass(frozen=True, eq=False)
class LatentEncoder:
    """An autoencoder as transport uses it.

    Attributes:
        encode: `(params, x) -> posterior` of x (N, H, W, C) in [0, 1] whose sides are multiples of `multiple`.
        decode: `(params, latents) -> x`, not clipped.
        params: pytree of arrays. Encoders whose functions are equal share compiled programs, so these are hashable.
        multiple: of the sides of images.
        name: by which a fitted transport knows it again.
        sha256: of the file of its parameters; None where there is no file.
        cost: calls of a network for one image there and back.

    Raises:
        InputError: functions without a hash, or a `multiple` that is no positive integer.
    """

    encode: Encode
    decode: Decode
    params: Any = ()
    multiple: int = 1
    name: str = "encoder"
    sha256: str | None = None
    cost: int = 0

    def __post_init__(self) -> None:
        check_count("multiple", self.multiple)
        for name, function in (("encode", self.encode), ("decode", self.decode)):
            if not callable(function) or getattr(function, "__hash__", None) is None:
                raise InputError(f"{name}: found {type(function).__name__}, expected a hashable callable")

    @property
    def record(self) -> dict[str, Any]:
        """JSON-able: what it is known by."""
        return {"name": self.name, "sha256": self.sha256}


def pixel_encoder() -> LatentEncoder:
    """No encoder: latents are the pixels of the images, and transport is of patches of pixels."""
    return LatentEncoder(_as_pixels, _from_pixels, name=PIXELS)


def plain_encoder(
    encode: Callable[[Array], Array], decode: Callable[[Array], Array], *, name: str, multiple: int = 1
) -> LatentEncoder:
    """Any two functions as an encoder.

    Args:
        encode: x (N, H, W, C) in [0, 1] to latents (N, h, w, c).
        decode: latents to x.
        name: by which a fitted transport knows it again.
        multiple: of the sides of images that `encode` takes.

    Raises:
        InputError: functions without a hash.
    """
    return LatentEncoder(_PlainEncode(encode), _PlainDecode(decode), multiple=multiple, name=name, cost=2)


def kl_encoder(
    config: AutoencoderKLConfig,
    params: dict[Any, Any],
    *,
    name: str,
    sha256: str | None = None,
    compute: Compute = Compute(),  # noqa: B008 (immutable)
) -> LatentEncoder:
    """An AutoencoderKL as an encoder; its latents are not scaled.

    Args:
        config: its sizes.
        params: its parameters.
        name: by which a fitted transport knows it again.
        sha256: of the file of the parameters.
        compute: dtype, precision and memory.
    """
    network = _Network(config, compute, autoencoder_kl(config, compute=compute))
    encode, decode = _KLEncode(network), _KLDecode(network)
    return LatentEncoder(encode, decode, params, config.factor, name, sha256, cost=2)


def read_encoder(source: str | Path, *, compute: Compute = Compute()) -> LatentEncoder:  # noqa: B008 (immutable)
    """The encoder with a name, or in a file.

    Args:
        source: "pixels"; one of `weights.PACKAGED_AUTOENCODERS`; one of `OFFICIAL_ENCODERS`, once fetched; or a file,
            of `jaxpr train autoencoders` or of Stable Diffusion's autoencoder with the names of CompVis or diffusers.
        compute: dtype, precision and memory of the network.

    Raises:
        InputError: no such name or file, or another network.
        WeightsError: the file's tensors are not exactly those of the network.
    """
    if source == PIXELS:
        return pixel_encoder()
    packed = own_autoencoder(source)
    if packed is not None:
        name = str(source) if source in PACKAGED_AUTOENCODERS or packed.path is None else packed.path.name
        return kl_encoder(packed.config, packed.params, name=name, sha256=packed.sha256, compute=compute)
    path = fetched_weights(str(source)) if source in OFFICIAL_ENCODERS else source
    loaded = load_network(path, compute=compute)
    if not isinstance(loaded.config, AutoencoderKLConfig):
        where = printable(loaded.checkpoint.path)
        raise InputError(f"source: found {loaded.name} in {where}, expected an autoencoder (AutoencoderKL)")
    name = str(source) if source in OFFICIAL_ENCODERS else loaded.checkpoint.path.name
    return kl_encoder(loaded.config, loaded.params, name=name, sha256=loaded.checkpoint.sha256, compute=compute)


def _as_pixels(_: Any, x: Array) -> Posterior:
    return _certain(x)


def _from_pixels(_: Any, latents: Array) -> Array:
    return latents


def _certain(latents: Array) -> Posterior:
    """Latents without a spread."""
    return Posterior(latents, jnp.full_like(latents, -jnp.inf))


@dataclass(frozen=True)
class _PlainEncode:
    encode: Callable[[Array], Array]

    def __call__(self, _: Any, x: Array) -> Posterior:
        return _certain(self.encode(x))


@dataclass(frozen=True)
class _PlainDecode:
    decode: Callable[[Array], Array]

    def __call__(self, _: Any, latents: Array) -> Array:
        return self.decode(latents)


@dataclass(frozen=True)
class _Network:
    """An autoencoder on [-1, 1], as one on [0, 1]; equal for equal sizes."""

    config: AutoencoderKLConfig
    compute: Compute
    functions: AutoencoderKL = field(compare=False)

    def encode(self, params: Any, x: Array) -> Posterior:
        return self.functions.encode(params, 2 * x - 1)

    def decode(self, params: Any, latents: Array) -> Array:
        return (self.functions.decode(params, latents) + 1) / 2


@dataclass(frozen=True)
class _KLEncode:
    network: _Network

    def __call__(self, params: Any, x: Array) -> Posterior:
        return self.network.encode(params, x)


@dataclass(frozen=True)
class _KLDecode:
    network: _Network

    def __call__(self, params: Any, latents: Array) -> Array:
        return self.network.decode(params, latents)


def sampled(posterior: LatentPosterior, noise: AnyArray) -> Array:
    """The latents that standard normal noise of their shape leads to."""
    return posterior.mean + jnp.exp(posterior.logvar / 2) * noise
