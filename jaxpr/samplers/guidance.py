r"""Diversity guidance: predictions of a set move away from their nearest neighbours in it, equations (1) and (2).

x̂_i ← x̂_i + η (t / T) 1[‖x̂_i - x̂_NN‖ / S ≤ D] (x̂_i - x̂_NN) for all images of a set at once [cohen2024md]. In the
paper's convention, as documented here: neighbours and norms over the unknown entries of one image on [-1, 1] (all, but
for inpainting), S their number with channels, t that of the prediction, of T; the difference is added everywhere.
The programs of the authors differ from each other: `Rule` says how.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, InputError, check_positive, described, is_traced
from jaxpr.degradations import Inpainting

__all__ = [
    "Convention",
    "Guidance",
    "Rule",
    "check_convention",
    "unknown_entries",
    "paper_rule",
    "push_apart",
    "unknown_pixels",
]

Convention: TypeAlias = Literal["paper", "official"]
"""As the papers write it, or as the programs of their authors compute where those differ."""


@dataclass(frozen=True)
class Guidance:
    """How strongly the answers of a set are driven apart.

    Attributes:
        eta: η, the strength, non-negative; 0 is the plain sampler.
        distance: D, above which pairs are left alone: a norm on [-1, 1] over S; None for no limit, 0 is the plain
            sampler. In the official convention each sampler counts S in its own way.
        convention: "paper", or "official" for what the sampler's published program does.

    Raises:
        InputError: eta or distance is negative or no number, or convention is neither of the two.
    """

    eta: ArrayLike
    distance: ArrayLike | None = None
    convention: Convention = field(default="paper", kw_only=True)

    def __post_init__(self) -> None:
        check_positive("eta", self.eta, or_zero=True, scalar=True)
        if self.distance is not None:
            check_positive("distance", self.distance, or_zero=True, scalar=True)
        check_convention(self.convention)

    @property
    def is_plain(self) -> bool:
        """True if it is known to change nothing."""
        return any(v is not None and not is_traced(v) and bool(np.equal(v, 0)) for v in (self.eta, self.distance))


class Rule(NamedTuple):
    """What a sampler makes of a `Guidance`.

    Attributes:
        near: (H, W, 1), true where differences count when neighbours are sought; None for everywhere.
        norm: (H, W, 1), the same for the norm that is compared with D.
        size: S, by which that norm is divided.
        factors: (transitions,), what stands for t / T.
        free_first: whether the first transition has neighbours over everything and no limit, as RePaint's program.
    """

    near: Array | None
    norm: Array | None
    size: Array
    factors: np.ndarray
    free_first: bool = False


def check_convention(convention: Any) -> None:
    """Raise unless this is "paper" or "official"."""
    if convention not in ("paper", "official"):
        raise InputError(f"convention: found {described(convention)}, expected 'paper' or 'official'")


def unknown_pixels(operator: Any) -> Array | None:
    """(H, W, 1), true where an image is unknown; None where that is no question of pixels."""
    return ~jnp.asarray(operator.mask)[:, :, None] if isinstance(operator, Inpainting) else None


def paper_rule(operator: Any, shape: tuple[int, ...], factors: np.ndarray) -> Rule:
    """The documented convention, the same for all samplers."""
    unknown = unknown_pixels(operator)
    return Rule(unknown, unknown, unknown_entries(operator, shape), factors)


def unknown_entries(operator: Any, shape: tuple[int, ...]) -> Array:
    """S: unknown entries of one image of `shape`, channels included; at least one."""
    unknown = unknown_pixels(operator)
    if unknown is None:
        return jnp.float32(math.prod(shape))
    return jnp.maximum(jnp.sum(unknown, dtype=jnp.float32) * shape[2], 1)


def push_apart(guidance: Guidance, rule: Rule, x0: Array, factor: Array, first: Array) -> tuple[Array, Array]:
    """One application of equation (2) to sets of predictions.

    Args:
        guidance: strength and limit.
        rule: see there.
        x0: (samples, N, H, W, C), samples >= 2; images of different sets do not meet.
        factor: t / T now.
        first: whether this is the first transition.

    Returns:
        The moved predictions, and (samples, N) which of them moved. The gradient goes through the neighbours, too, but
        not through their choice.
    """
    samples, count = x0.shape[:2]
    still = jax.lax.stop_gradient(x0)
    free = first if rule.free_first else jnp.zeros((), bool)
    seen = still if rule.near is None else still * (rule.near | free).astype(x0.dtype)[None, None]
    nearest = _nearest(seen)
    gaps = x0 - jax.vmap(lambda of_one, i: of_one[i], in_axes=1, out_axes=1)(x0, nearest)
    counted = jax.lax.stop_gradient(gaps)
    if rule.norm is not None:
        counted = counted * rule.norm.astype(x0.dtype)[None, None]
    strength = jnp.asarray(guidance.eta, x0.dtype) * factor
    moved = jnp.full((samples, count), strength != 0)
    if guidance.distance is not None:
        sizes = jnp.sqrt(jnp.sum(counted**2, axis=(2, 3, 4))) / rule.size.astype(x0.dtype)
        moved &= (sizes <= jnp.asarray(guidance.distance, x0.dtype)) | free
    weights = jnp.where(moved, strength, 0)[:, :, None, None, None]
    return x0 + weights * gaps, moved


def _nearest(x0: Array) -> Array:
    """(samples, N): the number of the nearest other sample; row by row, so memory grows with the samples only."""
    samples = x0.shape[0]

    def row(i: Array) -> Array:
        squares = jnp.sum((x0 - x0[i][None]) ** 2, axis=(2, 3, 4))
        others = jnp.arange(samples)[:, None] != i
        return jnp.argmin(jnp.where(others, squares, jnp.inf), axis=0).astype(jnp.int32)

    return jax.lax.map(row, jnp.arange(samples))
