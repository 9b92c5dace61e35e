"""Programs to be lowered for accelerators: denoisers and the samplers over them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from lowering_cases import KEY, Case, case, floats, gradient

from jaxpr import diffusion, samplers
from jaxpr.degradations import BicubicDownsample, Inpainting
from jaxpr.training.denoiser import prior_samples

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
    return tuple(denoise(x, t) for denoise in (exact, mixture, *found, cached(2)))


FROM_EPS = functools.partial(diffusion.from_eps, schedule=SCHEDULE)


def cached(every: int) -> diffusion.CachedDenoiser:
    return diffusion.cached_denoiser(
        lambda x, t: (x * x, x), lambda x, t, features: x * features, adapter=FROM_EPS, every=every
    )


OPERATORS = {
    "ddnm": BicubicDownsample(SHAPE, 2),
    "ddrm": BicubicDownsample(SHAPE, 2),
    "dps": BicubicDownsample(SHAPE, 2),
    "repaint": Inpainting(np.eye(SHAPE[0])),
}
REDUCED = floats(2, *OPERATORS["dps"].output_shape)


def answers(name: str, operator: Any) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """A guided run; with jumps, where the sampler has them."""
    jumps = {"ddnm": {"travel_repeat": 2}, "repaint": {"jump_length": 1, "jump_repeat": 2}}
    settings = {"schedule": SCHEDULE, "samples": 2, "steps": 3, "guidance": samplers.Guidance(0.5, 0.1)}
    settings |= {"noise_std": 0.0 if name == "repaint" else 0.05, **jumps.get(name, {})}
    denoiser = exact if name == "dps" else cached(2)
    return lambda key, y: getattr(samplers, name)(key, denoiser, y, operator, **settings).x


CASES: list[Case] = [
    case("diffusion.cached: cached_denoiser", gradient(lambda x: jax.tree.leaves(denoisers(x)[-1])), IMAGES),
    case(
        "diffusion.denoiser: from_eps from_x0 from_v",
        gradient(lambda x: jax.tree.leaves(denoisers(x))),
        IMAGES,
    ),
    case(
        "diffusion.priors: cosine_transform gaussian_denoiser mixture_denoiser",
        lambda x: denoisers(x)[:2],
        IMAGES,
    ),
    *(
        case(f"samplers.{name}: {name}", answers(name, operator), KEY, floats(2, *operator.output_shape))
        for name, operator in OPERATORS.items()
    ),
    case(
        "training.denoiser: prior_samples",
        lambda key: prior_samples(
            key, diffusion.from_eps(lambda x, t: x * x, schedule=SCHEDULE), SHAPE, schedule=SCHEDULE, count=2, steps=3
        ),
        KEY,
    ),
    case("samplers.dps: dps", gradient(lambda y: answers("dps", OPERATORS["dps"])(jax.random.key(0), y)), REDUCED),
]
