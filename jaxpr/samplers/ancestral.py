"""The step of DDPM from a visited timestep to the one before it, which RePaint and DPS take."""

import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array
from jaxpr.diffusion import Prediction, Schedule
from jaxpr.samplers.trajectory import Numbers

__all__ = ["ancestral_plan", "ancestral_step"]


def ancestral_plan(schedule: Schedule, positions: np.ndarray) -> dict[str, np.ndarray]:
    """What reverse steps from these positions in the schedule need, one number each; `noisy` is zero at the last."""
    found, alpha_bar = schedule.reverse_coefficients(), schedule.alpha_bar
    return {
        "t": np.asarray(schedule.timesteps)[positions],
        "signal": np.sqrt(alpha_bar)[positions],
        "noise": np.sqrt(1 - alpha_bar)[positions],
        "noisy": (positions > 0).astype(np.float64),
        **{name: values[positions] for name, values in found._asdict().items()},
    }


def ancestral_step(found: Prediction, x0: Array, x: Array, now: Numbers, z: Array) -> Array:
    """A draw of q(x_s | x_t, x_0) with x0 for the image, and the variance that the network learned, if it did.

    Args:
        found: the prediction at x_t, for its variance.
        x0: the image, clipped and guided.
        x: x_t.
        now: of `ancestral_plan`.
        z: standard normal draws.
    """
    log_variance = now["log_variance"]
    if found.variance_mix is not None:
        log_variance = found.variance_mix * now["log_beta"] + (1 - found.variance_mix) * log_variance
    elif found.log_variance is not None:
        log_variance = found.log_variance
    return now["of_x0"] * x0 + now["of_x"] * x + now["noisy"] * jnp.exp(log_variance / 2) * z
