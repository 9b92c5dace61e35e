"""Golden runs of the samplers: the toy denoiser, given noise, and layouts; see tests/golden/sampler_*."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.degradations import AverageDownsample, BicubicDownsample, Identity, Inpainting, LinearOperator
from jaxpr.diffusion import from_eps, linear_schedule
from jaxpr.samplers import Guidance

FOLDER = Path(__file__).parent / "golden"
SHAPE, SAMPLES = (8, 8, 3), 4
SCHEDULE = linear_schedule()
# Absolute, on [-1, 1]. The first steps divide by √ᾱ = 0.006, and the golden numbers are of float32.
OUTPUT, EARLY = 1e-5, 1e-3


@functools.cache
def arrays(sampler: str) -> dict[str, np.ndarray]:
    return dict(np.load(FOLDER / f"sampler_{sampler}" / "golden.npz"))


@functools.cache
def description(sampler: str) -> dict:
    return json.loads((FOLDER / f"sampler_{sampler}" / "runs.json").read_text("utf-8"))


def with_arrays(sampler: str) -> list[str]:
    return [name for name in description(sampler)["runs"] if f"{name}_out" in arrays(sampler)]


def nhwc(images: np.ndarray) -> np.ndarray:
    return np.moveaxis(images, -3, -1)


def denoiser(sampler: str, *, learned: bool = False):
    """Exact for a Gaussian in the cosine basis, through the noise it predicts, as the published programs use it."""
    golden = arrays(sampler)
    basis, mean, variance = golden["toy_Q"], nhwc(golden["toy_mu"]), nhwc(golden["toy_s2"])
    levels = jnp.asarray(golden["toy_abar"])
    extra = nhwc(golden["toy_vfix"]) if learned else None

    def model(x, t):
        a = levels[t].reshape(-1, 1, 1, 1)
        z = jnp.einsum("ki,lj,nijc->nklc", basis, basis, x - jnp.sqrt(a) * mean[None], precision="highest")
        z = z / (a * variance[None] + 1 - a)
        eps = jnp.sqrt(1 - a) * jnp.einsum("ki,lj,nklc->nijc", basis, basis, z, precision="highest")
        if extra is None:
            return eps
        return jnp.concatenate([eps, jnp.broadcast_to(extra[None], eps.shape)], axis=-1)

    return from_eps(model, schedule=SCHEDULE, learned_variance="range" if learned else None)


class RoundedGrayscale(LinearOperator):
    """The grey of the published programs, whose weights are rounded to four digits: (0.3333, 0.3334, 0.3333)."""

    shape, output_shape = SHAPE, (*SHAPE[:2], 1)
    weights = np.float32([0.3333, 0.3334, 0.3333])

    def __call__(self, x):
        return jnp.sum(x * self.weights[None, None, None], axis=-1, keepdims=True)

    def adjoint(self, y):
        return y * self.weights[None, None, None]

    def pinv(self, y):
        return self.adjoint(y) / float(np.sum(self.weights**2))

    def svd(self):
        raise NotImplementedError


def operator(name: str, golden: dict[str, np.ndarray]):
    if name == "inpaint":
        return Inpainting(golden["mask"].astype(bool))
    if name in ("sr_bicubic2", "super_resolution"):
        return BicubicDownsample(SHAPE, 2)
    if name.startswith("sr_avg2"):
        return AverageDownsample(SHAPE, 2)
    return RoundedGrayscale() if name == "color" else Identity(SHAPE)


def measured(name: str, y: np.ndarray, made_by) -> np.ndarray:
    """Golden y, flat and on [-1, 1], as images in [0, 1], (1, h, w, c)."""
    if name == "inpaint" and y.ndim == 2:  # known entries, channels interleaved
        known = np.zeros((1, *SHAPE), np.float32)
        known[:, np.asarray(made_by.mask)] = y.reshape(1, -1, SHAPE[2])
        y = known
    else:
        height, width, channels = made_by.output_shape
        y = nhwc(y.reshape(1, channels, height, width))
    with jax.ensure_compile_time_eval():
        white = np.asarray(made_by(jnp.ones((1, *SHAPE))))
    return (y + white) / 2


def measured_run(name: str, run: str, golden: dict[str, np.ndarray]) -> tuple[np.ndarray, LinearOperator]:
    """Golden y of a run with this operator, and the operator."""
    made_by = operator(name, golden)
    return measured(name, golden[f"{run}_y"], made_by), made_by


def golden_run(sampler, name: str, y: np.ndarray, made_by, *, config: dict, learned: bool = False, **options):
    """A run with the authors' denoiser and the guidance of its description, compiled, with its whole way."""
    guidance = Guidance(config["guidance_eta"] or 0, config["guidance_dist"], convention="official")
    compiled = jax.jit(
        lambda key: sampler(
            key,
            denoiser(name, learned=learned),
            y,
            made_by,
            schedule=SCHEDULE,
            samples=SAMPLES,
            guidance=guidance,
            trace=True,
            **options,
        )
    )
    return compiled(jax.random.key(0))


def start_noise(sampler: str) -> np.ndarray:
    return nhwc(arrays(sampler)["x_T"])[:, None]


def stream(sampler: str):
    """A function that gives the draws of `default_rng(100)` in the order in which they are asked for."""
    rng = np.random.default_rng(100)

    def draw(transition: int, purpose: str, shape: tuple[int, ...]) -> np.ndarray:
        if purpose == "start":
            return start_noise(sampler)
        samples, _, height, width, channels = shape
        return nhwc(rng.standard_normal((samples, channels, height, width)).astype(np.float32))[:, None]

    return draw
