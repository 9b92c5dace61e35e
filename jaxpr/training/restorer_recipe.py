r"""Recipes of image restorers. Defaults are those of [ohayon2023], Appendix E.2.2 and E.2.3, where it gives them.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import optax

from jaxpr.core import Array, InputError, Key, check_count, check_positive
from jaxpr.degradations import Degradation, parse_degradation
from jaxpr.models.discriminators import UNetCriticConfig, VggCriticConfig
from jaxpr.models.resnet_critic import ResNetCriticConfig
from jaxpr.models.restorer_network import RestorerConfig, check_config
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.unet import UNetConfig
from jaxpr.training.pool import Symmetries
from jaxpr.training.recipes import Images, Optimizer, Recipe, check_choice
from jaxpr.training.runner import multi_step

__all__ = [
    "Adam",
    "AdversarialLoss",
    "CriticConfig",
    "Crops",
    "NetworkSettings",
    "RestorerLosses",
    "RestorerRecipe",
    "RobustnessLoss",
]

CriticConfig: TypeAlias = ResNetCriticConfig | VggCriticConfig | UNetCriticConfig
_NORMS, _DTYPES = Literal["l1", "l2"], Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Crops(Images):
    """Random crops of images, and how they are degraded."""

    size: int
    """Side of the crops of x in pixels."""

    degradation: str
    """As for `jaxpr evaluate`, with a linear operator and without JPEG; or blindface, whose JPEG is the surrogate."""

    symmetries: Symmetries = 1
    """Of the crops: 1 none, 2 reflections, 8 all of the square."""

    candidates: int = 1
    """Places that are drawn for each crop; the one whose intensities vary most is taken."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("size", self.size)
        check_choice("symmetries", self.symmetries, get_args(Symmetries))
        check_count("candidates", self.candidates)
        found = self.parsed()
        if found.surrogate is None and not (found.has_operator and found.traceable):
            raise InputError(
                f"degradation: found {self.degradation!r}, expected one with an operator, without JPEG, or blindface"
            )

    def parsed(self) -> Degradation:
        """The degradation."""
        return parse_degradation(self.degradation)

    def degrade(self) -> Callable[[Key, Array], Array]:
        """What a compiled step calls: the degradation, or its surrogate where it has one."""
        found = self.parsed()
        return found if found.surrogate is None else found.surrogate


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What a restorer is made of."""

    sizes: UNetConfig | RRDBNetConfig
    """Of the network."""

    stochastic: bool = False
    """Whether noise is drawn; zero otherwise. Only a U-Net takes noise."""

    consistent: bool = True
    """Whether outputs are projected onto {x : A x = y}; only without noise in the degradation."""

    dtype: _DTYPES = "float32"
    """Of activations, the critic's too; parameters, losses and optimisers stay float32."""

    remat: bool = False
    """Recompute activations of blocks in gradients, to save memory."""

    def __post_init__(self) -> None:
        if not isinstance(self.sizes, UNetConfig | RRDBNetConfig):
            raise InputError(f"sizes: found {self.sizes!r}, expected a UNetConfig or an RRDBNetConfig")
        check_choice("dtype", self.dtype, get_args(_DTYPES))

    @property
    def channels(self) -> int:
        """Of the images."""
        return self.sizes.channels if isinstance(self.sizes, UNetConfig) else self.sizes.num_out_ch


@dataclass(frozen=True, kw_only=True)
class AdversarialLoss:
    """The verdict of a critic that is trained along."""

    weight: float
    """In the restorer's sum."""

    critic: CriticConfig
    """Sizes of the critic."""

    conditional: bool = False
    """Whether the critic sees A†y beside x, in further channels."""

    penalty: float = 1.0
    """γ of R₁; it enters by half."""

    def __post_init__(self) -> None:
        check_positive("weight", self.weight, scalar=True)
        check_positive("penalty", self.penalty, or_zero=True, scalar=True)
        if not isinstance(self.critic, CriticConfig):
            raise InputError(f"critic: found {self.critic!r}, expected the sizes of one")


@dataclass(frozen=True, kw_only=True)
class RobustnessLoss:
    """The shift of restorations under attack: eq. (7) of [ohayon2023]."""

    weight: float
    """λ_R of eq. (8)."""

    psnr: float = 32.9
    """Bound on the PSNR of attacked measurements in dB; 32.9 for inpainting, 34 for super-resolution in the paper."""

    steps: int = 5
    """Steps of Adam in the inner maximisation."""

    rate: float = 1.0
    """Its learning rate."""

    draws: int = 10
    """Seeds per attacked measurement; a deterministic restorer takes one."""

    every: int = 3
    """The loss takes part once in so many steps."""

    examples: int | None = None
    """So many measurements of a batch are attacked; None, as in the paper, for all."""

    def __post_init__(self) -> None:
        for name in ("weight", "psnr", "rate"):
            check_positive(name, getattr(self, name), scalar=True)
        for name in ("steps", "draws", "every"):
            check_count(name, getattr(self, name))
        if self.examples is not None:
            check_count("examples", self.examples)


@dataclass(frozen=True, kw_only=True)
class RestorerLosses:
    """What a restorer minimises, one of them at least; a weight of zero, or None, leaves a loss out."""

    pixel: float = 0.0
    """Weight of the pixel loss."""

    pixel_norm: _NORMS = "l1"
    """The pixel loss: mean absolute or mean squared error."""

    perceptual: float = 0.0
    """Weight of LPIPS (AlexNet)."""

    adversarial: AdversarialLoss | None = None
    """A critic's verdict."""

    robustness: RobustnessLoss | None = None
    """Beside others."""

    def __post_init__(self) -> None:
        check_positive("pixel", self.pixel, or_zero=True, scalar=True)
        check_choice("pixel_norm", self.pixel_norm, get_args(_NORMS))
        check_positive("perceptual", self.perceptual, or_zero=True, scalar=True)
        if not (self.pixel or self.perceptual or self.adversarial):
            raise InputError("pixel, perceptual, adversarial: found none, expected a weight above zero of at least one")


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Adam for a network, and for its critic, with rates that fall at milestones; 1.2 million steps in the paper."""

    rate: float = 1e-4
    """Learning rate of the network."""

    critic_rate: float = 1e-4
    """Of the critic."""

    betas: tuple[float, float] = (0.5, 0.99)
    """Of both."""

    milestones: tuple[float, ...] = (1 / 3, 5 / 12, 1 / 2, 7 / 12, 5 / 8)
    """Shares of the steps after which both rates are multiplied by `factor`."""

    factor: float = 0.6
    """See `milestones`."""

    average: float = 0.999
    """Decay of the moving average of weights, which is what is kept; 0 for the last weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("critic_rate", self.critic_rate, scalar=True)
        check_positive("factor", self.factor, scalar=True)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"betas: found {self.betas}, expected two numbers in [0, 1)")
        if not all(0 <= share <= 1 for share in self.milestones):
            raise InputError(f"milestones: found {self.milestones}, expected shares in [0, 1]")

    def rules(self) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
        """Of optax: the network's and its critic's."""
        milestones = [round(share * self.steps) for share in self.milestones]
        b1, b2 = self.betas
        first, second = (
            optax.adam(multi_step(rate, factor=self.factor, at=milestones), b1=b1, b2=b2)
            for rate in (self.rate, self.critic_rate)
        )
        return first, second


@dataclass(frozen=True, kw_only=True)
class RestorerRecipe(Recipe):
    """How one restorer is trained."""

    data: Crops
    """Images, and how they are degraded."""

    network: NetworkSettings
    """What is trained."""

    losses: RestorerLosses
    """What it minimises."""

    optimizer: Adam
    """How."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network.consistent and self.data.parsed().noise_std:
            raise InputError(
                f"consistent: found {self.data.degradation!r}, whose noise should not stay in the restoration"
            )
        check_config(self.restorer_config())
        self._check_operator()
        adversarial = self.losses.adversarial
        if adversarial is None:
            return
        wanted = self.network.channels * (2 if adversarial.conditional else 1)
        if adversarial.critic.channels != wanted:
            raise InputError(f"critic: found {adversarial.critic.channels} channels, expected {wanted}")
        size = getattr(adversarial.critic, "size", self.data.size)  # a critic of pixels takes any
        if size != self.data.size:
            raise InputError(f"critic: found size {size}, expected {self.data.size}, that of the crops")

    def restorer_config(self) -> RestorerConfig:
        """What is trained, as files of weights say it."""
        network, data = self.network, self.data
        factor = data.parsed().factor
        return RestorerConfig(network.sizes, data.degradation, factor, network.consistent, network.stochastic)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of x."""
        return self.data.size, self.data.size, self.network.channels

    def measurement_shape(self) -> tuple[int, ...]:
        """Likewise of y."""
        found = self.data.parsed()
        return found.operator(self.shape).output_shape if found.has_operator else self.shape

    def back_projection(self) -> Callable[[Array], Array]:
        """A†; y itself, which has the shape of x, where there is no A."""
        found = self.data.parsed()
        return found.operator(self.shape).pinv if found.has_operator else lambda y: y

    def _check_operator(self) -> None:
        """Raise unless A is defined for the crops, or there is none and nothing that needs it."""
        found = f"found {self.data.degradation!r}, which has no linear operator, expected"
        if self.data.parsed().has_operator:
            self.measurement_shape()
        elif self.network.consistent:
            raise InputError(f"consistent: {found} False")
        elif isinstance(self.network.sizes, UNetConfig):
            raise InputError(f"sizes: {found} an RRDBNet, whose input is y")
