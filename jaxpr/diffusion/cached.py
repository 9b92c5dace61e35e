"""Denoisers that ask the deep part of their network at every k-th step only, and keep its features in between.

Paper: Ma, Fang, Wang, "DeepCache: Accelerating Diffusion Models for Free", CVPR 2024.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxpr.core import Array, check_count
from jaxpr.diffusion.denoiser import Denoiser, Network, Prediction

__all__ = ["CachedDenoiser", "cached_denoiser"]


@dataclass(frozen=True, eq=False)
class CachedDenoiser:
    """A `Denoiser` in two parts; called as one, it computes both.

    Attributes:
        whole: maps (x_t, t) to the prediction and the deep part's features, a pytree.
        shallow: maps (x_t, t, features) to the prediction with features of an earlier step.
        every: of so many calls along a trajectory the first computes the whole.
    """

    whole: Callable[[Array, Array], tuple[Prediction, Any]]
    shallow: Callable[[Array, Array, Any], Prediction]
    every: int

    def __call__(self, x: Array, t: Array) -> Prediction:
        """Compute both parts."""
        return self.whole(x, t)[0]


def cached_denoiser(
    whole: Callable[[Array, Array], tuple[Array, Any]],
    shallow: Callable[[Array, Array, Any], Array],
    *,
    adapter: Callable[[Network], Denoiser],
    every: int,
) -> CachedDenoiser:
    """A denoiser from a network in two parts, such as those of `models.adm_unet.split_adm_unet`.

    DDRM, DDNM and RePaint reuse the features; answers then differ a little from those of the whole network. Features
    change slowly from step to step, so the more steps a trajectory has, the smaller the difference.

    Args:
        whole: maps (x_t, t) to what the network predicts, and features.
        shallow: maps (x_t, t, features) to what it predicts.
        adapter: makes a denoiser of a network: `from_eps`, `from_v` or `from_x0` with its options bound.
        every: how often the whole network is asked: at every call (1), every second one, ... Static.

    Raises:
        InputError: `every` is no positive integer; otherwise as the adapter.
    """
    check_count("every", every)

    def predict_whole(x: Array, t: Array) -> tuple[Prediction, Any]:
        kept = []

        def model(x: Array, t: Array) -> Array:
            found, features = whole(x, t)
            kept.append(features)
            return found

        return adapter(model)(x, t), kept[0]

    def predict_shallow(x: Array, t: Array, features: Any) -> Prediction:
        return adapter(lambda x, t: shallow(x, t, features))(x, t)

    return CachedDenoiser(predict_whole, predict_shallow, every)
