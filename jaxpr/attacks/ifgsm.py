"""I-FGSM: one compiled ascent on any objective inside an ∞-norm ball around the measurement."""

import jax
import jax.numpy as jnp

from jaxpr.attacks.boundary import ascent_gradient, check_attack
from jaxpr.core import Array, Key, Objective, check_positive
from jaxpr.numerics.balls import sample_linf
from jaxpr.numerics.guards import widened

__all__ = ["ifgsm"]

_START = 0.01


def ifgsm(
    key: Key,
    objective: Objective,
    y: Array,
    *,
    alpha: float | Array,
    steps: int | Array,
    bounds: tuple[float, float] | None,
) -> Array:
    r"""Perturb each measurement by at most α per entry so that the objective grows.

    With δ the perturbation, each step takes $\delta \leftarrow \mathrm{clip}(\delta + \frac{\alpha}{\text{steps}}\,
    \mathrm{sign}\,\nabla L(y+\delta), -\alpha, \alpha)$ and then clips y + δ to the valid range: the basic attack of
    Choi et al. 2019 as used in [ohayon2024], Section 4.2.

    Note:
        The usual objective, the shift of the output away from f(y), has gradient zero at δ = 0, where plain I-FGSM
        would stay forever. So δ starts as a small random perturbation, uniform in [-α/100, α/100]: large enough for
        float32 to see the output move, small enough for the steps to reach the surface of the ball to within 1 %.

    Args:
        key: one key, or one per example; the start of example i uses only its own (see `example_keys`).
        objective: maps (N, ...) to (N,), each value depending on its own example only; differentiable.
        y: measurements, floating, inside `bounds`: images (N, H, W, C), points (N, d) or numbers (N,).
        alpha: radius of the ball in intensity units, 1/255 in the paper. Traced: `vmap` over it for a sweep.
        steps: ascent steps. Static, or an integer array: one program then serves attacks of different lengths.
        bounds: valid (low, high) range of measurements, or None for no limit.

    Returns:
        The perturbed measurements y_adv, shape and dtype of y (in half precision the steps are taken in float32);
        |y_adv - y| <= α up to the rounding of the sum. Where
        the gradient is NaN so is y_adv, for that entry; where it stays zero y_adv stays at the start (see
        `classify_gradient`).

    Raises:
        InputError: y is not floating, not finite or has values outside the bounds, bounds are reversed, alpha < 0,
            steps < 1, or the objective does not return (N,).
    """
    check_attack(objective, y, steps=steps, bounds=bounds)
    check_positive("alpha", alpha, or_zero=True, scalar=True)
    low, high = bounds if bounds is not None else (-jnp.inf, jnp.inf)
    gradient = ascent_gradient(objective)
    start_at = widened(y)
    step_size = alpha / (steps.astype(start_at.dtype) if isinstance(steps, jax.Array) else steps)

    def perturbed(delta: Array) -> Array:
        return jnp.clip(start_at + delta, low, high).astype(y.dtype)

    def ascend(_: Array, delta: Array) -> Array:
        sign = jnp.sign(gradient(perturbed(delta)))
        return jnp.clip(delta + step_size * widened(sign), -alpha, alpha).astype(delta.dtype)

    start = sample_linf(key, start_at, radius=alpha * _START).astype(start_at.dtype)
    return perturbed(jax.lax.fori_loop(0, steps, ascend, start))
