"""What is measured and how: the settings that decide the numbers of an evaluation."""

from typing import NamedTuple

from jaxpr._core import InputError, check_count, check_positive
from jaxpr.models.features import FEATURES

__all__ = ["SCALES", "Protocol"]


class Protocol(NamedTuple):
    """The settings that decide the numbers. Batch size and device are not among them: they change nothing.

    Attributes:
        crop: side of the square crops, in pixels of x, that photographs are cut into; each crop is one example. None
            evaluates whole images (cut at the lower right to a multiple of the scale factor).
        patch_size: side, in pixels of y, of the patches whose features enter the Fréchet distances; the patches of x
            are larger by the scale factor. [ohayon2024] uses 32.
        patch_stride: step between patches, in pixels of y. [ohayon2024] uses 16.
        alpha: radius of the attack in intensity units. [ohayon2024] Section 4.2 uses 1/255.
        attack_steps: steps of I-FGSM; Choi et al. 2019 use 50.
        features: extractor of the Fréchet distances: "alexnet", "vgg16" or "pixels".
        lpips_network: "alexnet" or "vgg16".
        measurement_bits: y is clipped to [0, 1] and rounded to this many bits, as an image file would hold it; None
            leaves it as the degradation made it, and the attack then has no range to stay in.
        limit: evaluate only this many examples, spread evenly over the data; None for all.
    """

    crop: int | None = 192
    patch_size: int = 16
    patch_stride: int = 8
    alpha: float = 1 / 255
    attack_steps: int = 10
    features: str = "alexnet"
    lpips_network: str = "alexnet"
    measurement_bits: int | None = 8
    limit: int | None = None

    def check(self) -> None:
        """Raise InputError unless every field is valid."""
        for name in ("patch_size", "patch_stride", "attack_steps"):
            check_count(name, getattr(self, name))
        for name in ("crop", "measurement_bits", "limit"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        check_positive("alpha", self.alpha)
        if self.features not in FEATURES:
            raise InputError(f"features: found {self.features!r}, expected one of {', '.join(FEATURES)}")
        if self.lpips_network not in ("alexnet", "vgg16"):
            raise InputError(f"lpips_network: found {self.lpips_network!r}, expected alexnet or vgg16")


SCALES = {
    "smoke": Protocol(crop=96, attack_steps=2, limit=4),
    "small": Protocol(),
    "paper": Protocol(crop=None, patch_size=32, patch_stride=16, attack_steps=100),
}
"""Protocols by scale: smoke runs in seconds, small in minutes on two CPU cores with the packaged photographs, paper has
the patches and the attack strength of [ohayon2024], Section 4.2 (which does not state its number of steps)."""
