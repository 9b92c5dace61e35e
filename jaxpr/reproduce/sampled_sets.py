"""Sets of answers of diffusion samplers on priors of small real images: plain, guided from the same noise, and exact.

A kernel prior is a mixture of Gaussians centred on real images, with one covariance, diagonal in the cosine basis, a
fraction of the images' own. It needs no training, its draws look like images, and its posteriors are known exactly.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, Array, InputError
from jaxpr.data import crops, from_arrays
from jaxpr.data.words import named_images
from jaxpr.degradations import Inpainting, LinearOperator
from jaxpr.diffusion import Basis, Denoiser, Prediction, Schedule, cosine_transform, linear_schedule
from jaxpr.diffusion.denoiser import levels
from jaxpr.restorers.guided import PublishedGuidance
from jaxpr.restorers.priors import adapter_of, read_prior
from jaxpr.samplers import Guidance, ddnm, ddrm, dps, guidance_preset, repaint, travel_times

__all__ = ["ImagePrior", "Kernels", "SetSampler", "SetTask", "exact_answers", "guidance_of", "image_prior"]

_LEAST = 1e-5  # share of the largest variance that every coefficient keeps
WIDTHS = {"digits": 0.35, "photos": 0.45}
"""Kernels' standard deviation over that of the images."""


class Kernels(NamedTuple):
    """A mixture of equal parts with one covariance; values on [-1, 1].

    Attributes:
        centres: (K, H, W, C).
        variance: (H, W, C), of the coefficients in `basis`.
        basis: of cosines.
    """

    centres: Array
    variance: Array
    basis: Basis

    def denoiser(self, schedule: Schedule) -> Denoiser:
        """As `mixture_denoiser`, by one product of matrices: distances to all centres share the covariance."""
        size = math.prod(self.variance.shape)
        centres, variance = self.basis.forward(self.centres).reshape(-1, size), self.variance.reshape(1, size)

        def denoise(x: Array, t: Array) -> Prediction:
            signal, noise = levels(schedule, x, t)
            signal, noise = signal.reshape(-1, 1), noise.reshape(-1, 1)
            total = signal**2 * variance + noise**2
            found = self.basis.forward(x).reshape(-1, size)
            scaled = found / total
            near = jnp.matmul(signal * scaled, centres.T, precision=HIGHEST)
            far = jnp.matmul(signal**2 / total, (centres**2).T, precision=HIGHEST)
            share = jax.nn.softmax(near - far / 2, axis=1)
            mean = jnp.matmul(share, centres, precision=HIGHEST)
            gap = (found - signal * mean) / total
            x0 = self.basis.inverse((mean + signal * variance * gap).reshape(x.shape))
            return Prediction(x0, self.basis.inverse((noise * gap).reshape(x.shape)))

        return denoise


class ImagePrior(NamedTuple):
    """What samplers know of images.

    Attributes:
        name: of the images and of what knows them.
        denoiser: on [-1, 1].
        schedule: its noise levels.
        kernels: behind the denoiser; None for a network.
        x: images (N, H, W, C) in [0, 1] that it does not know, spread evenly over the test split.
        known: images (M, H, W, C) in [0, 1] that it was made of, of a network some.
        groups: (N,), of which photograph each is.
        labels: (N,), of digits.
    """

    name: str
    denoiser: Denoiser
    schedule: Schedule
    kernels: Kernels | None
    x: np.ndarray
    known: np.ndarray
    groups: np.ndarray
    labels: np.ndarray | None


def image_prior(name: str, *, images: int, kernels: int) -> ImagePrior:
    """A prior with test images.

    Args:
        name: "digits" (8×8) or "photos" (32×32, colour) for kernels on training images; "photos:FILE" or
            "digits28:FILE" for a network that `read_prior` takes; "digits28" is the packaged one.
        images: of the test split.
        kernels: training images, spread evenly: the centres of kernels, what answers of a network are compared with.

    Raises:
        InputError: another name, a file that is no denoiser, or images that are not installed.
    """
    data, _, file = name.partition(":")
    if data not in ("digits", "photos", "digits28"):
        raise InputError(f"name: found {name!r}, expected digits, photos, digits28, photos:FILE or digits28:FILE")
    file = "digits28" if name == "digits28" else file
    train, test = (_images(data, split) for split in ("train", "test"))
    chosen = _spread_evenly(len(test), images)
    x = np.stack([test[i] for i in chosen])
    names = [test.names[i] for i in chosen]
    groups = np.array([n.partition("[")[0] for n in names]) if data == "photos" else np.arange(len(x))
    labels = None if test.labels is None else np.array(test.labels)[chosen]
    known = np.stack([train[i] for i in _spread_evenly(len(train), kernels)])
    if file:
        prior = read_prior(file)
        adapter = adapter_of(prior.prediction, schedule=prior.schedule, learned_variance=prior.learned_variance)
        denoiser = adapter(functools.partial(prior.model.apply, prior.params))
        return ImagePrior(name, denoiser, prior.schedule, None, x, known, groups, labels)
    made, schedule = _kernels((known * 2 - 1).astype(np.float32), WIDTHS[data]), linear_schedule()
    return ImagePrior(name, made.denoiser(schedule), schedule, made, x, known, groups, labels)


def _images(data: str, split: Any) -> Any:
    source = named_images(data, split)
    if data != "photos":
        return source
    return crops(from_arrays(list(source), name=source.name, names=source.names), 32)  # decoded once, not per crop


def _spread_evenly(total: int, count: int) -> np.ndarray:
    return np.linspace(0, total - 1, min(count, total)).round().astype(int)


def _kernels(centres: np.ndarray, width: float) -> Kernels:
    basis = cosine_transform(*centres.shape[1:3])
    coefficients = np.asarray(basis.forward(jnp.asarray(centres)), np.float64)
    variance = width**2 * coefficients.var(axis=0)
    variance = np.maximum(variance, _LEAST * np.max(variance))
    return Kernels(jnp.asarray(centres), jnp.asarray(variance, jnp.float32), basis)


class SetTask(NamedTuple):
    """What is measured, and which published setting of guidance is nearest.

    Attributes:
        name: for people.
        operator: A.
        noise_std: of y, in units of [0, 1].
        preset: of `GUIDED_TASKS`.
    """

    name: str
    operator: LinearOperator
    noise_std: float
    preset: str

    def measure(self, x: np.ndarray, *, seed: int) -> np.ndarray:
        """One y for each image."""
        y = np.asarray(self.operator(jnp.asarray(x)))
        noise = np.random.default_rng(seed).standard_normal(y.shape, np.float32)
        return y + np.float32(self.noise_std) * noise


_SAMPLERS: dict[str, tuple[Callable[..., Any], tuple[str, ...], Mapping[str, Any]]] = {
    "ddrm": (ddrm, ("step",), {}),
    "ddnm": (ddnm, ("step",), {}),
    "dps": (dps, ("step",), {}),
    "repaint": (repaint, ("step", "known", "undo"), {"jump_length": 5, "jump_repeat": 3}),
}


class SetSampler:
    """A sampler on a prior and a task, compiled once for any guidance; the same seed is the same noise.

    Args:
        name: "ddrm", "ddnm", "dps" or "repaint".
        prior: of the images.
        task: what was measured.
        samples: of each set.
        steps: visited timesteps.
        options: further ones of the sampler, such as the scale of `dps`.
    """

    def __init__(
        self, name: str, prior: ImagePrior, task: SetTask, *, samples: int, steps: int, options: Mapping[str, Any]
    ) -> None:
        sample, self._purposes, defaults = _SAMPLERS[name]
        options = {**defaults, **options}
        length, repeats = options.get("jump_length", 1), options.get("jump_repeat", 1)
        self._transitions = len(travel_times(steps, length=length, repeats=repeats)) - 1
        self._samples, self._shape = samples, prior.x.shape[1:]

        @jax.jit
        def run(noise: Any, y: Array, eta: Array, distance: Array) -> tuple[Array, Array]:
            found = sample(
                jax.random.key(0),  # draws are given
                prior.denoiser,
                y,
                task.operator,
                schedule=prior.schedule,
                samples=samples,
                noise_std=task.noise_std,
                steps=steps,
                guidance=Guidance(eta, distance),
                noise=noise,
                **options,
            )
            return found.x, found.pushed

        self._run = run

    def __call__(self, y: np.ndarray, guidance: Guidance | None, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Answers (samples, N, H, W, C) and the share of their predictions that guidance moved, (samples, N)."""
        generator = np.random.default_rng(seed)
        shape = self._samples, len(y), *self._shape
        noise = {"start": generator.standard_normal(shape, np.float32)}
        for purpose in self._purposes:
            noise[purpose] = generator.standard_normal((self._transitions, *shape), np.float32)
        eta, distance = (0.0, 0.0) if guidance is None else (guidance.eta, guidance.distance)
        limit = np.inf if distance is None else distance
        return jax.device_get(
            self._run(noise, jnp.asarray(y), jnp.asarray(eta, jnp.float32), jnp.asarray(limit, jnp.float32))
        )


def guidance_of(sampler: str, task: SetTask, shape: tuple[int, ...]) -> Guidance:
    """The published setting for images of `shape`."""
    known = {"ddrm": "objects-x4", "repaint": "objects-inpainting"}.get(sampler, task.preset)
    if sampler == "ddnm":
        known = known.removesuffix("-noisy")
    return PublishedGuidance(known, guidance_preset(sampler, known)).at(shape)


def exact_answers(prior: ImagePrior, task: SetTask, y: np.ndarray, samples: int, *, seed: int) -> np.ndarray:
    """Draws of the posterior of a kernel prior, (samples, N, H, W, C) in units of [0, 1].

    A part by how well it explains y, a draw of it, and what y says of that draw: x + G (y - A x - noise).

    Raises:
        InputError: the prior has no kernels.
    """
    if prior.kernels is None:
        raise InputError(f"prior: found {prior.name}, expected one with kernels, whose posteriors are known")
    centres, variance, basis = prior.kernels
    shape, generator = variance.shape, np.random.default_rng(seed)
    seen = np.ones(y.shape[1:], bool)
    if isinstance(task.operator, Inpainting):
        seen = np.broadcast_to(np.asarray(task.operator.mask)[..., None], seen.shape)
    units = np.zeros((int(seen.sum()), *seen.shape), np.float32)
    units[np.arange(len(units)), *np.nonzero(seen)] = 1
    spread = np.asarray(basis.inverse(variance[None] * basis.forward(task.operator.adjoint(units))) / 4, np.float64)
    of_y = np.asarray(task.operator(jnp.asarray(spread, jnp.float32)), np.float64)[:, seen]
    of_y = (of_y + of_y.T) / 2 + (task.noise_std**2 + 1e-7) * np.eye(len(of_y))
    root = np.linalg.cholesky(of_y)
    images = (np.asarray(centres, np.float64) + 1) / 2
    gaps = y[:, seen][:, None] - np.asarray(task.operator(jnp.asarray(images, jnp.float32)))[:, seen][None]
    squares = np.sum(np.linalg.solve(root, gaps.reshape(-1, len(root)).T) ** 2, axis=0).reshape(len(y), -1)
    shares = np.exp((squares.min(axis=1, keepdims=True) - squares) / 2)
    shares /= shares.sum(axis=1, keepdims=True)
    chosen = np.stack([generator.choice(len(images), samples, p=p) for p in shares], axis=1)
    draws = np.sqrt(np.asarray(variance)) * generator.standard_normal((samples * len(y), *shape))
    drawn = np.asarray(basis.inverse(jnp.asarray(draws, jnp.float32))).reshape(samples, len(y), *shape) / 2
    x = images[chosen] + drawn
    again = np.asarray(task.operator(jnp.asarray(x.reshape(-1, *shape), jnp.float32)))[:, seen]
    noise = task.noise_std * generator.standard_normal(again.shape)
    rest = np.tile(y[:, seen], (samples, 1)) - again - noise
    moved = np.linalg.solve(of_y, rest.T).T @ spread.reshape(len(spread), -1)
    return (x + moved.reshape(x.shape)).astype(np.float32)
