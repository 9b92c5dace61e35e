"""What is measured and how: the settings that decide the numbers of an evaluation."""

from typing import Any, NamedTuple

import numpy as np

from jaxpr.core import InputError, check_count, check_positive
from jaxpr.weights.features import check_feature_name

__all__ = ["SCALES", "Protocol"]

_LEVELS = (1, 2, 4, 8, 16, 32)


class Protocol(NamedTuple):
    """The settings that decide the numbers. Batch size and devices are not among them: they change nothing.

    Attributes:
        crop: side of the square crops, in pixels of x, that photographs are cut into; each crop is one example. None
            evaluates whole images (cut at the lower right to a multiple of the scale factor).
        border: pixels cut off on every side before RMSE, PSNR and SSIM; papers on super-resolution often use the scale
            factor.
        channel: "rgb", or "y" for RMSE, PSNR and SSIM on luma as MATLAB's `rgb2ycbcr` defines it.
        patch_size: side, in pixels of y, of the patches whose features enter the set measures; the patches of x are
            larger by the scale factor. [ohayon2024] uses 32.
        patch_stride: step between patches, in pixels of y. [ohayon2024] uses 16.
        features: extractor of the set measures: "alexnet", "vgg16", "pixels" or "inception:PATH".
        neighbours: k of precision, recall, density and coverage. [ohayon2024] and [ohayon2023] use 3.
        set_patches: kernel and neighbour measures, whose cost grows with the square of the number of patches, use a
            random choice of so many at most; None for all. Fréchet distances always use all.
        lpips_network: "alexnet" or "vgg16".
        attack: "ifgsm", the ∞-norm attack of [ohayon2024], or "l2_adam", the Euclidean one of [ohayon2023].
        alpha: radius of I-FGSM in intensity units. [ohayon2024] Section 4.2 uses 1/255.
        attack_steps: steps of the attack; Choi et al. 2019 use 50 for I-FGSM, [ohayon2023] uses 5 for l2_adam.
        epsilon: radius of l2_adam, a Euclidean norm over all entries of y; [ohayon2023] uses 2.5 on 64×64 inpainting.
        learning_rate: of l2_adam; [ohayon2023] uses 1.
        sweep: radii of I-FGSM, in intensity units, for the curve of adversarial output against input PSNR; () for none.
        lipschitz_iterations: of the power iteration for the Jacobian's spectral norm; 0 for none.
        explore_samples: outputs of the posterior exploration ([ohayon2024], Algorithm 1); 0 for none.
        explore_alpha: its radius; the paper uses 8/255.
        explore_steps: its steps per output; the paper uses 150.
        probes: the sweep, the spectral norm and the exploration run on so many examples, spread evenly; None for all.
        samples: draws per measurement from a stochastic restorer for its diversity; [ohayon2023] uses 32.
        attack_draws: random seeds over which the attack on a stochastic restorer averages; [ohayon2023] uses 10.
        uncertainty_block: side, in pixels of x, of the luma blocks behind the uncertainty-perception plane (raised to
            the scale factor where that is larger); 0 for none.
        measurement_bits: y is clipped to [0, 1] and rounded to this many bits, as an image file would hold it; None
            leaves it as the degradation made it, and the attack then has no range to stay in.
        limit: evaluate only this many examples, spread evenly over the data; None for all.
    """

    crop: int | None = 192
    border: int = 0
    channel: str = "rgb"
    patch_size: int = 16
    patch_stride: int = 8
    features: str = "alexnet"
    neighbours: int = 3
    set_patches: int | None = 10_000
    lpips_network: str = "alexnet"
    attack: str = "ifgsm"
    alpha: float = 1 / 255
    attack_steps: int = 10
    epsilon: float = 2.5
    learning_rate: float = 1.0
    sweep: tuple[float, ...] = tuple(level / 255 for level in _LEVELS)
    lipschitz_iterations: int = 10
    explore_samples: int = 0
    explore_alpha: float = 8 / 255
    explore_steps: int = 150
    probes: int | None = 2
    samples: int = 8
    attack_draws: int = 10
    uncertainty_block: int = 4
    measurement_bits: int | None = 8
    limit: int | None = None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The valid range of measurements, or None."""
        return None if self.measurement_bits is None else (0.0, 1.0)

    @property
    def features_name(self) -> str:
        """The extractor's name, without the path of its file, as it ends the names of metrics."""
        return self.features.partition(":")[0]

    @property
    def probing(self) -> bool:
        """True if any measure runs on the probes only."""
        return bool(self.sweep or self.lipschitz_iterations or self.explore_samples)

    def check(self) -> None:
        """Raise InputError unless every field is valid."""
        for name in ("patch_size", "patch_stride", "attack_steps", "neighbours", "explore_steps", "attack_draws"):
            check_count(name, getattr(self, name))
        for name in ("border", "lipschitz_iterations", "uncertainty_block"):
            check_count(name, getattr(self, name), at_least=0)
        check_count("samples", self.samples, at_least=2)
        if self.explore_samples:
            check_count("explore_samples", self.explore_samples, at_least=2)
        for name in ("crop", "measurement_bits", "limit", "set_patches", "probes"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        for name in ("alpha", "epsilon", "learning_rate", "explore_alpha"):
            check_positive(name, getattr(self, name))
        if not isinstance(self.sweep, tuple):
            raise InputError(f"sweep: found {self.sweep!r}, expected a tuple of radii")
        check_positive("sweep", np.asarray(self.sweep, float))
        check_feature_name(self.features)
        choices: dict[str, tuple[str, ...]] = {
            "lpips_network": ("alexnet", "vgg16"),
            "channel": ("rgb", "y"),
            "attack": ("ifgsm", "l2_adam"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name}: found {getattr(self, name)!r}, expected one of {', '.join(allowed)}")

    def attack_record(self) -> dict[str, Any]:
        """The settings of the attack that are in use."""
        if self.attack == "ifgsm":
            return {"attack": "I-FGSM on the output shift", "alpha": self.alpha, "attack_steps": self.attack_steps}
        return {
            "attack": "l2 Adam on the output shift",
            "epsilon": self.epsilon,
            "attack_steps": self.attack_steps,
            "learning_rate": self.learning_rate,
        }


SCALES = {
    "smoke": Protocol(crop=96, attack_steps=2, limit=4, probes=1, lipschitz_iterations=3),
    "small": Protocol(),
    "paper": Protocol(crop=None, patch_size=32, patch_stride=16, attack_steps=100, samples=32, lipschitz_iterations=30),
}
"""Protocols by scale: smoke runs in seconds, small in minutes on two CPU cores with the packaged photographs, paper has
the patches and the attack strength of [ohayon2024], Section 4.2 (which does not state its number of steps)."""
