"""I-FGSM: one compiled ascent on any objective inside an ∞-norm ball around the measurement."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr._core import Array, InputError, Key, Objective, check_count, check_positive, is_traced
from jaxpr.numerics.balls import sample_linf

__all__ = ["ifgsm"]

_START = 0.01


def ifgsm(
    key: Key,
    objective: Objective,
    y: Array,
    *,
    alpha: float | Array,
    steps: int,
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
        y: measurements (N, ...), floating, inside `bounds`.
        alpha: radius of the ball in intensity units, 1/255 in the paper. Traced: `vmap` over it for a sweep.
        steps: ascent steps. Static.
        bounds: valid (low, high) range of measurements, or None for no limit.

    Returns:
        The perturbed measurements y_adv, shape and dtype of y; |y_adv - y| <= α up to the rounding of the sum.

    Raises:
        InputError: y is not floating, not finite or has values outside the bounds, bounds are reversed, alpha < 0,
            steps < 1, or the objective does not return (N,).
    """
    _check(objective, y, alpha, steps, bounds)
    low, high = bounds if bounds is not None else (-jnp.inf, jnp.inf)
    step_size = alpha / steps

    def perturbed(delta: Array) -> Array:
        return jnp.clip(y + delta, low, high)

    def ascend(delta: Array, _: None) -> tuple[Array, None]:
        # Examples are independent, so the gradient of the sum holds each example's own gradient.
        gradient = jax.grad(lambda z: jnp.sum(objective(z)))(perturbed(delta))
        return jnp.clip(delta + step_size * jnp.sign(gradient), -alpha, alpha).astype(y.dtype), None

    start = sample_linf(key, y, radius=alpha * _START).astype(y.dtype)
    delta, _ = jax.lax.scan(ascend, start, length=steps)
    return perturbed(delta)


def _check(
    objective: Objective, y: Array, alpha: float | Array, steps: int, bounds: tuple[float, float] | None
) -> None:
    if not jnp.issubdtype(jnp.result_type(y), jnp.floating):
        raise InputError(f"y: found dtype {jnp.result_type(y)}, expected floating point")
    check_count("steps", steps)
    check_positive("alpha", alpha, or_zero=True)
    found = jax.eval_shape(objective, y).shape
    if found != (y.shape[0],):
        raise InputError(f"objective: found values of shape {found}, expected ({y.shape[0]},), one per example")
    low, high = bounds if bounds is not None else (-np.inf, np.inf)
    if not low < high:
        raise InputError(f"bounds: found {bounds}, expected (low, high) with low < high")
    if is_traced(y) or not y.size:
        return
    values = np.asarray(y)
    if not np.isfinite(values).all():
        raise InputError(f"y: found {int((~np.isfinite(values)).sum())} NaN or infinite values, expected none")
    if values.min() < low or values.max() > high:
        raise InputError(
            f"y: found values in [{values.min():.4g}, {values.max():.4g}], expected them inside bounds {bounds}"
        )
