"""Uniformization: draw with probability inversely proportional to the density ([cohen2024md], Section 4, Appendix A).

The density at a point is estimated from r, its distance to the k-th nearest, so the probability is proportional to
r^d, which overflows float32 at d = 25 already. Everything is in logarithms.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import Array, InputError, Key, check_count, check_floats, check_key, is_traced
from jaxpr.selection.inputs import check_vector, prepare_features, squared_gaps

__all__ = [
    "Uniformization",
    "neighbour_distance",
    "uniformization",
    "uniformization_from_gumbel",
    "uniformization_log_probabilities",
]


# Lists that the running selection keeps; its program grows with k. Beyond this, a partial sort of all pairs.
_LARGEST_NETWORK = 32


class Uniformization(NamedTuple):
    """A draw without replacement, and what it was drawn from.

    Attributes:
        indices: (count,) distinct rows, in the order in which they were drawn.
        log_probabilities: (N,) logarithm of the first draw's probabilities, eq. (6); -inf where the row was discarded
            or coincides with k - 1 others; NaN if that holds for every row.
        radii: (N,) distance to the k-th nearest row, the row itself counted.
    """

    indices: Array
    log_probabilities: Array
    radii: Array


def uniformization(key: Key, features: Array, *, count: int, k: int, keep: float) -> Uniformization:
    r"""Sample evenly over the support: W(x) = r(x)^d / Σ r(x')^d, eq. (6) of [cohen2024md].

    Args:
        key: for the draw.
        features: (N, d), one row per restoration. The paper reduces images' features to d = 25 by PCA first.
        count: rows to draw without replacement. Static.
        k: neighbour that estimates the density, the row itself counted as the first, 2 <= k < N. The paper takes 10
            for its toy problem and 6 for images. Static.
        keep: share of the most probable rows to keep, in (0, 1]: the int(N (1 - keep)) with the largest r are
            discarded. The paper's σ; 1 keeps all, as in Figure 4. Static.

    Returns:
        `Uniformization`. Rows that coincide with k - 1 others have probability zero; where fewer than `count` others
        are left, they fill up the set, lowest index first.

    Note:
        The paper writes "k-th nearest neighbour" and its program counts the point itself; here as in the program.

    Raises:
        InputError: not points, NaN, count greater than the number kept, k outside 2..N-1, or keep outside (0, 1].
    """
    check_key(key, single=True)
    features = prepare_features(features, count=count)
    gumbel = jax.random.gumbel(key, (features.shape[0],), features.dtype)
    return uniformization_from_gumbel(features, gumbel, count=count, k=k, keep=keep)


def uniformization_from_gumbel(features: Array, gumbel: Array, *, count: int, k: int, keep: float) -> Uniformization:
    """`uniformization` with the given standard Gumbel draws: the `count` largest of log W + gumbel, largest first.

    Args:
        features: (N, d).
        gumbel: (N,) draws; -log(-log u) of uniform u.
        count: rows to draw. Static.
        k: see `uniformization`. Static.
        keep: see `uniformization`. Static.

    Raises:
        InputError: as `uniformization`, or gumbel is not finite floats (N,).
    """
    features = prepare_features(features, count=count)
    check_vector("gumbel", gumbel, features.shape[0])
    radii = neighbour_distance(features, k=k)
    return drawn_by_radii(radii, gumbel, dim=features.shape[1], count=count, keep=keep)


def drawn_by_radii(radii: Array, gumbel: Array, *, dim: int, count: int, keep: float) -> Uniformization:
    """The draw itself, from distances (N,) to the k-th nearest of any kind."""
    size = radii.shape[0]
    kept = size - _discarded(size, keep)
    if count > kept:
        raise InputError(f"count: found {count}, expected at most the number of points kept, {kept} of {size}")
    log_probabilities = uniformization_log_probabilities(radii, dim=dim, keep=keep)
    scores = log_weights(radii, dim)
    # Copies may fill up the set, after all others; what was discarded may not.
    scores = jnp.where(radii > 0, scores + jnp.asarray(gumbel, scores.dtype), jnp.finfo(scores.dtype).min)
    scores = jnp.where(_is_discarded(radii, keep), -jnp.inf, scores)
    return Uniformization(jax.lax.top_k(scores, count)[1], log_probabilities, radii)


def neighbour_distance(features: Array, *, k: int) -> Array:
    """Distance of each row to its k-th nearest, the row itself counted as the first; (N,), [cohen2024md] eq. (4).

    From differences, so copies are at distance exactly zero. Memory is O(N (k + d)) for k <= 32, else O(N²).

    Args:
        features: (N, d), N > k.
        k: at least 2, since the first is the row itself. Static.

    Raises:
        InputError: not points, NaN, or k outside 2..N-1.
    """
    features = prepare_features(features, count=1)
    check_count("k", k, at_least=2)
    if k >= features.shape[0]:
        raise InputError(f"k: found {k}, expected less than the number of points, {features.shape[0]}")

    def step(nearest: tuple[Array, ...], point: Array) -> tuple[tuple[Array, ...], None]:
        new = squared_gaps(point[None], features)[0]
        kept = []
        for value in nearest:  # insert into the ascending lists, one list per row of the features
            kept.append(jnp.minimum(value, new))
            new = jnp.maximum(value, new)
        return tuple(kept), None

    if k > _LARGEST_NETWORK:
        return jnp.sqrt(-jax.lax.top_k(-squared_gaps(features, features), k)[0][:, k - 1])
    start = (jnp.full(features.shape[0], jnp.inf, features.dtype),) * k
    nearest, _ = jax.lax.scan(step, start, features)
    return jnp.sqrt(nearest[-1])


def uniformization_log_probabilities(radii: Array, *, dim: int, keep: float) -> Array:
    """Logarithm of eq. (6) of [cohen2024md], (N,), from distances to the k-th nearest of any kind.

    Args:
        radii: (N,) non-negative, for example of LPIPS distances.
        dim: d, the exponent: the features' width; the authors take 5 for LPIPS distances. Static.
        keep: see `uniformization`. Of equal radii the highest index is discarded first. Static.

    Raises:
        InputError: radii not (N,), negative or NaN, dim < 1, or keep outside (0, 1].
    """
    check_floats("radii", radii, expected="distances (N,)")
    if jnp.ndim(radii) != 1 or jnp.shape(radii)[0] == 0:
        raise InputError(f"radii: found shape {jnp.shape(radii)}, expected (N,) with N of at least 1")
    if not is_traced(radii) and not bool(jnp.all(jnp.isfinite(radii) & (jnp.asarray(radii) >= 0))):
        raise InputError("radii: found negative, NaN or infinite values, expected non-negative distances")
    check_count("dim", dim)
    radii = jnp.asarray(radii)
    kept = jnp.where(_is_discarded(radii, keep), 0, radii)
    return jax.nn.log_softmax(log_weights(kept, dim))


def log_weights(radii: Array, dim: int) -> Array:
    """The logarithm of r^d, up to a constant: the maximum goes first, so that few digits are lost to d."""
    return dim * jnp.log(radii / jnp.max(radii))


def _is_discarded(radii: Array, keep: float) -> Array:
    """(N,) true for the rows with the largest radii that are not kept."""
    order = jnp.argsort(radii, stable=True)
    kept = radii.shape[0] - _discarded(radii.shape[0], keep)
    return jnp.zeros(radii.shape, bool).at[order[kept:]].set(True)


def _discarded(size: int, keep: float) -> int:
    """int(N t) of the authors, for t = 1 - keep; the rounding of 1 - 0.9 must not change it."""
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep <= 1:
        raise InputError(f"keep: found {keep!r}, expected a number greater than 0 and at most 1")
    return math.floor(size * (1 - keep) + 1e-9 * size)
