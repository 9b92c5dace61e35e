"""What attacks ascend: callables from measurements (N, ...) to values (N,).

What a restorer returns is checked where an objective calls it. Squares of half precision overflow, so values are
float32 or wider.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks.boundary import restorations
from jaxpr.core import (
    Array,
    ArrayLike,
    Estimator,
    InputError,
    Key,
    Objective,
    Sampler,
    check_count,
    check_examples,
    check_finite,
    check_floats,
    check_positive,
    described,
    example_keys,
    is_traced,
)
from jaxpr.numerics.guards import widened

__all__ = ["class_log_probability", "expected_output_shift", "farthest_from", "negated", "output_shift"]


def output_shift(estimator: Estimator, y: Array) -> Objective:
    r"""Squared distance of the output from the unattacked output, $\|f(y') - f(y)\|_2^2$ per example.

    It is the loss of the basic attack ([ohayon2024], Section 4.2). Its gradient at y' = y is zero; see `ifgsm`.

    Args:
        estimator: maps measurements (N, ...) to restorations; differentiable.
        y: the unattacked measurements; f(y) is computed once, here.

    Returns:
        An objective for measurements of y's shape.

    Raises:
        InputError: y is not floating or not finite, or what the estimator returns is no floating (N, ...).
    """
    check_examples("y", y)
    clean = jax.lax.stop_gradient(restorations(estimator, y))

    def objective(attacked: Array) -> Array:
        return _squared_norms(restorations(estimator, attacked) - clean)

    return objective


def expected_output_shift(key: Key, sampler: Sampler, y: Array, *, draws: int) -> Objective:
    r"""Shift of a stochastic output under the same seeds, $E_Z \|G(y', Z) - G(y, Z)\|_2^2$: eq. (6) of [ohayon2023].

    Its maximum over the ball bounds the squared Wasserstein distance of the output distributions from above (App. D).
    The expectation is the mean over `draws` seeds per example, drawn here once: every ascent step sees the same ones,
    in y and in y'. The paper takes 10.

    Note:
        Draws are computed one after the other, each recomputed in the backward pass: memory is that of one draw.

    Args:
        key: one key, or one per example; the seeds of example i come only from its own. Not the attack's key.
        sampler: maps (key, y) to restorations; differentiable in y. It is called for one example at a time, under
            `vmap`, with that example's seed, so that an example's seeds do not depend on the batch.
        y: the unattacked measurements (N, ...); their outputs are computed once, here.
        draws: number of seeds per example. Static.

    Returns:
        An objective for measurements of y's shape. For a sampler that ignores its key it equals `output_shift`.

    Raises:
        InputError: draws < 1, key is no key or has another number of them, y is not floating or not finite, or what the
            sampler returns is no floating restoration.
    """
    check_count("draws", draws)
    check_examples("y", y)
    keys = example_keys(key, y.shape[0])
    seeds = jax.vmap(lambda k: jax.random.split(k, draws), out_axes=1)(keys)  # (draws, N)

    def outputs(seed: Array, measurements: Array) -> Array:
        def draw(k: Key, one: Array) -> Array:
            return restorations(lambda alone: sampler(k, alone), one[None], name="sampler")[0]

        return jax.vmap(draw)(seed, measurements)

    clean = jax.lax.stop_gradient(jax.lax.map(lambda seed: outputs(seed, y), seeds))

    def objective(attacked: Array) -> Array:
        @jax.checkpoint
        def shift(seed: Array, expected: Array) -> Array:
            return _squared_norms(outputs(seed, attacked) - expected)

        return jnp.mean(jax.lax.map(lambda pair: shift(*pair), (seeds, clean)), axis=0)

    return objective


def class_log_probability(estimator: Estimator, classifier: Callable[[Array], Array], label: ArrayLike) -> Objective:
    """Log-probability that a classifier behind the restorer gives to a class ([ohayon2024], Section 4.3, App. F).

    `negated` of it, with the true class, is the untargeted attack: away from that class, to whichever other.

    Args:
        estimator: maps measurements (N, ...) to restorations; differentiable.
        classifier: maps restorations to logits (N, classes); differentiable.
        label: the class, one integer for all examples or (N,).

    Returns:
        An objective for measurements; values <= 0.

    Raises:
        InputError: label is not an integer or (N,) of them; when called: another number of labels than examples, a
            label outside the classes, or logits of another shape.
    """
    if isinstance(label, bool) or not isinstance(label, int | np.integer | np.ndarray | jax.Array):
        raise InputError(f"label: found {described(label)}, expected an integer or (N,) integers")
    labels = jnp.asarray(label)
    if not jnp.issubdtype(labels.dtype, jnp.integer) or labels.ndim > 1:
        raise InputError(f"label: found {labels.dtype} of shape {labels.shape}, expected an integer or (N,) integers")

    def objective(attacked: Array) -> Array:
        logits = classifier(restorations(estimator, attacked))
        n = attacked.shape[0]
        check_floats("classifier", logits, expected=f"logits ({n}, classes)")
        if logits.ndim != 2 or logits.shape[0] != n:
            raise InputError(f"classifier: found logits of shape {logits.shape}, expected ({n}, classes)")
        if labels.shape not in ((), (n,)):
            raise InputError(f"label: found {labels.shape[0]} labels, expected one or one for each of {n} examples")
        if not is_traced(labels):
            outside = (np.asarray(labels) < 0) | (np.asarray(labels) >= logits.shape[1])
            if outside.any():
                worst = np.asarray(labels)[outside].flat[0]
                raise InputError(f"label: found {worst}, expected classes 0 to {logits.shape[1] - 1}")
        chosen = jnp.broadcast_to(labels, (n,))[:, None]
        return jnp.take_along_axis(jax.nn.log_softmax(widened(logits)), chosen, axis=1)[:, 0]

    return objective


def negated(objective: Objective) -> Objective:
    """The objective with its sign turned, so that an ascent descends: away from a class, or towards references."""
    return lambda attacked: -objective(attacked)


def farthest_from(estimator: Estimator, references: Array, *, weights: Array | None = None) -> Objective:
    r"""Mean squared distance of the output to given outputs, $\frac1S \sum_s \|x_s - f(y')\|_2^2$ per example.

    It is the loss of Algorithm 1 of [ohayon2024] (Appendix G). It is evaluated as the distance to the references' mean
    plus their spread, which is the same number at the cost of one reference.

    Args:
        estimator: maps measurements (N, ...) to restorations (N, ...); differentiable.
        references: outputs found so far, (S, N, ...).
        weights: (S,), non-negative; None for ones. Zero leaves a reference out, so that a compiled loop can fill a
            buffer of references. Its values may then be anything finite. All zero gives NaN.

    Returns:
        An objective for measurements.

    Raises:
        InputError: weights are not (S,) or negative, there is no reference, or one is not floating or not finite; when
            called: outputs are not shaped as one.
    """
    check_floats("references", references, expected="outputs (S, N, ...)")
    if references.ndim < 2 or references.shape[0] < 1:
        raise InputError(f"references: found shape {references.shape}, expected (S, N, ...) with S >= 1")
    count = references.shape[0]
    if weights is not None and jnp.shape(weights) != (count,):
        raise InputError(f"weights: found shape {jnp.shape(weights)}, expected ({count},)")
    if weights is not None:
        check_positive("weights", weights, or_zero=True)
    check_finite("references", references)
    references = widened(references)
    given = jnp.ones(count, references.dtype) if weights is None else jnp.asarray(weights, references.dtype)
    shares = given / jnp.sum(given)
    references = jax.lax.stop_gradient(references)
    center = jnp.einsum("s,s...->...", shares, references, precision=jax.lax.Precision.HIGHEST)
    distances = jax.vmap(_squared_norms)(references - center[None])
    spread = jnp.matmul(shares, distances, precision=jax.lax.Precision.HIGHEST)

    def objective(attacked: Array) -> Array:
        found = restorations(estimator, attacked)
        if found.shape != center.shape:
            raise InputError(f"references: found shape {references.shape}, expected (S, *{found.shape}) as the outputs")
        return _squared_norms(found - center) + spread

    return objective


def _squared_norms(x: Array) -> Array:
    """Sum of squares of each example, (N,)."""
    return jnp.sum(jnp.square(x).reshape(x.shape[0], -1), axis=1)
