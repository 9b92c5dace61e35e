"""Lower bounds of an estimator's Lipschitz constant: from pairs of measurements, and from its Jacobian at one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.attacks.boundary import check_measurements, restorations
from jaxpr.core import (
    Array,
    Estimator,
    InputError,
    Key,
    check_count,
    check_examples,
    check_finite,
    check_floats,
    check_same_shape,
    defined_where,
    example_keys,
)
from jaxpr.numerics.balls import example_norms
from jaxpr.numerics.convolution import canonical_convolutions
from jaxpr.numerics.guards import power_of_two, widened

__all__ = [
    "LeadingDirection",
    "leading_direction",
    "lipschitz_ratio",
    "local_lipschitz",
    "shift_over_step",
    "shift_ratio",
]


def lipschitz_ratio(estimator: Estimator, y: Array, y_adv: Array) -> Array:
    r"""$K(y, y_{adv}) = \|f(y) - f(y_{adv})\|_2 / \|y - y_{adv}\|_2$ per example ([ohayon2024], Section 4.2).

    Its mean over a data set is K̄, a lower bound of the Lipschitz constant of eq. (1); see
    `numerics.grouped_mean` for the mean with its standard error.

    Args:
        estimator: maps measurements (N, ...) to floating restorations (N, ...).
        y: measurements: images (N, H, W, C), points (N, d) or numbers (N,).
        y_adv: attacked measurements, same shape.

    Returns:
        (N,), dtype of y; computed in float32 or wider. NaN where y_adv equals y, for which no ratio is defined, and
        where a restoration is not finite.

    Raises:
        InputError: y and y_adv differ in shape, are not floating or not finite, or the restorations are not floating.
    """
    _check_moved(y, y_adv)
    pair = restorations(estimator, y), restorations(estimator, y_adv)
    return defined_where(*guarded_ratio(*pair, y, y_adv)).astype(y.dtype)


def shift_ratio(restored: Array, restored_adv: Array, y: Array, y_adv: Array) -> Array:
    """The same ratio from outputs that are already there, f(y) and f(y_adv); shape (N,).

    Raises:
        InputError: shapes do not fit, or an array is not floating or not finite.
    """
    _check_moved(y, y_adv)
    for name, outputs in (("restored", restored), ("restored_adv", restored_adv)):
        check_floats(name, outputs, expected="restorations (N, ...)")
        check_finite(name, outputs)
    check_same_shape("restored", restored, "restored_adv", restored_adv)
    if restored.shape[:1] != y.shape[:1]:
        raise InputError(f"restored: found shape {restored.shape}, expected {y.shape[0]} restorations")
    return defined_where(*guarded_ratio(restored, restored_adv, y, y_adv)).astype(y.dtype)


def _check_moved(y: Array, y_adv: Array) -> None:
    check_examples("y", y)
    check_examples("y_adv", y_adv)
    check_same_shape("y", y, "y_adv", y_adv)


def guarded_ratio(restored: Array, restored_adv: Array, y: Array, y_adv: Array) -> tuple[Array, Array]:
    """Where the ratio is defined, (N,) booleans, and its value there; elsewhere the numerator, which is finite."""
    return shift_over_step(example_norms(widened(restored) - widened(restored_adv)), y, y_adv)


def shift_over_step(shift: Array, y: Array, y_adv: Array) -> tuple[Array, Array]:
    """`guarded_ratio` of how far outputs moved, (N,)."""
    moved = example_norms(widened(y) - widened(y_adv))
    # An infinite step would make any finite shift vanish.
    return (moved > 0) & (moved < jnp.inf), shift / jnp.where(moved > 0, moved, 1)


def local_lipschitz(key: Key, estimator: Estimator, y: Array, *, iterations: int) -> Array:
    r"""Largest singular value of the estimator's Jacobian at each measurement, by power iteration on $J^\top J$.

    It is the limit of the ratio ‖f(y') - f(y)‖ / ‖y' - y‖ over the worst direction as y' approaches y, hence a lower
    bound of the Lipschitz constant of any region around y ([ohayon2024], eq. (1)). One product with J and one with Jᵀ
    serve all examples.

    Note:
        The estimate is never above the truth but for rounding. Its relative error is below log(d) / iterations on
        average over the start (Kuczyński and Woźniakowski 1992), and falls as (σ2 / σ1)^(4 · iterations) if the next
        singular value σ2 is lower. J is the reverse-mode derivative of the reverse-mode product, so estimators with
        only a `custom_vjp` are accepted, if JAX can differentiate its backward rule.

    Args:
        key: one key, or one per example; the first direction of example i comes only from its own.
        estimator: maps measurements (N, ...) to floating restorations (N, ...), examples independent.
        y: measurements: images (N, H, W, C), points (N, d) or numbers (N,).
        iterations: products with J and Jᵀ. Static.

    Returns:
        (N,), dtype of y; computed in float32 or wider. Zero where the Jacobian is zero, NaN where it has NaN or
        infinite entries.

    Raises:
        InputError: iterations < 1, y is not floating or not finite, or the estimator's output is not floating or has
            another number of examples.
    """
    return leading_direction(key, estimator, y, iterations=iterations).norm


class LeadingDirection(NamedTuple):
    """Where a Jacobian amplifies most.

    Attributes:
        direction: of y's shape, Euclidean norm one for each example; float32 or wider.
        norm: how much it is amplified, (N,), as `local_lipschitz` has it.
    """

    direction: Array
    norm: Array


def leading_direction(key: Key, estimator: Estimator, y: Array, *, iterations: int) -> LeadingDirection:
    """`local_lipschitz` with the direction that it found; arguments and errors are the same."""
    check_count("iterations", iterations)
    check_measurements(y, bounds=None)
    restored, pull = jax.vjp(lambda z: restorations(estimator, z.astype(y.dtype)), widened(y))
    # Not `jax.linear_transpose`: a backward rule may be linear and yet made of what has no transpose of its own.
    _, push = jax.vjp(lambda image: pull(image)[0], jnp.zeros_like(restored))

    # Both transposes are pure functions of their argument, so each is brought to the fast layout once.
    apply = canonical_convolutions(lambda direction: push(direction)[0])
    apply_transpose = canonical_convolutions(lambda direction: pull(direction)[0])

    def iterate(direction: Array, _: None) -> tuple[Array, None]:
        image, _length = _normalised(apply(direction))
        found, length = _normalised(apply_transpose(image))
        usable = (length > 0) & jnp.isfinite(length)
        return jnp.where(usable.reshape(-1, *(1,) * (y.ndim - 1)), found, direction), None

    def draw(k: Key) -> Array:
        return jax.random.normal(k, y.shape[1:], widened(y).dtype)

    start, _length = _normalised(jax.vmap(draw)(example_keys(key, y.shape[0])))
    last, _ = jax.lax.scan(iterate, start, length=iterations)
    _, largest = _normalised(apply(last))
    return LeadingDirection(last, defined_where(jnp.isfinite(largest), largest.astype(y.dtype)))


def _normalised(x: Array) -> tuple[Array, Array]:
    """(x / ‖x‖, ‖x‖) per example; zero stays zero."""
    norms = example_norms(x)
    # In two steps: the norm's inverse may be too large or too small to be held.
    scale = power_of_two(norms)
    ones = (1,) * (x.ndim - 1)
    rest = jnp.where(norms > 0, norms / scale, 1)
    return x / scale.reshape(-1, *ones) / rest.reshape(-1, *ones), norms
