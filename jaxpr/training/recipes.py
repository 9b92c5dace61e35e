r"""Recipes: what is trained, on what and how, as plain values that are stored beside the weights.

Defaults are those of [ohayon2023], Appendix E.2.2 and E.2.3, where it gives them.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import jax.numpy as jnp
import optax

from jaxpr.core import InputError, check_count, check_positive
from jaxpr.degradations import Degradation, parse_degradation
from jaxpr.models.discriminators import UNetCriticConfig, VggCriticConfig, unet_critic, vgg_critic
from jaxpr.models.functional import Model
from jaxpr.models.layers import Compute
from jaxpr.models.resnet_critic import ResNetCriticConfig, resnet_critic
from jaxpr.models.restorer_network import RestorerConfig, restorer_network
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.unet import UNetConfig
from jaxpr.training.gan import Attack
from jaxpr.training.images import Procedure
from jaxpr.training.losses import (
    Adversary,
    Fidelity,
    Robustness,
    absolute_error,
    perceptual_error,
    squared_error,
)
from jaxpr.training.pool import Symmetries
from jaxpr.training.runner import multi_step
from jaxpr.weights import perceptual_network

__all__ = ["CriticConfig", "Recipe", "build_procedure", "check_recipe_name", "measurement_shape", "recipe_record"]

_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,99}")

CriticConfig: TypeAlias = ResNetCriticConfig | VggCriticConfig | UNetCriticConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one restorer is trained. Weights of zero leave their loss out."""

    name: str
    """Of the restorer, unique in its config; its folder has this name."""

    data: str
    """Training images: photos or digits (packaged), a folder, or tfds:NAME:SPLIT[:IMAGE_KEY]."""

    size: int
    """Side of the crops of x in pixels."""

    degradation: str
    """As for `jaxpr evaluate`, with a linear operator and without JPEG."""

    network: UNetConfig | RRDBNetConfig
    """The restorer's sizes."""

    steps: int
    """Updates of each network; 1.2 million in the paper."""

    batch: int
    """Crops per step."""

    stochastic: bool = False
    """Whether noise is drawn; zero otherwise. Only a U-Net takes noise."""

    consistent: bool = True
    """Whether outputs are projected onto {x : A x = y}; only without noise in the degradation."""

    symmetries: Symmetries = 1
    """Of the crops: 1 none, 2 reflections, 8 all of the square."""

    candidates: int = 1
    """Places that are drawn for each crop; the one whose intensities vary most is taken."""

    pixel: float = 0.0
    """Weight of the pixel loss."""

    pixel_norm: Literal["l1", "l2"] = "l1"
    """The pixel loss: mean absolute or mean squared error."""

    perceptual: float = 0.0
    """Weight of LPIPS (AlexNet)."""

    adversarial: float = 0.0
    """Weight of the critic's verdict."""

    critic: CriticConfig | None = None
    """Sizes of the critic."""

    conditional: bool = False
    """Whether the critic sees A†y beside x, in further channels."""

    penalty: float = 1.0
    """γ of R₁; it enters by half."""

    robustness: float = 0.0
    """λ_R of eq. (8)."""

    attack_psnr: float = 32.9
    """Bound on the PSNR of attacked measurements in dB; 32.9 for inpainting, 34 for super-resolution in the paper."""

    attack_steps: int = 5
    """Steps of Adam in the inner maximisation."""

    attack_rate: float = 1.0
    """Its learning rate."""

    robustness_draws: int = 10
    """Seeds per attacked measurement; a deterministic restorer takes one."""

    robustness_every: int = 3
    """The robustness loss takes part once in so many steps."""

    robustness_examples: int | None = None
    """So many measurements of a batch are attacked; None, as in the paper, for all."""

    rate: float = 1e-4
    """Learning rate of the restorer's Adam."""

    critic_rate: float = 1e-4
    """Of the critic's."""

    betas: tuple[float, float] = (0.5, 0.99)
    """Of both."""

    milestones: tuple[float, ...] = (1 / 3, 5 / 12, 1 / 2, 7 / 12, 5 / 8)
    """Shares of the steps after which both rates are multiplied by `rate_factor`."""

    rate_factor: float = 0.6
    """See `milestones`."""

    average: float = 0.999
    """Decay of the moving average of weights, which is what is kept; 0 for the last weights."""

    begin_with: str | None = None
    """Name of another recipe of the same config, whose weights are the first ones; None for new ones."""

    seed: int = 0
    """Decides everything that is drawn."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of activations; parameters, losses and optimisers stay float32."""

    remat: bool = False
    """Recompute activations of blocks in gradients, to save memory."""

    def restorer_config(self) -> RestorerConfig:
        """What is trained."""
        factor = self.parsed().factor
        return RestorerConfig(self.network, self.degradation, factor, self.consistent, self.stochastic)

    def parsed(self) -> Degradation:
        """The degradation.

        Raises:
            InputError: it cannot be trained through, or is noisy and should be consistent.
        """
        found = parse_degradation(self.degradation)
        if not (found.has_operator and found.traceable):
            raise InputError(f"degradation: found {self.degradation!r}, expected one with an operator, without JPEG")
        if self.consistent and found.noise_std:
            raise InputError(f"consistent: found {self.degradation!r}, whose noise should not stay in the restoration")
        return found


def recipe_record(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON-able values; networks name their kind."""
    record = asdict(recipe)
    for name in ("network", "critic"):
        value = getattr(recipe, name)
        if value is not None:
            record[name] = {"kind": type(value).__name__, **value._asdict()}
    return record


def measurement_shape(recipe: Recipe) -> tuple[int, int, int]:
    """(h, w, c) of one measurement y of a training crop."""
    shape = recipe.parsed().operator((recipe.size, recipe.size, _channels(recipe))).output_shape
    return tuple(shape)


def check_recipe_name(name: str) -> None:
    """Raise unless a name makes one folder, inside that of the runs, on every system.

    Raises:
        InputError: it is no text, or holds more than letters, digits, dots, +, - and _, or begins with a dot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"name: found {name!r}, expected letters, digits, '.', '+', '-' and '_', no dot first")


def build_procedure(recipe: Recipe, *, attack: Attack | None) -> Procedure:
    """The procedure that a recipe describes.

    Args:
        recipe: what to train, and how.
        attack: inner maximisation of the robustness loss with its radius bound, such as `attacks.l2_adam`; needed where
            the recipe has that loss.

    Raises:
        InputError: a value is out of its range, or values do not fit each other.
    """
    _check(recipe)
    degradation = recipe.parsed()
    dtype: Any = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}[recipe.dtype]
    compute = Compute(dtype=dtype, remat=recipe.remat)
    made = restorer_network(recipe.restorer_config(), operators=degradation.operator, compute=compute)
    pixel = {"l1": absolute_error, "l2": squared_error}[recipe.pixel_norm]
    fidelities = [Fidelity("pixel", recipe.pixel, pixel)] if recipe.pixel else []
    if recipe.perceptual:
        lpips = perceptual_error(perceptual_network("alexnet"))
        fidelities.append(Fidelity("perceptual", recipe.perceptual, lpips))
    adversary = robustness = None
    if recipe.adversarial:
        operator = degradation.operator((recipe.size, recipe.size, _channels(recipe)))
        condition = operator.pinv if recipe.conditional else None
        adversary = Adversary(_critic(recipe, compute), recipe.adversarial, recipe.penalty, condition)
    if recipe.robustness:
        if attack is None:
            raise InputError("attack: found None, expected one for the robustness loss")
        robustness = Robustness(
            recipe.robustness,
            attack,
            draws=recipe.robustness_draws if recipe.stochastic else 1,
            every=recipe.robustness_every,
            examples=recipe.robustness_examples,
        )
    milestones = [round(share * recipe.steps) for share in recipe.milestones]
    first, second = (
        optax.adam(multi_step(rate, factor=recipe.rate_factor, at=milestones), b1=recipe.betas[0], b2=recipe.betas[1])
        for rate in (recipe.rate, recipe.critic_rate)
    )
    return Procedure(made, degradation, tuple(fidelities), adversary, robustness, (first, second), decay=recipe.average)


def _critic(recipe: Recipe, compute: Compute) -> Model:
    config = recipe.critic
    if config is None:
        raise InputError("critic: found None, expected its sizes for the adversarial loss")
    wanted = _channels(recipe) * (2 if recipe.conditional else 1)
    if config.channels != wanted:
        raise InputError(f"critic: found {config.channels} channels, expected {wanted}")
    if isinstance(config, UNetCriticConfig):
        return unet_critic(config, compute=compute)
    if config.size != recipe.size:
        raise InputError(f"critic: found size {config.size}, expected {recipe.size}, that of the crops")
    return (
        vgg_critic(config, compute=compute)
        if isinstance(config, VggCriticConfig)
        else resnet_critic(config, compute=compute)
    )


def _channels(recipe: Recipe) -> int:
    network = recipe.network
    return network.channels if isinstance(network, UNetConfig) else network.num_out_ch


def _check(recipe: Recipe) -> None:
    """Raise unless counts are counts, weights are weights, and there is something to minimise."""
    for name in ("size", "batch", "candidates", "steps", "attack_steps", "robustness_draws", "robustness_every"):
        check_count(name, getattr(recipe, name))
    for name in ("pixel", "perceptual", "adversarial", "penalty", "robustness"):
        check_positive(name, getattr(recipe, name), or_zero=True)
    for name in ("attack_psnr", "attack_rate", "rate", "critic_rate", "rate_factor"):
        check_positive(name, getattr(recipe, name))
    choices: dict[str, tuple[object, ...]] = {
        "pixel_norm": get_args(Recipe.__annotations__["pixel_norm"]),
        "symmetries": get_args(Symmetries),
        "dtype": get_args(Recipe.__annotations__["dtype"]),
    }
    for name, allowed in choices.items():
        if getattr(recipe, name) not in allowed:
            raise InputError(f"{name}: found {getattr(recipe, name)!r}, expected one of {', '.join(map(str, allowed))}")
    if not 0 <= recipe.average < 1:
        raise InputError(f"average: found {recipe.average}, expected a number in [0, 1)")
    if not (recipe.pixel or recipe.perceptual or recipe.adversarial):
        raise InputError("pixel, perceptual, adversarial: found no weight above zero, expected at least one")
    if recipe.robustness_examples is not None:
        check_count("robustness_examples", recipe.robustness_examples)
