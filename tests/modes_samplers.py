"""Cases of the sweep over JAX's modes: denoisers and samplers. See `modes_measures.py`."""

import functools

import jax.numpy as jnp
import numpy as np
from modes_measures import KEY, X

from jaxpr import diffusion, samplers
from jaxpr.degradations import BicubicDownsample, Inpainting

SMALL = X[:, :8, :8]
SHAPE = SMALL.shape[1:]
SCHEDULE = diffusion.linear_schedule()
TIMES = np.asarray([3, 700], np.int32)
ONES = np.ones(SHAPE, np.float32)


def exact(**options):
    return diffusion.gaussian_denoiser(mean=0 * ONES, variance=ONES, schedule=SCHEDULE, **options)


def asked(denoiser):
    return denoiser(jnp.asarray(SMALL), jnp.asarray(TIMES))


def mixture():
    means, weights = np.stack([ONES, -ONES]), np.float32([1, 0])
    return diffusion.mixture_denoiser(means=means, variances=np.stack([ONES, ONES]), weights=weights, schedule=SCHEDULE)


FROM_EPS = functools.partial(diffusion.from_eps, schedule=SCHEDULE)


def cached(every):
    return diffusion.cached_denoiser(
        lambda x, t: (x * x, x), lambda x, t, features: x * features, adapter=FROM_EPS, every=every
    )


DIFFUSION = {
    "CachedDenoiser": lambda: asked(cached(2)),
    "cached_denoiser": lambda: asked(cached(2)),
    "cosine_transform": lambda: asked(exact(basis=diffusion.cosine_transform(*SHAPE[:2]))),
    "from_eps": lambda: asked(diffusion.from_eps(lambda x, t: x * x, schedule=SCHEDULE)),
    "from_eps: learned variance": lambda: asked(
        diffusion.from_eps(lambda x, t: jnp.tile(x, 2), schedule=SCHEDULE, learned_variance="range")
    ),
    "from_v": lambda: asked(diffusion.from_v(lambda x, t: x * x, schedule=SCHEDULE)),
    "from_x0": lambda: asked(diffusion.from_x0(lambda x, t: x * x, schedule=SCHEDULE)),
    "gaussian_denoiser": lambda: asked(exact()),
    "mixture_denoiser": lambda: asked(mixture()),
}


def answers(sampler, operator, **options):
    """A guided run of three steps; y and operator are of the images of the sweep."""
    settings = {"schedule": SCHEDULE, "samples": 2, "steps": 3, "noise_std": 0.05}
    settings |= {"guidance": samplers.Guidance(0.5, 0.1), **options}
    return lambda: getattr(samplers, sampler)(KEY, exact(), operator(jnp.asarray(SMALL)), operator, **settings)


REDUCED, MASKED = BicubicDownsample(SHAPE, 2), Inpainting(np.eye(8))
SAMPLERS = {
    "Guidance": lambda: samplers.Guidance(0.5, 0.1).is_plain,
    "ddnm": answers("ddnm", REDUCED),
    "ddnm: no noise": answers("ddnm", REDUCED, noise_std=0.0, guidance=None),
    "ddrm": answers("ddrm", REDUCED),
    "dps": answers("dps", REDUCED),
    "dps: mcg": answers("dps", MASKED, conditioning="mcg"),
    "repaint": answers("repaint", MASKED, noise_std=0.0, jump_length=1, jump_repeat=2),
}
