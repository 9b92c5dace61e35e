"""What decides a fit of latent transport: the usual settings here, and those that were published.

Paper: [adrai2023], Section 5.3.
"""

from typing import NamedTuple

from jaxpr.core import InputError
from jaxpr.restorers.latent_transport_encoders import PIXELS

__all__ = ["TRANSPORT_PRESETS", "TransportPreset", "TransportSettings"]


class TransportPreset(NamedTuple):
    """A published setting of [adrai2023]; latents are drawn, not the mode, and the two sets of images are disjoint.

    Attributes:
        patch: side of the patches.
        encoder: name of the autoencoder.
        images: in each of the two sets.
        side: of the images, in pixels.
        source: where it is written.
    """

    patch: int
    encoder: str
    images: int
    side: int
    source: str


TRANSPORT_PRESETS = {
    "paper": TransportPreset(3, "sd-vae-ft-mse", 10, 512, "[adrai2023], Section 5.3"),
    "code": TransportPreset(5, "sd-vae-ft-ema", 16, 512, "script of the authors' code"),
}
"""What the paper says and what its code does, which differ; the file of ft-EMA is read by its path."""


class TransportSettings(NamedTuple):
    """What decides a fit; by default what is used here where nothing is said.

    Attributes:
        encoder: name or file.
        patch: side of the patches.
        images: of each of the two sets, at most.
        encode: which latents: "mode" or "sample".
        paired: restored and natural images are the same ones, or two disjoint sets.
        noise: may the map add noise?
    """

    encoder: str = PIXELS
    patch: int = 3
    images: int = 16
    encode: str = "mode"
    paired: bool = True
    noise: bool = True

    @classmethod
    def of(cls, preset: str | None) -> "TransportSettings":
        """Those of a published setting, None for none.

        Raises:
            InputError: no such preset.
        """
        if preset is None:
            return cls()
        if preset not in TRANSPORT_PRESETS:
            raise InputError(f"preset: found {preset!r}, expected one of {', '.join(TRANSPORT_PRESETS)}")
        found = TRANSPORT_PRESETS[preset]
        return cls(found.encoder, found.patch, found.images, "sample", paired=False)
