"""What sets of answers are measured by: diversity, likeness to real images, consistency with y."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, PerceptualNetwork
from jaxpr.degradations import Inpainting
from jaxpr.reproduce.sampled_sets import ImagePrior, SetTask
from jaxpr.weights import digit_classifier, feature_extractor, perceptual_network

__all__ = ["SetMeasures", "perceptual_embedding", "set_measures"]

_REAL = 512  # photographs' crops that answers are compared with


class SetMeasures(NamedTuple):
    """Measures of images of one kind; sets are (samples, N, H, W, C) in units of [0, 1].

    Attributes:
        diversity_name: in words.
        unlikeness_name: in words.
        diversity: sets -> (N,), larger is more diverse.
        unlikeness: sets -> (N,), mean over the set; smaller is better.
        features: images (N, H, W, C) -> (N, d), what representatives are chosen by.
    """

    diversity_name: str
    unlikeness_name: str
    diversity: Callable[[np.ndarray], np.ndarray]
    unlikeness: Callable[[np.ndarray], np.ndarray]
    features: Callable[[np.ndarray], np.ndarray]

    def consistency(self, task: SetTask, sets: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """LR-PSNR against y, of A x̂, and of its pseudo-inverse in [0, 1] as [cohen2024md]'s program; (N,) dB.

        The mean square is over the set. What an inpainting mask hides counts in neither.
        """
        again = np.asarray(task.operator(jnp.asarray(sets.reshape(-1, *sets.shape[2:]))))
        whole = np.stack([y] * len(sets)).reshape(again.shape)
        pairs = [(again, whole)]
        pairs.append(tuple(np.clip(np.asarray(task.operator.pinv(jnp.asarray(a))), 0, 1) for a in (again, whole)))
        found = []
        for one, other in pairs:
            squares = np.square(one.astype(np.float64) - other).reshape(len(sets), len(y), -1).mean(axis=(0, 2))
            if isinstance(task.operator, Inpainting):
                squares = squares / np.mean(np.asarray(task.operator.mask))
            found.append(-10 * np.log10(np.maximum(squares, 1e-14)))
        return found[0], found[1]


def set_measures(prior: ImagePrior) -> SetMeasures:
    """For digits of 8×8 by a classifier's logits, for others by LPIPS (VGG-16) and AlexNet's features.

    Digits: mean distance of logits of all pairs; how far the largest probability is from one. Others: mean LPIPS of all
    pairs; distance of features to the nearest real image.
    """
    if prior.x.shape[1:] == (8, 8, 1):
        return _digit_measures()
    extractor = feature_extractor("alexnet")
    embed = jax.jit(functools.partial(perceptual_embedding, network=perceptual_network("vgg16")))

    def diversity(sets: np.ndarray) -> np.ndarray:
        found = np.stack([np.asarray(embed(jnp.asarray(each))) for each in sets])
        first, second = np.triu_indices(len(sets), k=1)
        pairs = zip(first, second, strict=True)
        return np.mean([np.sum((found[i] - found[j]) ** 2, axis=1) for i, j in pairs], axis=0)

    apply = jax.jit(extractor.apply)
    real = np.asarray(apply(jnp.asarray(prior.known[:_REAL])))

    def unlikeness(sets: np.ndarray) -> np.ndarray:
        found = np.asarray(apply(jnp.asarray(sets.reshape(-1, *sets.shape[2:]))))
        squares = (found**2).sum(axis=1)[:, None] + (real**2).sum(axis=1)[None] - 2 * found @ real.T
        return np.sqrt(np.maximum(squares.min(axis=1), 0)).reshape(len(sets), -1).mean(axis=0)

    return SetMeasures(
        "LPIPS (VGG)",
        "to the nearest real image, AlexNet's features",
        diversity,
        unlikeness,
        lambda x: np.asarray(apply(jnp.asarray(x))),
    )


def perceptual_embedding(x: Array, *, network: PerceptualNetwork) -> Array:
    """Vectors (N, d) of images (N, H, W, 1 or 3) whose squared distances are LPIPS; each image is seen once."""
    colour = jnp.broadcast_to(jnp.clip(x, 0, 1), (*x.shape[:-1], 3))
    parts = []
    for found, weights in zip(network.taps(colour), network.weights, strict=True):
        unit = found / (jnp.sqrt(jnp.sum(found**2, axis=-1, keepdims=True)) + 1e-10)
        share = jnp.sqrt(weights / (found.shape[1] * found.shape[2]))
        parts.append((unit * share[None, None, None]).reshape(len(x), -1))
    return jnp.concatenate(parts, axis=1)


def _digit_measures() -> SetMeasures:
    attacker, judge = (jax.jit(digit_classifier(name)) for name in ("attacker", "judge"))

    def logits(x: np.ndarray) -> np.ndarray:
        return np.asarray(attacker(jnp.asarray(x)))

    def diversity(sets: np.ndarray) -> np.ndarray:
        found = logits(sets.reshape(-1, *sets.shape[2:])).reshape(len(sets), sets.shape[1], -1)
        first, second = np.triu_indices(len(sets), k=1)
        return np.linalg.norm(found[first] - found[second], axis=2).mean(axis=0)

    def unlikeness(sets: np.ndarray) -> np.ndarray:
        shares = jax.nn.softmax(judge(jnp.asarray(sets.reshape(-1, *sets.shape[2:]))), axis=1)
        return 1 - np.asarray(shares).max(axis=1).reshape(len(sets), -1).mean(axis=0)

    return SetMeasures("distance of logits", "1 - a judge's largest probability", diversity, unlikeness, logits)
