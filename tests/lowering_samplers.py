"""Programs to be lowered for accelerators: denoisers and the samplers over them."""

import jax
import jax.numpy as jnp
import numpy as np
from lowering_cases import Case, case, floats, gradient

from jaxpr import diffusion

SCHEDULE = diffusion.linear_schedule()
SHAPE = (8, 8, 3)
IMAGES, ONES = floats(2, *SHAPE), np.ones(SHAPE, np.float32)


def exact(x: jax.Array, t: jax.Array) -> diffusion.Prediction:
    basis = diffusion.cosine_transform(*SHAPE[:2])
    return diffusion.gaussian_denoiser(mean=0 * ONES, variance=ONES, schedule=SCHEDULE, basis=basis)(x, t)


def denoisers(x: jax.Array) -> tuple[diffusion.Prediction, ...]:
    t = jnp.asarray([0, 500], jnp.int32)
    mixture = diffusion.mixture_denoiser(
        means=np.stack([ONES, -ONES]),
        variances=np.stack([ONES, ONES]),
        weights=np.ones(2, np.float32),
        schedule=SCHEDULE,
    )
    adapted = (diffusion.from_eps, diffusion.from_x0, diffusion.from_v)
    found = [adapter(lambda x, t: x * x, schedule=SCHEDULE) for adapter in adapted]
    return tuple(denoise(x, t) for denoise in (exact, mixture, *found))


CASES: list[Case] = [
    case("diffusion.denoiser: from_eps from_x0 from_v", gradient(lambda x: jax.tree.leaves(denoisers(x))), IMAGES),
    case(
        "diffusion.priors: cosine_transform gaussian_denoiser mixture_denoiser",
        lambda x: denoisers(x)[:2],
        IMAGES,
    ),
]
