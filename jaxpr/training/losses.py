r"""Losses of image restorers, to be composed: fidelity to the truth, an adversary, robustness.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import Array, PerceptualNetwork
from jaxpr.metrics import lpips
from jaxpr.models.functional import Model
from jaxpr.training.gan import Attack, Params, critic_loss, r1_penalty

__all__ = [
    "Adversary",
    "Fidelity",
    "Robustness",
    "absolute_error",
    "critic_objective",
    "perceptual_error",
    "squared_error",
]


class Fidelity(NamedTuple):
    """A loss that compares restorations with the truth.

    Attributes:
        name: in the log.
        weight: in the sum.
        loss: maps (x̂, x), both (N, H, W, C), to a scalar.
    """

    name: str
    weight: float
    loss: Callable[[Array, Array], Array]


class Adversary(NamedTuple):
    r"""A critic that restorers learn to deceive: non-saturating loss, R₁.

    Attributes:
        critic: maps (parameters, images) to logits with a leading axis N; it sees intensities in [-1, 1].
        weight: of the restorer's loss $-\log \sigma(D(\hat x))$.
        penalty: γ of R₁, which enters by half; 1 in [ohayon2023], E.2.2.
        condition: maps y to images of x's size whose channels are appended to x and x̂ alike, for a critic of the joint
            distribution; None for one that sees no y.
    """

    critic: Model
    weight: float
    penalty: float = 1.0
    condition: Callable[[Array], Array] | None = None

    def logits(self, params: Params, x: Array, y: Array) -> Array:
        """Of images x given y."""
        seen = x if self.condition is None else jnp.concatenate([x, self.condition(y)], axis=-1)
        return self.critic.apply(params, 2 * seen - 1)


class Robustness(NamedTuple):
    """The loss of eq. (7) of [ohayon2023].

    Attributes:
        weight: λ_R of eq. (8); 500 for CelebA inpainting.
        attack: see `Attack`; five steps of Adam with rate 1 there.
        draws: seeds per measurement; 10 for stochastic restorers there, 1 for deterministic ones.
        every: it takes part once in so many steps; 3 there.
        examples: of the batch, so many of which are attacked; None, as there, for all.
    """

    weight: float
    attack: Attack
    draws: int
    every: int = 3
    examples: int | None = None


def absolute_error(restored: Array, truth: Array) -> Array:
    """Mean of |x̂ - x| over all entries."""
    return jnp.mean(jnp.abs(restored - truth))


def squared_error(restored: Array, truth: Array) -> Array:
    """Mean of (x̂ - x)² over all entries."""
    return jnp.mean(jnp.square(restored - truth))


def perceptual_error(network: PerceptualNetwork) -> Callable[[Array, Array], Array]:
    """The mean LPIPS of a batch, as a loss of (x̂, x)."""
    return lambda restored, truth: jnp.mean(lpips(restored, truth, network=network))


def critic_objective(params: Params, adversary: Adversary, real: Array, fake: Array, y: Array) -> Array:
    r"""The critic's loss: `critic_loss` plus γ/2 of R₁ with respect to x; a critic of pixels is penalised by its mean.

    Args:
        params: of the critic.
        adversary: whose critic.
        real: x, (N, H, W, C).
        fake: x̂; no gradient passes into it.
        y: measurements.
    """

    def mean_logit(x: Array) -> Array:
        logits = adversary.logits(params, x, y)
        return jnp.mean(logits.reshape(len(x), -1), axis=1)

    loss = critic_loss(adversary.logits(params, real, y), adversary.logits(params, jax.lax.stop_gradient(fake), y))
    if not adversary.penalty:
        return loss
    return loss + adversary.penalty / 2 * r1_penalty(mean_logit, real)
