"""Cases of the sweep over JAX's modes: denoisers and samplers. See `modes_measures.py`."""

import jax.numpy as jnp
import numpy as np
from modes_measures import X

from jaxpr import diffusion

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


DIFFUSION = {
    "cosine_transform": lambda: asked(exact(basis=diffusion.cosine_transform(*SHAPE[:2]))),
    "from_eps": lambda: asked(diffusion.from_eps(lambda x, t: x * x, schedule=SCHEDULE)),
    "from_eps: learned variance": lambda: asked(
        diffusion.from_eps(lambda x, t: jnp.tile(x, 2), schedule=SCHEDULE, learned_variance="range")
    ),
    "from_v": lambda: asked(diffusion.from_v(lambda x, t: x * x, schedule=SCHEDULE)),
    "from_x0": lambda: asked(diffusion.from_x0(lambda x, t: x * x, schedule=SCHEDULE)),
    "gaussian_denoiser": lambda: asked(exact()),
    "levels": lambda: diffusion.levels(SCHEDULE, jnp.asarray(SMALL), jnp.asarray(TIMES)),
    "mixture_denoiser": lambda: asked(mixture()),
}
