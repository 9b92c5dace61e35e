"""Adam inside an l2 ball: the attack by which the robustness of stochastic estimators is measured."""

import jax
import jax.numpy as jnp
import optax

from jaxpr.attacks.boundary import ascent_gradient, check_attack
from jaxpr.core import Array, Key, Objective, check_positive, lenient_promotion
from jaxpr.numerics.balls import project_l2, sample_l2
from jaxpr.numerics.guards import widened

__all__ = ["l2_adam"]

_START = 0.01


def l2_adam(
    key: Key,
    objective: Objective,
    y: Array,
    *,
    epsilon: float | Array,
    steps: int,
    learning_rate: float | Array,
    bounds: tuple[float, float] | None = None,
) -> Array:
    r"""Perturb each measurement by at most ε in the Euclidean norm so that the objective grows.

    The maximisation of [ohayon2023], eqs. (3) and (6), as computed in its Appendix E.2.3: `steps` ascent steps of a
    freshly initialised Adam with (β1, β2) = (0.9, 0.999), after each of which δ is projected onto the ball. The paper
    takes 5 steps with learning rate 1; for its radii see `epsilon_for_psnr`.

    Note:
        The shift of the output has gradient zero at δ = 0, where Adam would stay forever, and the paper does not say
        where it starts. Here δ starts uniform in the ball of radius ε/100, as in `ifgsm`. Adam divides every entry of
        the gradient by its usual size, so a gradient that keeps its direction moves δ along its signs, not along
        itself: a weaker attack than the ball allows where few entries matter.

    Args:
        key: one key, or one per example; the start of example i uses only its own (see `example_keys`).
        objective: maps (N, ...) to (N,), each value depending on its own example only; differentiable.
        y: measurements, floating, inside `bounds`: images (N, H, W, C), points (N, d) or numbers (N,).
        epsilon: radius of the ball, in intensity units times √(entries of y). Traced: `vmap` over it for a sweep.
        steps: ascent steps. Static.
        learning_rate: of Adam, in intensity units; far above ε it means a step onto the sphere. Traced.
        bounds: valid (low, high) range of measurements; None, as in the paper, for no limit.

    Returns:
        The perturbed measurements y_adv, shape and dtype of y (in half precision the steps are taken in float32);
        ‖y_adv - y‖ <= ε up to rounding. An example whose
        gradient is NaN anywhere becomes NaN, at least there; the others do not notice.

    Raises:
        InputError: y is not floating, not finite or has values outside the bounds, bounds are reversed, epsilon < 0,
            learning_rate <= 0, steps < 1, or the objective does not return (N,).
    """
    check_attack(objective, y, steps=steps, bounds=bounds)
    check_positive("epsilon", epsilon, or_zero=True, scalar=True)
    check_positive("learning_rate", learning_rate, scalar=True)
    low, high = bounds if bounds is not None else (-jnp.inf, jnp.inf)
    optimizer = optax.adam(learning_rate, b1=0.9, b2=0.999)
    gradient = ascent_gradient(objective)
    start_at = widened(y)

    def perturbed(delta: Array) -> Array:
        return jnp.clip(start_at + delta, low, high).astype(y.dtype)

    def ascend(carry: tuple[Array, optax.OptState], _: None) -> tuple[tuple[Array, optax.OptState], None]:
        delta, state = carry
        slope = widened(gradient(perturbed(delta)))
        with lenient_promotion():
            updates, state = optimizer.update(-slope, state)
            moved = optax.apply_updates(delta, updates)
        return (project_l2(moved, radius=epsilon).astype(delta.dtype), state), None

    start = sample_l2(key, start_at, radius=epsilon * _START).astype(start_at.dtype)
    (delta, _), _ = jax.lax.scan(ascend, (start, optimizer.init(start)), length=steps)
    return perturbed(delta)
